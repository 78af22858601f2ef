"""Broadcasts that made no event, or found no outbox: counted by reason, and the first of each kind told to the log.

A drop of the outbox has an event, and is told to ``on_drop`` (``producers.drops``); a skip may have none.
"""

import logging
from collections import Counter
from typing import Final

from pydantic import ValidationError

from producers.drops import DropReason

__all__ = ["Skips"]

_KINDS: Final = 100
"""Kinds that are told, and remembered; faults may have as many kinds as callers have keys."""


class Skips:
    """Counts skips; ``add`` and ``counts`` may be used from any thread."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._counts: Counter[str] = Counter()
        self._told: set[tuple[str, str]] = set()

    @property
    def counts(self) -> dict[str, int]:
        """How many broadcasts were skipped, by reason."""
        return dict(self._counts)

    def add(self, name: str, error: Exception, reason: DropReason = DropReason.INVALID) -> None:
        """Count a broadcast called ``name`` that ended with ``error``, and tell of the first of its kind."""
        self._counts[reason.value] += 1
        self.tell(name, error)

    def tell(self, name: str, error: Exception) -> None:
        """Log ``error``, unless an error of the same kind was logged before."""
        # decisions/0090: a stream with one wrong row would else log a line a second; the counter has the number.
        fault = _fault(error)
        if (name, fault) not in self._told and len(self._told) < _KINDS:
            self._told.add((name, fault))
            self._logger.warning("%s was not sent: %s", name, fault)


def _fault(error: Exception) -> str:
    """Return the sentence of ``error``, without the values that were refused."""
    if not isinstance(error, ValidationError):
        return str(error)
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(str(step) for step in it['loc']) or error.title}: {it['msg']}" for it in faults)

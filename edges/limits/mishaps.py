"""Failures of work that an edge repeats anyway: told once per reason, and at the end of the reason.

An edge that still delivers goes on: with Redis away or refusing writes, without a spare descriptor, memory or thread.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bus.errors import BusError, BusUnavailable
from bus.shortage import shortage

__all__ = ["Mishaps"]

_REFUSED: Final = "Redis refused a part of what the edge does by itself"
_FAILED: Final = "the edge cannot do a part of what it does by itself"

_logger = logging.getLogger("edgebus.edges")


class Mishaps:
    """The works that fail at present, with reasons."""

    # decisions/0051: a warning, never the end of readiness. All replicas share the Redis that refuses.
    def __init__(self) -> None:
        self._standing: dict[str, str] = {}

    @property
    def reason(self) -> str | None:
        """Why some work fails at present, None while all goes well."""
        return next(iter(self._standing.values()), None)

    @contextmanager
    def spared(self, work: str) -> Iterator[None]:
        """Let a round of ``work`` fail for a known kind of reason; other errors are raised."""
        try:
            yield
        except BusUnavailable as error:  # the link tells, once for all works
            _logger.debug("Redis is away", extra={"work": work, "reason": str(error)})
        except BusError as error:
            self.note(work, str(error), _REFUSED)
        except (OSError, MemoryError) as error:
            self.note(work, shortage(error) or str(error))
        except RuntimeError as error:
            if (lack := shortage(error)) is None:
                raise
            self.note(work, lack)
        else:
            self.end(work)

    def note(self, work: str, reason: str, text: str = _FAILED, level: int = logging.WARNING) -> None:
        """Take note of ``work`` failing for ``reason``; told, unless another work fails for the same reason."""
        level = logging.DEBUG if reason in self._standing.values() else level
        self._standing[work] = reason
        _logger.log(level, text, extra={"work": work, "reason": reason})

    def end(self, work: str) -> None:
        """Take note of ``work`` done again; told when no other work fails for the same reason."""
        reason = self._standing.pop(work, None)
        if reason is not None and reason not in self._standing.values():
            _logger.info("it goes on: nothing stands against it any more", extra={"work": work, "was": reason})

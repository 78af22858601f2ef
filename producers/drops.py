"""Emitted events that were given up: counted by reason, and told to the caller's ``on_drop``."""

import logging
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import TypeAlias

from bus.errors import BusError, PublishIncomplete, PublishUncertain
from bus.event import Event

__all__ = ["DropReason", "Drops", "OnDrop", "reason_of"]

_logger = logging.getLogger("edgebus.producers")


class DropReason(StrEnum):
    """Why an emitted event was given up."""

    FULL = "full"
    """The outbox had no room, and this event gave way."""
    REFUSED = "refused"
    """Redis answered with an error that does not pass by itself."""
    UNCERTAIN = "uncertain"
    """An answer was lost, and whether the event is there cannot be told any more."""
    INCOMPLETE = "incomplete"
    """Some of its channels have it, others refused it."""
    CLOSED = "closed"
    """The producer ended first."""
    INVALID = "invalid"
    """A broadcast that does not wait, or a row of a stream, made no event; the log is told, and not ``on_drop``."""


OnDrop: TypeAlias = Callable[[Event, DropReason], None]


class Drops:
    """Counts drops, and keeps each until ``on_drop`` was told. Without ``on_drop``, drops are only counted.

    ``add`` is called by the holder of the outbox; ``counts`` and ``has_untold`` may be read from any thread.
    """

    def __init__(self, on_drop: OnDrop | None) -> None:
        self._on_drop = on_drop
        self._counts = dict.fromkeys(sorted(DropReason), 0)
        self._untold: deque[tuple[Event, DropReason]] = deque()

    @property
    def counts(self) -> dict[str, int]:
        """How many events were given up, by reason."""
        return {reason.value: count for reason, count in self._counts.items() if count}

    @property
    def has_untold(self) -> bool:
        """Whether ``tell`` has a drop to tell."""
        return bool(self._untold)

    def add(self, event: Event, reason: DropReason) -> None:
        """Count a drop. ``on_drop`` is not called here, since ``on_drop`` may emit (decisions/0021)."""
        self._counts[reason] += 1
        if self._on_drop is not None:
            self._untold.append((event, reason))

    def tell(self) -> None:
        """Tell ``on_drop`` of the drops since the last call. The errors of ``on_drop`` are logged, and end here."""
        while self._untold and self._on_drop is not None:
            event, reason = self._untold.popleft()
            try:
                self._on_drop(event, reason)
            except Exception:  # any error is the caller's, and the events behind are still to be sent
                _logger.exception("on_drop raised", extra={"event_name": event.event_name, "reason": reason.value})

    def forget_untold(self) -> None:
        """Tell no drop so far; the counts stay."""
        self._untold.clear()


def reason_of(error: BusError) -> DropReason:
    """Return the reason for giving an event up after ``error``."""
    match error:
        case PublishIncomplete():
            return DropReason.INCOMPLETE
        case PublishUncertain():
            return DropReason.UNCERTAIN
        case _:
            return DropReason.REFUSED

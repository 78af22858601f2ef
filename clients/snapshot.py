"""The state of a channel while it comes: so many events, which together are one value. Pure."""

from collections.abc import Mapping
from typing import Any

from clients.values import Received, State
from clients.wire import whole

__all__ = ["Snapshot"]


class Snapshot:
    """A state of which some events are still to come.

    Args:
        channel: the channel's name, as the caller spells it.
        data: of the edge's answer, or of its ``room.state``; input, so any key may be missing.
        reason: why events may have been missed before; None for a first state.

    Attributes:
        position: where the state stands.

    """

    def __init__(self, channel: str, data: Mapping[str, Any], *, position: str, reason: str | None) -> None:
        self._channel, self._reason, self.position = channel, reason, position
        count = whole(data.get("state"))
        # An edge of an older version knows no states: whatever keys there are, they are missing here.
        self._left, self._truncated = count or 0, data.get("truncated") is True or count is None
        self._events: list[Received] = []

    @property
    def is_whole(self) -> bool:
        """Whether all events have come."""
        return self._left == 0

    def take(self, event: Received) -> None:
        """Take the next event."""
        self._events.append(event)
        self._left = max(0, self._left - 1)

    def go_on(self, data: Mapping[str, Any], position: str) -> None:
        """Take the edge's word that another number of events is left."""
        self._left, self.position = whole(data.get("state")) or 0, position
        self._truncated = self._truncated or data.get("truncated") is True

    def value(self) -> State:
        """Return the state as a value for the caller."""
        return State(self._channel, self.position, tuple(self._events), self._truncated, self._reason)

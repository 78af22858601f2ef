"""What rooms lacked, and what became of that: counted, and told to the log, in sums where rooms are many."""

import logging
from collections import Counter
from collections.abc import Iterable
from typing import Final

from bus.channel import Channel
from bus.position import Reason
from bus.words import NoticeName
from edges.limits.floods import Floods, Told
from edges.protocol.messages import Notice

__all__ = ["Repairs"]

_REPAIRED: Final = Told("events that a room lacked were read from the log", by="channel", is_apart=True)
_ROOM: Final = Told("a room was told of a gap", logging.WARNING, by="channel", is_apart=True)
_CLIENT: Final = Told("a client was told of a gap", by="channel", is_apart=True)


class Repairs:
    """The repairs and the gaps of an edge's rooms.

    Args:
        floods: sums lines up.

    Attributes:
        events: how many were read from logs, since the start.
        told: gaps told to rooms, by reason, since the start.

    """

    def __init__(self, floods: Floods) -> None:
        self._floods = floods
        self.events = 0
        self.told = Counter[str]()

    def repaired(self, channel: Channel, start: str | None, end: str | None, events: int) -> None:
        """Take note of ``events`` behind ``start`` that were read."""
        if events:
            self.events += events
            self._floods.note(_REPAIRED, "missed", channel.name, {"from": start, "to": end}, events=events)

    def gaps(self, channel: Channel, waiting: Iterable[bytes | Notice]) -> None:
        """Take note of the gaps among items that wait for the subscribers of a room."""
        for item in waiting:
            if isinstance(item, Notice) and item.event == NoticeName.ROOM_GAP:
                start, end, reason = (item.data.get(key) for key in ("from", "to", "reason"))
                self.told[str(reason)] += 1
                self._floods.note(_ROOM, str(reason), channel.name, {"from": start, "to": end})

    def told_one(self, channel: Channel, start: str | None, end: str | None, reason: Reason, connection: str) -> None:
        """Take note of a gap told to one client alone, which came back for events that its log has no more."""
        fields = {"from": start, "to": end, "connection": connection}
        self._floods.note(_CLIENT, reason, channel.name, fields)

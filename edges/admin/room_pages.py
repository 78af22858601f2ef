"""Lists of rooms, in pages bounded in rows and bytes, and walked in slices: no client waits for an operator's list."""

import heapq
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from bus.admin.words import ANSWER_BYTES, PAGE_ROWS, Order
from bus.channel import Channel
from bus.errors import ChannelError
from bus.service import Service
from bus.slices import Slices, batches
from edges.admin.asked import Asked, BadCommand
from edges.rooms.hub import Hub
from edges.rooms.room import Room

__all__ = ["RoomPages"]

_STEPS: Final = 500
"""Rooms in one step of a walk; some half a millisecond."""
_ROW_BYTES: Final = 64
"""Of a row beside the name."""

_Key: TypeAlias = tuple[float, str, int]
"""The place in the order: a measure that ascends, the room's name, and the members."""


class RoomPages:
    """Lists of rooms, and single rooms.

    Args:
        service: whose channels these are.
        hub: has the rooms.

    """

    def __init__(self, service: Service, hub: Hub) -> None:
        self._service, self._hub = service, hub

    async def page(self, asked: Asked, rates: Mapping[str, float]) -> dict[str, Any]:
        """Return a page: rows of name, members, rate and place in the order; and whether there are more.

        Raises:
            BadCommand: a field is of the wrong kind.

        """
        order, prefix, after = _order(asked), asked.text("prefix") or "", _after(asked)
        limit = max(1, asked.number("limit", 100, most=PAGE_ROWS))
        best: list[_Key] = []
        slices = Slices()
        # decisions/0120: a walk for a list that an operator asked for, never one a second; and never a sort of all.
        for some in batches(self._hub.rooms, _STEPS):
            keys = (_key(room, order, prefix, rates) for room in some)
            fresh = [key for key in keys if key is not None and (after is None or key[:2] > after)]
            best = heapq.nsmallest(limit + 1, best + fresh)
            await slices.give_way()
        return _rows(best, limit, rates)

    def named(self, asked: Asked, rates: Mapping[str, float]) -> dict[str, Any]:
        """Return the rows of rooms by name; a name without members here is left out.

        Raises:
            BadCommand: there are too many names.

        """
        rooms = (self.room(name) for name in asked.texts("names", most=2 * PAGE_ROWS))
        keys = [(0.0, room.channel.name, len(room)) for room in rooms if room is not None and len(room)]
        return _rows(keys, len(keys), rates)

    def channel(self, name: str) -> Channel | None:
        """Return the channel that clients call ``name``; None for a name of no family of the service."""
        try:
            return self._service.channel(name)
        except ChannelError:
            return None

    def room(self, name: str) -> Room | None:
        """Return the open room of a name."""
        channel = self.channel(name)
        return None if channel is None else self._hub.room(channel)

    def about(self, asked: Asked, rates: Mapping[str, float]) -> dict[str, Any]:
        """Return what the edge knows of a channel; ``is_known`` is False for a channel of another service.

        Raises:
            BadCommand: the name is no text.

        """
        channel = self.channel(asked.text("channel") or "")
        if channel is None:
            return {"is_known": False}
        room, keeps = self._hub.room(channel), channel.retention
        about = {
            "is_known": True,
            "name": channel.name,
            "redis": channel.redis,
            "log_key": channel.log_key,
            "retention": keeps.kind,
            "max_events": keeps.max_events,
            "keeps_s": keeps.expires_s,
            "service": self._service.name,
            "senders": {it.event.event_name: it.sender for it in self._service.client_events if it.sender is not None},
        }
        return about if room is None else {**about, "room": _room(room, rates)}


def _room(room: Room, rates: Mapping[str, float]) -> dict[str, Any]:
    return {
        "members": len(room),
        "rate": rates.get(room.channel.name),
        "position": room.position,
        "in_sync": room.sequencer.is_in_sync,
        "left_out": len(room.slow or ()),
    }


def _order(asked: Asked) -> Order:
    by = asked.text("by") or Order.MEMBERS
    try:
        return Order(by)
    except ValueError:
        raise BadCommand(f"by: expected one of {', '.join(Order)}") from None


def _after(asked: Asked) -> tuple[float, str] | None:
    match asked.data.get("after"):
        case None:
            return None
        case [int() | float() as measure, str() as name]:
            return float(measure), name
    raise BadCommand("after: expected a number and a name, as in the row where the page before ended")


def _key(room: Room, order: Order, prefix: str, rates: Mapping[str, float]) -> _Key | None:
    """Return the place of a room in the order; None for a room that is not asked for."""
    name = room.channel.name
    if not name.startswith(prefix) or not (members := len(room)):
        return None
    match order:
        case Order.NAME:
            return 0.0, name, members
        case Order.MEMBERS:
            return -float(members), name, members
        case Order.RATE:
            return (-rates[name], name, members) if name in rates else None


def _rows(keys: list[_Key], limit: int, rates: Mapping[str, float]) -> dict[str, Any]:
    rows: list[Any] = []
    size = 0
    for measure, name, members in keys[:limit]:
        rows.append([name, members, rates.get(name), measure])
        size += len(name) + _ROW_BYTES
        if size >= ANSWER_BYTES:
            break
    return {"rows": rows, "more": len(keys) > len(rows)}

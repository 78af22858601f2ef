"""Who is in a room: notices as values, and the answer of ``client.presence``. Pure."""

from collections.abc import Mapping
from typing import Any, Self

from bus.presence.entries import Member
from bus.values import frozen
from bus.words import NoticeName
from clients.values import Joined, Left, Present

__all__ = ["PRESENCE_NOTICES", "Member", "Room", "presence_value"]

PRESENCE_NOTICES = (NoticeName.ROOM_JOINED, NoticeName.ROOM_LEFT, NoticeName.ROOM_PRESENCE)


def presence_value(channel: str, event: str, data: Mapping[str, Any]) -> Joined | Left | Present | None:
    """Return the value in an edge's notice of who came or left; None for any other notice."""
    match event, data:
        case NoticeName.ROOM_JOINED, {"user": str() as user, "info": dict() as info, "since": str() as since}:
            return Joined(channel, user, info, since)
        case NoticeName.ROOM_LEFT, {"user": str() as user}:
            return Left(channel, user)
        case NoticeName.ROOM_PRESENCE, {"count": int() as count, "joined": int() as joined, "left": int() as left}:
            return Present(channel, count, joined, left, str(data.get("reason")))
    return None


@frozen
class Room:
    """Who is in a room.

    Attributes:
        channel: the room, as asked for.
        count: users; connections, in a room that counts.
        connections: of all users.
        members: by id, in order; none in a room that counts, or has too many.
        is_complete: whether all members are there.

    """

    channel: str
    count: int
    connections: int
    members: tuple[Member, ...] = ()
    is_complete: bool = True

    @classmethod
    def of(cls, channel: str, data: Mapping[str, Any]) -> Self:
        """Return the room in an edge's answer; a member that is none is left out."""
        listed = data.get("members")
        members = [Member.of(it) for it in listed] if isinstance(listed, list) else []
        numbers = (data.get("count"), data.get("connections"))
        count, connections = (it if isinstance(it, int) else 0 for it in numbers)
        is_complete = data.get("complete", isinstance(listed, list)) is True
        return cls(channel, count, connections, tuple(it for it in members if it is not None), is_complete)

"""The users of a room as texts in Redis, and back. Pure; people may write there by hand, so every text is checked."""

from collections.abc import Mapping
from typing import Any, Final, Self

import orjson

from bus.values import frozen

__all__ = ["INFO_BYTES", "USER_LIMIT", "Change", "Member", "is_user", "split_field"]

USER_LIMIT: Final = 128
"""Characters of a user's id."""
INFO_BYTES: Final = 1024
"""Bytes of a user's info, as JSON."""
_VALUE_BYTES: Final = INFO_BYTES + 2048
"""A longer text is nothing that an edge wrote."""
_CHANGE_BYTES: Final = 4 * 1024 * 1024


def is_user(value: object) -> bool:
    """Tell whether ``value`` may be the id of a user: a text of 1 to 128 printable characters."""
    return isinstance(value, str) and 1 <= len(value) <= USER_LIMIT and value.isprintable()


@frozen
class Member:
    """A user in a room.

    Attributes:
        user: the id.
        info: what the user's client told of the user.
        since: ISO 8601, UTC; the first connection of those in the room.
        connections: in the room.

    """

    user: str
    info: Mapping[str, Any]
    since: str
    connections: int = 1

    def dump(self) -> bytes:
        """Return the text for Redis."""
        return orjson.dumps(
            {"user": self.user, "info": self.info, "since": self.since, "connections": self.connections}
        )

    @classmethod
    def load(cls, text: bytes) -> Self | None:
        """Return the member in a text from Redis; None for any other text."""
        try:
            return cls.of(orjson.loads(text)) if len(text) <= _VALUE_BYTES else None
        except orjson.JSONDecodeError:
            return None

    @classmethod
    def of(cls, value: object) -> Self | None:
        """Return the member in a value of JSON; None for any other value."""
        match value:
            case {"user": user, "info": dict() as info, "since": str() as since, "connections": int() as connections}:
                is_one = is_user(user) and len(since) <= USER_LIMIT and 0 <= connections < 2**31
                return cls(user, info, since, int(connections)) if is_one else None
        return None

    def joined_with(self, other: "Member") -> "Member":
        """Return one member of two entries of the same user: the later info, the earlier beginning."""
        older, newer = sorted((self, other), key=lambda it: it.since)
        return Member(self.user, newer.info, older.since, self.connections + other.connections)


def split_field(field: bytes) -> tuple[str, str] | None:
    """Return edge and user of a field; None for a field of another form."""
    edge, bar, user = field.decode(errors="replace").partition("|")
    return (edge, user) if bar and edge and is_user(user) else None


@frozen
class Change:
    """A message of a room's channel of changes.

    Attributes:
        joined: users that came.
        left: ids of users that left.
        count: the connections now, in a room that counts; None in a room that names members.

    """

    joined: tuple[Member, ...] = ()
    left: tuple[str, ...] = ()
    count: int | None = None

    @classmethod
    def load(cls, message: bytes) -> Self | None:
        """Return the change in a message; None for any other message."""
        try:
            value = orjson.loads(message) if len(message) <= _CHANGE_BYTES else None
        except orjson.JSONDecodeError:
            return None
        match value:
            case {"joined": list() as joined, "left": list() as left}:
                members = [Member.of(it) for it in joined]
                is_one = all(map(is_user, left)) and None not in members
                return cls(tuple(it for it in members if it is not None), tuple(left)) if is_one else None
            case {"count": int() as count} if count is not True and count is not False and 0 <= count < 2**53:
                return cls(count=count)
        return None

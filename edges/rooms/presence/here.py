"""The users with connections of this edge in one room, and the changes owed to Redis. Pure."""

from collections.abc import Hashable, Mapping
from dataclasses import field
from typing import Any, Final

from bus.channel import Channel
from bus.presence.entries import Member
from bus.presence.store import Write
from bus.values import frozen, mutable

__all__ = ["Here", "Who"]

_NOBODY: Final[Mapping[str, Any]] = {}


@frozen
class Who:
    """The user of a connection in a room.

    Attributes:
        user: the id.
        info: shown to others, as given by the client.

    """

    user: str
    info: Mapping[str, Any] = field(default_factory=dict)


@mutable
class _User:
    since: str
    info: Mapping[str, Any] = field(default_factory=lambda: _NOBODY)
    connections: set[Hashable] = field(default_factory=set)


class Here:
    """The users of a room at this edge.

    A user stays when the last connection has left, until ``let_go``: a tab that blinks has not left. A room that
    counts keeps connections without users.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._counts = channel.presence is not None and channel.presence.kind == "count"
        self._users: dict[str, _User] = {}
        self._owed: dict[str, None] = {}
        self._connections: set[Hashable] = set()
        self._is_owed = False

    @property
    def is_owed(self) -> bool:
        """Whether Redis has still to hear of a change."""
        return self._is_owed

    @property
    def is_empty(self) -> bool:
        """Whether no connection is in the room, and no user stays."""
        return not self._users and not self._connections

    def enter(self, who: Who, connection: Hashable, since: str) -> None:
        """Take a connection in; a second time changes the user's info alone."""
        self._connections.add(connection)
        self._is_owed = True
        if self._counts:
            return
        user = self._users.setdefault(who.user, _User(since))  # a user who blinked is there since before
        user.connections.add(connection)
        user.info = who.info
        self._owed[who.user] = None

    def leave(self, who: Who, connection: Hashable) -> bool:
        """Let a connection go; tell whether the user has no other here, and stays until ``let_go``."""
        self._connections.discard(connection)
        self._is_owed = True
        user = self._users.get(who.user)
        if user is None:
            return False
        user.connections.discard(connection)
        self._owed[who.user] = None
        return not user.connections

    def let_go(self, name: str) -> None:
        """Let a user without connections go; a user that came back stays."""
        user = self._users.get(name)
        if user is not None and not user.connections:
            del self._users[name]
            self._owed[name] = None
            self._is_owed = True

    def let_all_go(self) -> None:
        """Let every user go: the edge ends."""
        self._owed.update(dict.fromkeys(self._users))
        self._users.clear()
        self._connections.clear()
        self._is_owed = True

    def owe_all(self) -> None:
        """Owe every user to Redis: the edge has another name now, or the room's keys are gone."""
        self._owed.update(dict.fromkeys(self._users))
        self._is_owed = True

    def take(self, edge: str, limit: int) -> Write:
        """Return the next changes to write, at most ``limit`` users; the changes count as written."""
        names = list(self._owed)[:limit]
        for name in names:
            del self._owed[name]
        self._is_owed = bool(self._owed)
        return Write(self.channel, edge, self._number(), [(name, self._entry(name)) for name in names])

    def give_back(self, write: Write) -> None:
        """Take changes back that were not written; a later change of the same user stands in any case."""
        self._owed.update(dict.fromkeys(name for name, _ in write.users))
        self._is_owed = True

    def _number(self) -> int:
        """Return the connections to write: an edge is in a room for as long as one of the edge's users is."""
        # The script takes an edge without connections out of the room, and forgets to look for the edge's users.
        return max(len(self._connections), len(self._users), int(bool(self._owed)))

    def _entry(self, name: str) -> bytes | None:
        user = self._users.get(name)
        return None if user is None else Member(name, user.info, user.since, len(user.connections)).dump()

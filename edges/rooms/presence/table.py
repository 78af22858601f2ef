"""The users of a room as watchers were told, and the news to tell. Pure; the time is an argument."""

from collections.abc import Sequence
from typing import Final

from bus.presence.entries import Change, Member
from bus.presence.store import Snapshot
from bus.words import NoticeName
from edges.protocol.messages import Notice

__all__ = ["MISSING_S", "Table"]

MISSING_S: Final = 3.0
"""Within which an edge whose link was away has written its users anew."""

_TICK_S: Final = 0.05
"""Changes of so long are told together; a user that came and left meanwhile is not told at all."""
_HOLD_S: Final = 1.0
"""Between two notices with counts."""
_NAMED: Final = 50
_NAMED_WRITES: Final = 20_000
"""The most notices with a name in a second, and times the watchers: beyond either, counts are told."""


class Table:
    """A room's users, by name or, in a room that counts and in a room of too many, by number.

    Args:
        room: the name of the channel.
        counts: whether the room's family counts.
        limit: the most users to keep by name.

    """

    def __init__(self, room: str, *, counts: bool, limit: int) -> None:
        self._room, self._counts, self._limit = room, counts, limit
        self._users: set[str] | None = None
        self._count = 0
        self._joined: dict[str, Member] = {}
        self._left: dict[str, None] = {}
        self._more_joined = self._more_left = 0
        self._missing: dict[str, float] = {}
        self._is_begun = False
        self._hold_until_s = self._second_s = 0.0
        self._named = 0

    @property
    def count(self) -> int:
        """How many users are in the room, or connections in a room that counts."""
        return self._count if self._users is None else len(self._users)

    # What happens.

    def begin(self, snapshot: Snapshot, now_s: float) -> bool:
        """Compare with Redis, at first and after the link was away; tell whether to compare again after ``MISSING_S``.

        A user that is missing may be of an edge that has not written its users anew yet: such a user has left only
        when missing for so long, and not said to come back in between.
        """
        if self._counts or not snapshot.is_complete:
            self._take_count(snapshot.count)
            self._users = None
            return False
        was, self._users = self._users, set(snapshot.members) if self._users is None else self._users
        if was is None:
            self._is_begun = True
            return False
        for user in snapshot.members.keys() - was:
            self._join(snapshot.members[user])
        missing = was - snapshot.members.keys()
        self._missing = {user: self._missing.get(user, now_s) for user in missing}
        for user in [user for user, since_s in self._missing.items() if now_s - since_s >= MISSING_S]:
            del self._missing[user]
            self._leave(user)
        return bool(self._missing)

    def _take_count(self, count: int) -> None:
        if self._is_begun:
            self._more_joined += max(0, count - self.count)
            self._more_left += max(0, self.count - count)
        self._is_begun, self._count = True, count

    def change(self, change: Change) -> None:
        """Take a change from Redis; a user already there does not come again, a user not there does not leave."""
        if change.count is not None:
            if self._counts:
                self._take_count(change.count)
            return
        if self._users is None:
            self._count = max(0, self._count + len(change.joined) - len(change.left))
            self._more_joined += len(change.joined)
            self._more_left += len(change.left)
            return
        for member in change.joined:
            self._join(member)
        for user in change.left:
            self._leave(user)
        if len(self._users) > self._limit:
            self._count, self._users = len(self._users), None

    def _join(self, member: Member) -> None:
        users = self._users
        self._missing.pop(member.user, None)
        if users is None or member.user in users:
            return
        users.add(member.user)
        if member.user in self._left:  # back before the leaving was told
            del self._left[member.user]
        else:
            self._joined[member.user] = member

    def _leave(self, user: str) -> None:
        if self._users is None or user not in self._users:
            return
        self._users.discard(user)
        if user in self._joined:
            del self._joined[user]
        else:
            self._left[user] = None

    # What is told.

    def due_s(self, now_s: float) -> float | None:
        """Return when ``news`` is to be asked for; None where nothing happened."""
        return max(now_s + _TICK_S, self._hold_until_s) if self._has_news else None

    @property
    def _has_news(self) -> bool:
        return bool(self._joined or self._left or self._more_joined or self._more_left)

    def news(self, now_s: float, watchers: int) -> Sequence[Notice]:
        """Return the notices for ``watchers``: a notice for each user, or the numbers where too much happens."""
        if not self._has_news or now_s < self._hold_until_s:
            return ()
        number = len(self._joined) + len(self._left)
        if self._more_joined or self._more_left or not self._may_name(number, now_s, watchers):
            return (self._numbers(now_s),)
        joined, left = self._joined, self._left
        self._joined, self._left = {}, {}
        return [*map(self._joined_notice, joined.values()), *map(self._left_notice, left)]

    def _may_name(self, number: int, now_s: float, watchers: int) -> bool:
        if now_s - self._second_s >= 1.0:
            self._second_s, self._named = now_s, 0
        self._named += number
        return self._named <= max(1, min(_NAMED, _NAMED_WRITES // max(1, watchers)))

    def _numbers(self, now_s: float) -> Notice:
        joined, left = len(self._joined) + self._more_joined, len(self._left) + self._more_left
        self._joined, self._left, self._more_joined, self._more_left = {}, {}, 0, 0
        self._hold_until_s = now_s + _HOLD_S
        reason = "count" if self._users is None else "churn"
        return Notice.of(NoticeName.ROOM_PRESENCE, self.count, joined, left, reason, room=self._room)

    def _joined_notice(self, member: Member) -> Notice:
        return Notice.of(NoticeName.ROOM_JOINED, member.user, dict(member.info), member.since, room=self._room)

    def _left_notice(self, user: str) -> Notice:
        return Notice.of(NoticeName.ROOM_LEFT, "left", user, room=self._room)

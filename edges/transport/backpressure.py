"""Clients that read slower than events come: whether they read at all, and what they are given once they have. Pure."""

from collections.abc import Hashable, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar

import orjson

from bus.channel import Channel
from bus.position import Reason
from edges.protocol.messages import Notice

__all__ = ["RESERVE_BYTES", "Ebb", "Laggards", "patience"]

RESERVE_BYTES: Final = 64 * 1024
"""How much more than its events may wait for one client: for replies, notices and control frames."""

_STEP_BYTES: Final = 4 * 1024
_WINDOW_BYTES: Final = 64 * 1024

MemberT = TypeVar("MemberT", bound=Hashable)
_Item: TypeAlias = bytes | Notice


class Ebb:
    """Whether what waits for one client gets less, from when it began to be much until it is little again.

    It does whenever less waits than ever since the last time it did, or when all that waited then has left: so neither
    a client that reads slowly and is sent nothing more, nor one that reads as fast as it is written to, is stuck.

    Args:
        waiting: bytes that wait: in our buffer, and in the kernel's until they are acknowledged.
        now: seconds of a monotonic clock.

    """

    __slots__ = ("_added", "_at_mark", "_since")

    def __init__(self, waiting: int, now: float) -> None:
        self._at_mark, self._since = waiting, now
        self._added = 0

    def add(self, size: int) -> None:
        """Take note of ``size`` more bytes."""
        self._added += size

    def stuck_s(self, waiting: int, now: float) -> float:
        """Return for how long it has not got less, seconds; 0 when it has since the last look."""
        if waiting < self._at_mark or self._added >= waiting:  # the latter: all that waited at the mark has left
            self._at_mark, self._since, self._added = waiting, now, 0
        return now - self._since


def patience(window_bytes: int) -> float:
    """Return how many times longer a client may take for a sign of reading than one whose kernel gives it at once.

    A closed window opens again when half of it was read: 64 KiB, which most systems give, say nothing for 32 KiB and
    more. Longer windows are counted as those; only who has read fast before has one.
    """
    return 1 + min(window_bytes, _WINDOW_BYTES) / _STEP_BYTES


class Laggards(Generic[MemberT]):
    """The members of one room that are left out for now, and what they are given when they have caught up.

    What was left out is kept once for all of them: the newest line, or the newest of each key. Members that lag cost
    the others nothing; a line costs its parsing, once, where a key has to be found in it.

    Args:
        channel: of the room; its policy is ``skip`` or ``conflate``.
        limit_bytes: the most that is kept; of conflated lines the oldest go first, and that is told.

    """

    def __init__(self, channel: Channel, limit_bytes: int) -> None:
        self._channel, self._limit_bytes = channel, limit_bytes
        self._stood: dict[MemberT, tuple[int, str | None]] = {}
        self._newest: dict[Any, tuple[int, bytes]] = {}
        self._kept_bytes = self._count = self._untold = 0
        self.lost = 0

    def __len__(self) -> int:
        return len(self._stood)

    def __contains__(self, member: MemberT) -> bool:
        return member in self._stood

    @property
    def kept_bytes(self) -> int:
        """How much is kept of what was left out."""
        return self._kept_bytes

    def add(self, member: MemberT, position: str | None) -> None:
        """Leave a member out from here on; ``position`` is where it stands, None on a channel without positions."""
        self._stood[member] = (self._count, position)

    def note(self, items: Sequence[_Item]) -> None:
        """Take note of what the other members are given."""
        for item in items:
            self._count += 1
            if isinstance(item, bytes):
                self._keep(item)
            else:
                self._untold = self._count

    def _keep(self, line: bytes) -> None:
        try:
            key = _key(line, self._channel.when_slow.key)
        except (ValueError, TypeError, AttributeError):  # no JSON object: it has no key, so it can only be left out
            self._untold = self._count
            return
        _, old = self._newest.pop(key, (0, b""))
        self._newest[key] = (self._count, line)
        self._kept_bytes += len(line) - len(old)
        while self._kept_bytes > self._limit_bytes and len(self._newest) > 1:
            self._untold, oldest = self._newest.pop(next(iter(self._newest)))
            self._kept_bytes -= len(oldest)

    def remove(self, member: MemberT) -> None:
        """Let a member go for good; one that does not lag is ignored."""
        if member in self._stood:
            self.lost += self._count - self._stood.pop(member)[0]
            self._forget_if_idle()

    def take(self, member: MemberT, position: str | None) -> list[_Item]:
        """Return what a member is given before it goes on at ``position``, where the room stands; it lags no more."""
        count, stood = self._stood.pop(member)
        lines = [line for at, line in self._newest.values() if at > count]
        lost = self._count - count - len(lines)
        is_told = lost > 0 and (self._channel.when_slow.kind == "skip" or self._untold > count)
        self.lost += lost
        self._forget_if_idle()
        return [self._gap(stood, position), *lines] if is_told else list(lines)

    def _gap(self, stood: str | None, position: str | None) -> Notice:
        return Notice("room.gap", {"from": stood, "to": position, "reason": Reason.SLOW}, self._channel.name)

    def _forget_if_idle(self) -> None:
        if not self._stood:
            self._newest.clear()
            self._kept_bytes = self._untold = 0


def _key(line: bytes, field: str | None) -> tuple[Any, bytes] | None:
    """Return what a line is replaced by a newer one of; None, where any newer one does."""
    if field is None:
        return None
    value = orjson.loads(line)
    data = value.get("data")
    return value.get("event"), orjson.dumps(data.get(field) if isinstance(data, dict) else None)

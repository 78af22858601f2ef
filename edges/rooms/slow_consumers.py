"""Subscribers of a room that read slower than events come, and the lines that each is given later. Pure."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import orjson

from bus.channel import Channel
from bus.position import Reason
from edges.protocol.messages import Notice, gap

__all__ = ["SlowConsumers"]

SubscriberT = TypeVar("SubscriberT", bound=Hashable)
_Item: TypeAlias = bytes | Notice


class SlowConsumers(Generic[SubscriberT]):
    """The subscribers of one room that are left out for now, and the lines that each is given on its return.

    Lines that were left out are kept once for all: the newest line, or the newest of each key. Slow consumers cost the
    other subscribers nothing; a line costs its parsing, once, where a key has to be found in the line.

    Args:
        channel: of the room; its policy is ``skip`` or ``conflate``.
        limit_bytes: the most that is kept; of conflated lines the oldest go first, and that is told.

    Attributes:
        lost: deliveries left out.
        added: how often a subscriber was left out.
        told: how often a subscriber was told of a gap.

    """

    def __init__(self, channel: Channel, limit_bytes: int) -> None:
        self._channel, self._limit_bytes = channel, limit_bytes
        self._stood: dict[SubscriberT, tuple[int, str | None]] = {}
        self._newest: dict[Any, tuple[int, bytes]] = {}
        self._kept_bytes = self._count = self._untold = 0
        self.lost = self.added = self.told = 0

    def __len__(self) -> int:
        return len(self._stood)

    def __iter__(self) -> Iterator[SubscriberT]:
        """The subscribers that are left out."""
        return iter(self._stood)

    def __contains__(self, subscriber: SubscriberT) -> bool:
        return subscriber in self._stood

    @property
    def kept_bytes(self) -> int:
        """The size of the lines that are kept."""
        return self._kept_bytes

    def add(self, subscriber: SubscriberT, position: str | None) -> None:
        """Leave a subscriber out from here on; ``position`` is None on a channel without positions."""
        self._stood[subscriber] = (self._count, position)
        self.added += 1

    def note(self, items: Sequence[_Item]) -> None:
        """Take note of lines that the other subscribers are given."""
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

    def remove(self, subscriber: SubscriberT) -> None:
        """Let a subscriber go for good; a subscriber that is not slow is ignored."""
        if subscriber in self._stood:
            self.lost += self._count - self._stood.pop(subscriber)[0]
            self._forget_if_idle()

    def take(self, subscriber: SubscriberT, position: str | None) -> list[_Item]:
        """Return the lines for a subscriber that goes on at ``position``, where the room stands; slow no more."""
        count, stood = self._stood.pop(subscriber)
        lines = [line for at, line in self._newest.values() if at > count]
        lost = self._count - count - len(lines)
        is_told = lost > 0 and (self._channel.when_slow.kind == "skip" or self._untold > count)
        self.lost += lost
        self.told += is_told
        self._forget_if_idle()
        return [self._gap(stood, position), *lines] if is_told else list(lines)

    def _gap(self, stood: str | None, position: str | None) -> Notice:
        return gap(self._channel.name, stood, position, Reason.SLOW)

    def _forget_if_idle(self) -> None:
        if not self._stood:
            self._newest.clear()
            self._kept_bytes = self._untold = 0


def _key(line: bytes, field: str | None) -> tuple[Any, bytes] | None:
    """Return the key by which a newer line replaces a line; None, where any newer line does."""
    if field is None:
        return None
    value = orjson.loads(line)
    data = value.get("data")
    return value.get("event"), orjson.dumps(data.get(field) if isinstance(data, dict) else None)

"""A Redis in memory, under the very code that reads logs: what the hub's tests run on, as the contract suite proves.

Has streams, marks, texts and channels, a clock that only its own events move, and the link of an edge, on which lines
wait until they may arrive. An answer says what was there when it was asked for, and comes when it may.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

import orjson
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from bus.channel import Channel
from bus.envelope import splice
from bus.log.appending import Entry
from bus.log.kept_state import KeptState
from bus.position import BEGINNING

__all__ = ["Command", "FakeRedis", "Stream", "Subscribed", "Way", "away"]

Command: TypeAlias = tuple[str, tuple[Any, ...], dict[str, Any]]
"""Name in small letters, arguments, and options, as the client library takes them."""

Way: TypeAlias = Callable[[], Awaitable[None]]
"""Returns when an answer has come back over the connection, or raises what the client library does."""

WRONG_TYPE: Final = "WRONGTYPE Operation against a key holding the wrong kind of value"
_BEGAN: Final = "1-a"
_NODE_ENTRIES: Final = 100


class Subscribed(Protocol):
    """The link of an edge, as a server knows one."""

    subscribed: set[str]

    def send(self, channel: str, line: bytes) -> bool:
        """Have a line on its way; tell whether the link is subscribed."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A log: ids with their fields, oldest first, and the last id that was ever generated."""

    entries: tuple[tuple[bytes, dict[bytes, bytes]], ...] = ()
    last: bytes = BEGINNING.encode()
    deleted: bytes = BEGINNING.encode()

    def add(self, entry_id: bytes, fields: dict[bytes, bytes]) -> "Stream":
        return Stream((*self.entries, (entry_id, fields)), entry_id, self.deleted)

    @property
    def newest(self) -> bytes:
        """The id of the newest entry, or the last that was generated where somebody took it out."""
        return self.entries[-1][0] if self.entries else self.last


@dataclass(slots=True)
class FakeRedis:
    """One server, with all that may happen to it.

    Attributes:
        data: what it holds, by key. Values are never changed in place: a copy of this is a replica.
        lives: when keys expire, by its clock.
        asked: the commands of each round trip, by name and key, since the test last cleared them.
        holds: the commands that wait for ``may_answer`` with their round trip; by default those that read the newest
            part of a log.
        may_answer: cleared, it keeps those answers back.
        refuses: keys that this user may not read.
        fails: returns the error that a round trip ends with; then nothing is done.
        on_read: called when a log's end was asked for, before it is looked up; and ``after_read`` right behind that.

    """

    clock_ms: int = 1_000
    data: "dict[str, Any]" = field(default_factory=lambda: {"bus:epoch": _BEGAN.encode()})
    lives: dict[str, int] = field(default_factory=dict)
    links: list[Subscribed] = field(default_factory=list)
    asked: list[list[tuple[str, str]]] = field(default_factory=list)
    holds: Collection[str] = ("xinfo_stream",)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    refuses: set[str] = field(default_factory=set)
    fails: Callable[[Sequence[tuple[str, str]]], Exception | None] = lambda _: None
    on_read: Callable[[], None] = lambda: None
    after_read: Callable[[], None] = lambda: None
    role: str = "master"
    drops: int = 0

    def __post_init__(self) -> None:
        """Answer at once."""
        self.may_answer.set()

    # What happens to it.

    def append(self, channel: Channel, line: bytes, fields: dict[bytes, bytes], position: str | None = None) -> bytes:
        """Store a line and send it, as ``publish.lua`` does for a first attempt; return the position."""
        stream = self._stream(channel.log_key)
        ms, _, n = stream.newest.decode().partition("-")
        self.clock_ms += 1
        at = position or (f"{self.clock_ms}-1" if self.clock_ms > int(ms) else f"{ms}-{int(n) + 2}")
        whole = {b"previous": stream.newest, **fields, b"line": line}
        stored = stream.add(at.encode(), whole)
        excess = max(0, len(stored.entries) - channel.retention.max_events)
        if channel.retention.kind != "latest":  # MAXLEN ~ takes whole nodes of the stream
            excess -= excess % _NODE_ENTRIES
        self.data[channel.log_key] = Stream(stored.entries[excess:], stored.last, stored.deleted)
        self.lives[channel.log_key] = self.clock_ms + channel.retention.life_ms
        whole_line = splice(line, at, stream.newest.decode())
        if channel.keyed is not None:
            self._keep(channel, whole_line, stream.newest.decode())
        self.publish(channel.redis, whole_line)
        return at.encode()

    def _keep(self, channel: Channel, line: bytes, previous: str) -> None:
        """Keep a line in the state, as ``keyed.lua`` does."""
        kept = self._value(channel.state_key)
        state = kept.copy() if isinstance(kept, KeptState) else KeptState()
        assert channel.keyed is not None
        value = orjson.loads(line)
        state.keep(channel.keyed, channel.keyed.place(value["event"], value["data"]), line, previous)
        self.data[channel.state_key] = state
        self.lives[channel.state_key] = self.lives[channel.log_key]

    def publish(self, channel: str, line: bytes) -> int:
        """Send a line to those that subscribed; return how many there were."""
        return sum(link.send(channel, line) for link in self.links)

    def _stream(self, key: str) -> Stream:
        value = self._value(key)
        if value is not None and not isinstance(value, Stream):
            raise ResponseError(WRONG_TYPE)
        return value or Stream()

    def _value(self, key: str) -> Any:
        if self.lives.get(key, self.clock_ms + 1) <= self.clock_ms:
            self.data.pop(key, None)
            self.lives.pop(key, None)
        return self.data.get(key)

    # Commands.

    async def answer(self, commands: Sequence[Command], comes: Way | None = None) -> list[Any]:
        """Return the answers to the commands of one round trip, when they have come; an error stands among them."""
        names = [(name, str(arguments[0]) if arguments else "") for name, arguments, _ in commands]
        self.asked.append(names)
        error = self.fails(names)
        answers = [] if error is not None else self._answers(names, commands)
        await (self._come(names) if comes is None else comes())
        if error is not None:
            raise error
        return answers

    async def _come(self, names: Sequence[tuple[str, str]]) -> None:
        if any(name in self.holds for name, _ in names):
            await self.may_answer.wait()
        await asyncio.sleep(0)

    def _answers(self, names: Sequence[tuple[str, str]], commands: Sequence[Command]) -> list[Any]:
        reads = any(name in ("xrevrange", "xinfo_stream") for name, _ in names)
        if reads:
            self.on_read()
        answers = [self._answer(*command) for command in commands]
        if reads:
            self.after_read()
        return answers

    def _answer(self, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if arguments and arguments[0] in self.refuses:
            return ResponseError(f"NOPERM No permissions to access key {arguments[0]}")
        try:
            return getattr(self, f"do_{name}")(*arguments, **options)
        except ResponseError as error:
            return error

    def do_time(self) -> tuple[int, int]:
        return self.clock_ms // 1_000, self.clock_ms % 1_000 * 1_000

    def do_role(self) -> list[Any]:
        return [b"master", 0, []] if self.role == "master" else [b"slave", b"127.0.0.1", 1, b"connected", 0]

    def do_ping(self) -> bool:
        return True

    def do_get(self, key: str) -> bytes | None:
        value = self._value(key)
        if value is not None and not isinstance(value, bytes):
            raise ResponseError(WRONG_TYPE)
        return value

    def do_set(self, key: str, text: str | bytes) -> bool:
        self.data[key] = _bytes(text)
        return True

    def do_setnx(self, key: str, text: str) -> bool:
        return self._value(key) is None and self.do_set(key, text)

    def do_delete(self, *keys: str) -> int:
        return sum(self.data.pop(key, None) is not None for key in keys)

    def do_dump(self, key: str) -> Any:
        return self._value(key)

    def do_restore(self, key: str, _: int, value: Any, *, replace: bool = False) -> bool:
        assert replace or key not in self.data
        self.data[key] = value
        return True

    def do_exists(self, *keys: str) -> int:
        return sum(self._value(key) is not None for key in keys)

    def do_pexpire(self, key: str, life_ms: int) -> bool:
        if self._value(key) is None:
            return False
        self.lives[key] = self.clock_ms + life_ms
        return True

    def do_pttl(self, key: str) -> int:
        return self.lives[key] - self.clock_ms if key in self.lives else -1 if key in self.data else -2

    def do_publish(self, channel: str, line: bytes) -> int:
        return self.publish(channel, line)

    def do_pubsub_channels(self) -> list[bytes]:
        return sorted({name.encode() for link in self.links for name in link.subscribed})

    def do_pubsub_numsub(self, *names: str) -> list[tuple[bytes, int]]:
        return [(name.encode(), sum(name in link.subscribed for link in self.links)) for name in names]

    def do_pubsub_numpat(self) -> int:
        return 0

    def do_script_load(self, _: str) -> bytes:
        return b""

    def do_rpush(self, key: str, *values: str) -> int:
        self.clock_ms += 1
        self.data[key] = [*(self._value(key) or []), *map(_bytes, values)]
        return len(self.data[key])

    def do_xrevrange(
        self, key: str, most: str = "+", least: str = "-", count: int | None = None
    ) -> list[tuple[bytes, dict[bytes, bytes]]]:
        below, above = _bound(most), _bound(least)
        found = [entry for entry in reversed(self._stream(key).entries) if above(_order(entry[0]), 1)]
        return [entry for entry in found if below(_order(entry[0]), -1)][:count]

    def do_xinfo_stream(self, key: str) -> dict[str, Any]:
        stream = self._stream(key)
        if self._value(key) is None:
            raise ResponseError("no such key")
        ends = (stream.entries[0], stream.entries[-1]) if stream.entries else (None, None)
        ids = {"last-generated-id": stream.last, "max-deleted-entry-id": stream.deleted}
        return {**ids, "first-entry": ends[0], "last-entry": ends[1]}

    def do_xadd(self, key: str, fields: dict[str | bytes, str | bytes], id: str = "*") -> bytes:
        self.clock_ms += 1
        at = f"{self.clock_ms}-0".encode() if id == "*" else _bytes(id)
        self.data[key] = self._stream(key).add(at, {_bytes(name): _bytes(text) for name, text in fields.items()})
        return at

    def do_xtrim(self, key: str, *, maxlen: int, approximate: bool = True) -> int:
        assert not approximate
        stream = self._stream(key)
        kept = stream.entries[len(stream.entries) - maxlen :] if maxlen < len(stream.entries) else stream.entries
        self.data[key] = Stream(kept, stream.last, stream.deleted)
        return len(stream.entries) - len(kept)

    def do_xdel(self, key: str, *ids: str) -> int:
        stream, gone = self._stream(key), {it.encode() for it in ids}
        kept = tuple(entry for entry in stream.entries if entry[0] not in gone)
        self.data[key] = Stream(kept, stream.last, max(stream.deleted, *gone, key=_order))
        return len(stream.entries) - len(kept)

    def _marks(self, key: str) -> dict[bytes, float]:
        value = self._value(key)
        if value is not None and not isinstance(value, dict):
            raise ResponseError(WRONG_TYPE)
        return value or {}

    def do_hrandfield(self, key: str, count: int, *, withvalues: bool) -> list[bytes]:
        assert withvalues
        value = self._value(key)
        if value is not None and not isinstance(value, KeptState):
            raise ResponseError(WRONG_TYPE)
        if value is None:
            return []
        own = {"bus:bytes": b"%d" % value.size, "bus:writes": b"%d" % value.writes}
        if value.evicted is not None:
            own["bus:evicted"] = value.evicted.encode()
        return [it for key, line in [*own.items(), *value.lines.items()][:count] for it in (key.encode(), line)]

    def do_zadd(self, key: str, marks: dict[str | bytes, float]) -> int:
        added = {_bytes(name): float(score) for name, score in marks.items()}
        whole = {**self._marks(key), **added}
        self.data[key] = dict(sorted(whole.items(), key=lambda it: (it[1], it[0])))
        return len(added)

    def do_zremrangebyrank(self, key: str, first: int, last: int) -> int:
        marks = list(self._marks(key).items())
        gone = marks[first : len(marks) + last + 1 if last < 0 else last + 1]
        self.data[key] = {name: score for name, score in marks if (name, score) not in gone}
        return len(gone)

    def do_zrange(self, key: str, first: int, last: int, *, withscores: bool) -> list[tuple[bytes, float]]:
        assert withscores
        assert last == -1
        return list(self._marks(key).items())[first:]

    def do_append(self, entry: Entry) -> Any:
        """Append an entry of a producer, as its script does; events of live channels are sent alone."""
        if entry.channel.retention.kind == "live":
            return self.publish(entry.channel.redis, splice(entry.line, None, None))
        assert entry.since_ms is None, "of repeated attempts this Redis knows nothing"
        receivers = sum(entry.channel.redis in link.subscribed for link in self.links)
        return b"%b %d" % (self.append(entry.channel, entry.line, {b"id": entry.id.encode()}), receivers)


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _order(entry_id: bytes) -> tuple[int, int]:
    ms, _, n = entry_id.partition(b"-")
    return int(ms), int(n)


def _bound(text: str) -> Callable[[tuple[int, int], int], bool]:
    """Return what tells whether an id lies on the side 1 or -1 of a bound, as ``XRANGE`` writes bounds."""
    if text in ("+", "-"):
        return lambda *_: True
    bound = _order(text.removeprefix("(").encode())
    if text.startswith("("):
        return lambda at, side: (at > bound) if side > 0 else (at < bound)
    return lambda at, side: (at >= bound) if side > 0 else (at <= bound)


def away(_: Sequence[tuple[str, str]]) -> Exception:
    """Be a Redis that nobody reaches."""
    return RedisConnectionError("away")

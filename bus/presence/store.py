"""A connection to Redis for the users in rooms: beats of edges, writes in pipelines, and reading of a room.

Several edges write one room; ``presence.lua`` decides who has come and who has left, and publishes the change.
"""

import hashlib
import importlib.resources
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from bus.channel import Channel
from bus.errors import BusError
from bus.presence.entries import Member, is_user, split_field
from bus.redis import library
from bus.redis.calls import call_script
from bus.redis.clock import redis_ms
from bus.redis.connection import Connection, Reply
from bus.redis.keys import alive_key
from bus.redis.refusals import checked, meaning, said
from bus.values import frozen

__all__ = ["DEAD_S", "Beat", "Owed", "PresenceStore", "Snapshot", "Write"]

SCRIPT: Final = importlib.resources.files("bus.presence").joinpath("presence.lua").read_text("utf-8")
_SHA: Final = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
"""Redis' name for the loaded script."""

LIFE_MS: Final = 60_000
"""Of a room's keys, from the last write on: nothing remains where all edges died."""
_FORGET_MS: Final = 600_000
"""After which a dead edge's beat is forgotten: by then nothing of the edge is left in a room."""
DEAD_S: Final = 3.0
"""An edge without a beat for so long is dead."""
_HIDDEN_MS: Final = 4_000
"""Without a beat for so long an edge's users are not shown, buried or not."""
_PAGE: Final = 1_000
_TOKEN: Final = re.compile(r"[0-9]{1,15}-[0-9]{1,15}")


@frozen
class Write:
    """Some changes of an edge in a room.

    Attributes:
        channel: the room's.
        edge: the writer.
        connections: of the edge in the room from now on; 0 takes the edge out.
        users: ids, each with the new entry, or None for a user without connections of the edge.

    """

    channel: Channel
    edge: str
    connections: int
    users: Sequence[tuple[str, bytes | None]] = ()


class Beat(NamedTuple):
    """The answer to a beat: whether the edge counts as alive still, and every edge with the time of its last beat.

    A time below 0 is that of a burial.
    """

    is_alive: bool
    edges: Mapping[str, int]


@frozen
class Snapshot:
    """The users of a room.

    Attributes:
        members: by id, in order; none in a room that counts.
        count: users; connections in a room that counts.
        connections: in the room.
        is_complete: whether all members are named. In a room with more, ``count`` has a user once for each edge.
        strange: edges in the room without a beat: no more, and to be pruned, unless they beat soon.
        unreadable: how many entries were passed over.

    """

    members: Mapping[str, Member]
    count: int
    connections: int
    is_complete: bool = True
    strange: tuple[str, ...] = ()
    unreadable: int = 0


class Owed(NamedTuple):
    """A user that came or left, with an event still to be published; ``token`` is of this coming or leaving alone."""

    token: str
    user: str
    info: Mapping[str, Any]
    has_left: bool


class PresenceStore(Connection):
    """A connection of an edge for the users in rooms.

    Every method raises ``BusUnavailable`` where Redis did not answer, and ``BusError`` where Redis refused.

    Args:
        url: of database 0, see ``bus.redis.address``.
        name: for ``CLIENT LIST``.
        service: whose edges share the rooms.

    """

    # An edge may not end connections (docs/acl.md). A write that a cut connection still carries is of an edge's former
    # name, which is buried (decisions/0109).

    def __init__(self, url: str, *, name: str, service: str) -> None:
        super().__init__(url, name=name, scripts=(SCRIPT,))
        self._service, self._alive = service, alive_key(service)

    # Edges.

    async def beat(self, edge: str) -> Beat:
        """Say that ``edge`` is alive, and return all edges of the service."""
        (answer,) = await self._run([(1, self._alive, "beat", edge, _FORGET_MS)])
        is_alive, _, *pairs = checked(answer)
        return Beat(bool(is_alive), _edges(zip(pairs[::2], pairs[1::2], strict=True)))

    async def bury(self, edge: str, beat_ms: int | None = None) -> bool:
        """Bury an edge, unless there was a beat after ``beat_ms``; tell whether the edge is buried now."""
        seen = () if beat_ms is None else (beat_ms,)
        (answer,) = await self._run([(1, self._alive, "bury", edge, *seen)])
        return bool(checked(answer))

    # Rooms.

    async def write(self, writes: Sequence[Write]) -> list[BusError | None]:
        """Write changes in one pipeline, in order; return an error for each that Redis refused."""
        answers = await self._run([_command(write) for write in writes])
        return [_error(it, write.channel) for it, write in zip(answers, writes, strict=True)]

    async def prune(self, channels: Iterable[Channel], edge: str) -> None:
        """Take all users of a dead edge out of rooms; rooms without the edge are left alone."""
        left = dict.fromkeys(channels, b"0")
        while left:
            commands = [(*_keys(it), "prune", edge, cursor, it.presence_key) for it, cursor in left.items()]
            cursors = await self._run(commands)
            went_on = zip(left, cursors, strict=True)
            left = {it: cursor for it, cursor in went_on if isinstance(cursor, bytes) and cursor != b"0"}

    async def keep(self, channels: Sequence[Channel]) -> list[tuple[bool, tuple[str, ...]]]:
        """Begin the lives of rooms anew; return for each room whether the room is there, and the edges in the room."""
        async with self.connected() as redis:
            pipeline = redis.pipeline(transaction=False)
            for channel in channels:
                pipeline.pexpire(channel.presence_key, LIFE_MS)
                pipeline.pexpire(channel.members_key, LIFE_MS)
                pipeline.hkeys(channel.presence_key)
            answers = await pipeline.execute(raise_on_error=False)
        return [(answers[i] != 0, _names(answers[i + 2])) for i in range(0, len(answers), 3)]

    async def edges(self) -> Mapping[str, int]:
        """Return all edges of the service, as ``beat`` does."""
        async with self.connected() as redis:
            pairs: Any = await redis.zrange(self._alive, 0, _PAGE - 1, withscores=True)
        return _edges(pairs)

    async def read(self, channel: Channel, *, limit: int) -> Snapshot:
        """Return the users of a room, at most about ``limit`` of them by name."""
        async with self.connected() as redis:
            found, count = await self._entries(redis, channel, limit)
            # Beats behind the entries and the room: an edge has a beat before its first entry.
            pipeline = redis.pipeline(transaction=False)
            pipeline.hgetall(channel.presence_key)
            pipeline.zrange(self._alive, 0, _PAGE - 1, withscores=True)
            pipeline.time()
            rooms, beats, time = await pipeline.execute(raise_on_error=False)
        now_ms = int(redis_ms(*checked(time)))
        beating = _edges(checked(beats))
        shown = {it for it, beat_ms in beating.items() if beat_ms > now_ms - _HIDDEN_MS}
        edges = {it: number for it, number in _numbers(checked(rooms)).items() if it in shown}
        strange = self.strange(_names(list(rooms)), beating)
        connections = sum(edges.values())
        if _counts(channel):
            return Snapshot({}, connections, connections, strange=strange)
        if found is None:
            return Snapshot({}, count, connections, is_complete=False, strange=strange)
        members, unreadable = _members(found, shown)
        return Snapshot(members, len(members), connections, True, strange, unreadable)

    def strange(self, names: Iterable[str], beating: Mapping[str, int]) -> tuple[str, ...]:
        """Return those of the edges ``names`` in a room that are buried or forgotten, and to be pruned."""
        # A name of another form was typed by hand, or is of a service that shares the channel: not counted, and left.
        front = f"{self._service}-"
        return tuple(it for it in names if it.startswith(front) and beating.get(it, -1) < 0)

    async def _entries(self, redis: Any, channel: Channel, limit: int) -> tuple[dict[bytes, bytes] | None, int]:
        """Return fields and texts, None where there are too many, and the number of fields."""
        found: dict[bytes, bytes] = {}
        if _counts(channel):
            return found, 0
        count, cursor = int(await redis.hlen(channel.members_key)), 0
        while count <= limit:  # in pages, so that a large room holds up neither Redis nor the event loop
            cursor, page = await redis.hscan(channel.members_key, cursor, count=_PAGE)
            found.update(page)
            if not cursor:
                return found, count
            count = max(count, len(found))
        return None, count

    # Events.

    async def owed(self, channel: Channel) -> tuple[Sequence[Owed], Sequence[str]]:
        """Return the users with an event still to be published, in order, and fields that stand for none."""
        async with self.connected() as redis:
            found: Any = await redis.hgetall(channel.owed_key)  # type: ignore[misc, unused-ignore]
        read = {field.decode(errors="replace"): _owed(field, text) for field, text in found.items() if field != b"#"}
        owed = sorted((it for it in read.values() if it is not None), key=lambda it: int(it.token.partition("-")[0]))
        return owed, [field for field, it in read.items() if it is None]

    async def settle(self, channel: Channel, tokens: Iterable[str]) -> None:
        """Take note that the events are published."""
        async with self.connected() as redis:
            await redis.hdel(channel.owed_key, *tokens)  # type: ignore[misc, unused-ignore]

    # The script.

    async def _run(self, calls: Sequence[tuple[Any, ...]]) -> list[Reply]:
        """Call the script, once for each; a refusal is an answer."""
        return await call_script(self, _SHA, calls)


def _counts(channel: Channel) -> bool:
    return channel.presence is not None and channel.presence.kind == "count"


def _keys(channel: Channel) -> tuple[Any, ...]:
    """Return the keys of a room as arguments of the script, their number first."""
    if _counts(channel):
        return 1, channel.presence_key
    if channel.presence is not None and channel.presence.events:
        return 3, channel.presence_key, channel.members_key, channel.owed_key
    return 2, channel.presence_key, channel.members_key


def _command(write: Write) -> tuple[Any, ...]:
    channel = write.channel
    about = (write.edge, write.connections, LIFE_MS, channel.presence_key)
    if _counts(channel):
        return (*_keys(channel), "count", *about)
    users = (part for user, text in write.users for part in (user, text or b""))
    return (*_keys(channel), "members", *about, *users)


def _owed(field: bytes, text: bytes) -> Owed | None:
    """Return the user in an owed event; None for whatever was typed there."""
    token = field.decode(errors="replace")
    try:
        value = orjson.loads(text) if _TOKEN.fullmatch(token) else None
    except orjson.JSONDecodeError:
        return None
    match value:
        case {"left": user} if is_user(user):
            return Owed(token, user, {}, has_left=True)
        case {"joined": entry} if (member := Member.of(entry)) is not None:
            return Owed(token, member.user, member.info, has_left=False)
    return None


def _error(answer: Reply, channel: Channel) -> BusError | None:
    if isinstance(answer, library.ResponseError):
        return BusError(f"the users on {channel.name} could not be written: {meaning(said(answer))}")
    checked(answer)
    return None


def _edges(pairs: Iterable[tuple[bytes, Any]]) -> dict[str, int]:
    return {name.decode(errors="replace"): int(float(score)) for name, score in pairs if abs(float(score)) < 2**53}


def _names(answer: Reply) -> tuple[str, ...]:
    return tuple(it.decode(errors="replace") for it in answer) if isinstance(answer, list | tuple) else ()


def _numbers(hash_: Mapping[bytes, bytes]) -> dict[str, int]:
    return {
        name.decode(errors="replace"): int(text)
        for name, text in hash_.items()
        if text.isascii() and text.isdigit() and len(text) < 10
    }


def _members(found: Mapping[bytes, bytes], shown: set[str]) -> tuple[dict[str, Member], int]:
    """Return the members of shown edges by id, in order, and the number of unreadable entries."""
    members: dict[str, Member] = {}
    unreadable = 0
    for field, text in found.items():
        split, member = split_field(field), Member.load(text)
        if split is None or member is None or member.user != split[1]:
            unreadable += 1
        elif split[0] in shown:
            known = members.get(member.user)
            members[member.user] = member if known is None else known.joined_with(member)
    return dict(sorted(members.items())), unreadable

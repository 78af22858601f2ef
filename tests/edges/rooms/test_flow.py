"""Lines that flow are given, remembered, counted and refused as lines that are looked at one by one."""

import asyncio
import gc
import re
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.channel import LATEST, LIVE, SKIP, Channel
from bus.envelope import end_of, splice
from bus.position import BEGINNING
from edges.rooms.fanout import Fanout
from edges.rooms.flow import CLOSED, FLOWING_BYTES
from edges.rooms.recent import RECENT_LINES
from edges.rooms.room import Room
from tests.edges.hub_redis import Member, Redis, Wired, X, join
from tests.edges.peers import eventually
from tests.fuzz.bounds import bounded

Read: TypeAlias = list[tuple[str, int, int]]
"""Lines of one read: what kind, of which of the two rooms, and a number."""
ROOMS = (X, Channel("workflow:y", "workflow:y"))
NEVER = 1_000
"""More lines than a read has."""
KINDS = ("next", "accented", "next", "long", "parsed", "repeated", "torn", "typed")
READS = st.lists(
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 1), st.integers(1, 3)), max_size=4), max_size=25
)


def own(channel: Channel, number: int, body: bytes = b"", *, ends: str = "1") -> bytes:
    """Return event ``number`` as the bus writes lines; the positions end with ``ends``."""
    name = (b'"data":{"n":%d}' % number) + body
    before = BEGINNING if number == 1 else f"{number - 1}-{ends}"
    return splice(b'{"id":"%d",%b,%b' % (number, name, end_of(channel.name)), f"{number}-{ends}", before)


def room_of(redis: Redis, channel: Channel = X) -> Room:
    room = redis.hub.room(channel)
    assert room is not None
    return room


class Player:
    """A hub with two rooms, each with a member.

    Args:
        flows: without it, each line is looked at.
        several: with so many lines in a read, rooms of one member are looked at side by side.

    """

    def __init__(self, *, flows: bool, several: int = NEVER) -> None:
        self.redis, self.flows, self.several = Redis(), flows, several
        self.members: list[Member] = []
        self.newest = [0, 0]

    async def begin(self) -> None:
        for channel in ROOMS:
            self.members.append(await join(self.redis, channel, Wired() if self.several < NEVER else None))
            room = room_of(self.redis, channel)
            if not self.flows:
                room.sequencer._let_flow = lambda: None  # type: ignore[method-assign]  # noqa: SLF001 (the longer way)
                room.flow.close()

    def line(self, kind: str, at: int, back: int) -> bytes:
        channel, newest = ROOMS[at], self.newest[at]
        match kind:
            case "repeated" if newest:
                return own(channel, max(1, newest - back))
            case "torn":
                return own(channel, newest + 1, b',"x":"\xff"')
            case "typed" | "repeated":
                return b'{"id":"typed","timestamp":"now","event":"e","data":{"n":0}}'
        self.newest[at] += 1
        if kind == "parsed":  # in order, and not as the bus writes lines
            before = f"{newest}-1" if newest else BEGINNING
            return splice(b'{"event":"e","data":{"n":%d}}' % (newest + 1), f"{newest + 1}-1", before)
        text = {"long": b"x" * FLOWING_BYTES, "next": b"x"}.get(kind, b"\xc3\xa9")
        return own(channel, newest + 1, b',"x":"%b"' % text)

    def play(self, read: Read) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("edges.rooms.arrivals._SEVERAL", self.several)
            self._play(read)

    def _play(self, read: Read) -> None:
        self.redis.hub.deliver([(ROOMS[at].redis.encode(), self.line(kind, at, back)) for kind, at, back in read])

    def told(self) -> list[Any]:
        """End, and return all that anybody can know of the rooms."""
        for member in self.members:
            if isinstance(member, Wired):
                member.end()
        found: list[Any] = [b"".join(it.frames) for it in self.members]
        for channel in ROOMS:
            room = room_of(self.redis, channel)
            found += [room.position, room.written, room.dropped, room.sequencer.gaps, room.sequencer.has_heard]
            given = room.sequencer.given_up_to(room.position or "")
            found += [list(given.names), room.sequencer.since("2-1"), room.position]
        return [*found, self.redis.hub.totals, self.redis.hub.statistics()]


async def both(reads: list[Read]) -> None:
    players = [Player(flows=True, several=2), Player(flows=True), Player(flows=False)]
    for player in players:
        await player.begin()
    for read in reads:
        for player in players:
            player.play(read)
    apart, flowing, looking = (player.told() for player in players)
    assert apart == flowing == looking


@bounded(60)
@given(reads=READS)
def test_lines_flow_as_if_each_was_looked_at(reads: list[Read]) -> None:
    """Whatever comes, clients, positions, memory and counters are the same as without the shorter way."""
    asyncio.run(both(reads))


async def test_lines_of_a_read_stay_in_order_across_rooms() -> None:
    """A client of two rooms is given a line that is looked at before the line that flows behind it."""
    player = Player(flows=True)
    await player.begin()
    member = player.members[0]
    await player.redis.hub.open(ROOMS[1])
    player.redis.hub.join_now(ROOMS[1], member)
    player.play([("next", 0, 1), ("next", 1, 1)])
    player.play([("parsed", 0, 1), ("next", 1, 1)])
    assert [b'"workflow:y"' in frame for frame in member.frames] == [False, True, False, True]


def delivered(redis: Redis, *lines: bytes, channel: Channel = X) -> None:
    redis.hub.deliver([(channel.redis.encode(), line) for line in lines])


def is_flowing(redis: Redis) -> bool:
    return room_of(redis).flow.at is not CLOSED


async def test_lines_of_one_read_are_one_write() -> None:
    """Lines of a room that come together are joined; a line alone is written as it is."""
    redis = Redis()
    member = await join(redis)
    delivered(redis, own(X, 1), own(X, 2))
    delivered(redis, own(X, 3), own(X, 4))
    delivered(redis, own(X, 5))
    assert ([len(re.findall(rb'"n":', it)) for it in member.frames], room_of(redis).flow.count) == ([2, 2, 1], 3)


@pytest.mark.parametrize("odd", [b',"x":"\xff"', b',"x":"%b"' % (b"x" * FLOWING_BYTES)])
async def test_read_with_a_line_that_does_not_flow_is_looked_at(odd: bytes) -> None:
    """Each line of it, and all that a member may have still are one write."""
    redis = Redis()
    member = await join(redis)
    delivered(redis, own(X, 1))
    delivered(redis, own(X, 2), own(X, 3), own(X, 4, odd))
    written = [len(re.findall(rb'"n":', it)) for it in member.frames]
    assert (written, room_of(redis).flow.count) == ([1, 2 if b"\xff" in odd else 3], 0)


async def test_bug_while_lines_are_written_together_closes_the_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """They come back for the lines; the room stands behind these, and goes on."""
    redis = Redis()
    member = await join(redis)
    delivered(redis, own(X, 1))
    failed: list[Member] = []
    monkeypatch.setattr(Member, "fail", lambda it: failed.append(it))  # noqa: PLW0108 (a method)
    monkeypatch.setattr(Fanout, "_begin_pass", lambda *_: 1 // 0)
    delivered(redis, own(X, 2), own(X, 3))
    monkeypatch.undo()
    delivered(redis, own(X, 4))
    assert (failed, room_of(redis).position, member.got) == ([member], "4-1", [1, 4])


async def test_line_waits_while_earlier_lines_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pass through many members a later line must not overtake."""
    monkeypatch.setattr("edges.rooms.fanout._SLICE_SUBSCRIBERS", 1)
    redis = Redis()
    members = [await join(redis), await join(redis)]
    for number in range(1, 5):
        delivered(redis, own(X, number))
    assert members[1].got == []
    await eventually(lambda: [it.got for it in members] == [[1, 2, 3, 4]] * 2)


async def test_room_stands_at_a_line_that_flowed_behind_its_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a pass asks for lines that wait; that moves no room back."""
    monkeypatch.setattr("edges.rooms.fanout._SLICE_SUBSCRIBERS", 1)
    redis = Redis()
    members = [await join(redis), await join(redis)]
    delivered(redis, own(X, 1))
    delivered(redis, own(X, 2))
    await eventually(lambda: members[1].got == [1, 2])
    delivered(redis, own(X, 3))
    await eventually(lambda: members[1].got == [1, 2, 3])
    assert (room_of(redis).position, redis.hub.totals.gaps) == ("3-1", 0)
    delivered(redis, own(X, 4))
    assert (room_of(redis).position, redis.hub.totals.gaps) == ("4-1", 0)


async def test_lines_that_flowed_are_remembered() -> None:
    """The newest lines that flowed are given to who comes back, and dropped where they come again."""
    redis = Redis()
    member = await join(redis)
    last = RECENT_LINES + 10
    for number in range(1, last + 1):
        delivered(redis, own(X, number))
    found = redis.hub.missing(X, f"{last - 3}-1", is_told=False)
    assert [it.position for it in found or ()] == [f"{n}-1" for n in range(last - 2, last + 1)]
    delivered(redis, own(X, last - 5))
    delivered(redis, own(X, last + 1))
    assert (member.got, redis.hub.statistics().gaps) == ([*range(1, last + 2)], 0)
    assert redis.hub.missing(X, f"{last - RECENT_LINES - 3}-1", is_told=False) is None


def remembered(room: Room) -> int:
    """Return how many lines of 300 bytes, each another, a room's sequencer has, wherever it keeps them."""
    seen, left = dict[int, object](), [room.sequencer]
    while left:
        new = {id(it): it for it in gc.get_referents(*left) if id(it) not in seen and not isinstance(it, type)}
        seen |= new
        left = list(new.values())
    return sum(isinstance(it, bytes) and len(it) > 300 for it in seen.values())


async def test_lines_that_flow_and_lines_that_were_looked_at_have_one_bound() -> None:
    """A room that was looked at has up to twice as many lines, until the edge has it forget what is too much."""
    redis = Redis()
    member = await join(redis)
    room, text = room_of(redis), b',"x":"%b"' % (b"x" * 300)
    for number in range(1, RECENT_LINES + 1):
        delivered(redis, own(X, number, text))
    assert len(redis.hub.missing(X, "99-1", is_told=False) or ()) == RECENT_LINES - 99
    for number in range(RECENT_LINES + 1, RECENT_LINES + 101):
        delivered(redis, own(X, number, text))
    assert remembered(room) == RECENT_LINES + 99  # behind a look, the first line is looked at
    room.sequencer.forget_surplus()
    assert remembered(room) == RECENT_LINES
    assert is_flowing(redis)
    found = redis.hub.missing(X, "100-1", is_told=False)
    assert [it.position for it in found or ()] == [f"{n}-1" for n in range(101, RECENT_LINES + 101)]
    assert redis.hub.missing(X, "99-1", is_told=False) is None
    assert member.got == [*range(1, RECENT_LINES + 101)]


async def test_room_that_remembers_much_looks_at_each_line() -> None:
    """Lines that flow have half of the bytes that a room remembers, and large lines may have taken more."""
    redis = Redis()
    await join(redis)
    delivered(redis, own(X, 1, b',"x":"%b"' % (b"x" * 200_000)))
    assert is_flowing(redis)
    for number in range(2, 6):
        delivered(redis, own(X, number, b',"x":"%b"' % (b"x" * 200_000)))
    assert not is_flowing(redis)


async def test_newest_line_of_a_latest_channel_flows_and_is_shown() -> None:
    """A newcomer is shown a line that flowed."""
    redis, channel = Redis(), Channel("workflow:x", "workflow:x", LATEST)
    await join(redis, channel)
    delivered(redis, own(channel, 1))
    delivered(redis, own(channel, 2))
    assert (room_of(redis).flow.count, (await join(redis, channel)).shown) == (1, [2])


async def test_lines_of_a_live_channel_flow() -> None:
    """They have no positions, and none is remembered; a line with a position is completed without it."""
    redis, channel = Redis(), Channel("cursor:x", "cursor:x", LIVE)
    member = await join(redis, channel)
    plain = splice(b'{"id":"1","data":{"n":1},' + end_of(channel.name), None, None)
    delivered(redis, plain, channel=channel)
    delivered(redis, plain, channel=channel)
    delivered(redis, splice(b'{"event":"e","data":{"n":2},' + end_of(channel.name), "5-5", "4-4"), channel=channel)
    room = room_of(redis, channel)
    assert (room.flow.count, list(room.flow.lines), room.position, member.got) == (2, [], None, [1, 1, 2])


async def test_rooms_with_lines_that_flow_are_seen_by_an_operator() -> None:
    """An operator who looks sees how many lines each room had."""
    redis = Redis()
    await join(redis)
    redis.hub.activity.watch(is_watched=True)
    for number in range(1, 4):
        delivered(redis, own(X, number))
    assert {room.channel: lines for room, lines in redis.hub.activity.take().items()} == {X: 3}


async def test_line_is_kept_for_a_slow_member() -> None:
    """While a member is left out, lines are kept for its return; then they flow again."""
    redis, channel = Redis(), Channel("workflow:x", "workflow:x", when_slow=SKIP)
    member, other = await join(redis, channel), await join(redis, channel)
    delivered(redis, own(channel, 1))
    redis.hub.suspend(channel, member)
    delivered(redis, own(channel, 2))
    delivered(redis, own(channel, 3))
    gap, newest = redis.hub.readmit(channel, member)
    assert (isinstance(gap, bytes), newest, room_of(redis).flow.count) == (False, own(channel, 3), 0)
    delivered(redis, own(channel, 4))
    assert (member.got, other.got, room_of(redis).flow.count) == ([1, 4], [1, 2, 3, 4], 1)

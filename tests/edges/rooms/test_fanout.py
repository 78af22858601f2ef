import asyncio
import socket
from collections.abc import AsyncIterator
from typing import cast

import pytest

from bus.channel import LATEST, Channel
from bus.envelope import Arrived
from edges.protocol.envelope import ENVELOPE, Dialect
from edges.rooms.room import Room
from edges.rooms.sequencer import Sequencer
from edges.rooms.tick import Tick
from tests.edges.hub_redis import Member, Redis, X, of
from tests.edges.peers import eventually
from tests.edges.rooms.test_hub import SLICE


async def crowd(redis: Redis, channel: Channel = X, size: int = 2 * SLICE + 1) -> list[Member]:
    """Fill a room with more members than are written to in one go."""
    await redis.hub.open(channel)
    members = [Member() for _ in range(size)]
    for member in members:
        member.joined(redis.hub.join_now(channel, member))
    return members


def start_pass(redis: Redis, number: int, members: list[Member]) -> None:
    """Let an event arrive, and see that its pass through the members is under way."""
    redis.publish(number)
    redis.arrive()
    assert members[0].got[-1] == number
    assert number not in members[-1].got


async def finished(members: list[Member], number: int) -> None:
    """Wait until the last member has the event."""
    await eventually(lambda: number in members[-1].got)


async def test_pass_reaches_everybody_in_order() -> None:
    """A large room is served in slices, everybody gets everything once, in order."""
    redis = Redis()
    members = await crowd(redis)
    for number in range(1, 6):
        redis.publish(number)
        redis.arrive()
    await finished(members, 5)
    assert all(member.got == [1, 2, 3, 4, 5] for member in members)
    assert redis.hub.statistics().deliveries == 5 * len(members)


async def test_pass_leaves_room_for_other_work() -> None:
    """Between two slices other callbacks are heard."""
    redis = Redis()
    members = await crowd(redis)
    redis.publish(1)
    seen: list[int] = []
    asyncio.get_running_loop().call_soon(lambda: seen.append(len(members[-1].got)))
    redis.arrive()
    await finished(members, 1)
    assert seen == [0]


async def test_member_that_left_in_a_pass_gets_nothing() -> None:
    """Who leaves before its slice gets nothing more: its reply was already sent."""
    redis = Redis()
    members = await crowd(redis)
    start_pass(redis, 1, members)
    gone = members[-2]
    redis.hub.leave(X, gone)
    await finished(members, 1)
    assert gone.got == []


async def test_member_that_joined_in_a_pass_gets_what_follows() -> None:
    """Who joins in the middle of a pass stands behind its event, and gets the next one once."""
    redis = Redis()
    members = await crowd(redis)
    start_pass(redis, 1, members)
    newcomer = Member()
    newcomer.joined(redis.hub.join_now(X, newcomer))
    redis.publish(2)
    redis.arrive()
    await finished(members, 2)
    assert (newcomer.position, newcomer.got) == ("1-1", [2])


async def test_member_that_joined_while_lines_wait_gets_them() -> None:
    """Lines that wait for a pass to end are still to come for a newcomer, and its position says so."""
    redis = Redis()
    members = await crowd(redis)
    start_pass(redis, 1, members)
    redis.publish(2)
    redis.arrive()
    newcomer = Member()
    newcomer.joined(redis.hub.join_now(X, newcomer))
    await finished(members, 2)
    assert (newcomer.position, newcomer.got) == ("1-1", [2])


async def test_member_that_left_and_came_back_in_a_pass_gets_nothing_before_its_position() -> None:
    """A new subscription starts at its own position, though an earlier one of the same client was in the pass."""
    redis = Redis()
    members = await crowd(redis)
    start_pass(redis, 1, members)
    back = members[-2]
    redis.hub.leave(X, back)
    back.joined(redis.hub.join_now(X, back))
    redis.publish(2)
    redis.arrive()
    await eventually(lambda: bool(back.got))  # it is the last of the room now
    assert (back.position, back.got) == ("1-1", [2])


async def test_latest_member_that_came_back_in_a_pass_gets_nothing_twice() -> None:
    """The same on a latest channel, where it was shown the event when it came back."""
    redis = Redis()
    latest = Channel("workflow:x", "workflow:x", LATEST)
    members = await crowd(redis, latest)
    start_pass(redis, 1, members)
    back = members[-2]
    redis.hub.leave(latest, back)
    back.joined(redis.hub.join_now(latest, back))
    await finished(members, 1)
    assert back.got == [1]


async def test_everybody_leaves_in_a_pass() -> None:
    """A room that empties in the middle of a pass is closed, and can be opened again at once."""
    redis = Redis(linger_s=0)
    members = await crowd(redis)
    start_pass(redis, 1, members)
    for member in members:
        redis.hub.leave(X, member)
    await redis.hub.close_empty()
    again = await crowd(redis, size=1)
    redis.publish(2)
    redis.arrive()
    assert again[0].got == [2]
    assert isinstance(redis.hub.join_now(X, again[0]), Room)


class Faulty(Member):
    """A member that a bug of ours is written for."""

    def __init__(self) -> None:
        super().__init__()
        self.is_failed = False

    def deliver(self, frames: bytes) -> bool:
        raise LookupError("a bug")

    def fail(self) -> None:
        self.is_failed = True


async def test_fault_of_one_member_is_not_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever comes before and behind gets every line once; the one is closed, to come back for what it lacks."""
    redis = Redis()
    await redis.hub.open(X)
    first, faulty, last = Member(), Faulty(), Member()
    for member in (first, faulty, last):
        member.joined(redis.hub.join_now(X, member))
    redis.publish(1, 2)
    redis.arrive()
    redis.publish(3)
    redis.arrive()
    assert (first.got, last.got, faulty.is_failed) == ([1, 2, 3], [1, 2, 3], True)
    assert len([it for it in caplog.records if it.levelname == "ERROR"]) == 1


class Tongue:
    """A dialect that trips over one line."""

    def frame(self, line: bytes) -> bytes:
        if b'"n":2' in line:
            raise ValueError("a bug")
        return ENVELOPE.frame(line) or b""


async def test_line_that_a_dialect_trips_over_costs_that_line() -> None:
    """Members of the other dialect get it, and all of them what comes behind it."""
    redis = Redis()
    await redis.hub.open(X)
    other, member = Member(), Member()
    other.dialect = cast(Dialect, Tongue())
    for one in (other, member):
        one.joined(redis.hub.join_now(X, one))
    redis.publish(1, 2, 3)
    redis.arrive()
    assert (other.events, member.events) == ([1, 3], [1, 2, 3])


async def test_line_that_nobody_foresaw_ends_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is dropped and counted, others of the same read are handed on, and the room's log says where it stands."""
    redis = Redis()
    await redis.hub.open(X)
    member = Member()
    member.joined(redis.hub.join_now(X, member))
    accept = Sequencer.accept

    def trip(room: Sequencer, arrived: Arrived) -> bool:
        if arrived.position == "2-2":
            monkeypatch.undo()
            raise OverflowError("a bug")
        return accept(room, arrived)

    monkeypatch.setattr(Sequencer, "accept", trip)
    redis.publish(1, 2, 3)
    redis.arrive()
    await eventually(lambda: member.got == [1, 2, 3])
    assert redis.hub.statistics().dropped == 1


class Several(Member):
    """A member of several rooms, with a socket of its own; keeps what does not go there, as a connection does."""

    def __init__(self) -> None:
        super().__init__()
        self.ours, self.theirs = socket.socketpair()
        self.direct_joined = self.ours
        self.kept: list[bytes] = []

    def deliver(self, frames: bytes) -> bool:
        self.kept.append(frames)
        return len(self.kept) == 1

    def uncork(self) -> int:
        kept, self.kept = self.kept, []
        self.ours.sendall(b"".join(kept))
        return len(kept)

    def close(self) -> None:
        """Close both ends."""
        self.ours.close()
        self.theirs.close()

    def pieces(self) -> list[list[int]]:
        """Return the events of each write since the last call; the socket holds one write at most."""
        self.theirs.setblocking(False)
        try:
            data = self.theirs.recv(100_000)
        except BlockingIOError:
            return []
        self.frames = [data]
        return [self.events]


@pytest.fixture
async def several() -> AsyncIterator[tuple[Redis, list[Several]]]:
    """Three rooms with members 0 to 3; 0 and 1 are in all of the rooms, 2 and 3 in one each."""
    redis = Redis()
    members = [Several() for _ in range(4)]
    for number in range(3):
        await redis.hub.open(of(number))
        for member in (*members[:2], *members[2 + number : 3 + number]):
            member.joined(redis.hub.join_now(of(number), member))
    yield redis, members
    for member in members:
        member.close()


async def test_frames_of_a_tick_go_in_one_write(several: tuple[Redis, list[Several]]) -> None:
    """Lines of several rooms come as they came from Redis, in one write for each member."""
    redis, members = several
    before = redis.hub.statistics()
    for number in (2, 0, 1):
        redis.publish(number + 1, channel=of(number))
    redis.arrive()
    assert [it.pieces() for it in members] == [[[3, 1, 2]], [[3, 1, 2]], [[1]], [[2]]]
    after = redis.hub.statistics()
    assert (after.writes - before.writes, after.deliveries - before.deliveries) == (4, 8)


async def test_way_that_changes_in_a_tick_lets_no_line_overtake(
    several: tuple[Redis, list[Several]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member that loses, or gets, its socket between two lines of a tick is given both in order, as are others."""
    redis, members = several
    loser, getter = members[:2]
    getter.direct_joined = None
    redis.hub.note_way()
    frame = ENVELOPE.frame

    def turn(line: bytes) -> bytes | None:
        if b'"n":2' in line:
            loser.direct_joined, getter.direct_joined = None, getter.ours
            redis.hub.note_way()
        return frame(line)

    monkeypatch.setattr(ENVELOPE, "frame", turn)
    for number in range(3):
        redis.publish(number + 1, channel=of(number))
    redis.arrive()
    assert [it.pieces() for it in members] == [[[1, 2, 3]], [[1, 2, 3]], [[1]], [[2]]]
    redis.publish(4, channel=of(0))
    redis.arrive()
    assert [it.pieces() for it in members] == [[[4]], [[4]], [[4]], []]


async def test_fault_while_sending_closes_those_that_may_lack_a_line(
    several: tuple[Redis, list[Several]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come back for the line; the next one reaches everybody again."""
    redis, members = several
    failed: list[Member] = []
    monkeypatch.setattr(Several, "fail", lambda member: failed.append(member))  # noqa: PLW0108 (a method)
    monkeypatch.setattr(Tick, "send", lambda *_: 1 // 0)
    redis.publish(1, channel=of(0))
    redis.arrive()
    assert failed == members[:3]
    monkeypatch.undo()
    redis.publish(2, channel=of(0))
    redis.arrive()
    assert [it.pieces() for it in members] == [[[2]], [[2]], [[2]], []]

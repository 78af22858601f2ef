"""After the link was away: rooms are compared with their logs, and mended once, by what the log says then."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from bus.channel import LATEST, LIVE, Channel
from bus.errors import BusError, BusUnavailable
from bus.log.replay import Since, Tail
from edges.rooms import recovery as mending_module
from edges.rooms.recovery import Recovery
from edges.rooms.room import Room
from edges.rooms.sequencer import Sequencer
from tests.edges.hub_redis import Member, Redis, join, of
from tests.edges.peers import eventually


@pytest.fixture
def redis() -> Redis:
    """Return a Redis with a hub on it."""
    return Redis()


def lose(redis: Redis, *numbers: int) -> None:
    """Publish what the link does not bring."""
    redis.publish(*numbers)
    redis.on_the_way.clear()


async def settled(redis: Redis, member: Member, *numbers: int) -> None:
    """Wait until a member has got exactly these."""
    await eventually(lambda: member.got == list(numbers))
    assert redis.hub.statistics().gaps <= 1


async def test_gap_on_a_live_room_is_filled_from_the_log(redis: Redis) -> None:
    """An event was lost on its way; the next one shows it, and members get both in order."""
    member = await join(redis)
    redis.publish(1)
    redis.arrive()
    lose(redis, 2, 3)
    redis.publish(4)
    redis.arrive()
    assert member.got == [1]
    await settled(redis, member, 1, 2, 3, 4)
    statistics = redis.hub.statistics()
    assert (statistics.gaps, statistics.repaired, statistics.reads) == (1, 2, 1)


async def test_compare_gives_what_was_missed_though_nothing_follows(redis: Redis) -> None:
    """The last events before silence are made up for by the comparison alone."""
    member = await join(redis)
    lose(redis, 1, 2)
    await redis.hub.compare()
    assert member.got == [1, 2]
    assert redis.hub.statistics().repaired == 2


async def test_compare_reads_nothing_where_rooms_agree(redis: Redis) -> None:
    """Heads say that nothing is missing: no log is read, and nothing is held."""
    member = await join(redis)
    await redis.hub.compare()
    redis.publish(1)
    redis.arrive()
    await redis.hub.compare()
    assert redis.hub.statistics().reads == 0
    redis.publish(2)
    redis.arrive()
    assert member.got == [1, 2]


async def test_another_epoch_is_told_to_a_room_that_seems_to_agree(redis: Redis) -> None:
    """A room without a log on a Redis that began anew: what was between nobody knows, and members are told."""
    member = await join(redis)
    await redis.hub.compare()
    redis.born = "1500-b"
    await redis.hub.compare()
    (frame,) = member.frames
    assert b"room.gap" in frame
    assert b'"reason":"unknown"' in frame


async def test_another_epoch_is_not_forgotten_by_a_comparison_that_failed(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis went away in the middle; the second attempt still knows that this is another one."""
    member = await join(redis)
    await redis.hub.compare()
    redis.born, redis.fails_to_read = "1500-b", True
    with pytest.raises(BusUnavailable):
        await redis.hub.compare()
    redis.fails_to_read = False
    await redis.hub.compare()
    assert b"room.gap" in b"".join(member.frames)
    assert len(member.frames) == 1


async def test_live_channel_is_not_compared(redis: Redis) -> None:
    """Of a channel without a log nothing can be said."""
    live = Channel("workflow:x", "workflow:x", LIVE)
    await redis.hub.open(live)
    await redis.hub.compare()
    assert redis.hub.statistics().reads == 0


async def test_latest_channel_gets_the_newest_and_no_gap(redis: Redis) -> None:
    """After the link was away members of a latest channel get its one event."""
    latest = Channel("workflow:x", "workflow:x", LATEST)
    member = await join(redis, latest)
    lose(redis, 1, 2, 3)
    await redis.hub.compare()
    assert member.got == [3]


async def entered(redis: Redis, channel: Channel) -> Member:
    """Let a member into one of many rooms, whose log has five events."""
    redis.store(channel, 5)
    return await join(redis, channel)


async def test_compare_asks_in_batches_and_reads_rooms_that_differ_only() -> None:
    """1,200 rooms take three round trips and one read for each room that missed something."""
    slow = Redis(linger_s=1_000)
    members = [await entered(slow, of(number)) for number in range(1_200)]
    slow.server.asked.clear()
    slow.store(of(7), 6)
    slow.store(of(1_100), 8)
    await slow.hub.compare()
    assert list(map(len, slow.heads)) == [500, 500, 200]
    assert sorted(slow.reads) == [of(1_100).log_key, of(7).log_key]
    assert {number: member.got for number, member in enumerate(members) if member.got} == {7: [6], 1_100: [6, 7, 8]}


async def test_rooms_are_read_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """While many rooms are read, others have their turn on the connection: the probe, above all.

    What was read of a log is held until its read ends, so only a few are begun; and Redis is asked for one at a time.
    """
    slow = Redis(linger_s=1_000)
    begun, read = list[Channel](), slow.log.tail

    async def tail(channel: Channel, **options: Any) -> Tail:
        begun.append(channel)
        return await read(channel, **options)

    monkeypatch.setattr(slow.log, "tail", tail)
    for number in range(100):
        await entered(slow, of(number))
        slow.store(of(number), 6)
    slow.server.may_answer.clear()
    comparing = asyncio.create_task(slow.hub.compare())
    await eventually(lambda: slow.reads)
    for _ in range(20):
        await asyncio.sleep(0)
    assert (len(begun), len(slow.reads)) == (16, 1)
    slow.server.may_answer.set()
    await comparing
    assert len(slow.reads) == 100


def arrives(slow: Redis, *numbers: int) -> None:
    slow.send(of(0), *numbers)


@pytest.mark.parametrize("is_guarded", [True, False])
async def test_one_mend_per_room_at_a_time(is_guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second mend would go on from a log read before the first one was done; without the guard it tells falsely."""
    if not is_guarded:

        def begin(self: Recovery, room: Room) -> "asyncio.Task[None]":
            return asyncio.create_task(careless(self, room))

        async def careless(self: Recovery, room: Room) -> None:
            tail = await self._reads.read(room.channel)
            room.sequencer.begin_recovery()
            room.sequencer.recover(tail.replay(Since(room.sequencer.newest or "")))
            self._write(room)

        monkeypatch.setattr(Recovery, "begin", begin)
    slow = Redis(linger_s=1_000)
    member = await entered(slow, of(0))
    slow.server.may_answer.clear()
    arrives(slow, 7)
    await eventually(lambda: len(slow.reads) == 1)
    slow.store(of(0), 9)
    comparing = asyncio.create_task(slow.hub.compare())
    for _ in range(20):
        await asyncio.sleep(0)
    slow.server.may_answer.set()
    await comparing
    await eventually(lambda: member.frames)
    is_told = any(b"room.gap" in frame for frame in member.frames)
    assert is_told is not is_guarded
    if is_guarded:
        assert member.got == [6, 7, 8, 9]


async def test_mend_under_way_when_the_link_was_lost_reads_again() -> None:
    """What was lost with the link came after that read began; the comparison makes the mend read anew."""
    slow = Redis(linger_s=1_000)
    member = await entered(slow, of(0))
    slow.server.may_answer.clear()
    arrives(slow, 7)
    slow.store(of(0), 7)
    await eventually(lambda: len(slow.reads) == 1)
    slow.generation = 2
    slow.store(of(0), 9)
    comparing = asyncio.create_task(slow.hub.compare())
    for _ in range(20):
        await asyncio.sleep(0)
    slow.server.may_answer.set()
    await comparing
    assert member.got == [6, 7, 8, 9]
    assert len(slow.reads) == 2


async def test_gap_in_the_very_moment_that_a_mend_ended_is_mended() -> None:
    """The task of the last mend is done and not forgotten yet: a new one begins all the same."""
    slow = Redis(linger_s=1_000)
    member = await entered(slow, of(0))

    class Eager(Member):
        def deliver(self, frames: bytes) -> bool:
            asyncio.get_running_loop().call_soon(arrives, slow, 12)
            return super().deliver(frames)

    assert slow.hub.join_now(of(0), Eager()) is not None
    slow.store(of(0), 7)
    arrives(slow, 7)
    slow.store(of(0), 12)
    await eventually(lambda: member.got == list(range(6, 13)))


async def test_link_lost_while_a_room_opens_is_noticed() -> None:
    """What was published between two links is in the head that is read again; nobody stands before it."""
    slow = Redis(linger_s=1_000)
    slow.store(of(0), 5)

    def lose_link() -> None:
        if slow.generation == 1:
            slow.generation = 2
            slow.store(of(0), 9)

    slow.server.after_read = lose_link
    await slow.hub.open(of(0))
    room = slow.hub.join_now(of(0), Member())
    assert room is not None
    assert room.position == "9-9"


async def test_more_lines_than_are_held_while_a_room_opens_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A room that opens under a flood is mended at once, though no further event comes."""
    monkeypatch.setattr("edges.rooms.sequencer.PENDING_LINES", 3)
    slow = Redis(linger_s=1_000)
    slow.store(of(0), 5)

    def flood() -> None:
        slow.server.after_read = lambda: None
        arrives(slow, *range(6, 13))
        slow.store(of(0), 12)

    slow.server.after_read = flood
    await slow.hub.open(of(0))
    member = Member()
    room = slow.hub.join_now(of(0), member)
    assert room is not None
    await eventually(lambda: room.position == "12-12")
    assert member.got == [6, 7, 8, 9, 10, 11, 12]


async def test_replay_while_the_link_is_down_is_refused() -> None:
    """Whoever would come back to a deaf edge is told to repeat it, whether the room remembers or not."""
    slow = Redis(linger_s=1_000)
    await entered(slow, of(0))
    slow.is_up = False
    for position in ("5-5", "3-3"):
        with pytest.raises(BusUnavailable):
            await slow.hub.replay(of(0), Since(position))


async def test_room_that_fails_to_be_mended_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in mending one room is logged once; others are compared, and that one is tried again until it is whole."""
    monkeypatch.setattr(mending_module, "_RETRY_FAILED_S", 0.001)
    slow, failures, mend = Redis(linger_s=1_000), list[str](), Sequencer.recover
    may_mend = asyncio.Event()

    def fail(room: Sequencer, *arguments: Any, **options: Any) -> bool:
        if room.channel == of(0) and not may_mend.is_set():
            failures.append("a bug")
            raise LookupError("a bug")
        return mend(room, *arguments, **options)

    monkeypatch.setattr(Sequencer, "recover", fail)
    odd, even = [await entered(slow, of(number)) for number in range(2)]
    slow.store(of(0), 6)
    slow.store(of(1), 6)
    await slow.hub.compare()
    assert (even.got, odd.got) == ([6], [])
    await eventually(lambda: len(failures) >= 3)
    may_mend.set()
    await eventually(lambda: odd.got == [6])
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info is not None


async def test_comparison_that_failed_half_way_goes_on_where_it_was() -> None:
    """Of three batches the third is lost on its way, twice; the first two are asked for once."""
    slow = Redis(linger_s=1_000)
    for number in range(1_200):
        await entered(slow, of(number))
    failures = iter(range(2))

    def lose(names: Sequence[tuple[str, str]]) -> Exception | None:
        is_third = sum(name == "xrevrange" for name, _ in names) == 200
        return RedisConnectionError("away") if is_third and next(failures, None) is not None else None

    slow.server.fails = lose
    slow.server.asked.clear()
    for _ in range(2):
        with pytest.raises(BusUnavailable):
            await slow.hub.compare()
    await slow.hub.compare()
    assert list(map(len, slow.heads)) == [500, 500, 200, 200, 200]
    slow.server.asked.clear()
    slow.hub.link_went()
    await slow.hub.compare()
    assert list(map(len, slow.heads)) == [500, 500, 200]


async def test_marks_that_are_refused_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A Redis that is full refuses the marks of all rooms for one reason, and that is one line of the log."""
    slow = Redis(linger_s=1_000)
    for number in range(3):
        await entered(slow, of(number))
        slow.hub._rooms[f"workflow:{number}".encode()].sequencer.forks.found("3-3", 0)  # noqa: SLF001 (as a comparison does)

    slow.fails_to_mark = BusError("OOM command not allowed when used memory > 'maxmemory'.")
    await slow.hub.compare()
    warned = [record for record in caplog.records if record.levelno >= logging.WARNING]
    full = "Redis is full: raise its maxmemory, or keep less (OOM command not allowed when used memory > 'maxmemory'.)"
    assert [vars(record)["reason"] for record in warned] == [full]


async def test_mend_waits_while_redis_refuses(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading is tried again until it succeeds."""
    monkeypatch.setattr(mending_module, "_RETRY_S", 0.001)
    member = await join(redis)
    lose(redis, 1)
    redis.fails_to_read = True
    redis.publish(2)
    redis.arrive()
    await eventually(lambda: redis.hub.statistics().reads > 3)
    assert member.got == []
    redis.fails_to_read = False
    await settled(redis, member, 1, 2)

import asyncio

import pytest

from bus.channel import Channel
from bus.envelope import splice
from bus.errors import BusError, BusUnavailable
from bus.log.log import Head
from bus.log.replay import Last, Since, SinceTime
from bus.position import Reason
from edges.rooms.log_reads import LogReads
from tests.edges.hub_redis import Redis, X, line

Y = Channel("workflow:y", "workflow:y")
END = Head("3-3", splice(line(3), "3-3", "2-2"))


@pytest.fixture
def store() -> Redis:
    """Return a Redis on which two logs have three events each."""
    store = Redis()
    for channel in (X, Y):
        store.store(channel, 3)
    return store


@pytest.fixture
def reads(store: Redis) -> LogReads:
    """Return what reads them."""
    return LogReads(store.log)


async def test_thousand_at_once_share_a_read(reads: LogReads, store: Redis) -> None:
    """However many come back at one moment, to however many places, a channel is read once."""
    starts = [Since(f"{1 + number % 3}-{1 + number % 3}") for number in range(1_000)]
    replays = await asyncio.gather(*(reads.replay(X, start) for start in starts))
    assert [len(replay.lines) for replay in replays] == [2 - number % 3 for number in range(1_000)]
    assert store.reads == [X.log_key]
    assert reads.count == 1


async def test_thousand_that_missed_something_share_two_reads(reads: LogReads, store: Redis) -> None:
    """Who is told of a loss is told by a read that began after it came; those share one, too."""
    replays = await asyncio.gather(*(reads.replay(X, Since("2-9")) for _ in range(1_000)))
    assert {replay.reason for replay in replays} == {Reason.DIVERGED}
    assert len(store.reads) == 2


async def test_each_channel_has_a_read_of_its_own(reads: LogReads, store: Redis) -> None:
    """Only readers of one channel share."""
    await asyncio.gather(*(reads.replay(channel, Since("1-1")) for channel in (X, Y, X, Y)))
    assert sorted(store.reads) == [X.log_key, Y.log_key]


async def test_fresh_tail_serves_who_comes_a_little_later(reads: LogReads, store: Redis) -> None:
    """Within a second of a read nobody asks Redis again to learn that nothing is missing."""
    await reads.replay(X, Since("1-1"))
    assert len((await reads.replay(X, Since("2-2"))).lines) == 1
    assert len(store.reads) == 1


async def test_stale_tail_tells_no_loss_to_who_is_ahead_of_it(reads: LogReads, store: Redis) -> None:
    """Who has seen more elsewhere than the remembered tail holds is judged by a new one."""
    await reads.replay(X, Since("1-1"))
    store.store(X, 5)
    replay = await reads.replay(X, Since("4-4"))
    assert (replay.reason, [line.position for line in replay.lines]) == (None, ["5-5"])
    assert len(store.reads) == 2


async def test_stale_tail_says_not_that_nothing_follows(reads: LogReads, store: Redis) -> None:
    """The room stands behind the tail's end: who stands at that end is given what was stored since."""
    await reads.replay(X, Since("1-1"))
    store.store(X, 4)
    assert (await reads.replay(X, Since("3-3"), stands="3-3")).lines == ()
    assert len(store.reads) == 1
    assert [line.position for line in (await reads.replay(X, Since("3-3"), stands="4-4")).lines] == ["4-4"]
    assert len(store.reads) == 2


async def test_read_under_way_tells_no_loss_to_who_came_later(reads: LogReads, store: Redis) -> None:
    """The same where that tail is still on its way."""
    store.server.may_answer.clear()
    first = asyncio.create_task(reads.replay(X, Since("1-1")))
    while not store.reads:
        await asyncio.sleep(0)
    store.store(X, 5)
    ahead = [asyncio.create_task(reads.replay(X, Since("4-4"))) for _ in range(100)]
    await asyncio.sleep(0)
    store.server.may_answer.set()
    assert len((await first).lines) == 2
    assert {(await task).reason for task in ahead} == {None}
    assert len(store.reads) == 2


@pytest.mark.parametrize("start", [Last(2), SinceTime(5_000, is_span=True), SinceTime(0)])
async def test_newest_events_come_from_no_old_tail(reads: LogReads, store: Redis, start: Last | SinceTime) -> None:
    """Who asks for the newest events, or for those since a time, is not answered with what was read before it came."""
    await reads.replay(X, start)
    store.store(X, 5)
    replay = await reads.replay(X, start)
    assert replay.position == "5-5"
    assert len(store.reads) == 2


async def test_read_that_fails_fails_for_all_and_is_begun_anew(reads: LogReads, store: Redis) -> None:
    """Everybody who waits is told; the next one asks Redis again."""
    store.fails_to_read = True
    outcomes = await asyncio.gather(*(reads.replay(X, Since("1-1")) for _ in range(10)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {BusUnavailable}
    assert len(store.reads) == 1
    store.fails_to_read = False
    assert (await reads.replay(X, Since("1-1"))).reason is None


async def test_reader_that_gives_up_takes_the_read_from_nobody(reads: LogReads, store: Redis) -> None:
    """A read goes on for the others when the one who began it leaves."""
    store.server.may_answer.clear()
    first, second = (asyncio.create_task(reads.replay(X, Since("1-1"))) for _ in range(2))
    while not store.reads:
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    assert len(reads.tasks) == 1
    store.server.may_answer.set()
    assert len((await second).lines) == 2
    assert reads.tasks == []


async def test_forgotten_tail_is_read_anew(reads: LogReads, store: Redis) -> None:
    """After the link was away nothing is answered from before."""
    await reads.replay(X, Since("1-1"))
    reads.forget()
    await reads.replay(X, Since("1-1"))
    reads.forget_stale()
    assert len(store.reads) == 2


async def test_kept_tail_serves_members_that_catch_up(reads: LogReads, store: Redis) -> None:
    """What a room was mended with is not read again for each of its members; of a few rooms that is kept."""
    tail = await reads.read(X)
    reads.keep(X, tail)
    for channel in (Channel(f"workflow:{number}", f"workflow:{number}") for number in range(15)):
        reads.keep(channel, tail)
    reads.keep(Y, tail)
    assert len((await reads.replay(X, Since("1-1"))).lines) == 2
    assert store.reads == [X.log_key]
    await reads.replay(Y, Since("1-1"))
    assert store.reads == [X.log_key, Y.log_key]
    reads.forget()
    await reads.replay(X, Since("1-1"))
    assert store.reads == [X.log_key, Y.log_key, X.log_key]


async def test_heads_of_one_moment_are_one_read(reads: LogReads, store: Redis) -> None:
    """However many rooms open at one moment, and however many clients wait for each, Redis is asked once."""
    heads = await asyncio.gather(*(reads.head(channel) for channel in (X, Y, X)))
    assert heads == [END] * 3
    assert store.heads == [[X.log_key, Y.log_key]]


async def test_head_comes_from_no_read_under_way(reads: LogReads, store: Redis) -> None:
    """A read that began before the room was subscribed may lack an event that no line brings; it is read once more."""
    store.server.holds = ("xrevrange",)
    store.server.may_answer.clear()
    first = asyncio.create_task(reads.head(X))
    while not store.heads:
        await asyncio.sleep(0)
    for channel in (X, Y):
        store.store(channel, 5)
    later = [asyncio.create_task(reads.head(channel)) for channel in (X, Y)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(reads.tasks) == 2
    store.server.may_answer.set()
    assert (await first).position == "3-3"
    assert [(await head).position for head in later] == ["5-5", "5-5"]
    assert store.heads == [[X.log_key], [X.log_key, Y.log_key]]
    assert reads.tasks == []


async def test_heads_of_many_rooms_are_read_in_commands_of_bounded_size(reads: LogReads, store: Redis) -> None:
    """Other work, above all the probe, has its turn between them."""
    rooms = [Channel(f"workflow:{number}", f"workflow:{number}") for number in range(1_200)]
    await asyncio.gather(*map(reads.head, rooms))
    assert [len(keys) for keys in store.heads] == [500, 500, 200]


async def test_head_refused_is_refused_to_nobody_else(reads: LogReads, store: Redis) -> None:
    """A key that the user of Redis may not read costs its own room alone."""
    store.server.refuses.add(Y.log_key)
    mine, other = await asyncio.gather(reads.head(X), reads.head(Y), return_exceptions=True)
    assert mine == END
    assert isinstance(other, BusError)
    store.fails_to_read = True
    outcomes = await asyncio.gather(reads.head(X), reads.head(Y), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [BusUnavailable] * 2

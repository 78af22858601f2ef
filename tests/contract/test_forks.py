"""Marks of the places where a log lost events: kept beside it, read with it, and gone some time after it."""

import pytest

from bus.log.forks import FORKS, Fork
from bus.log.replay import Last, Since
from bus.position import Reason
from tests.appending_log import AppendingLog
from tests.contract.brokers import Cli, also_fake
from tests.contract.events import SHORT, TICK, WORKFLOW
from tests.contract.test_read import fill

CHANNEL = WORKFLOW.fill("forked")
KEY = "bus:forks:{workflow:forked}"


@also_fake
async def test_mark_is_read_with_the_log(log: AppendingLog) -> None:
    """Whoever reads the end of a log learns in the same round trip where it lost events, and a reader is told."""
    positions = await fill(log, "forked", 3)
    await log.mark(CHANNEL, [Fork(positions[1] or "", 1_000)])
    forks = (Fork(positions[1] or "", 1_000),)
    assert (await log.tail(CHANNEL)).forks == forks
    assert [head.forks for head in await log.heads([CHANNEL, WORKFLOW.fill("other")])] == [forks, ()]
    assert await log.forks([WORKFLOW.fill("other"), CHANNEL]) == [(), forks]
    reasons = [(await log.tail(CHANNEL)).replay(Since(position or "")).reason for position in positions]
    assert reasons == [Reason.DIVERGED, Reason.DIVERGED, None]
    assert (await log.tail(CHANNEL)).replay(Last(1)).reason is None


async def test_mark_is_made_for_people(log: AppendingLog, redis: Cli) -> None:
    """A sorted set: the entry behind which events were lost, by the time at which that was found."""
    await log.mark(CHANNEL, [Fork("5-5", 9_000), Fork("3-3", 7_000)])
    assert await redis.zrange(KEY, 0, -1, withscores=True) == [(b"3-3", 7_000.0), (b"5-5", 9_000.0)]


async def test_marks_are_few_and_expire(log: AppendingLog, redis: Cli) -> None:
    """The newest are kept, for seven lives of the log; a log that somebody watches keeps its marks with it."""
    await log.mark(SHORT.fill("x"), [Fork(f"{number}-1", number) for number in range(1, FORKS + 3)])
    ((*_, newest),) = await log.forks([SHORT.fill("x")])
    assert (newest.position, len((await log.forks([SHORT.fill("x")]))[0])) == (f"{FORKS + 2}-1", FORKS)
    key = SHORT.fill("x").forks_key
    assert 400_000 < await redis.pttl(key) <= 420_000
    await redis.pexpire(key, 1_000)
    await log.keep([SHORT.fill("x")])
    assert 400_000 < await redis.pttl(key) <= 420_000


async def test_same_place_is_one_mark(log: AppendingLog) -> None:
    """Several edges find it; it counts once, from the last time it was found."""
    await log.mark(CHANNEL, [Fork("3-3", 1_000)])
    await log.mark(CHANNEL, [Fork("3-3", 2_000)])
    assert await log.forks([CHANNEL]) == [(Fork("3-3", 2_000),)]


async def test_no_mark_makes_no_key(log: AppendingLog, redis: Cli) -> None:
    """Reading makes none, keeping makes none, and nothing is asked where nothing is wanted."""
    await log.mark(CHANNEL, [])
    await log.keep([CHANNEL, TICK.fill("x")])
    assert await log.forks([]) == []
    assert await log.forks([CHANNEL]) == [()]
    assert await redis.exists(KEY) == 0


@pytest.mark.parametrize("is_set", [True, False])
async def test_marks_that_somebody_typed_stand_in_nobodys_way(log: AppendingLog, redis: Cli, is_set: bool) -> None:
    """A member that is no position is passed over; a key of another type holds no marks."""
    positions = await fill(log, "forked", 2)
    if is_set:
        await redis.set(KEY, "by hand")
    else:
        await redis.zadd(KEY, {"soon": 1, b"\xff": 2, positions[0]: 3})
    expected = () if is_set else (Fork(positions[0] or "", 3),)
    assert (await log.tail(CHANNEL)).forks == expected
    assert (await log.heads([CHANNEL]))[0].forks == expected
    assert await log.forks([CHANNEL]) == [expected]

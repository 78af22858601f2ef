"""The newest part of a log, read for those who come back; and what it says of its ends."""

import pytest

from bus.log.replay import REPLAY_EVENTS, Since, SinceTime
from bus.position import BEGINNING, Reason, milliseconds
from tests.appending_log import AppendingLog
from tests.contract.brokers import Cli, Receiver, also_fake
from tests.contract.events import SHORT, WORKFLOW, Short, entries
from tests.contract.test_read import fill


@pytest.mark.parametrize("count", [1, 199, 200, 201, 400, 401, 650])
async def test_tail_longer_than_a_page_is_whole(log: AppendingLog, count: int) -> None:
    """At the borders of pages nothing is missing and nothing doubled, and the lines are a chain."""
    positions = await fill(log, "pages", count)
    tail = await log.tail(WORKFLOW.fill("pages"))
    assert [line.position for line in tail.lines] == positions
    assert [line.previous for line in tail.lines] == [BEGINNING, *positions[:-1]]
    assert (tail.first, tail.first_previous, tail.last, tail.is_cut) == (positions[0], BEGINNING, positions[-1], False)


@also_fake
async def test_tail_has_the_bytes_that_were_published(log: AppendingLog, receiver: Receiver) -> None:
    """Who comes back is given the very bytes that others were given live."""
    await receiver.subscribe("workflow:bytes")
    await fill(log, "bytes", 5)
    tail = await log.tail(WORKFLOW.fill("bytes"))
    assert [line.line for line in tail.lines] == await receiver.of("workflow:bytes", 5)


async def test_tail_is_bounded_in_events(log: AppendingLog) -> None:
    """Of more events than one replay may hold the newest are read; a log of exactly as many is not cut."""
    positions = await fill(log, "many", REPLAY_EVENTS + 3)
    channel = WORKFLOW.fill("many")
    tail = await log.tail(channel)
    assert [line.position for line in tail.lines] == positions[-REPLAY_EVENTS:]
    assert tail.is_cut
    assert tail.first != tail.lines[0].position
    some = await log.tail(channel, limit_events=201)
    assert ([line.position for line in some.lines], some.is_cut) == (positions[-201:], True)


async def test_tail_of_the_very_limit_is_not_cut(log: AppendingLog) -> None:
    """Where the limit is what there is, nothing was left out."""
    await fill(log, "exact", 200)
    tail = await log.tail(WORKFLOW.fill("exact"), limit_events=200)
    assert (len(tail.lines), tail.is_cut) == (200, False)


async def test_tail_is_bounded_in_bytes(log: AppendingLog) -> None:
    """Of large events fewer are read; one always is."""
    positions = await fill(log, "large", 30, text="x" * 1_000)
    channel = WORKFLOW.fill("large")
    tail = await log.tail(channel, limit_bytes=10_000)
    assert 5 <= len(tail.lines) <= 9
    assert sum(len(line.line) for line in tail.lines) <= 10_000
    assert [line.position for line in tail.lines] == positions[-len(tail.lines) :]
    assert tail.is_cut
    one = await log.tail(channel, limit_bytes=1)
    assert ([line.position for line in one.lines], one.is_cut) == (positions[-1:], True)


async def test_tail_of_no_log_says_when(log: AppendingLog, redis: Cli) -> None:
    """A log that is not there has no end but Redis' time, and reading makes none; the epoch is told."""
    seconds, micros = await redis.time()
    tail = await log.tail(WORKFLOW.fill("absent"))
    assert (tail.lines, tail.first, tail.first_previous, tail.last, tail.is_cut) == ((), None, None, BEGINNING, False)
    assert tail.now_ms >= seconds * 1000 + micros // 1000
    assert tail.position == f"{tail.now_ms}-0"
    assert tail.epoch_ms == milliseconds((await redis.get("bus:epoch")).decode())
    assert await redis.exists(WORKFLOW.fill("absent").log_key) == 0


async def test_tail_of_an_emptied_log_knows_its_end(log: AppendingLog, redis: Cli) -> None:
    """A log that somebody emptied by hand still says which event was its last."""
    positions = await fill(log, "emptied", 3)
    await redis.xtrim(WORKFLOW.fill("emptied").log_key, maxlen=0, approximate=False)
    tail = await log.tail(WORKFLOW.fill("emptied"))
    assert (tail.lines, tail.first, tail.last) == ((), None, positions[-1])
    assert tail.replay(Since(positions[-1] or "")).reason is None
    assert tail.replay(Since(positions[0] or "")).reason is Reason.TRIMMED


async def test_tail_of_a_trimmed_log_says_so(log: AppendingLog, redis: Cli) -> None:
    """Who stood before what was trimmed is told; who stood right behind it misses nothing."""
    positions = await fill(log, "trimmed", 5)
    await redis.xtrim(WORKFLOW.fill("trimmed").log_key, maxlen=2, approximate=False)
    tail = await log.tail(WORKFLOW.fill("trimmed"))
    assert (tail.first, tail.first_previous) == (positions[3], positions[2])
    reasons = [tail.replay(Since(position or "")).reason for position in positions]
    assert reasons == [Reason.TRIMMED, Reason.TRIMMED, None, None, None]


async def test_tail_trimmed_by_its_retention_says_so(log: AppendingLog) -> None:
    """The same where the log trims itself."""
    for _ in range(3):
        outcomes = await log.append(entries(*(Short(workflow_id="own", number=number) for number in range(200))))
    tail = await log.tail(SHORT.fill("own"))
    assert not tail.is_cut
    assert tail.first_previous not in {None, BEGINNING}
    assert tail.lines[0].position == tail.first
    assert tail.last == getattr(outcomes[-1], "position", None)


async def test_tail_trimmed_while_it_is_read_says_so(
    log: AppendingLog, redis: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes between two pages is not there any more, and whoever stood there is told."""
    monkeypatch.setattr("bus.log.tails.PAGE", 3)
    positions = await fill(log, "between", 8)
    channel, pages = WORKFLOW.fill("between"), log._pages  # noqa: SLF001 (the moment between two pages)
    read = pages.newest

    async def trim_then_read(*args: object) -> object:
        await redis.xtrim(channel.log_key, maxlen=4, approximate=False)
        return await read(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(pages, "newest", trim_then_read)
    tail = await log.tail(channel)
    assert [line.position for line in tail.lines] == positions[4:]
    assert (tail.first, tail.first_previous) == (positions[4], positions[3])
    assert tail.replay(Since(positions[1] or "")).reason is Reason.TRIMMED


async def test_tail_of_a_log_replaced_while_it_is_read_ends_at_the_break(
    log: AppendingLog, redis: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two pages of different logs are no chain: a replay never skips what lies between them."""
    monkeypatch.setattr("bus.log.tails.PAGE", 3)
    positions = await fill(log, "other", 8)
    channel, pages = WORKFLOW.fill("other"), log._pages  # noqa: SLF001 (the same)
    read = pages.newest

    async def lose_then_read(*args: object) -> object:
        await redis.xdel(channel.log_key, positions[4])
        return await read(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(pages, "newest", lose_then_read)
    tail = await log.tail(channel)
    assert [line.position for line in tail.lines] == positions[5:]
    assert tail.replay(Since(positions[2] or "")).reason is Reason.TRIMMED


async def test_tail_of_a_flushed_redis_begins_anew(log: AppendingLog, redis: Cli) -> None:
    """A Redis whose epoch somebody deleted begins now: of what was before nobody says that it is whole."""
    positions = await fill(log, "flushed", 2)
    await redis.delete("bus:epoch", WORKFLOW.fill("flushed").log_key)
    tail = await log.tail(WORKFLOW.fill("flushed"))
    assert tail.replay(Since(positions[0] or "")).reason is Reason.UNKNOWN
    assert tail.replay(Since(f"{milliseconds(positions[0] or '')}-0")).reason is Reason.UNKNOWN
    assert await redis.exists("bus:epoch") == 1


async def test_tail_knows_how_long_a_log_lives(log: AppendingLog, redis: Cli) -> None:
    """A log may have come and expired since a time that is longer ago than one lives: nobody says that all is there."""
    await redis.set("bus:epoch", "1-a")
    tail = await log.tail(SHORT.fill("absent"))
    assert tail.replay(Since(f"{tail.now_ms - 59_000}-0")).reason is None
    assert tail.replay(Since(f"{tail.now_ms - 60_000}-0")).reason is Reason.UNKNOWN
    assert tail.replay(SinceTime(59_000, is_span=True)).reason is None
    assert tail.replay(SinceTime(60_000, is_span=True)).reason is Reason.UNKNOWN
    await log.append(entries(Short(workflow_id="absent")))
    assert (await log.tail(SHORT.fill("absent"))).replay(SinceTime(70_000, is_span=True)).reason is Reason.UNKNOWN

"""Slow and unreliable lines to Redis, and very many events at once: what was answered counts, and is told."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, Self

import orjson
import pytest
from redis.asyncio import Redis

from bus.envelope import compose
from bus.errors import BusError, BusUnavailable
from bus.event import Event
from bus.log.appender import Appender
from bus.log.appending import Appended, Entry
from bus.log.pipelines import PIPELINE_BYTES, PipelinePace
from producers import OutboxSettings, Producer, Published
from producers.services.crackerjack import TestCaseCompleted, TestFailed
from tests.appending_log import append_by

DEADLINE_S = 30.0
LARGE = 100_000


@pytest.fixture
def run_id() -> str:
    return secrets.token_hex(8)


@pytest.fixture
async def redis(broker_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(broker_url) as client:
        yield client


def case(run_id: str, number: int) -> TestCaseCompleted:
    return TestCaseCompleted(run_id=run_id, test_name=str(number), outcome="passed", duration_seconds=0.5)


def large(run_id: str, number: int) -> TestFailed:
    return TestFailed(run_id=run_id, test_name=str(number), error="e", traceback="x" * LARGE)


async def names(redis: Redis, run_id: str) -> list[int]:
    entries: Any = await redis.xrange(f"bus:log:{{test:{run_id}}}")
    return [int(orjson.loads(fields[b"line"])["data"]["test_name"]) for _, fields in entries]


class ShortLine:
    """A path to Redis whose connections end after so many bytes of requests; the answers to those still arrive.

    Attributes:
        sent_bytes: of all connections together.
        links: how many connections there were.

    """

    def __init__(self, url: str, limit_bytes: int) -> None:
        self._port, self._limit = int(url.rpartition(":")[2]), limit_bytes
        self._tasks: set[asyncio.Task[None]] = set()
        self.sent_bytes = self.links = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.links += 1
        redis_reader, redis_writer = await asyncio.open_connection("127.0.0.1", self._port)
        up = asyncio.create_task(self._up(reader, redis_writer))
        down = asyncio.create_task(self._down(redis_reader, writer))
        self._tasks |= {up, down}
        await asyncio.wait([up, down])
        redis_writer.close()
        writer.close()

    async def _up(self, reader: asyncio.StreamReader, redis: asyncio.StreamWriter) -> None:
        left = self._limit
        with suppress(OSError):
            while left > 0 and (data := await reader.read(min(left, 16_384))):
                redis.write(data)
                await redis.drain()
                left -= len(data)
                self.sent_bytes += len(data)
            redis.write_eof()

    async def _down(self, redis: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await redis.read(65_536):
                client.write(data)
        client.close()


@pytest.mark.parametrize("limit_bytes", [130_000, 250_000, 1_000_000])
async def test_line_that_never_carries_a_whole_pipeline_gets_on(
    broker_url: str, redis: Redis, run_id: str, limit_bytes: int
) -> None:
    """40 events of 100 KB over connections that end all the time: each stored once, in order, and most sent once."""
    async with (
        asyncio.timeout(DEADLINE_S),
        ShortLine(broker_url, limit_bytes) as line,
        Producer(line.url, outbox=OutboxSettings(close_s=DEADLINE_S)) as producer,
    ):
        for number in range(40):
            producer.emit(large(run_id, number))
        assert await producer.flush()
        assert await names(redis, run_id) == list(range(40))
        assert line.sent_bytes < 2.5 * 40 * LARGE
        assert line.links > 2
    assert producer.statistics().dropped == {}


async def test_published_events_are_answered_as_the_line_answers(broker_url: str, redis: Redis, run_id: str) -> None:
    """Callers of one pipeline that is cut: those whose answer came have it, the others' events are repeated."""
    async with asyncio.timeout(DEADLINE_S), ShortLine(broker_url, 250_000) as line, Producer(line.url) as producer:
        published = await producer.publish_all([large(run_id, number) for number in range(10)], deadline_s=DEADLINE_S)
    assert await names(redis, run_id) == list(range(10))
    assert len({it.id for it in published}) == 10
    assert producer.statistics().retried < 40


def test_pace_grows_while_it_goes_well() -> None:
    """Twofold for each pipeline that was full and quick, up to the most that one may carry; not for small ones."""
    pace = PipelinePace()
    first = pace.limit_bytes
    pace.done(100, 0.01)
    assert pace.limit_bytes == first
    pace.done(first, 0.01)
    assert pace.limit_bytes == 2 * first
    for _ in range(20):
        pace.done(pace.limit_bytes, 0.01)
    assert pace.limit_bytes == PIPELINE_BYTES


def test_pace_shrinks_when_it_goes_badly() -> None:
    """By half of what was sent when that was cut or took long, and never to nothing."""
    pace = PipelinePace()
    pace.cut(200_000)
    assert pace.limit_bytes == 100_000
    pace.done(100_000, 30.0)
    assert pace.limit_bytes == 50_000
    for _ in range(40):
        pace.cut(pace.limit_bytes)
    assert pace.limit_bytes == 4096


def test_pace_goes_on_carefully_behind_a_cut() -> None:
    """Up to half of what was cut twofold, by steps behind that: it would else be cut at every other pipeline."""
    pace = PipelinePace()
    pace.cut(200_000)
    pace.done(100_000, 0.01)
    assert 100_000 < pace.limit_bytes < 150_000


async def test_very_many_events_leave_the_loop_to_others(
    broker_url: str, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validated and sent in parts: 20,000 events never pass between two turns of another task."""
    composed = most = 0

    def counted(event: Event, **options: Any) -> Any:
        nonlocal composed
        composed += 1
        return compose(event, **options)

    async def watch() -> None:
        nonlocal most
        while True:
            before = composed
            await asyncio.sleep(0)
            most = max(most, composed - before)

    monkeypatch.setattr("producers.composer.compose", counted)
    async with Producer(broker_url) as producer:
        watching = asyncio.create_task(watch())
        await asyncio.sleep(0)  # it has begun
        published = await producer.publish_all([case(run_id, number) for number in range(20_000)])
        watching.cancel()
        await asyncio.wait([watching])
    assert len(published) == composed == 20_000
    assert most < 5_000


async def test_slices_have_deadlines_of_their_own(
    broker_url: str, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three slices of a second each are all published within a deadline of two: it counts anew for each."""
    append = Appender.append

    async def slow(log: Appender, entries: Sequence[Entry]) -> list[Appended | BusError]:
        await asyncio.sleep(0.2)
        return await append(log, entries)

    append_by(slow, monkeypatch)
    async with Producer(broker_url) as producer:
        published = await producer.publish_all([case(run_id, number) for number in range(3_000)], deadline_s=2.0)
    assert len(published) == 3_000


async def test_error_of_many_events_says_which_were_published(
    broker_url: str, redis: Redis, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis goes in the middle: the error has what came of each event, and no slice behind is tried in vain."""
    append, done, tried = Appender.append, 0, 0

    async def going(log: Appender, entries: Sequence[Entry]) -> list[Appended | BusError]:
        nonlocal done, tried
        tried += len(entries)
        if done >= 600:
            raise BusUnavailable("gone")
        done += len(entries)
        return await append(log, entries)

    append_by(going, monkeypatch)
    events = [case(run_id, number) for number in range(5_000)]
    async with Producer(broker_url) as producer:
        with pytest.raises(BusUnavailable, match=r"gone \(600 of 5000 events were published; .* is number 601") as told:
            await producer.publish_all(events, deadline_s=0)
    results = told.value.results
    assert len(results) == 5_000
    assert [n for n, it in enumerate(results) if isinstance(it, Published)] == await names(redis, run_id)
    assert str(results[-1]) == "not tried, after: gone"
    assert tried <= 1_000


async def test_error_of_one_event_is_its_own(run_id: str) -> None:
    """A single publish tells what it told before."""
    async with Producer("redis://127.0.0.1:1") as producer:
        with pytest.raises(BusUnavailable, match=r"^no Redis answers") as told:
            await producer.publish(case(run_id, 1), deadline_s=0)
    assert told.value.results == ()

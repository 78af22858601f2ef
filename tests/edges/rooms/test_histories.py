"""How much is read of logs for those who ask: no more than asked for, and what is known not again."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.channel import Channel
from bus.log.history import History, Known
from bus.log.log import Log
from edges.rooms.histories import Histories
from edges.rooms.log_reads import LogReads
from producers import Producer
from producers.services.mahavishnu import WORKFLOW, WorkflowStarted
from tests.edges.conftest import OpenClient, StartEdge

X = WORKFLOW.fill("x")


class Counts:
    """What Redis was asked to read of logs."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    async def begin(self) -> None:
        await self._redis.config_set("slowlog-log-slower-than", 0)
        await self._redis.config_set("slowlog-max-len", 10_000)
        await self._redis.slowlog_reset()

    async def take(self) -> list[int]:
        """Return the COUNT of every read since the last look."""
        found = [entry["command"].decode("latin-1").split() for entry in await self._redis.slowlog_get(10_000)]
        await self._redis.slowlog_reset()
        return [int(words[-1]) for words in reversed(found) if words[0].upper() in ("XRANGE", "XREVRANGE")]


@pytest.fixture
async def counts(redis: "Redis") -> Counts:
    """Lend a Redis that keeps every command."""
    counts = Counts(redis)
    await counts.begin()
    return counts


@pytest.fixture
async def log(broker: EmbeddedBroker) -> AsyncIterator[Log]:
    """Lend a connection that reads logs."""
    log = Log(broker.url, name="edgebus-test")
    yield log
    await log.close()


async def publish(producer: Producer, count: int, text: str) -> None:
    for number in range(count):
        await producer.publish(WorkflowStarted(workflow_id="x", number=number, text=text))


async def test_no_more_is_read_than_was_asked_for(log: Log, counts: Counts, producer: Producer) -> None:
    """Who wants one event has Redis look up one; without a number, the first page is small."""
    await publish(producer, 100, "x" * 100)
    await counts.take()
    assert len((await log.tail(X, limit_events=1)).lines) == 1
    assert await counts.take() == [1]
    assert len(await log.lines(X, count=3)) == 3
    assert await counts.take() == [3]
    assert len((await log.tail(X, limit_events=20)).lines) == 20
    found = await counts.take()
    assert (found[0], sum(found)) == (16, 20)


async def test_pages_of_large_events_are_small(log: Log, counts: Counts, producer: Producer) -> None:
    """What a read brings is bounded by what the events before it were."""
    await publish(producer, 40, "x" * 100_000)
    await counts.take()
    await log.history(X)
    found = await counts.take()
    assert found[0] == 16
    assert max(found[1:]) <= 10  # a megabyte, on a path that could carry any number


async def test_subscriber_of_the_last_one_has_one_read(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, counts: Counts, producer: Producer
) -> None:
    """The edge passes the number on."""
    await publish(producer, 60, "x")
    edge = await start_edge(broker)
    client = await open_client(edge)
    await client.welcomed()
    await client.subscribe("workflow:other")
    await counts.take()
    client.request("subscribe", channel="workflow:x", last=1)
    assert (await client.message())["data"]["replayed"] == 1
    assert (await client.message())["data"]["number"] == 59
    assert set(await counts.take()) == {1}


class Fake:
    """A log that counts how it is read."""

    def __init__(self) -> None:
        self.reads: list[tuple[str, bool]] = []

    async def history(self, channel: Channel, known: History | None = None) -> History:
        self.reads.append((channel.name, known is not None))
        await asyncio.sleep(0)
        return known or History([], truncated=False, known=Known("1-1", "0-0", (), 10, is_cut=False))


async def test_histories_are_kept_for_as_long_as_there_is_place() -> None:
    """The ones that were asked for last are; a bound in number, and one in bytes."""
    for bounds in ({"limit": 2}, {"limit_bytes": 20}):
        fake = Fake()
        histories = Histories(**bounds)
        reads = LogReads(cast(Log, fake), histories=histories)
        for name in ("a", "b", "a", "c", "a", "b"):
            await reads.history(WORKFLOW.fill(name))
        known = [is_known for _, is_known in fake.reads]
        assert known == [False, False, True, False, True, False]
        assert (len(histories), histories.kept_bytes) == (2, 20)


async def test_histories_of_one_moment_share_a_read() -> None:
    """Whoever asks for a channel while it is read waits for that."""
    fake = Fake()
    reads = LogReads(cast(Log, fake))
    one, other = await asyncio.gather(reads.history(X), reads.history(X))
    assert one is other
    assert fake.reads == [("workflow:x", False)]
    assert reads.tasks == []

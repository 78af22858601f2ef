"""A path to Redis that is narrow and works: what was lost with the link is made up for, at the path's own pace."""

import asyncio

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.errors import BusTimeout
from bus.redis import address
from edgebus.lab.stage.proxy import Proxy
from edges import Edge
from producers import Producer
from producers.services.mahavishnu import WORKFLOW, Mahavishnu
from tests.appending_log import AppendingLog
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, eventually

BYTES_PER_S = 100_000
TEXT = "x" * 3_000
LOG = 1_000
DEADLINE_S = 60.0


async def step(producer: Producer, first: int, count: int) -> None:
    await asyncio.gather(
        *(
            Mahavishnu(producer).broadcast_workflow_stage_completed("x", str(number), {"text": TEXT})
            for number in range(first, first + count)
        )
    )


async def member(edge: Edge, open_client: OpenClient) -> Client:
    client = await open_client(edge)
    await client.welcomed()
    await client.subscribe("workflow:x")
    return client


async def lose(edge: Edge, redis: Redis, producer: Producer, first: int, count: int) -> None:
    """Lose the subscription, with so many events that nobody but the log brings any more."""
    room = edge._parts.hub._rooms[b"workflow:x"]  # noqa: SLF001 (as if they had been lost with the link)
    accept = room.sequencer.accept
    room.sequencer._look()  # noqa: SLF001 (no line flows past the next)
    room.sequencer.accept = lambda arrived: False  # type: ignore[method-assign]
    seen = edge.statistics()[1].lines
    await step(producer, first, count)
    await eventually(lambda: edge.statistics()[1].lines >= seen + count, DEADLINE_S)
    room.sequencer.accept = accept  # type: ignore[method-assign]
    await redis.client_kill_filter(_type="pubsub")


async def told(client: Client, count: int) -> list[str]:
    """Return so many stages, whatever is told of the link meanwhile; nothing may be missing."""
    stages: list[str] = []
    while len(stages) < count:
        message = await client.message(DEADLINE_S)
        assert message["event"] in {"workflow.stage_completed", "bus.degraded", "bus.restored"}, message
        if message["event"] == "workflow.stage_completed":
            stages.append(message["data"]["stage_name"])
    return stages


async def test_few_that_were_missed_are_read_alone(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer, redis: Redis
) -> None:
    """3 MB of log and 100 KB/s, one subscription lost with five events: those are read, and not the log."""
    await step(producer, 0, LOG)
    async with Proxy(broker.port) as proxy:
        edge = await start_edge(redis_url=f"redis://127.0.0.1:{proxy.port}")
        await eventually(lambda: edge.not_ready() is None)
        client = await member(edge, open_client)
        await lose(edge, redis, producer, LOG, 5)
        proxy.narrow(BYTES_PER_S)
        assert proxy.narrowness is not None
        await eventually(lambda: edge._parts.subscriber.statistics().generation == 2, DEADLINE_S)  # noqa: SLF001
        await eventually(lambda: edge.not_ready() is None, DEADLINE_S)
        assert await told(client, 5) == [str(number) for number in range(LOG, LOG + 5)]
        assert proxy.narrowness.carried < 200_000
        await client.close()
        await edge.stop()


async def test_log_that_takes_long_is_read_once_though_the_path_breaks(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    producer: Producer,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Longer than any deadline, and cut off three times: what was read is not read again, events go on meanwhile."""
    monkeypatch.setattr(address, "ANSWER_DEADLINE_S", 0.5)
    async with Proxy(broker.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}"
        edge = await start_edge(redis_url=url, max_waiting_bytes=16 * 1024 * 1024)
        await eventually(lambda: edge.not_ready() is None)
        client = await member(edge, open_client)
        await step(producer, 0, 1)
        assert await told(client, 1) == ["0"]
        await lose(edge, redis, producer, 1, 500)
        proxy.narrow(5 * BYTES_PER_S)
        assert proxy.narrowness is not None
        carried = proxy.narrowness
        for part in range(1, 4):
            await eventually(lambda part=part: carried.carried > part * 400_000, DEADLINE_S)  # type: ignore[misc]
            await step(producer, 500 + part, 1)
            await redis.client_kill_filter(_type="normal", skipme=True)
        await eventually(lambda: edge.not_ready() is None, DEADLINE_S)
        assert await told(client, 503) == [str(number) for number in range(1, 504)]
        assert carried.carried < 2_600_000  # the log has 1.6 MB, and three pages were cut
        assert edge._parts.subscriber.statistics().generation == 2  # noqa: SLF001
        await client.close()
        await edge.stop()


async def test_answer_that_takes_longer_than_the_deadline_and_moves(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    producer: Producer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten events of 200 KB in one answer, with a deadline of half a second: it is for standstill, not for the whole."""
    monkeypatch.setattr(address, "ANSWER_DEADLINE_S", 0.5)
    for number in range(10):
        await Mahavishnu(producer).broadcast_workflow_stage_completed("x", str(number), {"text": 70 * TEXT})
    async with Proxy(broker.port) as proxy:
        edge = await start_edge(redis_url=f"redis://127.0.0.1:{proxy.port}", max_waiting_bytes=16 * 1024 * 1024)
        await eventually(lambda: edge.not_ready() is None)
        proxy.narrow(8 * BYTES_PER_S)
        client = await open_client(edge)
        await client.welcomed()
        client.request("subscribe", channel="workflow:x", last=10)
        reply = await client.message(DEADLINE_S)
        assert reply["data"]["recovered"], reply
        assert await told(client, 10) == [str(number) for number in range(10)]
        await client.close()
        await edge.stop()


async def test_answer_that_stands_still_is_given_up(
    broker: EmbeddedBroker, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of an answer came and then nothing: the deadline counts from the last byte."""
    monkeypatch.setattr(address, "ANSWER_DEADLINE_S", 0.5)
    await step(producer, 0, 10)
    async with Proxy(broker.port) as proxy, AppendingLog(f"redis://127.0.0.1:{proxy.port}", name="test") as log:
        await log.epoch()
        proxy.narrow(BYTES_PER_S // 10)
        assert proxy.narrowness is not None
        carried = proxy.narrowness
        reading = asyncio.create_task(log.tail(WORKFLOW.fill("x")))
        await eventually(lambda: carried.carried)
        proxy.swallow()
        with pytest.raises(BusTimeout):
            await reading

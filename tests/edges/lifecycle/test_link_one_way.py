"""A link whose commands go nowhere, and that brings lines and probes all the same: nobody waits for it for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.tasks import end
from edgebus.lab.stage.proxy import Proxy
from edges import Edge, EdgeSettings
from producers import Producer
from producers.services.mahavishnu import SERVICE, WorkflowStarted
from tests.edges.peers import Client, eventually

LOG = "bus:log:{workflow:x}"


@pytest.fixture
async def stage(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Proxy, Edge]]:
    """Lend an edge that is ready, and the path to its Redis; the other connections are given up soon."""
    monkeypatch.setattr("bus.redis.address.ANSWER_DEADLINE_S", 0.5)
    async with Proxy(broker.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}"
        async with Edge(SERVICE, EdgeSettings(port=0, redis_url=url, probe_interval_s=0.1)) as edge:
            await eventually(lambda: edge.not_ready() is None)
            yield proxy, edge


@asynccontextmanager
async def steadily(producer: Producer) -> AsyncIterator[None]:
    """Publish again and again: the link brings bytes at any time."""

    async def publish() -> None:
        while True:
            await producer.publish(WorkflowStarted(workflow_id="x"))
            await asyncio.sleep(0.005)

    publishing = asyncio.create_task(publish())
    yield
    await end([publishing])


async def joined(edge: Edge, channel: str) -> Client:
    client = await Client.open(edge.port)
    await client.welcomed()
    await client.subscribe(channel)
    return client


async def test_room_that_lacks_an_event_goes_on(
    broker: EmbeddedBroker, stage: tuple[Proxy, Edge], producer: Producer
) -> None:
    """Behind its read of the log, the room asks by the link how far lines have come."""
    proxy, edge = stage
    client = await joined(edge, "workflow:x")
    await producer.publish(WorkflowStarted(workflow_id="x"))
    assert (await client.message())["event"] == "workflow.started"
    proxy.swallow(down=False)
    proxy.heal()
    async with Redis.from_url(broker.url, decode_responses=True) as redis:
        entries: Any = await redis.xrevrange(LOG, count=1)
        ((newest, fields),) = entries
        missed = await redis.xadd(LOG, {**fields, "previous": newest})
    async with steadily(producer):
        while (await client.message(20)).get("position") != missed:
            pass
        while (await client.message(20)).get("previous") != missed:
            pass
    await client.close()


async def test_client_that_comes_is_let_in(stage: tuple[Proxy, Edge], producer: Producer) -> None:
    """A subscription is not confirmed, and the link is given up for another, whatever comes for others meanwhile."""
    proxy, edge = stage
    client = await joined(edge, "workflow:x")
    proxy.swallow(down=False)
    proxy.heal()
    async with steadily(producer):
        other = await Client.open(edge.port)
        await other.welcomed()
        await eventually(lambda: is_in(other), 20)
        await other.close()
    await client.close()


async def is_in(client: Client) -> bool:
    """Ask to be let in, and tell whether that was granted; news of the link's coming and going are passed over."""
    client.request("subscribe", channel="workflow:y")
    while (answer := await client.message(20))["type"] not in {"response", "error"}:
        pass
    return bool(answer["type"] == "response")

"""Two edges on a Redis that loses its newest events, as a primary does whose replica takes over with lag."""

from typing import Any

from redis.asyncio import Redis

from bus.embedded import EmbeddedBroker
from edges import Edge
from edges import edge as edge_module
from producers import Producer
from producers.services.mahavishnu import WORKFLOW, Mahavishnu
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, eventually

CHANNEL = WORKFLOW.fill("x")


async def step(producer: Producer, *numbers: int) -> str:
    """Publish these; return the position of the last one."""
    for number in numbers:
        published = await Mahavishnu(producer).broadcast_workflow_stage_completed("x", str(number), {})
    return published.positions["workflow:x"] or ""


async def resumed(edge: Edge, open_client: OpenClient, since: str) -> dict[str, Any]:
    """Return what a client is told that comes back to ``edge``."""
    client = await open_client(edge)
    await client.welcomed()
    client.request("subscribe", channel="workflow:x", since=since)
    return dict((await client.message())["data"])


async def member(edge: Edge, open_client: OpenClient) -> Client:
    client = await open_client(edge)
    await client.welcomed()
    await client.subscribe("workflow:x")
    return client


def is_back(edge: Edge) -> bool:
    return edge.not_ready() is None and edge._subscriber.statistics().generation == 2  # noqa: SLF001 (nothing else tells)


async def lose(redis: Redis, dump: bytes) -> None:
    """Let the log be again what it was, and cut the links."""
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.delete(CHANNEL.log_key)
        pipeline.restore(CHANNEL.log_key, 0, dump)
        pipeline.client_kill_filter(_type="pubsub")
        await pipeline.execute()


async def test_client_of_another_edge_is_told_what_one_edge_had(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer, redis: Redis
) -> None:
    """A client stood at 3 and went; 4 and 5 came to one edge and are in no log: the other edge tells the client."""
    one, other = await start_edge(broker), await start_edge(broker)
    watching = await member(one, open_client)
    stood = await step(producer, 1, 2, 3)
    dump = await redis.dump(CHANNEL.log_key) or b""
    await step(producer, 4, 5)
    for _ in range(5):
        await watching.message()
    await lose(redis, dump)
    await eventually(lambda: all(is_back(edge) for edge in (one, other)))
    reply = await resumed(other, open_client, stood)
    assert (reply["recovered"], reply["reason"]) == (False, "diverged")
    assert (await redis.zrange(CHANNEL.forks_key, 0, -1)) == [stood.encode()]
    later = await step(producer, 6)
    assert (await resumed(other, open_client, later))["recovered"]
    assert (await resumed(other, open_client, stood))["reason"] == "diverged"


async def test_members_of_an_edge_that_compared_first_are_told_later(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    producer: Producer,
    redis: Redis,
    monkeypatch: Any,
) -> None:
    """Another edge leaves its mark when this one has compared already: its members are told by the next look."""
    monkeypatch.setattr(edge_module, "_LOOK_AFTER_S", (0.05,) * 100)
    edge = await start_edge(broker)
    watching = await member(edge, open_client)
    stood = await step(producer, 1)
    assert (await watching.message())["position"] == stood
    await redis.client_kill_filter(_type="pubsub")
    assert [(await watching.message(10))["event"] for _ in range(2)] == ["bus.degraded", "bus.restored"]
    await redis.zadd(CHANNEL.forks_key, {stood: 1})
    told = await watching.message()
    assert (told["event"], told["data"]["from"], told["data"]["reason"]) == ("room.gap", stood, "diverged")

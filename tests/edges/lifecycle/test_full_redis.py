"""A Redis that takes no writes (full, or it cannot save) and can be read: the edge reads on, is ready, and says why."""

import logging
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.errors import BusError
from bus.log.log import Log
from edges import Edge
from edges.lifecycle import heartbeat as presence
from producers import Producer
from producers.services.mahavishnu import Mahavishnu
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, eventually, get, http

INTERVAL_S = 0.15
FULL = "Redis is full"


async def warning(port: int) -> str | None:
    """Return what a ready edge says beside being ready."""
    status, _, body = await http(port, get("/readyz"))
    assert status == 200, body
    found: str | None = orjson.loads(body).get("warning")
    return found


async def probes(redis: Redis, count: int) -> None:
    """Return when the edge's probe went by so often."""
    async with redis.pubsub() as probe:
        await probe.psubscribe("bus:probe:*")
        seen = 0
        while seen < count:
            seen += await probe.get_message(ignore_subscribe_messages=True, timeout=5) is not None


async def replayed(client: Client, **start: Any) -> list[str]:
    """Subscribe from somewhere, and return the stages that are replayed."""
    client.request("subscribe", channel="workflow:x", **start)
    reply = await client.message()
    assert reply["data"]["recovered"], reply
    return [(await client.message())["data"]["stage_name"] for _ in range(reply["data"]["replayed"])]


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have edges say more often that they are there: that is what a full Redis refuses them."""
    monkeypatch.setattr(presence, "_HEARTBEAT_S", 0.05)


async def test_full_redis_is_read_on(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    producer: Producer,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At maxmemory the link is lost and comes back once; since and last work; the reason is told once, and its end."""
    caplog.set_level(logging.INFO, "edgebus")
    edge = await start_edge(broker, probe_interval_s=INTERVAL_S)
    client = await open_client(edge)
    await client.welcomed()
    await client.subscribe("workflow:x")
    for number in range(3):
        await Mahavishnu(producer).broadcast_workflow_stage_completed("x", str(number), {})
    position = (await client.message())["position"]
    await redis.config_set("maxmemory", 1)
    await redis.client_kill_filter(_type="pubsub")
    events = [(await client.message(10))["event"] for _ in range(4)]
    assert events[-2:] == ["bus.degraded", "bus.restored"]
    await probes(redis, 10)
    assert (edge.not_ready(), edge.statistics()[1].gaps) == (None, 0)
    assert edge._parts.subscriber.statistics().generation == 2  # noqa: SLF001 (nothing else tells)
    assert await client.marked() == []
    assert await replayed(await open_client_welcomed(open_client, edge), last=3) == ["0", "1", "2"]
    assert await replayed(await open_client_welcomed(open_client, edge), since=position) == ["1", "2"]
    assert FULL in str(await eventually(lambda: warning(edge.port)))
    assert len([record for record in caplog.records if FULL in str(vars(record).get("reason"))]) == 1
    await redis.config_set("maxmemory", 0)

    async def is_over() -> bool:
        return await warning(edge.port) is None

    await eventually(is_over)
    assert [record.levelname for record in caplog.records if "goes on" in record.getMessage()] == ["INFO"]


async def open_client_welcomed(open_client: OpenClient, edge: Edge) -> Client:
    client = await open_client(edge)
    await client.welcomed()
    return client


async def test_edge_that_starts_on_a_full_redis_is_ready(
    broker: EmbeddedBroker, start_edge: StartEdge, redis: Redis
) -> None:
    """Nobody could note there when this Redis began; what it holds can be read all the same."""
    await redis.config_set("maxmemory", 1)
    edge = await start_edge(broker, probe_interval_s=INTERVAL_S)
    assert FULL in str(await eventually(lambda: warning(edge.port)))
    await probes(redis, 5)
    assert edge.not_ready() is None
    assert edge._parts.subscriber.statistics().generation == 1  # noqa: SLF001


async def test_refusal_of_a_heartbeat_says_nothing_of_what_it_holds(broker: EmbeddedBroker, redis: Redis) -> None:
    """What is refused changes from time to time; the reason is one all the while, so it is told once."""
    await redis.config_set("maxmemory", 1)
    reasons = set()
    async with Log(broker.url, name="test") as log:
        for count in (1, 2):
            with pytest.raises(BusError) as refused:
                await log.announce("bus:edge:x", {"connections": count}, expires_s=1)
            reasons.add(str(refused.value))
    (reason,) = reasons
    assert FULL in reason
    assert "bus:edge:x" not in reason

"""Servers that are no primary: producers write elsewhere, so a loop through one proves nothing."""

import logging

import orjson
import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.redis.acl import users
from bus.redis.address import with_login
from edgebus.lab.stage.proxy import Proxy
from producers import Producer
from producers.services.mahavishnu import SERVICE, Mahavishnu
from tests.contract.brokers import Cli
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import eventually, get, http

INTERVAL_S = 0.15


def cli(url: str) -> Cli:
    return Redis.from_url(url)


async def replicates(replica: Cli) -> None:
    """Wait until a replica follows its primary."""

    async def follows() -> bool:
        return bool((await replica.info("replication"))["master_link_status"] == "up")

    await eventually(follows, 20)


async def reason(port: int) -> str:
    """Return what ``/readyz`` says, nothing of an edge that is ready."""
    _, _, body = await http(port, get("/readyz"))
    return str(orjson.loads(body).get("reason", ""))


async def test_primary_that_is_demoted_with_its_connections_kept(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, redis: Cli
) -> None:
    """Producers write to the new primary, the old one hears nothing of it: the edge finds out, and goes there too."""
    await redis.config_set("repl-diskless-sync-delay", 0)
    with EmbeddedBroker(port=0, extra=("--replicaof", "127.0.0.1", str(broker.port))) as other:
        async with Proxy(broker.port) as proxy, cli(other.url) as new:
            await replicates(new)
            edge = await start_edge(redis_url=f"redis://127.0.0.1:{proxy.port}", probe_interval_s=INTERVAL_S)
            await eventually(lambda: edge.not_ready() is None)
            client = await open_client(edge)
            await client.welcomed()
            await client.subscribe("workflow:x")
            async with Producer(broker.url, wait_replicas=1) as producer:
                await Mahavishnu(producer).broadcast_workflow_failed("x", "1")
            assert (await client.message())["event"] == "workflow.failed"
            proxy.lead_to(other.port)
            await new.execute_command("REPLICAOF", "NO", "ONE")
            await redis.execute_command("REPLICAOF", "127.0.0.1", "1")
            async with Producer(other.url) as producer:
                await Mahavishnu(producer).broadcast_workflow_failed("x", "2")
            events = [await client.message(10) for _ in range(3)]
            assert [event["event"] for event in events] == ["bus.degraded", "workflow.failed", "bus.restored"]
            assert events[1]["data"]["error"] == "2"
            await eventually(lambda: edge.not_ready() is None)
            await client.close()
            await edge.stop()


async def test_edge_at_a_replica_says_so(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, caplog: pytest.LogCaptureFixture
) -> None:
    """An edge that is led to a read replica is not ready, says what it needs, once, and is ready on its promotion."""
    with EmbeddedBroker(port=0, extra=("--replicaof", "127.0.0.1", str(broker.port))) as replica:
        edge = await start_edge(redis_url=replica.url, probe_interval_s=INTERVAL_S)
        said = f"is a replica of 127.0.0.1:{broker.port}"

        async def is_said() -> bool:
            return said in await reason(edge.port)

        await eventually(is_said)
        client = await open_client(edge)
        await client.welcomed()
        client.request("subscribe", channel="workflow:x")
        assert (await client.message())["error_code"] == "UNAVAILABLE"
        async with cli(replica.url) as redis:
            tried = (await redis.info("stats"))["total_connections_received"]

            async def is_tried() -> bool:
                return bool((await redis.info("stats"))["total_connections_received"] >= tried + 4)

            await eventually(is_tried, 10)
            warned = [record for record in caplog.records if record.levelno >= logging.WARNING]
            assert len([record for record in warned if said in str(vars(record).get("reason"))]) == 1
            await redis.execute_command("REPLICAOF", "NO", "ONE")
            await eventually(lambda: edge.not_ready() is None, 10)
        await client.close()
        await edge.stop()


async def test_user_that_may_not_ask_for_the_role(
    broker: EmbeddedBroker, start_edge: StartEdge, redis: Cli, caplog: pytest.LogCaptureFixture
) -> None:
    """A user made before edges asked for it: the edge is ready, says once what to add, and asks once per connection."""
    caplog.set_level(logging.INFO, "edgebus")
    rules = users([SERVICE], narrowed=True)[1].rules.replace(" +role", "")
    await redis.execute_command("ACL", "SETUSER", "edge", "reset", "on", ">secret", *rules.split())
    edge = await start_edge(redis_url=with_login(broker.url, "edge", "secret"), probe_interval_s=INTERVAL_S)
    await eventually(lambda: edge.not_ready() is None)
    async with redis.pubsub() as probe:
        await probe.psubscribe("bus:probe:*")
        seen = 0
        while seen < 5:
            seen += await probe.get_message(ignore_subscribe_messages=True, timeout=5) is not None
    refused = [entry for entry in await redis.acl_log() if entry["object"] == "role"]
    links = len(
        [record for record in caplog.records if record.message == "link to Redis is up"]
    )  # a slow one is made anew
    assert sum(entry["count"] for entry in refused) == 2 * links
    assert edge.not_ready() is None
    assert len([record for record in caplog.records if "+role" in str(vars(record).get("run"))]) == 1

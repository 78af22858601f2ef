"""Whole edges on real sockets and a real Redis: its coming and going, replicas, slow clients, the end."""

import asyncio
import os
import signal
import socket
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from edges import Edge, EdgeSettings
from edges.rooms.recent import RECENT_LINES
from producers import Producer
from producers.services.crackerjack import SERVICE as CRACKERJACK
from producers.services.mahavishnu import SERVICE, Mahavishnu, WorkflowStarted
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, eventually, get, http
from tests.ports import free_port

LATER_MS = 60_000
PRESENCE = {
    *("service", "host", "port", "pid", "connections", "rooms", "started", "version", "generation", "draining"),
    *("heartbeat_ms", "clock_offset_ms", "catalogue", "max_connections", "max_line_bytes", "link", "probe_age_ms"),
    *(
        "ready",
        "certificate_expires",
        "events_in",
        "deliveries",
        "bytes_out",
        "writes",
        "slow",
        "limited",
        "gaps",
        "repaired",
    ),
    *("told", "waiting_bytes", "fds", "fds_limit", "memory_bytes"),
}


async def watched(redis: Redis) -> set[str]:
    """Return the channels that somebody is subscribed to, but for edges' own."""
    names = {name.decode() for name in await redis.pubsub_channels() if isinstance(name, bytes)}
    return {name for name in names if not name.startswith(("bus:probe:", "bus:admin:"))}


async def member(edge: Edge, open_client: OpenClient, channel: str = "workflow:x") -> Client:
    """Return a client that was welcomed and is in a room."""
    client = await open_client(edge)
    await client.welcomed()
    await client.subscribe(channel)
    return client


def test_what_is_no_service_is_refused() -> None:
    """An edge takes a catalogue; the name of one is for the command line."""
    wrong: Any = "mahavishnu"
    with pytest.raises(TypeError, match="service is to be a Service, and is of type str"):
        Edge(wrong)


async def test_redis_away_at_start(start_edge: StartEdge, open_client: OpenClient) -> None:
    """Without Redis an edge comes up, not ready, and says UNAVAILABLE; when Redis comes everything works."""
    port = free_port()
    edge = await start_edge(redis_url=f"redis://127.0.0.1:{port}")
    client = await open_client(edge)
    await client.welcomed()
    for verb, data in (("subscribe", {"channel": "workflow:x"}), ("get_workflow_status", {"workflow_id": "x"})):
        client.request(verb, verb, **data)
        reply = await client.message()
        assert (reply["error_code"], reply["event"], reply["correlation_id"]) == ("UNAVAILABLE", verb, verb)
        assert reply["data"]["retry_after_ms"] > 0
    assert (await http(edge.port, get("/readyz")))[0] == 503
    with EmbeddedBroker(port=port) as broker:
        await eventually(lambda: edge.not_ready() is None, 10)
        await client.subscribe("workflow:x")
        async with Producer(broker.url) as producer:
            await Mahavishnu(producer).broadcast_workflow_failed("x", "no")
        assert (await client.message())["event"] == "workflow.failed"
        await client.close()
        await edge.stop()


async def test_redis_killed_and_back(start_edge: StartEdge, open_client: OpenClient) -> None:
    """Redis dies: connections stay and are told so. It is back, and empty: rooms are told what they cannot know."""
    port = free_port()
    with EmbeddedBroker(port=port) as broker:
        edge = await start_edge(broker)
        client, other = await member(edge, open_client), await member(edge, open_client, "workflow:y")
        os.kill(broker.pid, signal.SIGKILL)
        await eventually(lambda: edge.not_ready() is not None)
        status, _, body = await http(edge.port, get("/readyz"))
        assert (status, bool(orjson.loads(body)["reason"])) == (503, True)
        for one in (client, other):
            assert (await one.message())["event"] == "bus.degraded"
        client.request("subscribe", channel="workflow:new")
        assert (await client.message())["error_code"] == "UNAVAILABLE"
        client.request("get_workflow_status", workflow_id="x")
        assert (await client.message())["error_code"] == "UNAVAILABLE"
    with EmbeddedBroker(port=port) as broker:
        await eventually(lambda: edge.not_ready() is None, 10)
        async with Redis.from_url(broker.url) as redis, Producer(broker.url) as producer:
            await eventually(lambda: _equal(watched(redis), {"workflow:x", "workflow:y"}))
            for name in ("x", "y"):
                await Mahavishnu(producer).broadcast_workflow_failed(name, "no")
            await eventually(lambda: redis.exists(f"bus:edge:{edge.id}"))
        for one, name in ((client, "workflow:x"), (other, "workflow:y")):
            gap, restored, event = [await one.message() for _ in range(3)]
            assert (gap["event"], gap["room"], gap["data"]["reason"]) == ("room.gap", name, "unknown")
            assert restored["event"] == "bus.restored"
            assert (event["event"], event["room"], event["previous"]) == ("workflow.failed", name, "0-0")
        await client.subscribe("workflow:new")
        for one in (client, other):
            await one.close()
        await edge.stop()


async def _equal(awaited: "asyncio.Future[set[str]] | object", expected: set[str]) -> bool:
    return bool(await awaited == expected)  # type: ignore[misc]


async def test_replicas_each_deliver_everything(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer
) -> None:
    """Several replicas on one Redis: every client of each gets every event once, in order."""
    edges = [await start_edge(broker) for _ in range(3)]
    members = [await member(edge, open_client) for edge in edges for _ in range(2)]
    for number in range(50):
        await Mahavishnu(producer).broadcast_workflow_stage_completed("x", str(number), {})
    for one in members:
        stages = [(await one.message())["data"]["stage_name"] for _ in range(50)]
        assert stages == [str(number) for number in range(50)]
        assert await one.marked() == []


async def test_services_side_by_side(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer
) -> None:
    """Two services' edges in one process share nothing: `global` is each one's own."""
    ours = await member(await start_edge(broker), open_client, "global")
    theirs = await member(await start_edge(broker, CRACKERJACK), open_client, "global")
    await Mahavishnu(producer).broadcast_workflow_started("x", {})
    event = await ours.message()
    assert (event["event"], event["room"]) == ("workflow.started", "global")
    assert await theirs.marked() == []


async def test_client_in_two_rooms_gets_one_event_in_each(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer
) -> None:
    """An event on two channels comes once per room, with one id and a position of its own in each."""
    client = await member(await start_edge(broker), open_client)
    await client.subscribe("global")
    await Mahavishnu(producer).broadcast_workflow_started("x", {})
    events = [await client.message() for _ in range(2)]
    assert {event["room"] for event in events} == {"workflow:x", "global"}
    assert events[0]["id"] == events[1]["id"]
    assert await client.marked() == []


async def test_channels_are_subscribed_only_while_watched(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, redis: Redis
) -> None:
    """PUBSUB CHANNELS shows a room while somebody is in it, and no more soon after the last one left."""
    edge = await start_edge(broker)
    assert await watched(redis) == set()
    first, second = await member(edge, open_client), await member(edge, open_client)
    assert await watched(redis) == {"workflow:x"}
    first.request("unsubscribe", channel="workflow:x")
    await first.message()
    await second.close()
    await eventually(lambda: edge.health()["rooms"] == 0)
    await eventually(lambda: _equal(watched(redis), set()))


async def test_presence_in_redis(broker: EmbeddedBroker, start_edge: StartEdge, redis: Redis) -> None:
    """An edge says in Redis that it is there, for ten seconds at most, and takes that back when it stops."""
    edge = await start_edge(broker)
    key = f"bus:edge:{edge.id}"
    await eventually(lambda: redis.exists(key))
    found = {str(name, "utf-8"): str(value, "utf-8") for name, value in (await redis.hgetall(key)).items()}  # type: ignore[arg-type]
    assert found.keys() == PRESENCE
    assert (found["service"], found["port"], found["pid"]) == ("mahavishnu", str(edge.port), str(os.getpid()))
    assert (found["draining"], found["rooms"], found["connections"]) == ("0", "0", "0")
    assert edge.id.rpartition("-")[0] == f"mahavishnu-{found['host']}-{edge.port}-{os.getpid()}"
    assert 0 < await redis.pttl(key) <= 10_000
    await eventually(lambda: redis.zscore("bus:edges", edge.id))
    await edge.stop()
    assert await redis.keys("bus:edge*") == []


async def test_room_forgets_the_lines_that_are_too_many(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a room was asked meanwhile, soon it remembers as many lines as it needs."""
    monkeypatch.setattr("edges.lifecycle.housekeeping._SURPLUS_S", 0.01)
    edge = await start_edge(broker)
    await member(edge, open_client)
    sequencer = edge._parts.hub._rooms[b"workflow:x"].sequencer  # noqa: SLF001 (what nobody else is told)
    async with Producer(broker.url) as producer:
        for count in (RECENT_LINES, RECENT_LINES // 2):
            published = await producer.publish_all([WorkflowStarted(workflow_id="x") for _ in range(count)])
            last = str(published[-1].positions["workflow:x"])
            while sequencer.newest != last:
                await asyncio.sleep(0)
            looked_at = sequencer.since(last)
            assert looked_at == ()
        while len(sequencer.flow.lines) <= RECENT_LINES // 4:  # one event in 1,000 is looked at, and then none flowed
            await producer.publish(WorkflowStarted(workflow_id="x"))
    await eventually(lambda: len(sequencer.flow.lines) + len(sequencer._recent._lines) == RECENT_LINES)  # noqa: SLF001


async def test_redis_full(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A Redis that refuses every write ends no edge: what is published still arrives."""
    edge = await start_edge(broker)
    client = await member(edge, open_client)
    await redis.config_set("maxmemory", 1)
    waiting = asyncio.create_task(edge.wait())
    await eventually(lambda: "Redis refused" in caplog.text)
    await redis.publish("workflow:x", '{"event":"e","data":{}}')
    assert (await client.message())["event"] == "e"
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])


async def test_redis_that_drops_logs_is_told(start_edge: StartEdge, caplog: pytest.LogCaptureFixture) -> None:
    """An edge looks at its Redis when the link first comes up, and warns with the line to run."""
    with EmbeddedBroker(port=0, extra=("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")) as broker:
        edge = await start_edge(broker)
        await eventually(lambda: "drops logs" in caplog.text)
        assert edge.not_ready() is None


async def test_names_in_client_list(broker: EmbeddedBroker, start_edge: StartEdge, redis: Redis) -> None:
    """CLIENT LIST names service and port of an edge."""
    edge = await start_edge(broker, port=free_port())
    names = {client["name"] for client in await redis.client_list()}
    assert f"edgebus-edge-mahavishnu-{edge.port}" in names


async def test_client_that_never_reads_is_cut_off(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer
) -> None:
    """More than the bound waits for a client that reads nothing: it is cut off, its neighbour gets everything."""
    edge = await start_edge(broker, max_waiting_bytes=256 * 1024, send_buffer_bytes=16 * 1024)
    slow = await open_client(edge, receive_buffer=4096)
    slow.request("subscribe", channel="workflow:x")
    neighbour = await member(edge, open_client)
    await eventually(lambda: edge.health()["connections"] == 2)
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
    payload, sent = {"x": "y" * 20_000}, 0
    while edge.statistics()[0].slow == 0:
        await Mahavishnu(producer).broadcast_workflow_stage_completed("x", str(sent), payload)
        assert (await neighbour.message())["data"]["stage_name"] == str(sent)
        sent += 1
        assert sent * 20_000 < 2_000_000, "the bound holds"
    await eventually(lambda: edge.health()["connections"] == 1)
    assert await neighbour.marked() == []


async def test_stop_closes_clients_in_order(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """Clients are told 1001, those shaking hands are dropped, and nobody gets in any more."""
    edge = await start_edge(broker)
    port, client = edge.port, await member(edge, open_client)
    half = await Client.connect(port)
    half.write(b"GET / HTTP/1.1\r\n")
    await eventually(lambda: edge.health()["connections"] == 2)
    closing = asyncio.create_task(client.close_code())
    await edge.stop()
    assert await closing == 1001
    assert not edge.is_running
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1).close()
    await edge.stop()
    await half.close()


async def test_stop_does_not_wait_for_ever(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """A client that does not answer the close is cut off at close_timeout_s."""
    edge = await start_edge(broker, close_timeout_s=0.2)
    client = await member(edge, open_client)
    client.answers_close = False
    async with asyncio.timeout(10):  # the client would never answer
        await edge.stop()


async def test_stop_while_redis_hangs(broker: EmbeddedBroker, open_client: OpenClient) -> None:
    """A command under way is ended by the stop, and nothing of it stays behind."""
    edge = Edge(SERVICE, EdgeSettings(port=0, redis_url=broker.url, close_timeout_s=0.2))
    async with edge:
        await eventually(lambda: edge.not_ready() is None)
        client = await open_client(edge)
        await client.welcomed()
        os.kill(broker.pid, signal.SIGSTOP)
        client.request("get_workflow_status", workflow_id="x")
        await eventually(lambda: [task for task in asyncio.all_tasks() if task.get_name().startswith("history")])
        async with asyncio.timeout(10):  # Redis would hang for ever
            await edge.stop()
        os.kill(broker.pid, signal.SIGCONT)
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("history")]


async def test_slow_clients_memory_is_bounded_over_many_pings(start_edge: StartEdge, open_client: OpenClient) -> None:
    """A client that asks and never reads fills no more than its bound."""
    edge = await start_edge(
        redis_url="redis://127.0.0.1:1",
        max_waiting_bytes=64 * 1024,
        send_buffer_bytes=8 * 1024,
        message_rate_limit=10_000,
    )
    client = await open_client(edge, receive_buffer=4096)
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    for number in range(5_000):
        client.request("ping", str(number))
    await eventually(lambda: edge.statistics()[0].slow == 1)
    await eventually(lambda: edge.health()["connections"] == 0)

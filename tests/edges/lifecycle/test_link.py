"""A whole edge on a link that is lost, deaf or killed: red in time, told, whole again, and green only then."""

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.log.log import Log
from edges import Edge
from edges.rooms.hub import Hub
from producers import Producer
from producers.services.mahavishnu import Mahavishnu
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, eventually, get, http

INTERVAL_S = 0.3
TURN_S = 0.01


class Hole:
    """A way to Redis that can swallow what passes, on every connection or on the subscription link alone."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.swallows: Callable[[bool], bool] = lambda is_link: False
        self.port = self.met = 0

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        server = await asyncio.start_server(self._met, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                writer.close()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.met += 1
        with suppress(OSError):
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._writers += [writer, up_writer]
            is_link: list[bool] = []
            ways = (self._pass_on(reader, up_writer, is_link), self._pass_on(up_reader, writer, is_link))
            await asyncio.gather(*ways)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_link: list[bool]) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if b"SUBSCRIBE" in data:
                    is_link.append(True)
                if not self.swallows(bool(is_link)):
                    writer.write(data)
        writer.close()


async def member(edge: Edge, open_client: OpenClient, channel: str = "workflow:x") -> Client:
    client = await open_client(edge)
    await client.welcomed()
    await client.subscribe(channel)
    return client


async def next_event(client: Client, name: str) -> dict[str, Any]:
    """Return the next message, which must be of this name."""
    message = await client.message(10)
    assert message["event"] == name, message
    return message


async def step(producer: Producer, number: int) -> None:
    await Mahavishnu(producer).broadcast_workflow_stage_completed("x", str(number), {})


async def ready(edge: Edge) -> int:
    return (await http(edge.port, get("/readyz")))[0]


@pytest.mark.parametrize("only_link", [False, True])
async def test_black_hole_is_noticed_told_and_made_up_for(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer, only_link: bool
) -> None:
    """A path that swallows: red (when: tests/bus/redis/test_probe.py), told; healed: what was missed, then green."""
    async with Hole(broker.port).opened() as hole:
        edge = await start_edge(redis_url=f"redis://127.0.0.1:{hole.port}", probe_interval_s=INTERVAL_S)
        await eventually(lambda: edge.not_ready() is None)
        client = await member(edge, open_client)
        await step(producer, 1)
        assert (await client.message())["data"]["stage_name"] == "1"
        hole.swallows = (lambda is_link: is_link) if only_link else (lambda is_link: True)
        await step(producer, 2)
        await eventually(lambda: edge.not_ready() is not None)
        assert await ready(edge) == 503
        await next_event(client, "bus.degraded")
        if not only_link:
            client.request("subscribe", channel="workflow:new")
            reply = await client.message()
            assert (reply["error_code"], reply["data"]["retry_after_ms"] > 0) == ("UNAVAILABLE", True)
        hole.swallows = lambda is_link: False
        missed = await client.message(20)
        assert missed["data"]["stage_name"] == "2"
        await next_event(client, "bus.restored")
        await eventually(lambda: edge.not_ready() is None)
        assert await ready(edge) == 200
        await step(producer, 3)
        assert (await client.message())["data"]["stage_name"] == "3"
        assert edge.statistics()[1].repaired == 1
        await client.close()
        await edge.stop()


async def test_what_began_in_a_black_hole_delays_nothing_for_long(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """Attempts and reads that were swallowed are given up soon after the path is healed: green within 4 s."""
    async with Hole(broker.port).opened() as hole:
        edge = await start_edge(redis_url=f"redis://127.0.0.1:{hole.port}", probe_interval_s=INTERVAL_S)
        await eventually(lambda: edge.not_ready() is None)
        client = await member(edge, open_client)
        hole.swallows = lambda is_link: True
        await next_event(client, "bus.degraded")
        client.request("get_workflow_status", workflow_id="x")
        tried = hole.met
        await eventually(lambda: hole.met >= tried + 2)  # the next attempt of the link, and the read
        hole.swallows = lambda is_link: False
        # Counted in turns of the loop that the edge's own timers share: a busy machine makes a turn longer, never more.
        turns = 0
        while edge.not_ready() is not None:
            assert turns < 4 / TURN_S
            await asyncio.sleep(TURN_S)
            turns += 1
        await client.close()
        await edge.stop()


async def test_green_only_after_the_comparison(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The link is up and heard again; as long as rooms are compared the edge is red, and restored is not told."""
    edge = await start_edge(broker, probe_interval_s=INTERVAL_S)
    client = await member(edge, open_client)
    may_compare, compare = asyncio.Event(), Hub.compare

    async def held_up(hub: Hub) -> None:
        await may_compare.wait()
        await compare(hub)

    monkeypatch.setattr(Hub, "compare", held_up)
    await redis.client_kill_filter(_type="pubsub")
    await next_event(client, "bus.degraded")
    await eventually(lambda: edge.not_ready() == "rooms are being compared with their logs")
    assert await client.marked() == []
    may_compare.set()
    await next_event(client, "bus.restored")
    assert edge.not_ready() is None


async def test_comparison_of_a_link_that_was_lost_again_makes_nothing_green(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was compared on one link says nothing about the next one."""
    edge = await start_edge(broker, probe_interval_s=INTERVAL_S)
    client = await member(edge, open_client)
    may_compare, epoch = [asyncio.Event(), asyncio.Event()], Log.epoch
    begun: list[int] = []

    async def held_up(log: Log) -> str:
        begun.append(len(begun))
        await may_compare[begun[-1]].wait()
        return await epoch(log)

    monkeypatch.setattr(Log, "epoch", held_up)  # what a comparison asks first
    for count in (1, 2):
        await redis.client_kill_filter(_type="pubsub")
        await next_event(client, "bus.degraded")
        await eventually(lambda count=count: len(begun) == count)  # type: ignore[misc]
    may_compare[0].set()
    await eventually(lambda: edge.not_ready() == "rooms are being compared with their logs")
    assert await client.marked() == []
    assert edge.not_ready() is not None
    may_compare[1].set()
    await next_event(client, "bus.restored")
    assert edge.not_ready() is None


async def test_link_killed_at_load(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, redis: Redis
) -> None:
    """CLIENT KILL TYPE pubsub again and again while events pour in: every client gets every event once, in order."""
    edges = [await start_edge(broker, probe_interval_s=INTERVAL_S) for _ in range(2)]
    members = [await member(edge, open_client) for edge in edges for _ in range(3)]
    total, batch = 1_000, 20
    async with Producer(broker.url) as producer:
        for first in range(0, total, batch):
            await asyncio.gather(*(step(producer, number) for number in range(first, first + batch)))
            if first % 200 == 100:
                await redis.client_kill_filter(_type="pubsub")
    for client in members:
        events = await whole(client, total)
        assert [int(event["data"]["stage_name"]) for event in events] == sorted(
            {int(event["data"]["stage_name"]) for event in events}
        )
        for before, event in itertools.pairwise(events):
            assert event["previous"] == before["position"]
    assert all(edge.statistics()[1].repaired for edge in edges)


async def whole(client: Client, count: int) -> list[dict[str, Any]]:
    """Return so many events; nothing but the link's coming and going may stand among them, and no gap."""
    events: list[dict[str, Any]] = []
    while len(events) < count:
        message = await client.message(20)
        if message["event"] not in {"bus.degraded", "bus.restored"}:
            assert message["event"] == "workflow.stage_completed", message
            events.append(message)
    return events


async def test_typed_lines_keep_their_order_while_a_room_is_mended(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    producer: Producer,
    redis: Redis,
) -> None:
    """A gap is mended while hand-typed lines come: they stand where they came, between events."""
    edge = await start_edge(broker)
    client = await member(edge, open_client)
    room = edge._parts.hub._rooms[b"workflow:x"]  # noqa: SLF001 (as if the link had missed one)
    accept = room.sequencer.accept
    room.sequencer._look()  # noqa: SLF001 (no line flows past the next)
    room.sequencer.accept = lambda arrived: False  # type: ignore[method-assign]
    await step(producer, 1)
    await eventually(lambda: edge.statistics()[1].lines == 1)
    room.sequencer.accept = accept  # type: ignore[method-assign]
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        async with Redis.from_url(broker.url) as typist:
            pipeline = typist.pipeline(transaction=False)
            for number in (1, 2):
                pipeline.publish("workflow:x", f'{{"event":"typed","data":{{"stage_name":"t{number}"}}}}')
            typing = asyncio.create_task(pipeline.execute())
            stepping = asyncio.create_task(step(producer, 2))
            await asyncio.sleep(0)
            os.kill(broker.pid, signal.SIGCONT)
            await asyncio.gather(typing, stepping)
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    await step(producer, 3)
    names = [(await client.message())["data"]["stage_name"] for _ in range(5)]
    assert [name for name in names if name.isdigit()] == ["1", "2", "3"]
    assert [name for name in names if not name.isdigit()] == ["t1", "t2"]


async def test_redis_paused_is_red_and_comes_back_whole(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer
) -> None:
    """A server that hangs is as deaf as a black hole; when it goes on nothing is missing and nothing doubled."""
    edge = await start_edge(broker, probe_interval_s=INTERVAL_S)
    client = await member(edge, open_client)
    await step(producer, 1)
    assert (await client.message())["data"]["stage_name"] == "1"
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        await next_event(client, "bus.degraded")
        assert edge.not_ready() is not None
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    await next_event(client, "bus.restored")
    await step(producer, 2)
    assert (await client.message())["data"]["stage_name"] == "2"
    await eventually(lambda: edge.not_ready() is None)


async def test_probe_is_seen_by_its_own_edge_alone(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, redis: Redis
) -> None:
    """Tokens come back to the edge that sent them; no client sees one, and none is counted as a lost line."""
    edges = [await start_edge(broker, probe_interval_s=INTERVAL_S) for _ in range(2)]
    await eventually(lambda: all(edge.not_ready() is None for edge in edges))  # so a token of each has come back
    client = await member(edges[0], open_client)
    names = {bytes(name) for name in await redis.pubsub_channels("bus:probe:*")}  # type: ignore[arg-type]
    assert names == {f"bus:probe:{edge.id}".encode() for edge in edges}
    await redis.publish(f"bus:probe:{edges[0].id}", "nonsense")
    async with asyncio.timeout(10), redis.pubsub() as tokens:
        await tokens.subscribe(f"bus:probe:{edges[0].id}")
        for _ in range(4):  # the confirmation, and three tokens
            await anext(tokens.listen())
    assert await client.marked() == []
    assert [edge.statistics()[1].dropped for edge in edges] == [0, 0]

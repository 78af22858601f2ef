"""The first moments of an edge: commands wait for the first link to Redis, and programs for an edge that is ready."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from bus.broker.embedded import EmbeddedBroker
from edges import Edge, EdgeSettings
from edges.lifecycle import redis_link
from producers.services.mahavishnu import SERVICE
from producers.services.session_buddy import SERVICE as SESSION_BUDDY
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, eventually
from tests.ports import free_port

NO_REDIS = "redis://127.0.0.1:1"
COMMANDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("subscribe", {"channel": "workflow:x"}),
    ("subscribe", {"channel": "workflow:y", "last": 5}),
    ("get_workflow_status", {"workflow_id": "x"}),
)


@asynccontextmanager
async def way(to: int, is_open: asyncio.Event) -> AsyncIterator[int]:
    """Lend the port of a way to Redis on which nothing passes until it is open."""
    tasks, writers = set[asyncio.Task[None] | None](), list[asyncio.StreamWriter]()

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        writers.append(writer)
        await is_open.wait()
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", to)
        writers.append(up_writer)
        await asyncio.gather(passed(reader, up_writer), passed(up_reader, writer))

    async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(met, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await asyncio.gather(*filter(None, tasks), *(it.wait_closed() for it in writers), return_exceptions=True)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no command give up during a test."""
    monkeypatch.setattr(redis_link, "FIRST_LINK_S", 60.0)


@pytest.mark.usefixtures("patient")
async def test_commands_wait_for_the_first_link(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """While the first link is being made no command is refused; with the link each is carried out, in order."""
    is_open = asyncio.Event()
    async with way(broker.port, is_open) as port:
        edge = await start_edge(redis_url=f"redis://127.0.0.1:{port}")
        waiting = [await open_client(edge) for _ in COMMANDS]
        for client, (verb, data) in zip(waiting, COMMANDS, strict=True):
            await client.welcomed()
            client.request(verb, "first", **data)
            client.request("auth", "marker", token="none")  # overtakes, and so tells that no answer came before
            assert (await client.message())["correlation_id"] == "marker"
        assert edge.not_ready() is not None
        is_open.set()
        for client in waiting:
            answer = await client.message()
            assert (answer["correlation_id"], answer["type"]) == ("first", "response"), answer
        for client in waiting:
            await client.close()
        await edge.stop()


@pytest.mark.usefixtures("patient")
async def test_first_room_waits_for_the_first_link(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """A client of session-buddy that asks for a skill while the first link is being made is confirmed, and no more."""
    is_open = asyncio.Event()
    async with way(broker.port, is_open) as port:
        edge = await start_edge(service=SESSION_BUDDY, redis_url=f"redis://127.0.0.1:{port}", welcome_delay_ms=1)
        silent, asking = await open_client(edge), await open_client(edge)
        for client in (silent, asking):
            assert (await client.message())["type"] == "connected"
        asking.send({"type": "subscribe", "skill": "a"})
        is_open.set()
        assert (await asking.message())["type"] == "subscription_confirmed"
        await eventually(lambda: edge.health()["rooms"] == 2)
        for client in (silent, asking):
            await client.close()
        await edge.stop()


async def test_client_right_behind_a_start_is_served(broker: EmbeddedBroker) -> None:
    """Ten edges, and a raw client at each as soon as `start` returns: ten of ten are subscribed, none is to repeat."""
    for _ in range(10):
        async with Edge(SERVICE, EdgeSettings(port=0, redis_url=broker.url)) as edge:
            client = await Client.open(edge.port)
            client.request("subscribe", "sub_001", channel="workflow:x")
            reply = await client.message()
            assert (reply["type"], reply["correlation_id"]) == ("response", "sub_001"), reply
            await client.close()


@pytest.mark.virtual_time
async def test_first_link_that_does_not_come(start_edge: StartEdge, open_client: OpenClient) -> None:
    """A command waits until the first link is overdue; from then on there is no Redis, and each is told so at once."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    edge = await start_edge(redis_url=NO_REDIS)
    client = await open_client(edge)
    await client.welcomed()
    for number, (verb, data) in enumerate(COMMANDS * 3):
        client.request(verb, str(number), **data)
        reply = await client.message()
        assert (reply["error_code"], reply["correlation_id"]) == ("UNAVAILABLE", str(number))
        assert loop.time() - began >= redis_link.FIRST_LINK_S
    assert loop.time() - began < 2 * redis_link.FIRST_LINK_S


# Programs.


async def test_ready(broker: EmbeddedBroker) -> None:
    """`await edge.ready()` returns when the edge is ready, and at once when it is asked again."""
    async with Edge(SERVICE, EdgeSettings(port=0, redis_url=broker.url)) as edge:
        await edge.ready()
        assert edge.not_ready() is None
        await edge.ready()


async def test_ready_of_an_edge_without_redis() -> None:
    """`ready` waits for as long as its caller does; a later Redis makes the edge ready."""
    port = free_port()
    async with Edge(SERVICE, EdgeSettings(port=0, redis_url=f"redis://127.0.0.1:{port}")) as edge:
        waiting = asyncio.create_task(edge.ready())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(edge.ready(), 0.01)
        assert edge.is_running
        assert not waiting.done()
        with EmbeddedBroker(port=port):
            await asyncio.wait_for(waiting, 20)
            assert edge.not_ready() is None
            await edge.stop()


async def test_ready_of_an_edge_that_is_not_running() -> None:
    """An edge that has not started, or is stopped meanwhile, will never be ready, and says so."""
    edge = Edge(SERVICE, EdgeSettings(port=0, redis_url=NO_REDIS))
    with pytest.raises(RuntimeError, match="the edge has not started"):
        await edge.ready()
    await edge.start()
    waiting = asyncio.create_task(edge.ready())
    await asyncio.sleep(0)
    await edge.stop()
    with pytest.raises(RuntimeError, match="the edge was stopped"):
        await waiting
    with pytest.raises(RuntimeError, match="the edge was stopped"):
        await edge.ready()


async def test_ready_of_an_edge_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of the edge that fails ends the wait with its error."""

    async def fail(*_: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr("edges.running.watch_deadlines", fail)
    async with Edge(SERVICE, EdgeSettings(port=0, redis_url=NO_REDIS)) as edge:
        with pytest.raises(LookupError, match="a bug"):
            await edge.ready()

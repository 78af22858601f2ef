"""While Redis is away: every client hears it once, whenever it came, and hears when it is over."""

import logging

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from edges import Edge
from producers.services.session_buddy import SERVICE as SESSION_BUDDY
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, eventually
from tests.ports import free_port


async def heard(client: Client) -> list[str | None]:
    """Return the names of what came until now."""
    return [message["event"] for message in await client.marked()]


async def test_newcomer_to_an_open_room_is_told(start_edge: StartEdge, open_client: OpenClient) -> None:
    """The link is down and the room is open: reply, welcome, degraded; when it is back, restored; each once."""
    port = free_port()
    with EmbeddedBroker(port=port) as broker:
        edge = await start_edge(broker)
        resident = await open_client(edge)
        await resident.welcomed()
        await resident.subscribe("workflow:x")
    assert (await resident.message(10))["event"] == "bus.degraded"
    newcomer = await open_client(edge)
    newcomer.request("subscribe", channel="workflow:x")
    messages = [await newcomer.message() for _ in range(3)]
    assert [message["event"] for message in messages] == ["subscribe", "session.created", "bus.degraded"]
    assert await heard(newcomer) == await heard(resident) == []
    with EmbeddedBroker(port=port):
        for client in (resident, newcomer):
            while (message := await client.message(20))["event"] == "room.gap":  # this Redis began anew
                pass
            assert message["event"] == "bus.restored"
        await eventually(lambda: edge.not_ready() is None)
        assert await heard(newcomer) == await heard(resident) == []
        late = await open_client(edge)
        await late.welcomed()
        assert await heard(late) == []


async def test_client_of_an_edge_that_finds_no_redis_is_told_by_its_answers(
    start_edge: StartEdge, open_client: OpenClient
) -> None:
    """The edge never had a Redis, so no room is open: subscribing is UNAVAILABLE, and there is no outage to be over."""
    port = free_port()
    edge = await start_edge(redis_url=f"redis://127.0.0.1:{port}")
    client = await open_client(edge)
    await client.welcomed()
    client.request("subscribe", channel="workflow:x")
    assert (await client.message())["error_code"] == "UNAVAILABLE"
    with EmbeddedBroker(port=port):
        await eventually(lambda: edge.not_ready() is None, 20)
        assert await heard(client) == []


async def test_client_that_changes_its_dialect_is_told_once(start_edge: StartEdge, open_client: OpenClient) -> None:
    """A silent client of session-buddy is told in its dialect; when it speaks the envelope, it is not told again."""
    with EmbeddedBroker(port=0) as broker:
        edge = await start_edge(broker, SESSION_BUDDY, welcome_delay_ms=20)
    await eventually(lambda: edge.not_ready() is not None)
    client = await open_client(edge)
    first = [await client.message() for _ in range(2)]
    assert "degraded" in str(first[1])
    client.request("ping")
    assert (await client.message())["type"] == "pong"
    assert (await client.message())["event"] == "session.created"
    assert await heard(client) == []


async def test_failed_task_of_an_edge_is_logged(edge: Edge, caplog: pytest.LogCaptureFixture, redis: Redis) -> None:
    """A bug in what an edge does on the side leaves a traceback, once, with the task's name."""

    async def fail() -> None:
        raise LookupError("a bug")

    with caplog.at_level(logging.ERROR, "edgebus.edges"):
        task = edge._parts.spawn(fail(), "a task of ours")  # noqa: SLF001 (no bug is known to do it)
        await eventually(lambda: caplog.records)
    (record,) = caplog.records
    assert vars(record)["task"] == "a task of ours"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)
    assert task.done()


@pytest.fixture
async def edge(start_edge: StartEdge, broker: EmbeddedBroker) -> Edge:
    """Lend an edge that is ready."""
    return await start_edge(broker)

"""A client publishes: in order, at the edge's pace, and again on the next connection until answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.service import Service
from bus.tasks import end
from clients import ClientClosed, Published, Received, Refused, RequestTimeout, Unsendable, connect
from edges import Edge, EdgeSettings
from producers.services.excalidraw import SERVICE as EXCALIDRAW
from tests.clients.fake_edge import Waiting, eventually, fake_edge, take
from tests.edges.session.test_publish import BOARD, Drawn, Moved

DATA = {"diagram_id": "d", "user_id": "u", "x": 1}


@asynccontextmanager
async def running(broker: EmbeddedBroker, port: int = 0, service: Service = BOARD) -> AsyncIterator[Edge]:
    async with Edge(service, EdgeSettings(port=port, redis_url=broker.url)) as edge:
        await eventually(lambda: edge.not_ready() is None)
        yield edge


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    return {"status": "published", "id": asked["id"], "positions": {"cursor:d": None}, "position": None}


async def test_model_and_name_are_published_at_a_real_edge(broker: EmbeddedBroker) -> None:
    """The caller has id and positions; who subscribes has the event as its model."""
    async with (
        running(broker) as edge,
        connect(f"ws://127.0.0.1:{edge.port}", service=BOARD) as client,
        client.subscribe("cursor:d") as cursors,
    ):
        first = await client.publish(Moved(diagram_id="d", user_id="u", x=1))
        second = await client.publish("cursor.moved", DATA, event_id="mine")
        one, two = await take(cursors, 2)
        assert isinstance(one, Received)
        assert isinstance(two, Received)
        assert (one.id, one.model) == (first.id, Moved(diagram_id="d", user_id="u", x=1))
        assert second == Published("mine", {"cursor:d": None}, None)
        assert two.id == "mine"
        with pytest.raises(Refused, match="needs a token with the permission diagram:write"):
            await client.publish(Drawn(diagram_id="d", element_id="e", user_id="u"))


async def test_unanswered_publish_is_repeated_with_its_id_in_order() -> None:
    """The connection ends before the answers: both are sent again, oldest first, and each caller has one answer."""
    waiting = Waiting()
    async with fake_edge() as edge, connect(edge.url, settings=waiting.settings()) as client:
        calls = [asyncio.create_task(client.publish("cursor.moved", DATA, event_id=name)) for name in ("a", "b")]
        talk = await edge.accept()
        before = [await talk.asked("publish") for _ in calls]
        await talk.cut()
        talk = await edge.accept()
        after = [await talk.asked("publish") for _ in calls]
        assert before == after
        assert [it["id"] for it in after] == ["a", "b"]
        assert after[0]["data"] == {"event": "cursor.moved", "data": DATA}
        for asked in after:
            await talk.reply(asked, **answer(asked))
        assert [it.id for it in await asyncio.gather(*calls)] == ["a", "b"]


async def test_refusal_that_passes_is_repeated_after_its_time() -> None:
    """`UNAVAILABLE` and the rate are no answers for the caller while there is time; another refusal is."""
    waiting = Waiting()
    async with fake_edge() as edge, connect(edge.url, settings=waiting.settings()) as client:
        call = asyncio.create_task(client.publish("cursor.moved", DATA))
        talk = await edge.accept()
        first = await talk.asked("publish")
        await talk.refuse(first, "UNAVAILABLE", retry_after_ms=7_000)
        again = await talk.asked("publish")
        assert again == first
        assert 7.0 in waiting.slept
        await talk.refuse(again, "FORBIDDEN")
        with pytest.raises(Refused, match="FORBIDDEN"):
            await call


async def test_time_of_a_publish_ends_and_nothing_is_repeated_then() -> None:
    """The caller hears of it; the next connection sees only what is still wanted."""
    async with fake_edge() as edge, connect(edge.url, settings=Waiting().settings()) as client:
        talk = await edge.accept()
        with pytest.raises(RequestTimeout, match=r"cursor.moved: not published within 0.01 s"):
            await client.publish("cursor.moved", DATA, timeout_s=0.01)
        await talk.asked("publish")
        await talk.cut()
        talk = await edge.accept()
        call = asyncio.create_task(client.publish("cursor.moved", DATA, event_id="marker"))
        asked = await talk.asked("publish")
        assert asked["id"] == "marker"
        await talk.reply(asked, **answer(asked))
        await call


async def test_pace_is_the_welcomes() -> None:
    """Beyond the edge's rate the client waits, in place of being refused."""
    waiting = Waiting()
    async with fake_edge() as edge, connect(edge.url, settings=waiting.settings()) as client:
        talk = await edge.accept()
        await talk.notice("session.created", connection_id="c", rate_limit=1000, publish_rate_limit=2)
        await talk.settled()
        waiting.slept.clear()
        calls = [asyncio.create_task(client.publish("cursor.moved", DATA)) for _ in range(6)]
        for _ in calls:
            asked = await talk.asked("publish")
            await talk.reply(asked, **answer(asked))
        await asyncio.gather(*calls)
        assert sum(waiting.slept) >= 1.5


async def test_faults_of_the_caller_and_the_end_of_the_client_are_told() -> None:
    """What cannot be sent, an id under way, and a client that is closed."""
    async with fake_edge() as edge, connect(edge.url, settings=Waiting().settings()) as client:
        await edge.accept()
        with pytest.raises(Unsendable):
            await client.publish("cursor.moved", {"x": "y" * 70_000})
        call = asyncio.create_task(client.publish("cursor.moved", DATA, event_id="one"))
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match="the id one is under way"):
            await client.publish("cursor.moved", DATA, event_id="one")
        await client.close()
        with pytest.raises(ClientClosed):
            await call
        with pytest.raises(ClientClosed):
            await client.publish("cursor.moved", DATA)
        await end([call])


async def test_edge_that_restarts_stores_once(broker: EmbeddedBroker) -> None:
    """Publishes go on over a restart of the edge: each event stands in the log once."""
    data, settings = {"diagram_id": "d", "element": {"id": "e"}, "user_id": "u"}, Waiting().settings()
    async with running(broker, service=EXCALIDRAW) as edge:
        port = edge.port
        client = connect(f"ws://127.0.0.1:{port}", settings=settings)
        await client.__aenter__()
        calls = [asyncio.create_task(client.publish("element.added", data, event_id=str(n))) for n in range(5)]
        await asyncio.sleep(0)
    async with running(broker, port=port, service=EXCALIDRAW):
        answers = await asyncio.gather(*calls)
        again = await client.publish("element.added", data, event_id="0")
    await client.close()
    assert again == answers[0]
    async with Redis.from_url(broker.url) as redis:
        stored: Any = await redis.xrange("bus:log:{diagram:d}")
    assert sorted(fields[b"id"] for _, fields in stored) == [b"0", b"1", b"2", b"3", b"4"]

"""Ids as services, users and projects have them: from the SDK to raw clients by any spelling, and to ``redis-cli``."""

import re
from typing import Any, Final
from urllib.parse import quote

import orjson
import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from edges import Edge
from producers import Producer
from producers.services.mahavishnu import WorkflowStarted
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client

KEPT: Final = "!*'()"
"""What ``encodeURIComponent`` leaves as it is, beside what every encoder leaves."""
IDS: Final = {
    "domain:key:provider": "domain:key:provider",
    "https://x.org:80/a": "https://x.org:80/a",
    "my project": "my%20project",
    "Müller": "M%C3%BCller",
    "Mu\u0308ller": "Mu%CC%88ller",
    "me@x.org": "me@x.org",
    "a/b": "a/b",
    "аdmin": "%D0%B0dmin",  # noqa: RUF001 (Cyrillic: a homoglyph)
    "admin": "admin",
    "test_x[a*b-(1, 'ü')]": "test_x%5Ba%2Ab-%281%2C%20%27%C3%BC%27%29%5D",
    "🎉": "%F0%9F%8E%89",
}
"""Ids, and their one spelling."""


@pytest.fixture
async def edge(broker: EmbeddedBroker, start_edge: StartEdge) -> Edge:
    """Lend an edge that does not welcome the silent during a test."""
    return await start_edge(broker, welcome_delay_ms=60_000)


@pytest.fixture
async def client(edge: Edge, open_client: OpenClient) -> Client:
    """Lend a client that was welcomed."""
    client = await open_client(edge)
    await client.welcomed()
    return client


def in_small_digits(text: str) -> str:
    """Encode as much as can be, with small hex digits."""
    return re.sub("%..", lambda found: found[0].lower(), quote(text, safe=""))


async def joined(client: Client, name: str) -> str:
    """Subscribe, and return the name that the events will have."""
    data: dict[str, Any] = (await client.subscribe(name))["data"]
    assert data["channel"] == name
    return str(data.get("room", name))


@pytest.mark.parametrize(("workflow_id", "spelled"), IDS.items(), ids=map(ascii, IDS))
async def test_id_reaches_everybody(
    edge: Edge, open_client: OpenClient, producer: Producer, redis: Redis, workflow_id: str, spelled: str
) -> None:
    """By the plain name, by encoded ones and on Redis the event comes; its line is one and the same."""
    asked = [workflow_id, quote(workflow_id, safe=KEPT), in_small_digits(workflow_id), spelled]
    clients = [await open_client(edge) for _ in asked]
    name = f"workflow:{spelled}"
    async with redis.pubsub() as typed:
        await typed.subscribe(name)
        await typed.get_message(timeout=5)
        for client, text in zip(clients, asked, strict=True):
            await client.welcomed()
            assert await joined(client, f"workflow:{text}") == name
        published = await producer.publish(WorkflowStarted(workflow_id=workflow_id))
        on_redis = await typed.get_message(timeout=5)
    assert published.positions[name]
    assert on_redis is not None
    line = orjson.loads(on_redis["data"])
    assert (line["room"], line["data"]["workflow_id"]) == (name, workflow_id)
    for client in clients:
        assert await client.message() == line


async def test_percent_sign_of_an_id_is_escaped(client: Client, producer: Producer) -> None:
    """The id ``a%2Fb`` is another than ``a/b``: a client that asks by it unescaped learns whose room it is in."""
    assert await joined(client, "workflow:a%252Fb") == "workflow:a%252Fb"
    assert await joined(client, "workflow:a%2Fb") == "workflow:a/b"
    for workflow_id in ("a%2Fb", "a/b"):
        await producer.publish(WorkflowStarted(workflow_id=workflow_id))
    assert [(await client.message())["room"] for _ in range(2)] == ["workflow:a%252Fb", "workflow:a/b"]


async def test_ids_that_look_alike_are_two(client: Client, producer: Producer) -> None:
    """A homoglyph and another normal form are other ids (decisions/0089)."""
    await client.subscribe("workflow:admin")
    await client.subscribe("workflow:Müller")
    for workflow_id in ("аdmin", "Mu\u0308ller", "admin"):  # noqa: RUF001 (Cyrillic, the matter of the test)
        await producer.publish(WorkflowStarted(workflow_id=workflow_id))
    assert (await client.message())["data"]["workflow_id"] == "admin"


async def test_room_is_one_for_all_its_names(client: Client, producer: Producer) -> None:
    """Two names of a room are one subscription, with one event, and any name leaves."""
    for name in ("workflow:a b", "workflow:a%20b", "workflow:%61%20b"):
        assert await joined(client, name) == "workflow:a%20b"
    await producer.publish(WorkflowStarted(workflow_id="a b"))
    assert (await client.message())["room"] == "workflow:a%20b"
    assert await client.marked() == []
    client.request("unsubscribe", channel="workflow:%61 b")
    data = (await client.message())["data"]
    assert data == {"status": "unsubscribed", "channel": "workflow:%61 b", "room": "workflow:a%20b"}
    await producer.publish(WorkflowStarted(workflow_id="a b"))
    assert await client.marked() == []


async def test_names_of_a_room_take_one_place(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """The limit of rooms counts rooms, not names."""
    client = await open_client(await start_edge(broker, max_rooms=1, welcome_delay_ms=60_000))
    await client.welcomed()
    for name in ("workflow:a:b", "workflow:a%3Ab", "workflow:%61%3ab"):
        await client.subscribe(name)
    client.request("subscribe", channel="workflow:other")
    assert (await client.message())["error_code"] == "SUBSCRIPTION_LIMIT"


async def test_replay_by_a_plain_name(client: Client, producer: Producer) -> None:
    """``since`` and ``last`` read the log of the canonical name; the answer has both names."""
    await producer.publish(WorkflowStarted(workflow_id="a b:ü"))
    client.request("subscribe", channel="workflow:a b:ü", last=5)
    data = (await client.message())["data"]
    assert (data["channel"], data["room"], data["replayed"]) == ("workflow:a b:ü", "workflow:a%20b:%C3%BC", 1)
    assert (await client.message())["room"] == data["room"]


async def test_canonical_name_is_answered_as_ever(client: Client) -> None:
    """Where the names do not differ, an answer has no further key."""
    assert set((await client.subscribe("workflow:a:b"))["data"]) == {"status", "channel", "position"}


async def test_request_is_asked_by_the_plain_id(client: Client, producer: Producer) -> None:
    """The fields of a request are ids, as the SDK takes them."""
    for workflow_id in ("domain:key:my provider", "a%20b"):
        await producer.publish(WorkflowStarted(workflow_id=workflow_id))
        client.request("get_workflow_status", workflow_id=workflow_id)
        assert (await client.message())["data"]["status"] == "running"
    client.request("get_workflow_status", workflow_id="a b")
    assert (await client.message())["data"]["status"] != "running"

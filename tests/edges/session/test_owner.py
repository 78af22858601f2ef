"""An edge with an owner: the process around the edge greets and answers, the edge keeps order, history and bounds."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest

from bus.broker.embedded import EmbeddedBroker
from edges import Edge, EdgeSettings, OwnedClient
from producers import Producer
from producers.services.mahavishnu import SERVICE, Mahavishnu
from tests.edges.peers import Client, Closed, eventually


def said(kind: str, event: str, data: Mapping[str, Any], reply_to: object = None) -> str:
    return json.dumps({"type": kind, "event": event, "data": data, "correlation_id": reply_to})


class Owner:
    """Joins the rooms that clients ask for, and answers in words of its own."""

    def __init__(self) -> None:
        self.left_ids: list[str] = []
        self.gate = asyncio.Event()

    async def arrived(self, client: OwnedClient) -> None:
        await client.send(said("event", "session.created", {"connection_id": client.id, "by": "owner"}))

    async def said(self, client: OwnedClient, message: Mapping[str, Any]) -> None:
        match message["event"]:
            case "subscribe":
                await client.join(SERVICE.channel(message["data"]["channel"]))
                await client.send(said("response", "subscribe", {"status": "in"}, message.get("id")))
            case "unsubscribe":
                client.leave(SERVICE.channel(message["data"]["channel"]))
                await client.send(said("response", "unsubscribe", {"status": "out"}, message.get("id")))
            case "wait":
                await self.gate.wait()
            case "raise":
                raise ValueError("secret detail")
            case "large":
                await client.send("x" * 10_000_000)
            case event:
                await client.send(said("response", event, {"echo": message["data"]}, message.get("id")))

    async def left(self, client: OwnedClient) -> None:
        self.left_ids.append(client.id)


class Mute(Owner):
    """Says nothing of its own accord; ``arrived`` does as told."""

    def __init__(self, arrived: Any = None) -> None:
        super().__init__()
        self._arrived = arrived

    async def arrived(self, client: OwnedClient) -> None:
        if self._arrived is not None:
            await self._arrived(client)


async def start(stack: AsyncExitStack, broker: EmbeddedBroker, owner: Owner, **settings: Any) -> Edge:
    edge = Edge(SERVICE, EdgeSettings(port=0, redis_url=broker.url, **settings), owner=owner)
    await stack.enter_async_context(edge)
    await eventually(lambda: edge.not_ready() is None)
    return edge


async def test_welcome_and_answer_are_the_owners(broker: EmbeddedBroker) -> None:
    """A talking client reads the answer first and the owner's welcome behind; a silent one the welcome alone."""
    async with AsyncExitStack() as stack:
        edge = await start(stack, broker, Owner())
        talking, silent = [await Client.open(edge.port) for _ in range(2)]
        talking.send({"type": "event", "event": "cursor.moved", "data": {"x": 1}, "id": "r1"})
        answer, welcome = await talking.message(), await talking.message()
        assert (answer["event"], answer["data"], answer["correlation_id"]) == ("cursor.moved", {"echo": {"x": 1}}, "r1")
        assert (welcome["event"], welcome["data"]["by"]) == ("session.created", "owner")
        assert (await silent.message())["data"]["connection_id"] in edge.clients
        for client in (talking, silent):
            await client.close()


async def test_events_come_behind_the_answer_with_history(broker: EmbeddedBroker, producer: Producer) -> None:
    """The owner's answer is completed with the position; with ``last`` the past follows, then what is new."""
    async with AsyncExitStack() as stack:
        edge = await start(stack, broker, Owner())
        await Mahavishnu(producer).broadcast_workflow_failed("x", "one")
        client = await Client.open(edge.port)
        client.request("subscribe", channel="workflow:x", last=5)
        answer = await client.message()
        assert answer["data"].items() >= {"status": "in", "recovered": True, "replayed": 1}.items()
        frames = [await client.message() for _ in range(2)]
        await Mahavishnu(producer).broadcast_workflow_failed("x", "two")
        frames.append(await client.message())
        told = [it["data"]["error"] for it in frames if it["event"] == "workflow.failed"]
        assert told == ["one", "two"]
        assert edge.rooms() == {"workflow:x": set(edge.clients)}
        client.request("unsubscribe", channel="workflow:x")
        assert (await client.message())["data"] == {"status": "out"}
        assert edge.rooms() == {}
        await client.close()


async def test_ping_passes_an_answer_that_takes_long(broker: EmbeddedBroker) -> None:
    """While the owner thinks, a ping is answered by the edge; the end of the client is told behind the answer."""
    owner = Owner()
    async with AsyncExitStack() as stack:
        edge = await start(stack, broker, owner)
        client = await Client.open(edge.port)
        assert (await client.message())["event"] == "session.created"
        client.request("wait")
        client.send({"type": "ping", "id": "p"})
        assert (await client.message())["type"] == "pong"
        await client.close()
        assert owner.left_ids == []
        owner.gate.set()
        await eventually(lambda: len(owner.left_ids) == 1)
        assert edge.clients == {}


async def test_owner_that_raises_or_says_too_much(broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture) -> None:
    """Each is an answer with a code and a line in the log; the client stays."""
    async with AsyncExitStack() as stack:
        edge = await start(stack, broker, Owner())
        client = await Client.open(edge.port)
        await client.message()
        client.request("raise")
        answer = await client.message()
        assert (answer["error_code"], answer["correlation_id"]) == ("INTERNAL_ERROR", "r1")
        assert "secret detail" not in json.dumps(answer)
        client.request("large")
        answer = await client.message()
        assert (answer["error_code"], answer["correlation_id"]) == ("ANSWER_TOO_LARGE", "r1")
        assert {"a command failed", "dropped a message of the owner: too large"} <= {
            it.message for it in caplog.records
        }
        assert edge.statistics()[0].limited["max_answer_bytes"] == 1
        client.request("echo", n=1)
        assert (await client.message())["data"] == {"echo": {"n": 1}}
        await client.close()


async def never(_: OwnedClient) -> None:
    await asyncio.Event().wait()


async def fails(_: OwnedClient) -> None:
    raise ValueError("no")


@pytest.mark.parametrize("arrived", [never, fails])
async def test_arrival_that_fails_ends_that_client(broker: EmbeddedBroker, arrived: Any) -> None:
    """An owner that raises, or does not come back, costs the one connection, 1011, and is told of its end."""
    owner = Mute(arrived)
    async with AsyncExitStack() as stack:
        edge = await start(stack, broker, owner, open_timeout_s=0.2)
        client = await Client.open(edge.port)
        assert (await client.message())["error_code"] == "INTERNAL_ERROR"
        with pytest.raises(Closed) as closed:
            await client.message()
        assert closed.value.code == 1011
        await eventually(lambda: len(owner.left_ids) == 1)


async def test_stopping_tells_the_owner_of_every_client(broker: EmbeddedBroker) -> None:
    """When the edge has stopped, the owner knows that all have left."""
    owner = Owner()
    async with AsyncExitStack() as stack:
        edge = await start(stack, broker, owner, close_timeout_s=0.3)
        clients = [await Client.open(edge.port) for _ in range(3)]
        for client in clients:
            await client.message()
        await edge.stop()
        assert len(owner.left_ids) == 3
        for client in clients:
            await client.close()

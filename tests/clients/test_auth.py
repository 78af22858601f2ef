"""The client at a real edge that wants tokens."""

import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from bus.embedded import EmbeddedBroker
from bus.revocation import Revocations, of_user
from clients import AuthenticationFailed, Received, Refused, connect
from clients.settings import ClientSettings
from edges import Edge, EdgeSettings
from producers import Producer
from producers.services.mahavishnu import SERVICE, WorkflowStarted
from tests.clients.fake_edge import eventually, take
from tests.edges.signing import SECRET, token

READ = ["workflow:read"]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep settings of whoever runs the tests out, and make an edge look at deadlines often."""
    for name in list(os.environ):
        if name.startswith("EDGEBUS_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr("edges.upkeep._DEADLINES_S", 0.02)


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """Lend a real server."""
    with EmbeddedBroker(port=0) as broker:
        yield broker


@pytest.fixture
async def producer(broker: EmbeddedBroker) -> AsyncIterator[Producer]:
    """Lend a producer."""
    async with Producer(broker.url) as producer:
        yield producer


@asynccontextmanager
async def running(broker: EmbeddedBroker, **settings: Any) -> AsyncIterator[tuple[Edge, str]]:
    chosen = EdgeSettings(port=0, redis_url=broker.url, auth_required=True, auth_secret=SecretStr(SECRET), **settings)
    async with Edge(SERVICE, chosen) as edge:
        await eventually(lambda: edge.not_ready() is None)
        yield edge, f"ws://127.0.0.1:{edge.port}"


async def test_token_lets_in(broker: EmbeddedBroker, producer: Producer) -> None:
    """A client with a token gets events and answers; what its token does not open is refused, and only that."""
    async with running(broker) as (_, url), connect(url, token=token("alice", READ)) as client:
        with pytest.raises(Refused, match="FORBIDDEN"):
            await client.subscribe("pool:1").joined()
        with pytest.raises(Refused, match="FORBIDDEN"):
            await client.request("get_pool_status", pool_id="1")
        async with client.subscribe("workflow:1") as events:
            await producer.publish(WorkflowStarted(workflow_id="1"))
            [event] = await take(events)
        assert isinstance(event, Received)
        assert (await client.request("get_workflow_status", workflow_id="1"))["status"] == "running"


async def test_token_in_a_header(broker: EmbeddedBroker) -> None:
    """A client whose handshake shows the token needs no first message."""
    settings = ClientSettings(headers={"Authorization": f"Bearer {token('alice', READ)}"})
    async with running(broker) as (_, url), connect(url, settings=settings) as client:
        assert (await client.request("get_workflow_status", workflow_id="1"))["status"] == "not_found"


@pytest.mark.parametrize("shown", ["nonsense", token("alice", exp=1)])
async def test_bad_token_is_a_no(broker: EmbeddedBroker, shown: str) -> None:
    """A token that is no good is an error at once, and nobody tries again with it."""
    async with running(broker) as (edge, url):
        with pytest.raises(AuthenticationFailed):
            await connect(url, token=shown, retry_first=True).__aenter__()
        assert edge.statistics()[0].accepted == 1


async def test_no_token_is_a_no(broker: EmbeddedBroker) -> None:
    """Without a token the client ends for good at the first thing it asks, and says why."""
    async with running(broker) as (edge, url), connect(url) as client:
        with pytest.raises(AuthenticationFailed, match="authenticate first"):
            await take(client.subscribe("workflow:1"))
        await eventually(lambda: edge.health()["connections"] == 0)
        assert edge.statistics()[0].accepted == 1


async def test_renewed_by_itself(broker: EmbeddedBroker, producer: Producer) -> None:
    """A token that expires is renewed by the callback on the same connection; subscriptions notice nothing."""
    shown: list[str] = []

    async def fresh() -> str:
        shown.append(token("alice", READ, exp=time.time() + (3600 if shown else 1.0)))
        return shown[-1]

    async with running(broker, auth_warning_s=0.6) as (_, url), connect(url, token=fresh) as client:
        async with client.subscribe("workflow:1") as events:
            await eventually(lambda: len(shown) == 2)
            end_s = time.time() + 0.8
            await eventually(lambda: time.time() > end_s)
            await producer.publish(WorkflowStarted(workflow_id="1"))
            [event] = await take(events)
        assert isinstance(event, Received)
        assert client.statistics().connections == 1


async def test_expired_without_renewal_is_a_no(broker: EmbeddedBroker) -> None:
    """A token that is a mere text ends with its time, and the client with it."""
    async with running(broker) as (_, url), connect(url, token=token("alice", READ, exp=time.time() + 0.5)) as client:
        with pytest.raises(AuthenticationFailed):
            await take(client.subscribe("workflow:1"), 2)  # an interruption may come first


async def test_room_lost_by_a_renewal(broker: EmbeddedBroker, producer: Producer) -> None:
    """A subscription that the new token does not open ends with a refusal; the others go on."""
    shown: list[str] = []

    def fresh() -> str:
        permissions = READ if shown else [*READ, "pool:read"]
        shown.append(token("alice", permissions, exp=time.time() + (3600 if shown else 1.0)))
        return shown[-1]

    async with running(broker, auth_warning_s=0.6) as (_, url), connect(url, token=fresh) as client:
        async with client.subscribe("workflow:1") as kept, client.subscribe("pool:1") as lost:
            with pytest.raises(Refused, match="FORBIDDEN"):
                await take(lost)
            await producer.publish(WorkflowStarted(workflow_id="1"))
            [event] = await take(kept)
        assert isinstance(event, Received)


async def test_revoked_comes_back_with_a_new_token(broker: EmbeddedBroker, producer: Producer) -> None:
    """A revoked token ends the connection; a client that can get a new one goes on where it was."""

    def fresh() -> str:
        return token("alice", READ, iat=time.time())

    async with running(broker) as (_, url), connect(url, token=fresh) as client:
        async with client.subscribe("workflow:1") as events, Revocations(broker.url, name="test") as revocations:
            await revocations.revoke(of_user("alice"))
            await eventually(lambda: client.statistics().connections == 2)
            await producer.publish(WorkflowStarted(workflow_id="1"))
            found = await take(events, 3)
        assert any(isinstance(value, Received) for value in found)

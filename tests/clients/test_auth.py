"""The client at a real edge that wants tokens."""

import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.redis.revocation import REVOKED, of_user
from clients import AuthenticationFailed, Received, Refused, connect
from clients.settings import ClientSettings
from edges import Edge, EdgeSettings
from edges.auth.authenticator import Authenticator
from edges.session.context import Context
from edges.transport.connection import Connection
from edges.transport.routes import Routes
from producers import Producer
from producers.services.mahavishnu import SERVICE, WorkflowStarted
from tests.clients.fake_edge import Waiting, eventually, take
from tests.edges.signing import SECRET, token

READ = ["workflow:read"]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep settings of whoever runs the tests out, and make an edge look at deadlines often."""
    for name in list(os.environ):
        if name.startswith("EDGEBUS_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr("edges.lifecycle.housekeeping._DEADLINES_S", 0.02)


class Clock:
    """What edges take for the time: the real one, and what the test adds."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let tokens end when the test says so."""
    clock = Clock()
    monkeypatch.setattr("edges.parts.Authenticator", partial(Authenticator, clock=clock))
    return clock


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


@pytest.fixture
def came(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """Return every connection that an edge was asked for, whatever became of it."""
    found: list[Connection] = []

    class Noted(Connection):
        def __init__(self, around: Context, routes: Routes) -> None:
            super().__init__(around, routes)
            found.append(self)

    monkeypatch.setattr("edges.edge.Edge.connection", Noted)
    return found


@pytest.mark.parametrize("shown", ["nonsense", token("alice", exp=1)])
async def test_bad_token_is_a_no(broker: EmbeddedBroker, shown: str, came: list[Connection]) -> None:
    """A token that is no good is an error at once, and nobody tries again with it."""
    async with running(broker) as (edge, url):
        with pytest.raises(AuthenticationFailed):
            await connect(url, token=shown, retry_first=True).__aenter__()
        assert (len(came), edge.statistics()[0].accepted) == (1, 0)


async def test_no_token_is_a_no(broker: EmbeddedBroker, came: list[Connection]) -> None:
    """Without a token the client ends for good at the first thing it asks, and says why."""
    async with running(broker) as (edge, url), connect(url) as client:
        with pytest.raises(AuthenticationFailed, match="authenticate first"):
            await take(client.subscribe("workflow:1"))
        await eventually(lambda: edge.health()["connections"] == 0)
        assert (len(came), edge.statistics()[0].accepted) == (1, 0)


async def test_renewed_by_itself(broker: EmbeddedBroker, producer: Producer, clock: Clock) -> None:
    """A token that expires is renewed by the callback on the same connection; subscriptions notice nothing.

    That the first token's end has passed shows at another client that had no other.
    """
    shown = [token("alice", READ, exp=clock() + 1_000)]

    async def fresh() -> str:
        shown.append(token("alice", READ, exp=clock() + 3_600))
        return shown[-2]

    async with running(broker) as (_, url), connect(url, token=fresh) as client, connect(url, token=shown[0]) as other:
        async with client.subscribe("workflow:1") as events, other.subscribe("workflow:1") as ended:
            clock.ahead_s = 980
            await eventually(lambda: len(shown) == 3)
            clock.ahead_s = 1_001
            with pytest.raises(AuthenticationFailed):
                await take(ended, 2)
            await producer.publish(WorkflowStarted(workflow_id="1"))
            [event] = await take(events)
        assert isinstance(event, Received)
        assert client.statistics().connections == 1


async def test_expired_without_renewal_is_a_no(broker: EmbeddedBroker, clock: Clock) -> None:
    """A token that is a mere text ends with its time, and the client with it."""
    shown = token("alice", READ, exp=clock() + 1_000)
    async with (
        running(broker) as (_, url),
        connect(url, token=shown) as client,
        client.subscribe("workflow:1") as events,
    ):
        clock.ahead_s = 1_001
        with pytest.raises(AuthenticationFailed):
            await take(events, 2)  # an interruption comes first


async def test_room_lost_by_a_renewal(broker: EmbeddedBroker, producer: Producer, clock: Clock) -> None:
    """A subscription that the new token does not open ends with a refusal; the others go on."""
    tokens = [
        token("alice", [*READ, "pool:read"], exp=clock() + 1_000),
        token("alice", READ, exp=clock() + 3_600),
    ]

    async with running(broker) as (_, url), connect(url, token=lambda: tokens.pop(0)) as client:
        async with client.subscribe("workflow:1") as kept, client.subscribe("pool:1") as lost:
            clock.ahead_s = 980
            with pytest.raises(Refused, match="FORBIDDEN"):
                await take(lost)
            await producer.publish(WorkflowStarted(workflow_id="1"))
            [event] = await take(kept)
        assert isinstance(event, Received)


async def test_revoked_comes_back_with_a_new_token(broker: EmbeddedBroker, producer: Producer) -> None:
    """A revoked token ends the connection; a client that can get a new one goes on where it was.

    A new one counts ``auth_leeway_s`` after the revocation, so the edge says when to come back with it. Here the user
    was revoked 2 s ago, and the time for which the client waits passes at the issuer only: no test waits for it.
    """
    waiting, first = Waiting(), token("alice", READ, iat=time.time() - 10)

    def fresh() -> str:
        return token("alice", READ, iat=time.time() + sum(waiting.slept)) if waiting.slept else first

    async with running(broker) as (_, url), connect(url, token=fresh, settings=waiting.settings()) as client:
        async with client.subscribe("workflow:1") as events:
            await revoke(broker, int(time.time() * 1000) - 2_000)
            await eventually(lambda: client.statistics().connections == 2)
            await producer.publish(WorkflowStarted(workflow_id="1"))
            found = await take(events, 3)
        assert any(isinstance(value, Received) for value in found)
    [wait_s] = waiting.slept
    assert wait_s <= 4.0


async def revoke(broker: EmbeddedBroker, at_ms: int) -> None:
    """Revoke every token that the user had at some time, as somebody with redis-cli would."""
    async with Redis.from_url(broker.url) as redis:
        await redis.zadd(REVOKED, {of_user("alice"): at_ms})
        await redis.publish(REVOKED, f"{of_user('alice')} {at_ms}")

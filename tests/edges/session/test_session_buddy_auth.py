"""Tokens in session-buddy's dialect: in the first message, and 4001."""

from typing import Any, Final

import pytest

from bus.broker.embedded import EmbeddedBroker
from edges import Edge
from producers import Producer
from producers.services.session_buddy import SERVICE, SessionBuddy
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, upgrade
from tests.edges.signing import OTHER_SECRET, SECRET, token

READ: Final = ["session-buddy:read"]
SKILL: Final = {"skill_name": "s", "total_invocations": 1, "completion_rate": 50.0, "avg_duration_seconds": 1.0}


@pytest.fixture(autouse=True)
def deadlines_looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an edge look at deadlines more often than once a second."""
    monkeypatch.setattr("edges.lifecycle.housekeeping._DEADLINES_S", 0.02)


@pytest.fixture
async def edge(broker: EmbeddedBroker, start_edge: StartEdge) -> Edge:
    """Lend an edge of session-buddy that wants a token."""
    return await start_edge(broker, SERVICE, auth_required=True, auth_secret=SECRET, auth_deadline_s=0.5)


@pytest.fixture
async def client(edge: Edge, open_client: OpenClient) -> Client:
    """Lend a client that has said nothing."""
    return await open_client(edge)


async def turned_away(client: Client) -> tuple[str, int]:
    """Return the code of the next message, and the close code after it."""
    error = await client.message()
    assert error["type"] == "error"
    return error["error_code"], await client.close_code()


@pytest.mark.parametrize("first", [{"type": "auth"}, {}])
async def test_token_alone(client: Client, producer: Producer, first: dict[str, Any]) -> None:
    """A first message with a token is answered with ``connected``, and brings all skills."""
    client.send({**first, "token": token("alice", READ)})
    connected = await client.message()
    assert (connected["type"], connected["authenticated"]) == ("connected", True)
    await SessionBuddy(producer).broadcast_metrics([SKILL], [])
    assert (await client.message())["type"] == "metrics_update"


async def test_token_with_a_subscription(client: Client) -> None:
    """A first message may ask for something beside: connected, then its answer, in this order."""
    client.send({"type": "subscribe", "skill": "s", "token": token("alice", READ)})
    connected, confirmed = await client.message(), await client.message()
    assert (connected["type"], connected["authenticated"]) == ("connected", True)
    assert (confirmed["type"], confirmed["skill"]) == ("subscription_confirmed", "s")


@pytest.mark.parametrize(
    "message", [{"type": "subscribe", "skill": None}, {"type": "unsubscribe"}, {"type": "hello"}, "text", {}]
)
async def test_first_message_without_a_token(client: Client, message: Any) -> None:
    """Any other first message is told that a token is missing, and closed with 4001."""
    client.send(message)
    assert await turned_away(client) == ("AUTH_REQUIRED", 4001)


async def test_silence(client: Client) -> None:
    """Who says nothing is not greeted, and closed with 4001 at the deadline."""
    client.send({"type": "ping"})
    assert await client.message() == {"type": "pong"}
    assert await turned_away(client) == ("AUTH_REQUIRED", 4001)


async def test_bad_token(client: Client) -> None:
    """A token that is no good is told so, and closed with 4001."""
    client.send({"type": "auth", "token": token("alice", READ, key=OTHER_SECRET)})
    assert await turned_away(client) == ("AUTH_FAILED", 4001)


async def test_token_that_opens_nothing(client: Client) -> None:
    """A token without the permission lets in, and says once why no skills come."""
    client.send({"type": "auth", "token": token("alice")})
    connected, error = await client.message(), await client.message()
    assert (connected["type"], error["type"], error["error_code"]) == ("connected", "error", "FORBIDDEN")
    client.send({"type": "subscribe", "skill": "s"})
    assert (await client.message())["error_code"] == "FORBIDDEN"


async def test_renewal(client: Client) -> None:
    """A later token is answered too; one that opens less leaves the room and says so."""
    client.send({"type": "auth", "token": token("alice", READ)})
    assert (await client.message())["type"] == "connected"
    client.send({"type": "subscribe", "skill": None})
    assert (await client.message())["type"] == "subscription_confirmed"
    client.send({"type": "auth", "token": token("alice", READ)})
    renewed = await client.message()
    assert (renewed["type"], renewed["user_id"]) == ("authenticated", "alice")
    client.send({"type": "auth", "token": token("alice")})
    assert (await client.message())["type"] == "authenticated"
    notice = await client.message()
    assert (notice["type"], notice["event"]) == ("notice", "room.left")


async def test_envelope_on_the_same_port(client: Client) -> None:
    """Who shows the envelope authenticates by a request, and is closed with 1008 when that fails."""
    client.request("auth", token=token("alice", READ))
    reply, welcome = await client.message(), await client.message()
    assert (reply["event"], welcome["event"], welcome["data"]["authenticated"]) == ("auth", "session.created", True)
    client.request("auth", token="nonsense")
    assert (await client.message())["error_code"] == "AUTH_FAILED"
    assert await client.close_code() == 1008


async def test_tokens_are_let_be_without_keys(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """Where no key is set up, a message with a token does what it does without."""
    client = await open_client(await start_edge(broker, SERVICE))
    client.send({"type": "subscribe", "skill": "s", "token": "anything"})
    connected, confirmed = await client.message(), await client.message()
    assert (connected["type"], connected["authenticated"]) == ("connected", False)
    assert confirmed["type"] == "subscription_confirmed"


async def test_token_of_the_handshake_and_a_message_at_once(edge: Edge) -> None:
    """What is sent right behind the handshake waits for its token, and ``connected`` still comes first."""
    client = await Client.connect(edge.port)
    client.write(upgrade("/", f"Authorization: Bearer {token('alice', READ)}"))
    client.send({"type": "subscribe", "skill": "s"})
    assert (await client.head())[0] == 101
    connected, confirmed = await client.message(), await client.message()
    assert (connected["type"], connected["authenticated"]) == ("connected", True)
    assert (confirmed["type"], confirmed["skill"]) == ("subscription_confirmed", "s")
    await client.close()


async def test_token_and_a_message_at_once_where_none_is_required(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """Nothing is done as an anonymous client that was sent behind a token."""
    client = await open_client(await start_edge(broker, SERVICE, auth_secret=SECRET))
    client.send({"type": "auth", "token": token("alice", READ)})
    client.send({"type": "subscribe", "skill": None})
    connected, confirmed = await client.message(), await client.message()
    assert (connected["type"], connected["authenticated"]) == ("connected", True)
    assert confirmed["type"] == "subscription_confirmed"


async def test_anonymous_is_told_once_and_gets_skills_with_a_token(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer
) -> None:
    """Who may read nothing is told so; a token that opens all skills brings them without another message."""
    client = await open_client(await start_edge(broker, SERVICE, auth_secret=SECRET, welcome_delay_ms=0))
    connected, error = await client.message(), await client.message()
    assert (connected["type"], connected["authenticated"], error["error_code"]) == ("connected", False, "FORBIDDEN")
    client.send({"type": "auth", "token": token("alice", READ)})
    assert (await client.message())["type"] == "authenticated"
    client.send({"type": "ping"})
    assert await client.message() == {"type": "pong"}
    await SessionBuddy(producer).broadcast_metrics([SKILL], [])
    assert (await client.message())["type"] == "metrics_update"

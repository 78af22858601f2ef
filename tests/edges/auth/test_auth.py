"""Tokens at a real edge: where they are shown, what they open, how long, and what is said when they are no good."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from bus.broker.embedded import EmbeddedBroker
from edges import Edge, EdgeSettings, SettingsError
from edges.session.session import Session
from producers import Producer
from producers.services.mahavishnu import SERVICE, Mahavishnu
from tests.edges.conftest import StartEdge
from tests.edges.peers import Client, eventually, upgrade
from tests.edges.signing import OTHER_SECRET, RSA, SECRET, jwk, jwks, public_pem, raw, token

OpenTo = Callable[..., Awaitable[Client]]
LATER_MS: Final = 60_000
DENIED: Final = 1008


@pytest.fixture(autouse=True)
def deadlines_looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an edge look at deadlines more often than once a second."""
    monkeypatch.setattr("edges.lifecycle.housekeeping._DEADLINES_S", 0.02)


@pytest.fixture
async def edge(broker: EmbeddedBroker, start_edge: StartEdge) -> Edge:
    """Lend an edge that wants a token."""
    return await start_edge(broker, auth_required=True, auth_secret=SECRET)


@pytest.fixture
async def optional(broker: EmbeddedBroker, start_edge: StartEdge) -> Edge:
    """Lend an edge that takes tokens, and lets those without read pools."""
    return await start_edge(broker, auth_secret=SECRET, anonymous_permissions="pool:read", welcome_delay_ms=LATER_MS)


@pytest.fixture
async def open_to() -> AsyncIterator[OpenTo]:
    """Return a function that shakes hands with an edge, with headers; clients are dropped after the test."""
    opened: list[Client] = []

    async def open_(edge: Edge, *headers: str, path: str = "/", subprotocol: str | None = None) -> Client:
        client = await Client.connect(edge.port)
        opened.append(client)
        client.write(upgrade(path, *headers))
        status, answered, _ = await client.head()
        assert (status, answered.get("sec-websocket-protocol")) == (101, subprotocol)
        return client

    yield open_
    for client in opened:
        await client.close()


async def entered(client: Client, shown: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Show a token as the first message; return the answer and the welcome."""
    client.request("auth", "a1", token=shown)
    return await client.message(), await client.message()


async def turned_away(client: Client) -> tuple[str, str, int]:
    """Return the code and the sentence of the next message, an error, and the close code after it."""
    error = await client.message()
    assert error["type"] == "error"
    code = error["error_code"]
    return code, error.get("error_message", error.get("message", "")), await client.close_code()


async def test_token_in_the_first_message(edge: Edge, open_to: OpenTo) -> None:
    """A good token is answered with who one is and until when; only then comes the welcome."""
    client = await open_to(edge)
    expires_at = int(time.time()) + 60
    reply, welcome = await entered(client, token("alice", ["workflow:read"], exp=expires_at))
    assert (reply["type"], reply["event"], reply["correlation_id"]) == ("response", "auth", "a1")
    assert reply["data"].keys() == {"status", "user_id", "expires_at"}
    assert (reply["data"]["status"], reply["data"]["user_id"]) == ("authenticated", "alice")
    assert reply["data"]["expires_at"].endswith("+00:00")
    assert welcome["event"] == "session.created"
    assert (welcome["data"]["authenticated"], welcome["data"]["secure"]) == (True, False)
    assert (await client.subscribe("workflow:1"))["data"]["status"] == "subscribed"


@pytest.mark.parametrize("place", ["header", "subprotocol", "query"])
async def test_token_in_the_handshake(
    broker: EmbeddedBroker, start_edge: StartEdge, open_to: OpenTo, place: str
) -> None:
    """A token shown while shaking hands needs no message; the welcome says that it was taken."""
    edge = await start_edge(broker, auth_required=True, auth_secret=SECRET, auth_in_query=True)
    shown = token("alice", ["workflow:read"])
    match place:
        case "header":
            client = await open_to(edge, f"Authorization: Bearer {shown}")
        case "subprotocol":
            client = await open_to(edge, f"Sec-WebSocket-Protocol: edgebus.v1, {shown}", subprotocol="edgebus.v1")
        case _:
            client = await open_to(edge, path=f"/?token={shown}")
    welcome = await client.message()
    assert (welcome["event"], welcome["data"]["authenticated"]) == ("session.created", True)
    await client.subscribe("workflow:1")


async def test_commands_behind_the_handshake_wait_for_its_token(edge: Edge, open_to: OpenTo) -> None:
    """What a client sends at once is carried out as the one whom the token names."""
    client = await open_to(edge, f"Authorization: Bearer {token('alice', ['workflow:read'])}")
    client.request("subscribe", channel="workflow:1")
    first, second = await client.message(), await client.message()
    assert (first["event"], first["type"], second["event"]) == ("subscribe", "response", "session.created")


async def test_query_is_not_looked_at_unless_switched_on(edge: Edge, open_to: OpenTo) -> None:
    """A token in the URL is none by default: URLs are written to logs all along the way."""
    client = await open_to(edge, path=f"/?token={token()}")
    client.request("subscribe", channel="workflow:1")
    assert (await turned_away(client))[::2] == ("AUTH_REQUIRED", DENIED)


async def test_other_subprotocols_are_welcome(optional: Edge, open_to: OpenTo) -> None:
    """Who offers other subprotocols, or none, is let in without one."""
    client = await open_to(optional, "Sec-WebSocket-Protocol: chat, superchat")
    assert (await client.welcomed())["data"]["authenticated"] is False
    client = await open_to(optional, "Sec-WebSocket-Protocol: edgebus.v1", subprotocol="edgebus.v1")
    assert (await client.welcomed())["data"]["authenticated"] is False


@pytest.mark.parametrize(
    "message",
    [
        {"type": "request", "event": "subscribe", "data": {"channel": "workflow:1"}, "id": "x"},
        {"type": "request", "event": "subscribe", "data": {"channel": "workflow:1", "last": 5}, "id": "x"},
        {"type": "request", "event": "subscribe", "data": {"channel": "nonsense"}, "id": "x"},
        {"type": "request", "event": "subscribe", "data": {}, "id": "x"},
        {"type": "unsubscribe", "data": {"channel": "workflow:1"}, "id": "x"},
        {"type": "request", "event": "get_workflow_status", "data": {"workflow_id": "1"}, "id": "x"},
        {"type": "request", "event": "get_workflow_status", "data": {}, "id": "x"},
        {"type": "request", "event": "nope", "id": "x"},
    ],
)
async def test_nothing_but_a_token_first(edge: Edge, open_to: OpenTo, message: dict[str, Any]) -> None:
    """Before a token every other verb, well-formed or not, is refused alike and the connection closed."""
    client = await open_to(edge)
    client.send(message)
    error = await client.message()
    assert (error["error_code"], error["correlation_id"]) == ("AUTH_REQUIRED", "x")
    assert await client.close_code() == DENIED


async def test_ping_and_mistakes_before_a_token(edge: Edge, open_to: OpenTo) -> None:
    """A ping is answered, a mistake is named, and neither brings the welcome; then a token still may come."""
    client = await open_to(edge)
    client.request("ping")
    client.send(b"{")
    client.request("auth", token=5)
    codes = [(await client.message()) for _ in range(3)]
    assert [message["error_code"] for message in codes] == [None, "DECODE_ERROR", "INVALID_REQUEST"]
    reply, welcome = await entered(client, token())
    assert (reply["event"], welcome["event"]) == ("auth", "session.created")


async def test_deadline_for_a_token(broker: EmbeddedBroker, start_edge: StartEdge, open_to: OpenTo) -> None:
    """Who shows none in time is sent away, and counted among the connections until then; it takes no place."""
    edge = await start_edge(broker, auth_required=True, auth_secret=SECRET, auth_deadline_s=1, max_connections=1)
    silent = await open_to(edge)
    assert edge.health()["connections"] == 1
    reply, _ = await entered(await open_to(edge), token())
    assert reply["data"]["status"] == "authenticated"
    assert (await turned_away(silent))[::2] == ("AUTH_REQUIRED", DENIED)
    await eventually(lambda: edge.health()["connections"] == 1)


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        ("nonsense", "no JWT"),
        (token(key=OTHER_SECRET), "signature is wrong"),
        (token(exp=1), "expired"),
        (raw({"alg": "none"}, {"user_id": "alice", "exp": 4_000_000_000}), "not signed with HS256"),
        (raw({"alg": "HS256"}, {"user_id": "alice", "exp": 10**400}), "exp: expected a time"),
    ],
    ids=lambda value: value[:12],
)
@pytest.mark.parametrize("place", ["message", "header", "subprotocol"])
async def test_bad_token(optional: Edge, open_to: OpenTo, place: str, shown: str, sentence: str) -> None:
    """A token that is no good is told what is wrong with it wherever it is shown; then the connection is closed."""
    match place:
        case "message":
            client = await open_to(optional)
            client.request("auth", token=shown)
        case "header":
            client = await open_to(optional, f"Authorization: Bearer {shown}")
        case _:
            offered = f"Sec-WebSocket-Protocol: edgebus.v1, {shown}"
            client = await open_to(optional, offered, subprotocol="edgebus.v1")
    code, said, closed = await turned_away(client)
    assert (code, closed) == ("AUTH_FAILED", DENIED)
    assert sentence in said
    assert shown not in said


async def test_token_of_a_megabyte(broker: EmbeddedBroker, start_edge: StartEdge, open_to: OpenTo) -> None:
    """A token over the limit is refused by its size, even where messages may be large."""
    edge = await start_edge(broker, auth_secret=SECRET, max_message_bytes=2_000_000)
    client = await open_to(edge)
    client.request("auth", token="x" * 1_000_000)
    code, said, closed = await turned_away(client)
    assert (code, said, closed) == ("AUTH_FAILED", "the token has 1000000 bytes, the limit is 8192", DENIED)


async def test_two_tokens_in_one_handshake(optional: Edge, open_to: OpenTo) -> None:
    """Which of two counts is not guessed."""
    bearer, offered = f"Authorization: Bearer {token('a')}", f"Sec-WebSocket-Protocol: edgebus.v1, {token('b')}"
    client = await open_to(optional, bearer, offered, subprotocol="edgebus.v1")
    assert (await turned_away(client))[::2] == ("AUTH_FAILED", DENIED)


async def test_anonymous_goes_through_the_same_checks(optional: Edge, open_to: OpenTo) -> None:
    """Without a token one has what the settings give to all, and is told what would open the rest."""
    client = await open_to(optional)
    await client.welcomed()
    await client.subscribe("pool:1")
    forbidden: list[tuple[str, dict[str, Any]]] = [
        ("subscribe", {"channel": "workflow:1"}),
        ("subscribe", {"channel": "workflow:1", "since": "-15m"}),
        ("subscribe", {"channel": "workflow:1", "last": 1}),
        ("get_workflow_status", {"workflow_id": "1"}),
    ]
    for verb, data in forbidden:
        client.request(verb, **data)
        error = await client.message()
        assert (error["error_code"], error["event"]) == ("FORBIDDEN", verb)
        assert "mahavishnu:read or workflow:read" in error["error_message"]
    client.request("get_pool_status", pool_id="1")
    assert (await client.message())["data"]["status"] == "not_found"
    client.request("unsubscribe", channel="workflow:1")
    assert (await client.message())["data"]["status"] == "unsubscribed"


async def test_without_keys_nothing_has_changed(broker: EmbeddedBroker, start_edge: StartEdge, open_to: OpenTo) -> None:
    """Where no key is set up, tokens are not looked at and everything is open."""
    edge = await start_edge(broker)
    client = await open_to(edge, "Authorization: Bearer nonsense")
    reply, welcome = await entered(client, "nonsense")
    assert reply["data"] == {"status": "anonymous", "user_id": None, "expires_at": None}
    assert welcome["data"]["authenticated"] is False
    await client.subscribe("goal-teams:anybody")


# Time.


async def test_warned_and_sent_away_at_the_end(
    broker: EmbeddedBroker, start_edge: StartEdge, open_to: OpenTo, producer: Producer
) -> None:
    """Before its end a token's client is warned once, and gets events; at its end it is sent away."""
    edge = await start_edge(broker, auth_required=True, auth_secret=SECRET, auth_warning_s=1.0)
    client, now = await open_to(edge), time.time()
    await entered(client, token("alice", ["workflow:read"], exp=now + 1.5))
    await client.subscribe("workflow:1")
    warning = await client.message()
    assert warning["event"] == "auth.expiring"
    assert 0 < warning["data"]["expires_in_ms"] <= 1000
    await Mahavishnu(producer).broadcast_workflow_started("1", {})
    assert (await client.message())["event"] == "workflow.started"
    code, _, closed = await turned_away(client)
    assert (code, closed) == ("AUTH_REQUIRED", DENIED)
    assert time.time() - now >= 1.5


async def test_warned_after_the_welcome_when_it_is_due_before(
    optional: Edge, open_to: OpenTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning that falls due before the client was greeted waits for that, and is not lost."""
    looks, look = list[float](), Session.check_standing

    def note(session: Session, now: float) -> None:
        look(session, now)
        looks.append(now)

    monkeypatch.setattr(Session, "check_standing", note)
    client = await open_to(optional, f"Authorization: Bearer {token('alice', exp=time.time() + 20)}")
    await eventually(lambda: len(looks) > 1)
    client.request("ping")
    assert [(await client.message())["event"] for _ in range(3)] == ["ping", "session.created", "auth.expiring"]
    assert await client.marked() == []


async def test_renewed_in_time(broker: EmbeddedBroker, start_edge: StartEdge, open_to: OpenTo) -> None:
    """A new token before the end of the old one keeps the connection and its rooms."""
    edge = await start_edge(broker, auth_required=True, auth_secret=SECRET, auth_warning_s=0.5)
    client, now = await open_to(edge), time.time()
    await entered(client, token("alice", ["workflow:read"], exp=now + 1))
    await client.subscribe("workflow:1")
    assert (await client.message())["event"] == "auth.expiring"
    client.request("auth", "a2", token=token("alice", ["workflow:read"]))
    assert (await client.message())["correlation_id"] == "a2"
    await eventually(lambda: time.time() > now + 1.2)
    assert await client.marked() == []
    assert edge.health()["rooms"] == 1


async def test_rooms_lost_by_a_renewal_are_left_and_told(edge: Edge, open_to: OpenTo, producer: Producer) -> None:
    """What the new token does not open is left, each room with a notice after the answer; the others stay."""
    client = await open_to(edge)
    await entered(client, token("alice", ["workflow:read", "pool:read", "team:read"]))
    for channel in ("workflow:1", "pool:1", "goal-teams:alice", "goal-teams"):
        await client.subscribe(channel)
    client.request("auth", "a2", token=token("alice", ["pool:read"]))
    reply, *left = [await client.message() for _ in range(4)]
    assert reply["data"]["status"] == "authenticated"
    assert {(notice["event"], notice["room"], notice["data"]["reason"]) for notice in left} == {
        ("room.left", room, "forbidden") for room in ("workflow:1", "goal-teams:alice", "goal-teams")
    }
    await Mahavishnu(producer).broadcast_workflow_started("1", {})
    await Mahavishnu(producer).broadcast_pool_spawned("1", {})
    assert (await client.message())["room"] == "pool:1"
    client.request("subscribe", channel="workflow:1")
    assert (await client.message())["error_code"] == "FORBIDDEN"
    await eventually(lambda: edge.health()["rooms"] == 1)


@pytest.mark.parametrize("shown", [token("bob"), token("alice", exp=1), token("alice", key=OTHER_SECRET)])
async def test_renewal_that_fails_ends_the_connection(edge: Edge, open_to: OpenTo, shown: str) -> None:
    """A token that is no good is no good in a renewal either, nor is another user's."""
    client = await open_to(edge)
    await entered(client, token("alice"))
    client.request("auth", token=shown)
    assert (await turned_away(client))[::2] == ("AUTH_FAILED", DENIED)


async def test_anonymous_may_authenticate_later(optional: Edge, open_to: OpenTo) -> None:
    """Where no token is required, one may be shown at any time."""
    client = await open_to(optional)
    await client.welcomed()
    await client.subscribe("pool:1")
    client.request("auth", token=token("alice", ["workflow:read"]))
    reply, left = await client.message(), await client.message()
    assert (reply["data"]["user_id"], left["event"], left["room"]) == ("alice", "room.left", "pool:1")
    await client.subscribe("workflow:1")


async def test_neighbours_notice_nothing(edge: Edge, open_to: OpenTo, producer: Producer) -> None:
    """While others are turned away, one who is in gets every event."""
    member = await open_to(edge)
    await entered(member, token("alice", ["workflow:read"]))
    await member.subscribe("workflow:1")
    for number in range(20):
        stranger = await open_to(edge)
        stranger.request("auth", token="x" * 1000)
        assert (await turned_away(stranger))[0] == "AUTH_FAILED"
        await Mahavishnu(producer).broadcast_workflow_stage_completed("1", str(number), {})
        assert (await member.message())["data"]["stage_name"] == str(number)


# Keys.


async def test_required_without_a_key_does_not_start(broker: EmbeddedBroker) -> None:
    """Such an edge never listens, and says what to set."""
    edge = Edge(SERVICE, EdgeSettings(port=0, redis_url=broker.url, auth_required=True))
    with pytest.raises(SettingsError, match="EDGEBUS_AUTH_SECRET"):
        await edge.start()
    assert not edge.is_running
    await edge.stop()


async def test_keys_that_nobody_publishes_yet(broker: EmbeddedBroker, start_edge: StartEdge, open_to: OpenTo) -> None:
    """While the issuer's keys cannot be had, a token is told to come again, and the connection stays."""
    edge = await start_edge(broker, auth_required=True, auth_jwks="http://127.0.0.1:1/keys")
    client = await open_to(edge)
    client.request("auth", token=token(key=RSA, headers={"kid": "r"}))
    error = await client.message()
    assert (error["error_code"], error["data"]) == ("UNAVAILABLE", {"retry_after_ms": 1000})
    assert await client.marked() == []


async def test_published_keys(broker: EmbeddedBroker, start_edge: StartEdge, open_to: OpenTo) -> None:
    """Keys at a URL are fetched by themselves, and anew for a name that is not among them."""
    members = [jwk(RSA, kid="r")]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + jwks(*members))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        edge = await start_edge(broker, auth_required=True, auth_jwks=f"http://127.0.0.1:{port}/keys")
        client = await open_to(edge)
        reply, _ = await entered(client, token(key=RSA, headers={"kid": "r"}))
        assert reply["data"]["status"] == "authenticated"


async def test_key_file(broker: EmbeddedBroker, start_edge: StartEdge, open_to: OpenTo, tmp_path: Path) -> None:
    """With a public key, its own tokens are let in, and none that the file itself signed."""
    (tmp_path / "key.pem").write_bytes(public_pem(RSA))
    edge = await start_edge(broker, auth_required=True, auth_key_file=tmp_path / "key.pem")
    client = await open_to(edge)
    assert (await entered(client, token(key=RSA)))[0]["data"]["status"] == "authenticated"
    confused = await open_to(edge)
    confused.request("auth", token=raw({"alg": "HS256"}, {"user_id": "a", "exp": time.time() + 9}, public_pem(RSA)))
    assert (await turned_away(confused))[0] == "AUTH_FAILED"


# Silence.


async def test_tokens_are_in_no_log(
    broker: EmbeddedBroker, start_edge: StartEdge, open_to: OpenTo, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is logged at whatever level, there is no token in it, nor a piece of one, nor the secret."""
    caplog.set_level(logging.DEBUG)
    edge = await start_edge(broker, auth_secret=SECRET, auth_in_query=True)
    good, bad = token("alice"), token("alice", key=OTHER_SECRET)
    for shown in (good, bad, good + "\u20ac"):
        client = await open_to(edge)
        client.request("auth", token=shown)
        await client.message()
    for shown in (good, bad):
        await (await open_to(edge, f"Authorization: Bearer {shown}")).message()
        offered = f"Sec-WebSocket-Protocol: edgebus.v1, {shown}"
        await (await open_to(edge, offered, subprotocol="edgebus.v1")).message()
        await (await open_to(edge, path=f"/?token={shown}")).message()
        plain = await Client.connect(edge.port)
        plain.write(f"GET /healthz?token={shown} HTTP/1.1\r\nAuthorization: Bearer {shown}\r\n\r\n".encode())
        await plain.rest()
        plain.writer.close()
    logged = caplog.text + "".join(repr(record.__dict__) for record in caplog.records)
    assert logged
    pieces = {piece for shown in (good, bad) for piece in shown.split(".")} | {SECRET, repr(SECRET)}
    assert [piece for piece in pieces if piece in logged] == []
    assert SECRET not in repr(edge.settings)

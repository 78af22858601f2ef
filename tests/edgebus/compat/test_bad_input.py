"""What goes wrong in a service's class: a clear answer or a counted, logged drop; others untouched."""

import asyncio
import logging
import math
import socket
from typing import Any

import pytest

from bus.broker.embedded import EmbeddedBroker
from bus.errors import BusUnavailable
from edgebus.compat import WebSocketAuthenticator, WebSocketMessage, WebSocketProtocol
from edgebus.compat import server as server_module
from edges import SettingsError
from tests.edgebus.compat.conftest import OpenClient, StartServer
from tests.edgebus.compat.services import CrackerjackWebSocketServer
from tests.edges.peers import DEADLINE_S, Closed, eventually
from tests.edges.signing import SECRET
from tests.ports import free_port


class Faulty(CrackerjackWebSocketServer):
    """Fails as told, for the next client or message."""

    connects: Any = None
    disconnects: Any = None

    async def on_connect(self, websocket: Any, connection_id: str) -> None:
        if self.connects is not None:
            connects, self.connects = self.connects, None
            await connects()
        await super().on_connect(websocket, connection_id)

    async def on_disconnect(self, websocket: Any, connection_id: str) -> None:
        if self.disconnects is not None:
            await self.disconnects()

    async def on_message(self, websocket: Any, message: WebSocketMessage) -> None:
        match message.event:
            case "large":
                response = WebSocketProtocol.create_response(message, {"text": "x" * 10_000_000})
                await websocket.send(WebSocketProtocol.encode(response))
            case "hang":
                await hangs()
            case "answer and hang":
                await websocket.send(WebSocketProtocol.encode(WebSocketProtocol.create_response(message, {"n": 1})))
                await hangs()
            case "raise":
                raise KeyError("secret detail")
            case _:
                await super().on_message(websocket, message)


async def raises() -> None:
    raise OSError("secret detail")


async def hangs() -> None:
    await asyncio.Event().wait()


async def test_on_connect_that_raises(start_server: StartServer, open_client: OpenClient) -> None:
    """The client is told INTERNAL_ERROR and closed with 1011; the hook is counted; the next client is served."""
    server = await start_server(Faulty)
    other = await open_client(server)
    await other.message()
    server.connects = raises
    client = await open_client(server)
    assert (await client.message())["error_code"] == "INTERNAL_ERROR"
    with pytest.raises(Closed) as closed:
        await client.message()
    assert closed.value.code == 1011
    await eventually(lambda: len(server.connections) == 1)
    assert server.statistics()["hook_errors"]["on_connect"] == 1
    assert await other.marked() == []


async def test_on_connect_that_never_returns(
    start_server: StartServer, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, after ``open_timeout_s``."""
    monkeypatch.setenv("EDGEBUS_OPEN_TIMEOUT_S", "0.3")
    server = await start_server(Faulty)
    server.connects = hangs
    client = await open_client(server)
    assert (await client.message())["error_code"] == "INTERNAL_ERROR"
    assert server.statistics()["hook_errors"]["on_connect"] == 1


async def test_on_message_that_raises_or_says_too_much(start_server: StartServer, open_client: OpenClient) -> None:
    """Answered INTERNAL_ERROR without the exception's text, and ANSWER_TOO_LARGE; the connection stays."""
    server = await start_server(Faulty)
    client = await open_client(server)
    await client.message()
    client.request("raise")
    answer = await client.message()
    assert (answer["error_code"], answer["correlation_id"]) == ("INTERNAL_ERROR", "r1")
    assert "secret" not in answer["error_message"]
    client.request("large")
    answer = await client.message()
    assert (answer["error_code"], answer["correlation_id"]) == ("ANSWER_TOO_LARGE", "r1")
    assert await client.marked() == []
    assert server.statistics()["hook_errors"]["on_message"] == 1


async def test_on_message_that_never_returns(start_server: StartServer, open_client: OpenClient) -> None:
    """Its own client is answered TIMEOUT after ``message_timeout_s``, and served on; other clients notice nothing."""
    server = await start_server(Faulty)
    server.message_timeout_s = 0.2
    client, other = await open_client(server), await open_client(server)
    await client.message()
    await other.message()
    client.request("hang")
    client.request("subscribe", "r2", channel="code")
    assert await other.marked() == []
    answer = await client.message()
    assert (answer["error_code"], answer["correlation_id"]) == ("TIMEOUT", "r1")
    assert "message_timeout_s" in answer["error_message"]
    assert (await client.message())["data"]["channel"] == "code"
    assert server.statistics()["hook_errors"]["on_message"] == 1
    client.request("answer and hang", "r3")
    client.request("unsubscribe", "r4", channel="code")
    assert [(await client.message())["correlation_id"] for _ in range(2)] == ["r3", "r4"]
    assert server.statistics()["hook_errors"]["on_message"] == 2


@pytest.mark.parametrize("hook", ["raises", "hangs"])
async def test_on_disconnect_that_fails(
    hook: str, start_server: StartServer, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is out of the tables all the same, at most ``open_timeout_s`` later; the hook is counted."""
    monkeypatch.setenv("EDGEBUS_OPEN_TIMEOUT_S", "0.3")
    server = await start_server(Faulty)
    server.disconnects = {"raises": raises, "hangs": hangs}[hook]
    client, other = await open_client(server), await open_client(server)
    client.request("subscribe", channel="code")
    await client.message()
    await client.close()
    await eventually(lambda: len(server.connections) == 1 and not server.connection_rooms)
    assert server.statistics()["hook_errors"]["on_disconnect"] == 1
    await other.message()
    assert await other.marked() == []


async def test_stop_while_on_message_never_returns(
    start_server: StartServer, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server stops all the same, some ``close_timeout_s`` later."""
    monkeypatch.setenv("EDGEBUS_CLOSE_TIMEOUT_S", "0.3")
    server = await start_server(Faulty)
    client = await open_client(server)
    await client.message()
    client.request("hang")
    assert await client.marked() == []  # pings overtake, so that the hook is under way now
    async with asyncio.timeout(DEADLINE_S):
        await server.stop()
    assert not server.is_running


async def test_metrics_port_that_is_taken_is_a_warning(
    start_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The server goes on without metrics, as the old one did; a class that counts by hand does not notice."""
    with socket.create_server(("127.0.0.1", 0)) as taken, caplog.at_level(logging.WARNING):
        port = taken.getsockname()[1]
        server = await start_server(Faulty, enable_metrics=True, metrics_port=port)
    (told,) = [it for it in caplog.records if "metrics_port cannot be had" in it.getMessage()]
    assert vars(told)["metrics_port"] == port
    server.metrics.on_broadcast("code", 0.1)
    assert Faulty().metrics is None


@pytest.mark.parametrize(
    ("room", "event", "data"),
    [
        ("bus:x", "code.changed", {}),
        ("", "code.changed", {}),
        ("code:" + "x" * 200, "code.changed", {}),
        ("code", "code.changed", {"n": math.nan}),
        ("code", "code.changed", {"n": object()}),
        ("code", "room.gap", {}),
        ("code", 'quo"te', {}),
        ("code", "code.changed", {"text": "x" * 300_000}),
    ],
    ids=["bus:x", "no room", "long room", "NaN", "object", "reserved event", "quote", "large"],
)
async def test_broadcast_that_makes_no_event(
    start_server: StartServer,
    open_client: OpenClient,
    room: str,
    event: str,
    data: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Dropped, counted and logged, never raised; the next event comes."""
    server = await start_server(Faulty)
    client = await open_client(server)
    client.request("subscribe", channel="code")
    await client.message()
    await client.message()
    await server.broadcast_to_room(room, WebSocketProtocol.create_event(event, data))
    assert server.statistics()["dropped"] == {"invalid": 1}
    assert any(record.levelno >= logging.WARNING for record in caplog.records)
    await server.broadcast_event("code.changed", {"n": 1}, room="code")
    assert (await client.message())["data"]["n"] == 1


async def test_client_that_asks_for_no_room(start_server: StartServer, open_client: OpenClient) -> None:
    """A room that cannot be one is answered INVALID_CHANNEL, and is no room of the server."""
    server = await start_server(Faulty)
    client = await open_client(server)
    await client.message()
    client.request("subscribe", channel="bus:x")
    answer = await client.message()
    assert (answer["error_code"], answer["correlation_id"]) == ("INVALID_CHANNEL", "r1")
    client.send({"type": "request", "event": "subscribe", "data": 7, "id": "r2"})
    assert (await client.message())["error_code"] == "INVALID_REQUEST"
    assert server.connection_rooms == {}


async def test_started_twice_and_stopped_while_starting(start_server: StartServer, broker: EmbeddedBroker) -> None:
    """Two starts are one; a stop meanwhile is told to who waits for the start, and leaves nothing behind."""
    server = Faulty(port=0, redis_url=broker.url)
    await asyncio.gather(server.start(), server.start())
    port = server.port
    await server.start()
    assert (server.is_running, server.port) == (True, port)
    await server.stop()
    away = Faulty(port=0, redis_url=f"redis://127.0.0.1:{free_port()}")
    starting = asyncio.create_task(away.start())
    await eventually(lambda: away.port != 0)
    await away.stop()
    with pytest.raises(RuntimeError, match="stopped while it was starting"):
        await starting
    assert not away.is_running


async def test_start_without_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """``start()`` means ready, so no Redis is an error, with the command that starts one; the port is free again."""
    monkeypatch.setattr(server_module, "READY_S", 0.2)
    server = Faulty(port=0, redis_url=f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(BusUnavailable, match="edgebus broker"):
        await server.start()
    assert not server.is_running


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"authenticator": WebSocketAuthenticator("x" * 31)}, "31 bytes.*EDGEBUS_AUTH_WEAK_SECRET=true"),
        (
            {"authenticator": WebSocketAuthenticator(SECRET, token_expiry=7 * 86_400)},
            "604800 s.*EDGEBUS_AUTH_MAX_LIFETIME_S=604800",
        ),
        ({"require_auth": True}, "without an authenticator"),
        ({"tls_enabled": True}, "edgebus cert --dev"),
        ({"max_connections": 0}, "max_connections"),
    ],
    ids=["short secret", "long tokens", "no authenticator", "no certificate", "no places"],
)
async def test_what_cannot_be_taken_over(broker: EmbeddedBroker, options: dict[str, Any], sentence: str) -> None:
    """Refused at the start, with the setting that would allow it."""
    with pytest.raises(SettingsError, match=sentence):
        await Faulty(port=0, redis_url=broker.url, **options).start()


async def test_settings_that_allow_it(start_server: StartServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the named settings, the short secret and tokens of 7 days are taken."""
    monkeypatch.setenv("EDGEBUS_AUTH_WEAK_SECRET", "true")
    monkeypatch.setenv("EDGEBUS_AUTH_MAX_LIFETIME_S", "604800")
    authenticator = WebSocketAuthenticator("x" * 31, token_expiry=7 * 86_400)
    assert (await start_server(Faulty, authenticator=authenticator, require_auth=True)).is_running


def test_environment_and_settings_file(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's own variables and the ``websocket:`` section beside others are read; a slip is named."""
    file = tmp_path / "service.yaml"
    file.write_text("database: {url: x}\nwebsocket: {enabled: true, host: 127.0.0.1, port: 8700, max_connections: 5}\n")
    monkeypatch.setenv("CRACKERJACK_AUTH_ENABLED", "true")
    with pytest.raises(SettingsError, match="CRACKERJACK_JWT_SECRET"):
        CrackerjackWebSocketServer()
    monkeypatch.setenv("CRACKERJACK_JWT_SECRET", SECRET)
    monkeypatch.setenv("CRACKERJACK_TOKEN_EXPIRY", "600")
    monkeypatch.setenv("CRACKERJACK_WS_TLS_ENABLED", "true")
    monkeypatch.setenv("CRACKERJACK_WS_CERT_FILE", "cert.pem")
    monkeypatch.setenv("CRACKERJACK_WS_ALLOWED_ORIGINS", "https://app.example.com")
    server = CrackerjackWebSocketServer.from_settings(file)
    assert (server.port, server.max_connections, server.require_auth) == (8700, 5, True)
    assert (server.authenticator.secret, server.authenticator.token_expiry) == (SECRET, 600)
    assert (server.tls_enabled, server.cert_file, server.uri) == (True, "cert.pem", "wss://127.0.0.1:8700")
    assert server.allowed_origins == "https://app.example.com"
    file.write_text("websocket: {prot: 8700}\n")
    with pytest.raises(SettingsError, match=r"websocket.prot in .*no such key"):
        CrackerjackWebSocketServer.from_settings(file)


@pytest.mark.parametrize("prefix", ["DHARA", "DHRUVA"])
def test_environment_of_a_service_with_two_names(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of either name are read: a name passed over would be a server without authentication."""
    monkeypatch.setenv(f"{prefix}_AUTH_ENABLED", "true")
    monkeypatch.setenv(f"{prefix}_JWT_SECRET", SECRET)
    monkeypatch.setenv(f"{prefix}_WS_CA_FILE", "ca.pem")
    for name in ("DharaWebSocketServer", "DhruvaWebSocketServer"):
        server = type(name, (CrackerjackWebSocketServer,), {})()
        assert (server.require_auth, server.authenticator.secret, server.ca_file) == (True, SECRET, "ca.pem")
    monkeypatch.setenv(f"{prefix}_AUTH_ENABLED", "yes please")
    with pytest.raises(SettingsError, match=f"{prefix}_AUTH_ENABLED: expected true or false"):
        type("DharaWebSocketServer", (CrackerjackWebSocketServer,), {})()


async def test_hook_that_sets_the_user(start_server: StartServer, open_client: OpenClient) -> None:
    """A class that judges tokens itself notes the user on the websocket, as on the old one."""

    class Judging(CrackerjackWebSocketServer):
        async def on_connect(self, websocket: Any, connection_id: str) -> None:
            websocket.user = {"user_id": "alice"}
            await super().on_connect(websocket, connection_id)

    client = await open_client(await start_server(Judging))
    assert (await client.message())["data"]["authenticated"] is True

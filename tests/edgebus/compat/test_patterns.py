"""The ecosystem's snippets and tests, typed in as they stand, with the one import changed."""

import asyncio
import json
from functools import partial
from typing import Any
from unittest.mock import AsyncMock

import pytest
import websockets

from edgebus.compat import (
    EventTypes,
    WebSocketAuthenticator,
    WebSocketClient,
    WebSocketMessage,
    WebSocketProtocol,
    WebSocketServer,
    generate_test_token,
)
from tests.edgebus.compat.conftest import OpenClient, StartServer
from tests.edgebus.compat.services import MahavishnuWebSocketServer
from tests.edges.peers import eventually
from tests.edges.signing import SECRET


class MyServiceWebSocket(WebSocketServer):
    """The documented server pattern."""

    async def on_connect(self, websocket: Any, connection_id: str) -> None:
        await self.join_room(f"session:{connection_id}", connection_id)

    async def on_disconnect(self, websocket: Any, connection_id: str) -> None:
        await self.leave_all_rooms(connection_id)

    async def on_message(self, websocket: Any, message: WebSocketMessage) -> None:
        if message.event == "who":
            response = WebSocketProtocol.create_response(message, {"user": websocket.user})
            await websocket.send(WebSocketProtocol.encode(response))


async def test_server_pattern(start_server: StartServer, open_client: OpenClient) -> None:
    """``on_connect`` joins a room of the connection's own, on each of two replicas, and is reached there."""
    for server in [await start_server(MyServiceWebSocket) for _ in range(2)]:
        client = await open_client(server)
        await eventually(partial(len, server.connection_rooms))
        (connection_id,) = server.connections
        assert server.connection_rooms == {f"session:{connection_id}": {connection_id}}
        event = WebSocketProtocol.create_event(EventTypes.SESSION_UPDATED, {"n": 1})
        await server.broadcast_to_room(f"session:{connection_id}", event)
        await server.send_to_connection(connection_id, WebSocketProtocol.create_event("own.event", {"n": 2}))
        frames = [await client.message() for _ in range(2)]
        assert {it["event"]: it["data"]["n"] for it in frames} == {"session.updated": 1, "own.event": 2}


# Unit tests of the ecosystem: no Redis, no socket.


async def test_unit_rooms_and_broadcast() -> None:
    """A server that is not started keeps rooms, and sends to the connections that a test puts in."""
    server = MyServiceWebSocket(host="127.0.0.1", port=8688)
    assert (server.host, server.port, server.is_running) == ("127.0.0.1", 8688, False)
    assert server.uri == "ws://127.0.0.1:8688"
    mock = AsyncMock()
    server.connections["conn1"] = mock
    await server.join_room("workflow:abc", "conn1")
    assert "conn1" in server.connection_rooms["workflow:abc"]
    assert server.room_connections["conn1"] == "workflow:abc"
    await server.broadcast_to_room("workflow:abc", WebSocketProtocol.create_event("workflow.started", {"n": 1}))
    mock.send.assert_called_once()
    assert json.loads(mock.send.call_args[0][0])["room"] == "workflow:abc"
    await server.leave_room("workflow:abc", "conn1")
    assert "conn1" not in server.connection_rooms.get("workflow:abc", set())
    server.is_running = True
    await server.stop()
    assert server.is_running is False


async def test_unit_handlers_of_events() -> None:
    """``on_event`` registers, ``emit_event`` calls plain and async functions; one that raises stops no other."""
    server, seen = MyServiceWebSocket(), []

    @server.on_event("session.updated")
    async def handle(data: dict[str, Any]) -> None:
        seen.append(data["n"])

    @server.on_event("session.updated")
    def fail(data: dict[str, Any]) -> None:
        raise KeyError("n")

    await server.emit_event("session.updated", {"n": 1})
    await server.emit_event("unknown", {})
    assert seen == [1]


def test_unit_protocol_and_tokens() -> None:
    """Messages go to JSON and back; tokens are made, verified and looked through for permissions."""
    request = WebSocketProtocol.create_request("get_session", {"session_id": "abc"})
    decoded = WebSocketProtocol.decode(WebSocketProtocol.encode(request))
    assert (decoded.type, decoded.event, decoded.data) == ("request", "get_session", {"session_id": "abc"})
    response = WebSocketProtocol.create_response(request, {"ok": True})
    assert (response.type, response.correlation_id) == ("response", request.correlation_id)
    error = WebSocketProtocol.create_error("NOT_FOUND", "no", "c1")
    assert (error.type, error.error_code, error.correlation_id) == ("error", "NOT_FOUND", "c1")
    auth = WebSocketAuthenticator(secret="test-secret-key")
    token = auth.create_token({"user_id": "user123", "permissions": ["read"]})
    payload = auth.verify_token(token)
    assert payload is not None
    assert payload["user_id"] == "user123"
    assert auth.verify_token(token + "x") is None
    assert auth.authenticate_connection(token, ["read"]) == payload
    assert auth.authenticate_connection(token, ["admin"]) is None
    assert WebSocketAuthenticator("test-secret").verify_token(generate_test_token("u")) is not None


async def test_integration_pattern(start_server: StartServer) -> None:
    """The integration test: start, connect at once, subscribe, the first frame is the response, then the event."""
    server = await start_server(MahavishnuWebSocketServer)
    async with websockets.connect(f"ws://127.0.0.1:{server.port}") as websocket:
        await websocket.send(
            json.dumps({"type": "request", "event": "subscribe", "data": {"channel": "workflow:test"}, "id": "sub_1"})
        )
        response = json.loads(await websocket.recv())
        assert response["type"] == "response"
        assert response["data"]["status"] == "subscribed"
        await server.broadcast_workflow_started("test", {"adapter": "x"})
        while (event := json.loads(await websocket.recv()))["event"] == "session.created":
            pass
        assert event["event"] == "workflow.started"


async def test_tokens_and_user(start_server: StartServer) -> None:
    """With ``require_auth`` the ecosystem's client shows its token first, and hooks see the payload as ``user``."""
    auth = WebSocketAuthenticator(SECRET)
    server = await start_server(MyServiceWebSocket, authenticator=auth, require_auth=True)
    token = auth.create_token({"user_id": "alice", "permissions": ["read"], "team": "blue"})
    client = WebSocketClient(server.uri, token=token, reconnect=False)
    await client.connect()
    assert client.is_authenticated
    answer = await client.send_request("who", {})
    assert answer.data["user"].items() >= {"user_id": "alice", "team": "blue"}.items()
    await client.disconnect()
    await client.disconnect()
    wrong = WebSocketClient(server.uri, token=generate_test_token("eve"), reconnect=False)
    with pytest.raises(ConnectionError, match="Authentication failed"):
        await wrong.connect()


async def test_client_resumes_its_rooms(start_server: StartServer) -> None:
    """The client subscribes as ever, and behind a lost connection gets what it missed, once."""
    server = await start_server(MyServiceWebSocket)
    seen: list[int] = []
    client = WebSocketClient(server.uri, initial_delay=0.01)

    @client.on_event("code.changed")
    async def handle(data: dict[str, Any]) -> None:
        seen.append(data["n"])

    await client.connect()
    await client.subscribe_to_room("code")
    await eventually(lambda: "code" in server.connection_rooms)
    await client.send_request("who", {})
    await server.broadcast_event("code.changed", {"n": 1}, room="code")
    await eventually(lambda: seen == [1])
    (connection_id,) = server.connections
    await server.connections[connection_id].close(1012, "away")
    await server.broadcast_event("code.changed", {"n": 2}, room="code")
    await eventually(lambda: seen == [1, 2])
    await server.broadcast_event("code.changed", {"n": 3}, room="code")
    await eventually(lambda: len(seen) > 2)
    assert seen == [1, 2, 3]
    await client.disconnect()


async def test_start_up_pattern(start_server: StartServer) -> None:
    """A service starts its server beside its own work, and stops it at the end, twice."""
    server = await start_server(MyServiceWebSocket)
    work = asyncio.create_task(server.start())
    await work
    assert server.is_running
    await server.stop()
    await server.stop()
    assert not server.is_running
    await server.start()
    assert server.is_running

"""Classes in the shape of five services, each on two replicas: every frame that a client reads."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from producers import Producer
from producers.services.mahavishnu import Mahavishnu
from tests.edgebus.compat.conftest import OpenClient, StartServer
from tests.edgebus.compat.services import SHAPES, CrackerjackWebSocketServer, MahavishnuWebSocketServer
from tests.edges.peers import EVENT_KEYS, NINE_KEYS, Client

CALLS: Final[dict[str, tuple[str, str, str, tuple[Any, ...], dict[str, Any]]]] = {
    "mahavishnu": (
        "workflow:wf_1",
        "broadcast_workflow_started",
        "workflow.started",
        ("wf_1", {"adapter": "local"}),
        {"workflow_id": "wf_1", "adapter": "local"},
    ),
    "akosha": (
        "patterns:Größe & Form",
        "broadcast_pattern_detected",
        "pattern.detected",
        ("p1", "Größe & Form", 0.5),
        {"pattern_id": "p1", "pattern_type": "Größe & Form", "confidence": 0.5},
    ),
    "crackerjack": (
        "backup",
        "broadcast_backup",
        "backup.done",
        (Path("/srv/a"), datetime(2026, 1, 2, tzinfo=UTC)),
        {
            "path": "/srv/a",
            "at": "2026-01-02T00:00:00Z",
            "run": "00000000-0000-0000-0000-000000000007",
            "kinds": ["code"],
        },
    ),
    "excalidraw": (
        "cursor:d1",
        "tell",
        "cursor.moved",
        ("cursor:d1", "cursor.moved"),
        {},
    ),
    "fastblocks": (
        "state",
        "broadcast_state_changed",
        "state.changed",
        ("a.b", [1, None]),
        {"state_path": "a.b", "new_value": [1, None]},
    ),
}


async def subscribed(client: Client, room: str) -> dict[str, Any]:
    client.request("subscribe", "sub_001", channel=room)
    return await client.message()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda it: it.name)
async def test_every_frame_on_two_replicas(shape: Any, start_server: StartServer, open_client: OpenClient) -> None:
    """Response, welcome and event come on both replicas, as from the old server, with the data of the call."""
    room, method, event, arguments, data = CALLS[shape.name]
    servers = [await start_server(shape) for _ in range(2)]
    clients = [await open_client(server) for server in servers]
    for client, server in zip(clients, servers, strict=True):
        response, welcome = await subscribed(client, room), await client.message()
        assert response.keys() == NINE_KEYS
        assert (response["type"], response["event"], response["correlation_id"]) == ("response", "subscribe", "sub_001")
        assert response["data"].items() >= {"status": "subscribed", "channel": room}.items()
        assert (welcome["type"], welcome["event"]) == ("event", "session.created")
        (connection_id,) = server.connections
        assert welcome["data"] == {
            "connection_id": connection_id,
            "server": shape.name,
            "message": shape.sentence,
            "authenticated": False,
        }
        assert server.connection_rooms == {room: {connection_id}}
    await getattr(servers[0], method)(*arguments)
    frames = [await client.message() for client in clients]
    assert frames[0] == frames[1]
    assert frames[0].keys() == EVENT_KEYS
    assert (frames[0]["type"], frames[0]["event"]) == ("event", event)
    assert {name: value for name, value in frames[0]["data"].items() if name != "timestamp"} == data


async def test_rooms_are_the_producers_channels(
    start_server: StartServer, open_client: OpenClient, producer: Producer
) -> None:
    """A room of the catalogue is the channel of the service's other processes, with history and live requests."""
    server = await start_server(MahavishnuWebSocketServer)
    await Mahavishnu(producer).broadcast_workflow_failed("wf_1", "one")
    client = await open_client(server)
    client.request("subscribe", channel="workflow:wf_1", last=10)
    response = await client.message()
    assert (response["data"]["recovered"], response["data"]["replayed"]) == (True, 1)
    events = [it for it in [await client.message() for _ in range(2)] if it["event"] != "session.created"]
    assert events[0]["data"]["error"] == "one"
    client.request("get_pool_status", pool_id="p1")
    assert (await client.message())["data"] == {"pool_id": "p1", "status": "live"}


async def test_what_was_missed_is_replayed_by_the_other_replica(
    start_server: StartServer, open_client: OpenClient
) -> None:
    """A client whose replica went comes back to the other one with its position, and misses nothing."""
    one, other = [await start_server(CrackerjackWebSocketServer) for _ in range(2)]
    client = await open_client(one)
    position = (await subscribed(client, "code"))["data"]["position"]
    await client.message()
    await one.stop()
    await other.tell("code", "code.changed", n=1)
    await other.tell("code", "code.changed", n=2)
    back = await open_client(other)
    back.request("subscribe", channel="code", since=position)
    assert (await back.message())["data"]["recovered"] is True
    frames = [it for it in [await back.message() for _ in range(3)] if it["event"] == "code.changed"]
    assert [it["data"]["n"] for it in frames] == [1, 2]


async def test_health_tools(start_server: StartServer, open_client: OpenClient) -> None:
    """``websocket_health_check``, ``list_rooms`` and ``broadcast_test_event``, as the tools read the server."""
    server = await start_server(MahavishnuWebSocketServer)
    clients = [await open_client(server) for _ in range(2)]
    for client in clients:
        await subscribed(client, "global")
        await client.message()
    health = {
        "status": "healthy" if server.is_running else "stopped",
        "host": server.host,
        "port": server.port,
        "connections": len(server.connections),
        "rooms": len(server.connection_rooms),
        "max_connections": server.max_connections,
    }
    assert health == {
        "status": "healthy",
        "host": "127.0.0.1",
        "port": server.port,
        "connections": 2,
        "rooms": 1,
        "max_connections": 1000,
    }
    assert {room: len(members) for room, members in server.connection_rooms.items()} == {"global": 2}
    await server.broadcast_event("test.event", {"message": "hello"}, room="global")
    for client in clients:
        event = await client.message()
        assert (event["event"], event["room"], event["data"]["message"]) == ("test.event", "global", "hello")

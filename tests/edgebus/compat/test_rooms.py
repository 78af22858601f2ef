"""Rooms of any name, and what a class's clients are told while Redis is away."""

import os
import signal
from typing import Any

import pytest

from bus.broker.embedded import EmbeddedBroker
from bus.errors import ChannelError
from bus.service import Service
from edgebus.compat.catalogues import service_of
from edgebus.compat.rooms import channel_of
from producers.services.mahavishnu import SERVICE as MAHAVISHNU
from tests.edgebus.compat.conftest import OpenClient, StartServer
from tests.edgebus.compat.services import CrackerjackWebSocketServer
from tests.edges.peers import eventually
from tests.ports import free_port

OWN = Service(name="own", port=0, welcome="", families=(), events=())


@pytest.mark.parametrize(
    ("service", "room", "name", "redis"),
    [
        (MAHAVISHNU, "workflow:a b", "workflow:a%20b", "workflow:a%20b"),
        (MAHAVISHNU, "global", "global", "global:mahavishnu"),
        (MAHAVISHNU, "code", "code", "code:mahavishnu"),
        (OWN, "code", "code", "code:own"),
        (OWN, "a:b:c", "a:b:c", "a:b:c:own"),
        (OWN, "Raum für Ä", "room:Raum%20f%C3%BCr%20%C3%84", "room:Raum%20f%C3%BCr%20%C3%84:own"),
        (OWN, "user@x:1", "room:user@x:1", "room:user@x:1:own"),
    ],
)
def test_room_has_a_channel(service: Service, room: str, name: str, redis: str) -> None:
    """The catalogue's where there is one; else one of the service's own, whatever the text."""
    channel = channel_of(service, room)
    assert (channel.name, channel.redis) == (name, redis)


@pytest.mark.parametrize("room", ["", "bus:x", "bus:", "a:" + "x" * 200, "ä" * 100])
def test_room_that_can_be_none(room: str) -> None:
    """An empty or a long name, and the bus's own, are refused."""
    with pytest.raises(ChannelError):
        channel_of(OWN, room)


@pytest.mark.parametrize(
    ("given", "class_name", "name"),
    [
        (None, "MahavishnuWebSocketServer", "mahavishnu"),
        (None, "SessionBuddyServer", "session-buddy"),
        (None, "MyServiceWebSocket", "my-service"),
        (None, "WebSocketServer", "web-socket-server"),
        ("dhara", "X", "dhruva"),
        ("excalidraw-mcp", "X", "excalidraw"),
        (MAHAVISHNU, "X", "mahavishnu"),
    ],
)
def test_catalogue_by_name(given: Service | str | None, class_name: str, name: str) -> None:
    """The class's name, or what the class says; always in the envelope, and on the server's port."""
    service = service_of(given, class_name, 8700)
    assert (service.name, service.port, service.dialect) == (name, 8700, "envelope")


async def test_redis_away_under_a_server(start_server: StartServer, open_client: OpenClient) -> None:
    """A client that wants into a room is answered UNAVAILABLE, a broadcast returns at once, and Redis comes back."""
    port = free_port()
    with EmbeddedBroker(port=port) as broker:
        server = await start_server(CrackerjackWebSocketServer, redis_url=broker.url)
        client = await open_client(server)
        assert (await client.message())["event"] == "session.created"
        os.kill(broker.pid, signal.SIGKILL)
        assert (await client.message())["event"] == "bus.degraded"
        client.request("subscribe", channel="code")
        assert (await client.message())["error_code"] == "UNAVAILABLE"
        assert server.connection_rooms == {}
        await server.broadcast_event("code.changed", {"n": 1}, room="code")
    with EmbeddedBroker(port=port):
        while (await client.message(10))["event"] != "bus.restored":
            pass
        client.request("subscribe", channel="code", last=5)
        frames = [await client.message() for _ in range(2)]
        assert [it["event"] for it in frames] == ["subscribe", "code.changed"]
        assert server.statistics()["hook_errors"]["on_message"] == 0
        await client.close()
        await server.stop()


async def test_connection_that_leaves_is_in_no_room(start_server: StartServer, open_client: OpenClient) -> None:
    """The end of a client takes it out of connections and rooms, as health tools count them."""
    server = await start_server(CrackerjackWebSocketServer)
    client = await open_client(server)
    client.request("subscribe", channel="code")
    await client.message()
    assert (len(server.connections), len(server.connection_rooms)) == (1, 1)
    await client.close()
    await eventually(lambda: not server.connections and not server.connection_rooms)


class Leaving(CrackerjackWebSocketServer):
    """Tells of every client that leaves, as a collaboration does."""

    async def on_disconnect(self, websocket: object, connection_id: str) -> None:
        await self.broadcast_event("user.left", {"user_id": connection_id}, room="presence")


async def test_ends_are_told_while_stopping(start_server: StartServer, open_client: OpenClient) -> None:
    """What ``on_disconnect`` broadcasts while a replica stops reaches the clients of the other one."""
    one, other = await start_server(Leaving), await start_server(Leaving)
    client, watching = await open_client(one), await open_client(other)
    await client.message()
    (connection_id,) = one.connections
    watching.request("subscribe", channel="presence")
    await watching.message()
    await watching.message()
    await one.stop()
    event = await watching.message()
    assert (event["event"], event["data"]["user_id"]) == ("user.left", connection_id)
    assert one.connections == {}


@pytest.mark.parametrize("past", [{}, {"last": 5}], ids=["now", "with the past"])
async def test_answer_tells_the_name_in_events(
    past: dict[str, Any], start_server: StartServer, open_client: OpenClient
) -> None:
    """Where events come under another spelling than the one asked for, the answer to ``subscribe`` has both."""
    server = await start_server(CrackerjackWebSocketServer)
    client = await open_client(server)
    for asked, named in (("quality:my project", "quality:my%20project"), ("My room", "room:My%20room")):
        client.request("subscribe", channel=asked, **past)
        while (answer := await client.message())["event"] != "subscribe":
            pass
        assert (answer["data"]["channel"], answer["data"]["room"]) == (asked, named)
        await server.broadcast_event("code.changed", {"asked": asked}, room=asked)
        while (event := await client.message())["event"] != "code.changed":
            pass
        assert (event["room"], event["data"]["asked"]) == (named, asked)
    client.request("subscribe", channel="code", **past)
    assert "room" not in (await client.message())["data"]

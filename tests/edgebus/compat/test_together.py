"""The ecosystem's client class draws together at an edge, with no class of the service's server running."""

from typing import Any

from bus.broker.embedded import EmbeddedBroker
from edgebus.compat.client import WebSocketClient
from edges import Edge, EdgeSettings
from producers.services import load
from tests.edges.peers import eventually


async def test_client_class_joins_moves_its_cursor_and_leaves(broker: EmbeddedBroker) -> None:
    """Requests are answered, a cursor as an event reaches the other, and who leaves is told as gone."""
    seen: list[tuple[str, str]] = []
    async with Edge(load("excalidraw-mcp"), EdgeSettings(port=0, redis_url=broker.url)) as edge:
        await edge.ready()
        uri = f"ws://127.0.0.1:{edge.port}"
        ann, ben = WebSocketClient(uri, reconnect=False), WebSocketClient(uri, reconnect=False)
        for name in ("user.joined", "user.left", "cursor.moved"):

            async def take(data: dict[str, Any], name: str = name) -> None:
                seen.append((name, data["user_id"]))

            ben.on_event(name)(take)
        for client in (ann, ben):
            await client.connect()
        for room in ("collaboration:d", "cursor:d"):
            await ben.subscribe_to_room(room)
        joined = await ann.send_request("join_collaboration", {"room_id": "d", "user_id": "ann", "user_info": {}})
        assert _data(joined) == {"diagram_id": "d", "user_id": "ann", "status": "joined"}
        active = _data(await ben.send_request("get_active_users", {"diagram_id": "d"}))
        assert [user["user_id"] for user in active["users"]] == ["ann"]
        await eventually(lambda: ("user.joined", "ann") in seen)
        moved = {"diagram_id": "d", "user_id": "ann", "position": {"x": 1}}
        await ann.send_request("broadcast_cursor", moved)
        await eventually(lambda: ("cursor.moved", "ann") in seen)
        await ann.disconnect()
        await eventually(lambda: ("user.left", "ann") in seen)
        await ben.disconnect()
    assert seen == [("user.joined", "ann"), ("cursor.moved", "ann"), ("user.left", "ann")]


def _data(answer: Any) -> Any:
    return getattr(answer, "data", answer)

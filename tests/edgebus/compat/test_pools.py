"""The broadcaster of mahavishnu's pools: its own order of arguments, by position, on the right channels."""

from typing import Any, Final
from unittest.mock import AsyncMock, MagicMock

import pytest

from edgebus.compat import WebSocketBroadcaster, create_broadcaster
from producers import Producer
from tests.edgebus.compat.conftest import OpenClient, StartServer
from tests.edgebus.compat.services import MahavishnuWebSocketServer

# Typed by hand from the class of the service: the call by position, the event, its data, and where clients find it.
CALLS: Final[list[tuple[str, tuple[Any, ...], str, dict[str, Any], tuple[str, ...]]]] = [
    ("pool_spawned", ("p", {"min": 2}), "pool.spawned", {"pool_id": "p", "config": {"min": 2}}, ("pool:p", "global")),
    ("pool_scaled", ("p", 5), "pool.scaled", {"pool_id": "p", "worker_count": 5}, ("pool:p", "global")),
    (
        "pool_status_changed",
        ("p", "active"),
        "pool.status_changed",
        {"pool_id": "p", "status": {"state": "active"}},
        ("pool:p", "global"),
    ),
    ("pool_closed", ("p",), "pool.closed", {"pool_id": "p"}, ("pool:p", "global")),
    ("worker_added", ("p", "w"), "worker.added", {"pool_id": "p", "worker_id": "w"}, ("worker:w", "pool:p")),
    ("worker_removed", ("p", "w"), "worker.removed", {"pool_id": "p", "worker_id": "w"}, ("worker:w", "pool:p")),
    (
        "worker_status_changed",
        ("p", "w", "busy"),
        "worker.status_changed",
        {"pool_id": "p", "worker_id": "w", "status": "busy"},
        ("worker:w", "pool:p"),
    ),
    (
        "task_assigned",
        ("p", "w", {"n": 1}),
        "task.assigned",
        {"pool_id": "p", "worker_id": "w", "task": {"n": 1}},
        ("worker:w", "pool:p"),
    ),
    (
        "task_completed",
        ("p", "w", {"n": 2}),
        "task.completed",
        {"pool_id": "p", "worker_id": "w", "result": {"n": 2}},
        ("worker:w", "pool:p"),
    ),
    (
        "learning_metrics",
        (1, 2, 3, 4.5, "alice"),
        "learning.metrics",
        {"patterns_strengthened": 1, "patterns_weakened": 2, "model_retrains": 3, "avg_confidence_score": 4.5},
        ("symbiotic:ecosystem",),
    ),
    (
        "skill_effectiveness",
        ("s", 90.0),
        "skill.effectiveness",
        {"skill_name": "s", "success_rate": 90.0, "total_attempts": 0, "avg_confidence": 0.0},
        ("symbiotic:ecosystem",),
    ),
    (
        "strategy_recommender_metrics",
        (),
        "strategy.recommender",
        {"recommendations_made": 0, "high_confidence_count": 0, "avg_success_rate": 0.0},
        ("symbiotic:ecosystem",),
    ),
]


async def test_every_call_by_position(start_server: StartServer, open_client: OpenClient) -> None:
    """A client of the other replica gets each event, in order, by its pool, its worker and ``global``."""
    one, other = [await start_server(MahavishnuWebSocketServer) for _ in range(2)]
    rooms = ("pool:p", "worker:w", "global", "symbiotic:ecosystem")
    clients = dict(zip(rooms, [await open_client(other) for _ in rooms], strict=True))
    for room, client in clients.items():
        client.request("subscribe", channel=room)
        assert [(await client.message())["event"] for _ in range(2)] == ["subscribe", "session.created"]
    broadcaster = WebSocketBroadcaster(one)
    for method, arguments, *_ in CALLS:
        assert await getattr(broadcaster, f"broadcast_{method}")(*arguments) is True
    for room, client in clients.items():
        for _, _, event, data, channels in CALLS:
            if room in channels:
                frame = await client.message()
                del frame["data"]["timestamp"]
                assert (frame["event"], frame["room"], frame["data"]) == (event, room, data)
        assert await client.marked() == []


async def test_producer_alone(producer: Producer) -> None:
    """Without a server, by a producer; arguments that make no event are counted, and nothing is raised."""
    broadcaster = WebSocketBroadcaster(producer=producer)
    assert await broadcaster.broadcast_worker_status_changed("pool:p", "w", "busy") is True
    assert await broadcaster.broadcast_pool_scaled("p", "five") is False  # type: ignore[arg-type]
    assert producer.statistics().dropped == {"invalid": 1}


async def test_unit_mock_of_a_server() -> None:
    """A server that is none of ours is given one event for the pool's room, as a mock of a unit test expects."""
    server = MagicMock(is_running=True, broadcast_to_room=AsyncMock())
    broadcaster = create_broadcaster(websocket_server=server, buffer_enabled=True)
    assert await broadcaster.broadcast_worker_status_changed("p", "w", "busy") is True
    ((room, message),) = [it.args for it in server.broadcast_to_room.call_args_list]
    assert (room, message.room, message.event) == ("pool:p", "pool:p", "worker.status_changed")
    assert message.data.keys() == {"pool_id", "worker_id", "status", "timestamp"}
    server.broadcast_to_room.side_effect = ConnectionError
    assert await broadcaster.broadcast_pool_closed("p") is False
    assert await WebSocketBroadcaster().broadcast_pool_closed("p") is False


@pytest.mark.parametrize(("size", "kept"), [(10, ["p0", "p1", "p2"]), (2, ["p1", "p2"])])
async def test_buffer(size: int, kept: list[str]) -> None:
    """Events without a server are kept, the newest, and broadcast in order by ``flush_buffer``."""
    broadcaster = WebSocketBroadcaster(buffer_size=size, buffer_enabled=True)
    for number in range(3):
        assert await broadcaster.broadcast_pool_closed(f"p{number}") is False
    assert await broadcaster.flush_buffer() == 0
    server = MagicMock(is_running=True, broadcast_to_room=AsyncMock())
    broadcaster.set_server(server)
    assert await broadcaster.flush_buffer() == len(kept)
    assert [it.args[1].data["pool_id"] for it in server.broadcast_to_room.call_args_list] == kept
    assert (await broadcaster.flush_buffer(), broadcaster.clear_buffer()) == (0, 0)

"""``producers.health``: a service's own health tool in three lines."""

import asyncio
import socket
from typing import Any

import pytest
from redis.asyncio import Redis

import producers.blocking
from bus.admin.values import EdgeEntry
from bus.broker.embedded import EmbeddedBroker
from bus.errors import AddressError, BusError
from producers import health
from producers.services.mahavishnu import SERVICE
from producers.wellbeing import told

ENTRY: dict[str, str | int] = {
    "service": "mahavishnu",
    "host": "h",
    "port": 8690,
    "connections": 2,
    "max_connections": 10,
    "rooms": 3,
    "ready": "yes",
    "started": 1_700_000_000_000,
}
EDGE = EdgeEntry("a", "mahavishnu", host="h", port=8690, connections=2, max_connections=10, rooms=3, ready="yes")
LOST = EdgeEntry("b", "mahavishnu", host="g", port=8691, connections=1, max_connections=10, rooms=1, ready="no link")
OTHER = EdgeEntry("c", "akosha", host="h", port=8692, connections=5, max_connections=10, rooms=1, ready="yes")


async def test_running_service_is_healthy(broker: EmbeddedBroker) -> None:
    """The keys of the old tool, with the edge's own counts, by name, repository's name or catalogue."""
    async with Redis.from_url(broker.url) as redis:
        await redis.zadd("bus:edges", {"a": 1})
        await redis.hset("bus:edge:a", mapping={it: str(value) for it, value in ENTRY.items()})
    told = await health(broker.url, "mahavishnu")
    expected = {"status": "healthy", "server": "mahavishnu", "host": "h", "port": 8690, "connections": 2, "rooms": 3}
    assert told == {**expected, "max_connections": 10, "edges": 1, "uptime_seconds": told["uptime_seconds"]}
    assert told["uptime_seconds"] > 0
    assert (await health(broker.url, SERVICE))["port"] == 8690
    assert (await asyncio.to_thread(producers.blocking.health, broker.url, "mahavishnu")).keys() == told.keys()
    assert (await health(broker.url))["services"]["mahavishnu"]["connections"] == 2
    assert (await health(broker.url, "dhara"))["server"] == "dhruva"


def test_edges_of_one_service_are_summed() -> None:
    """One ready edge is enough; host and port are a ready edge's."""
    found = told([LOST, EDGE], "mahavishnu")
    assert (found["status"], found["host"], found["port"]) == ("healthy", "h", 8690)
    assert (found["connections"], found["rooms"], found["max_connections"], found["edges"]) == (3, 4, 20, 2)


def test_no_ready_edge_is_degraded_with_the_reason() -> None:
    """Clients are connected, and nothing reaches them: the reason is the edge's own."""
    found = told([LOST], "mahavishnu")
    assert (found["status"], found["message"]) == ("degraded", "no edge is ready: no link")


def test_all_services_are_told_one_by_one() -> None:
    """Without a name, the whole is as bad as its worst service."""
    assert told([EDGE, OTHER], None)["status"] == "healthy"
    found = told([LOST, OTHER], None)
    assert (found["status"], found["connections"]) == ("degraded", 6)
    assert {name: it["status"] for name, it in found["services"].items()} == {
        "mahavishnu": "degraded",
        "akosha": "healthy",
    }


async def test_service_without_edges_is_stopped(broker: EmbeddedBroker) -> None:
    """No edge says that it is there."""
    for service in ("mahavishnu", None):
        found = await health(broker.url, service)
        assert (found["status"], found["connections"], found["rooms"]) == ("stopped", 0, 0)


async def test_redis_away_is_an_answer() -> None:
    """A health tool answers whatever happens, and in time."""
    found = await health("redis://127.0.0.1:1", "mahavishnu")
    assert (found["status"], found["connections"]) == ("error", 0)
    assert "edgebus broker" in found["error"]
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        found = await health(f"redis://127.0.0.1:{deaf.getsockname()[1]}", "mahavishnu", timeout_s=0.05)
    assert (found["status"], found["error"]) == ("error", "Redis did not answer within 0.05 s")


async def test_entries_that_a_person_typed_are_no_harm(broker: EmbeddedBroker) -> None:
    """What cannot be read counts nothing."""
    async with Redis.from_url(broker.url) as redis:
        await redis.zadd("bus:edges", {"a": 1, "b": 2})
        await redis.hset("bus:edge:a", mapping={"service": "mahavishnu", "connections": "many", "ready": "no"})
        await redis.set("bus:edge:b", "by hand")
        found = await health(broker.url, "mahavishnu")
    assert (found["status"], found["connections"], found["edges"]) == ("degraded", 0, 1)


async def test_wrong_calls_are_the_callers() -> None:
    """A URL that cannot be used is no state of the service, and blocking code is not for an event loop."""
    with pytest.raises(AddressError):
        await health("nonsense", "mahavishnu")
    blocking: Any = producers.blocking.health
    with pytest.raises(BusError, match=r"await producers\.health"):
        blocking("redis://127.0.0.1:1", "mahavishnu")

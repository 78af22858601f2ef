"""Stages in a real Redis: written by edges under their user, read by an operator, bounded in number."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from bus.log.log import Log
from bus.redis.acl import users
from bus.traceparent import EXAMPLE
from bus.traces import store
from bus.traces.lines import Marked
from bus.traces.stages import Handover
from bus.traces.store import TraceStore
from producers.services import load
from tests.contract.brokers import Broker

HASH = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"  # of "password"


def handover(edge: str = "a", channel: str = "global") -> Handover:
    return Handover(edge, channel, "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:01+00:00", 3)


def marked(event_id: str) -> Marked:
    return Marked(event_id, "workflow.started", "t", "5-1000", EXAMPLE)


@pytest.fixture
async def redis(real: Broker) -> AsyncIterator[Any]:
    async with Redis.from_url(real.url) as client:
        yield client


@pytest.fixture
async def store_of(real: Broker, redis: Any) -> AsyncIterator[Callable[[str], TraceStore]]:
    """Return a store under the user of a role."""
    names = {}
    for user in users([load("mahavishnu")], narrowed=True):
        await redis.execute_command(*user.command(HASH).split())
        names[user.role] = user.name
    logs = {}
    for role, name in names.items():
        url = real.url.replace("redis://", f"redis://{name}:password@")
        logs[role] = Log(url, name="test")
    yield lambda role: TraceStore(logs[role])  # type: ignore[index]
    for log in logs.values():
        await log.close()


async def test_edge_writes_and_operator_reads(store_of: Callable[[str], TraceStore], redis: Any) -> None:
    """Two edges' words are one event's stages, which a person reads with HGETALL; both keys expire."""
    await store_of("edge").add([(marked("e1"), handover("a")), (marked("e2"), handover("a"))])
    await store_of("edge").add([(marked("e1"), handover("b", "workflow:wf_1"))])
    operator = store_of("operator")
    told = await operator.read("e1")
    assert told is not None
    assert [(it.edge, it.channel, it.clients) for it in told.handovers] == [
        ("a", "global", 3),
        ("b", "workflow:wf_1", 3),
    ]
    assert await operator.read("unknown") is None
    assert {it.id for it in await operator.newest(10)} == {"e1", "e2"}
    assert {it.id for it in await operator.newest(1)} < {"e1", "e2"}
    assert (await redis.hgetall("bus:trace:e1"))[b"event"] == b"workflow.started"
    for key in ("bus:trace:e1", "bus:traces"):
        assert 0 < await redis.pttl(key) <= store.LIFE_S * 1000


async def test_oldest_go(store_of: Callable[[str], TraceStore], redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound, the events written to longest ago are taken out, with their hashes."""
    monkeypatch.setattr(store, "MOST_EVENTS", 5)
    edge = store_of("edge")
    for number in range(9):
        await edge.add([(marked(f"e{number}"), handover())])
    assert await redis.zcard("bus:traces") == 5
    assert len([key async for key in redis.scan_iter("bus:trace:*")]) == 5


async def test_fields_of_one_event_are_bounded(
    store_of: Callable[[str], TraceStore], redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events that share an id share a hash, which ends growing."""
    monkeypatch.setattr(store, "MOST_FIELDS", 8)
    for number in range(20):
        await store_of("edge").add([(marked("e"), handover("a", f"workflow:{number}"))])
    assert await redis.hlen("bus:trace:e") <= 10


async def test_keys_of_another_type_are_left_alone(store_of: Callable[[str], TraceStore], redis: Any) -> None:
    """What a person typed in a hash's place costs that event, and no other."""
    await redis.set("bus:trace:e1", "by hand")
    await store_of("edge").add([(marked("e1"), handover()), (marked("e2"), handover())])
    assert await redis.get("bus:trace:e1") == b"by hand"
    assert [it.id for it in await store_of("operator").newest(10)] == ["e2"]

"""Edges in Redis, as an operator reads them."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from bus.admin.operator import Operator
from bus.broker.embedded import EmbeddedBroker


@pytest.fixture
async def redis(broker: EmbeddedBroker) -> AsyncIterator[Redis]:
    """Lend what a person with redis-cli has."""
    async with Redis.from_url(broker.url) as client:
        yield client


async def test_edges_are_read_by_the_index(broker: EmbeddedBroker, redis: Redis) -> None:
    """An id without an entry is an edge that died; an entry with odd fields is shown without them."""
    await redis.zadd("bus:edges", {"b-1": 1, "a-1": 2, "dead-1": 3, "list-1": 4})
    await redis.hset("bus:edge:a-1", mapping={"service": "a", "port": "many", "connections": "7", "later": "x"})
    await redis.hset("bus:edge:b-1", mapping={"service": "b", "ready": "yes", "clock_offset_ms": "-3"})
    await redis.rpush("bus:edge:list-1", "by hand")
    async with Operator(broker.url) as operator:
        first, second = await operator.edges()
        assert (first.id, first.service, first.port, first.connections, first.is_ready) == ("a-1", "a", None, 7, False)
        assert (second.id, second.clock_offset_ms, second.is_ready) == ("b-1", -3, True)
        assert [it.id for it in await operator.edges("b")] == ["b-1"]


async def test_no_edges(broker: EmbeddedBroker) -> None:
    """A Redis without edges has none."""
    async with Operator(broker.url) as operator:
        assert await operator.edges() == []

"""Edges on free ports, each test with a Redis of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.service import Service
from edges import Edge, EdgeSettings
from producers.services.mahavishnu import SERVICE as MAHAVISHNU
from tests.edges.peers import Client, eventually
from tests.edges.streams import Listener

StartEdge = Callable[..., Awaitable[Edge]]
OpenClient = Callable[..., Awaitable[Client]]
Listen = Callable[..., Awaitable[Listener]]


@pytest.fixture
async def redis(broker: EmbeddedBroker) -> AsyncIterator[Redis]:
    """Lend what a person with redis-cli has."""
    async with Redis.from_url(broker.url) as client:
        yield client


@pytest.fixture
async def start_edge() -> AsyncIterator[StartEdge]:
    """Return a function that starts an edge on a free port, and waits until it is ready if it has a Redis."""
    async with AsyncExitStack() as stack:

        async def start(broker: EmbeddedBroker | None = None, service: Service = MAHAVISHNU, **settings: Any) -> Edge:
            if broker is not None:
                settings["redis_url"] = broker.url
            edge = await stack.enter_async_context(Edge(service, EdgeSettings(**{"port": 0, **settings})))
            if broker is not None:
                await eventually(lambda: edge.not_ready() is None)
            return edge

        yield start


@pytest.fixture
async def open_client() -> AsyncIterator[OpenClient]:
    """Return a function that opens a client, closed after the test."""
    opened: list[Client] = []

    async def open_(edge: Edge, **options: Any) -> Client:
        opened.append(await Client.open(edge.port, **options))
        return opened[-1]

    yield open_
    for client in opened:
        await client.close()


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    """Return a function that opens a stream of events, closed after the test."""
    opened: list[Listener] = []

    async def open_(edge: Edge | int, *channels: str, **options: Any) -> Listener:
        opened.append(await Listener.open(edge, *channels, **options))
        return opened[-1]

    yield open_
    for listener in opened:
        await listener.close()

"""Servers of services on free ports, two replicas on one Redis."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from bus.broker.embedded import EmbeddedBroker
from edgebus.compat import WebSocketServer
from tests.edges.peers import Client

StartServer = Callable[..., Awaitable[Any]]
OpenClient = Callable[..., Awaitable[Client]]


@pytest.fixture
async def start_server(broker: EmbeddedBroker) -> AsyncIterator[StartServer]:
    """Return a function that starts a server of a class."""
    async with AsyncExitStack() as stack:

        async def start(cls: type[WebSocketServer], **options: Any) -> WebSocketServer:
            server = cls(**{"port": 0, "redis_url": broker.url, **options})
            stack.push_async_callback(server.stop)
            await server.start()
            return server

        yield start


@pytest.fixture
async def open_client() -> AsyncIterator[OpenClient]:
    """Return a function that opens a raw client of a server, closed after the test."""
    opened: list[Client] = []

    async def open_(server: WebSocketServer) -> Client:
        opened.append(await Client.open(server.port))
        return opened[-1]

    yield open_
    for client in opened:
        await client.close()

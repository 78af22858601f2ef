"""One server for each test, of each kind; and a sender and a receiver with connections of their own."""

import shutil
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from tests.appending_log import AppendingLog
from tests.contract.brokers import DEBIAN, EMBEDDED, FAKE, REAL, Broker, Receiver, fake_server


def need(kind: str) -> str | None:
    """Return the binary to start for ``kind``; skip the test if there is none."""
    if kind == DEBIAN and shutil.which("redis-server") is None:
        pytest.skip("no redis-server: apt-get install redis-server")
    return "redis-server" if kind == DEBIAN else None


def serve(kind: str) -> Iterator[Broker]:
    if kind == FAKE:
        with fake_server() as url:
            yield Broker(kind, url)
        return
    with EmbeddedBroker(port=0, binary=need(kind)) as server:
        yield Broker(kind, server.url, server.pid)


@pytest.fixture(params=REAL)
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """Lend a server of each kind: the real ones, and fakeredis where a test is marked ``also_fake``."""
    yield from serve(request.param)


@pytest.fixture(params=REAL)
def binary(request: pytest.FixtureRequest) -> str | None:
    """Name the program of each kind of real server, None for the embedded one."""
    return need(request.param)


@pytest.fixture
def real(binary: str | None) -> Iterator[Broker]:
    """Lend a real server of each kind."""
    yield from serve(DEBIAN if binary else EMBEDDED)


@pytest.fixture
async def redis(broker: Broker) -> AsyncIterator[Redis]:
    """Lend what a person with redis-cli has."""
    async with Redis.from_url(broker.url) as client:
        yield client


@pytest.fixture
async def log(broker: Broker) -> AsyncIterator[AppendingLog]:
    """Lend the sender."""
    async with AppendingLog(broker.url, name="edgebus-producer-test") as log:
        yield log


@pytest.fixture
async def receiver(broker: Broker) -> AsyncIterator[Receiver]:
    """Lend the receiver."""
    async with Receiver(broker.url) as receiver:
        yield receiver

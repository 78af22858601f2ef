"""Hearing by pattern, on real servers and under a user of ``bus.redis.acl``."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from bus.errors import BusError, BusUnavailable
from bus.redis.acl import users
from bus.redis.address import with_login
from bus.redis.overhearing import overhear
from edges.lifecycle.metrics.skills import PATTERNS
from producers.services import load
from tests.contract.brokers import Broker, Cli
from tests.edges.peers import eventually


async def user_of(real: Broker, root: Cli, service: str) -> str:
    """Make the users of a service, and return the URL of the edge's."""
    for user in users([load(service)], narrowed=True):
        await root.execute_command(*user.command(hashlib.sha256(b"secret").hexdigest()).split())
    return with_login(real.url, f"edgebus-edge-{service}", "secret")


@pytest.fixture
async def root(real: Broker) -> AsyncIterator[Cli]:
    """Lend an administrator."""
    async with Redis.from_url(real.url, protocol=2, decode_responses=True) as client:
        yield client


@asynccontextmanager
async def overheard(url: str, heard: list[bytes], begun: Callable[[], None]) -> AsyncIterator[asyncio.Task[None]]:
    task: asyncio.Task[None] = asyncio.create_task(overhear(url, "test", PATTERNS, heard.append, begun=begun))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_edge_of_session_buddy_hears_every_session(real: Broker, root: Cli) -> None:
    """Under its own user, also sessions that nobody has named, and ``ACL LOG`` has no refusal."""
    heard, begun, url = list[bytes](), list[int](), await user_of(real, root, "session-buddy")
    async with overheard(url, heard, lambda: begun.append(1)):
        await eventually(lambda: len(begun) == len(PATTERNS))
        for channel in ("session:new", "workflow:a", "skills", "skill:plan", "knowledge"):
            await root.publish(channel, channel)
        await eventually(lambda: len(heard) == 3)
    assert heard == [b"session:new", b"skills", b"skill:plan"]
    assert await root.execute_command("ACL", "LOG") == []


async def test_edge_of_another_service_may_not(real: Broker, root: Cli) -> None:
    """The refusal is one that waiting does not help against."""
    url = await user_of(real, root, "mahavishnu")
    with pytest.raises(BusError) as refused:
        await overhear(url, "test", PATTERNS, lambda _: None, begun=lambda: None)
    assert not isinstance(refused.value, BusUnavailable)


async def test_lost_connection_is_told(real: Broker, root: Cli) -> None:
    """The owner decides when to try again."""
    begun = list[int]()
    async with overheard(real.url, [], lambda: begun.append(1)) as task:
        await eventually(lambda: begun)
        await root.client_kill_filter(_type="pubsub")
        await asyncio.wait([task])
        assert isinstance(task.exception(), BusUnavailable)

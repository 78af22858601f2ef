"""Redis Sentinel with real servers: the primary is found, lost, and found again."""

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bus.broker.child import Child, spawn_bound
from bus.broker.embedded import EmbeddedBroker
from bus.errors import AddressError, BusUnavailable
from bus.redis.address import client
from bus.redis.sentinel import parse_sentinel_url
from bus.redis.subscriber import Subscriber
from producers.services.mahavishnu import WORKFLOW
from tests.appending_log import AppendingLog
from tests.ports import free_port

DEADLINE_S = 30.0
QUORUM = 2

needs_redis = pytest.mark.skipif(
    shutil.which("redis-sentinel") is None and shutil.which("redis-server") is None,
    reason="no redis-server: apt-get install redis-server",
)


@dataclass
class Deployment:
    """A primary, a replica, and three sentinels."""

    primary: EmbeddedBroker
    replica: EmbeddedBroker
    sentinels: list[int]

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        return f"redis+sentinel://{places}/main"


def start_sentinel(folder: Path, port: int, primary: int) -> Child:
    file = folder / f"sentinel-{port}.conf"
    file.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor main 127.0.0.1 {primary} {QUORUM}\n"
        "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
    )
    return spawn_bound(["redis-server", str(file), "--sentinel"], stdout=subprocess.DEVNULL)


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with ExitStack() as stack:
        server = shutil.which("redis-server")
        primary = stack.enter_context(EmbeddedBroker(port=0, binary=server))
        follow = ("--replicaof", f"127.0.0.1 {primary.port}", "--repl-diskless-sync-delay", "0")
        replica = stack.enter_context(EmbeddedBroker(port=0, binary=server, extra=follow))
        ports = [free_port() for _ in range(3)]
        for port in ports:
            child = start_sentinel(tmp_path, port, primary.port)
            stack.callback(child.stop_blocking)
        yield Deployment(primary, replica, ports)


async def eventually_at(url: str, port: int) -> None:
    """Wait until the sentinels say that the primary is on ``port``."""
    sentinels = parse_sentinel_url(url)
    assert sentinels is not None
    due = time.monotonic() + DEADLINE_S
    while time.monotonic() < due:
        try:
            if (await sentinels.primary())[1] == port:
                return
        except OSError:
            pass
    pytest.fail("the sentinels did not agree in time")


async def knows_replica(deployment: Deployment) -> None:
    """Wait until every sentinel knows the replica and the other sentinels: before that no failover can succeed."""
    due = time.monotonic() + DEADLINE_S
    for port in deployment.sentinels:
        async with client(f"redis://127.0.0.1:{port}", "test") as redis:
            state: Any = {}
            while not (state.get("num-slaves") and state.get("num-other-sentinels") == 2):
                assert time.monotonic() < due
                try:
                    state = await redis.sentinel_master("main")
                except Exception:  # noqa: BLE001 (it starts; what it says until then does not matter)
                    state = {}


@needs_redis
@pytest.mark.timeout(90)
async def test_primary_is_followed_through_a_failover(deployment: Deployment) -> None:
    """After the primary died, the log and the link find the promoted replica by themselves."""
    ups: asyncio.Queue[None] = asyncio.Queue()
    await eventually_at(deployment.url, deployment.primary.port)
    await knows_replica(deployment)
    async with (
        AppendingLog(deployment.url, name="test") as log,
        Subscriber(deployment.url, name="test", deliver=lambda _: None, on_up=lambda: ups.put_nowait(None)) as link,
        asyncio.timeout(2 * DEADLINE_S),
    ):
        assert (await log.heads([WORKFLOW.fill("a")]))[0].last is None
        await ups.get()
        await link.subscribe("workflow:a")
        await deployment.primary.stop()
        await eventually_at(deployment.url, deployment.replica.port)
        await ups.get()
        await link.subscribe("workflow:b")
        async with client(deployment.replica.url, "test") as redis:
            assert set(await redis.pubsub_channels("workflow:*")) == {b"workflow:a", b"workflow:b"}
        assert await _again(log)


async def _again(log: AppendingLog) -> bool:
    """Read until the log has found the new primary; its first call may still meet the lost connection."""
    while True:
        try:
            return bool(await log.heads([WORKFLOW.fill("a")]))
        except BusUnavailable:
            continue


async def test_sentinels_that_are_away_are_told() -> None:
    """With no sentinel there, nothing can be reached, and the error is the bus's own."""
    async with AppendingLog(f"redis+sentinel://127.0.0.1:{free_port()}/main", name="test") as log:
        with pytest.raises(BusUnavailable):
            await log.ping()


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://host:26379",
        "redis+sentinel:///main",
        "redis+sentinel://host:26379/main/0",
        "redis+sentinel://host:x/main",
        "redis+sentinel://a,,b/main",
    ],
)
def test_sentinel_url_of_another_form_is_refused(url: str) -> None:
    """Without hosts or without the primary's name there is nobody to ask, and the message shows the form."""
    with pytest.raises(AddressError, match="name-of-the-primary"):
        parse_sentinel_url(url)


def test_sentinel_url_is_taken_apart() -> None:
    """Hosts, ports with their default, the name, and a log-in for the primary."""
    sentinels = parse_sentinel_url("redis+sentinel://us%40er:p%2Fw@one:1,two,[::1]:3/main")
    assert sentinels is not None
    assert sentinels.places == (("one", 1), ("two", 26379), ("::1", 3))
    assert (sentinels.service, sentinels.username, sentinels.password) == ("main", "us@er", "p/w")
    assert parse_sentinel_url("redis://host") is None

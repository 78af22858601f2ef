"""One URL logs in everywhere alike, and what a managed Redis refuses is done without: real servers."""

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from bus.broker.child import spawn_bound
from bus.broker.embedded import EmbeddedBroker
from bus.errors import LoginRefused
from bus.redis.address import client
from producers import Producer
from producers.services.mahavishnu import WorkflowStarted
from tests.appending_log import AppendingLog
from tests.contract.brokers import DEADLINE_S, Receiver, eventually
from tests.ports import free_port

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="no redis-server: apt-get install redis-server"
)


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(port=0, binary=shutil.which("redis-server")) as broker:
        yield broker


@pytest.fixture
async def admin(broker: EmbeddedBroker) -> AsyncIterator[Redis]:
    async with client(broker.url, "admin") as admin:
        yield admin


async def round_trip(url: str, name: str = "test") -> bytes:
    """Return the line that a link at ``url`` gets when a producer at ``url`` publishes."""
    async with Receiver(url) as receiver, Producer(url, name=name) as producer:
        await receiver.subscribe("workflow:login")
        await producer.publish(WorkflowStarted(workflow_id="login"))
        return (await receiver.of("workflow:login", 1))[0]


async def test_user_without_a_password_is_logged_in_by_producer_and_link(broker: EmbeddedBroker, admin: Redis) -> None:
    """A user of ``nopass`` needs no more than its name in the URL, whoever reads that."""
    await admin.acl_setuser("svc", enabled=True, nopass=True, commands=["+@all"], keys=["*"], channels=["*"])
    await admin.acl_setuser("default", enabled=False)
    assert b"workflow.started" in await round_trip(f"redis://svc@127.0.0.1:{broker.port}")


async def test_redis_that_names_no_connections_is_used_without(broker: EmbeddedBroker, admin: Redis) -> None:
    """CLIENT SETNAME is refused by some managed servers: publishing and subscribing work without."""
    await admin.acl_setuser(
        "svc", enabled=True, passwords=["+pw"], commands=["+@all", "-client"], keys=["*"], channels=["*"]
    )
    assert b"workflow.started" in await round_trip(f"redis://svc:pw@127.0.0.1:{broker.port}")


async def test_name_of_any_text_is_shown_escaped(broker: EmbeddedBroker, admin: Redis) -> None:
    """A service may be called anything: what Redis does not take in a name is written as %XX."""

    async def named() -> bool:
        return any(it["name"] == "edgebus-producer-my%20service%0A" for it in await _clients(admin))

    async with Producer(broker.url, name="my service\n") as producer:
        producer.emit(WorkflowStarted(workflow_id="named"))
        await eventually(named)


async def _clients(admin: Redis) -> list[dict[str, Any]]:
    return list(await admin.client_list())


@pytest.fixture
def sentinel(broker: EmbeddedBroker, tmp_path: Path) -> Iterator[str]:
    """Run a sentinel that wants a password, and yield its place and the primary's name."""
    port, file = free_port(), tmp_path / "sentinel.conf"
    lines = ["bind 127.0.0.1", f"port {port}", f"dir {tmp_path}", "requirepass s#cret"]
    file.write_text("\n".join([*lines, f"sentinel monitor main 127.0.0.1 {broker.port} 1", ""]))
    with ExitStack() as stack:
        child = spawn_bound(["redis-server", str(file), "--sentinel"], stdout=subprocess.DEVNULL)
        stack.callback(child.stop_blocking)
        yield f"127.0.0.1:{port}/main"


async def up(place: str) -> None:
    """Return when the sentinel answers."""

    async def answers() -> bool:
        async with client(f"redis://:s%23cret@{place.partition('/')[0]}", "test") as redis:
            try:
                return bool(await redis.ping())  # type: ignore[misc, unused-ignore]
            except Exception:  # noqa: BLE001 (it starts; what it says until then does not matter)
                return False

    await eventually(answers, 2 * DEADLINE_S)


@pytest.mark.timeout(60)
async def test_sentinel_that_wants_a_password_is_given_one(sentinel: str) -> None:
    """Its log-in is its own, beside the primary's; without one, and with a wrong one, the sentence shows how."""
    await up(sentinel)
    for options in ("", "?sentinel_password=hunter2"):
        async with AppendingLog(f"redis+sentinel://{sentinel}{options}", name="test") as log:
            with pytest.raises(LoginRefused, match=r"the sentinel at 127.*sentinel_password") as caught:
                await log.ping()
        assert "hunter2" not in str(caught.value)
    assert b"workflow.started" in await round_trip(f"redis+sentinel://{sentinel}?sentinel_password=s%23cret")

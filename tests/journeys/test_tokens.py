"""From ``edgebus token make`` to a closed door on two replicas, with whole processes that log all they can."""

import asyncio
import time
from collections.abc import Iterator
from typing import Final

import pytest
from redis import Redis

from bus.broker.embedded import EmbeddedBroker
from clients import AuthenticationFailed, Client, connect
from tests.journeys.processes import EDGEBUS, Processes, edgebus, environment, wait_ready
from tests.ports import free_port

SECRET: Final = "mV7-4tRkW9zXq2Lp6Bf8Hd3Ns5Jy1Gc0Eu"
AT_ONCE_S: Final = 1.0


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """Lend a real server."""
    with EmbeddedBroker(port=0) as broker:
        yield broker


def made(*words: str) -> str:
    """Return a token as a person gets one."""
    return edgebus("token", "make", *words, EDGEBUS_AUTH_SECRET=SECRET).stdout.strip()


async def closed(client: Client) -> float:
    """Wait until the edge has closed for good; return when, seconds since the epoch."""
    with pytest.raises(AuthenticationFailed):
        async for _ in client.subscribe("workflow:1"):
            pass
    return time.time()


async def test_made_let_in_and_revoked(broker: EmbeddedBroker, processes: Processes) -> None:
    """A token lets in on each replica, its revocation closes both within a second, and no log holds a piece of it."""
    ports = [free_port(), free_port()]
    words = ("--redis", broker.url, "--set", "auth_required=true", "--log-level", "debug")
    env = environment(EDGEBUS_AUTH_SECRET=SECRET)
    replicas = [processes.start(*EDGEBUS, "edge", "mahavishnu", "--port", str(port), *words, env=env) for port in ports]
    for edge, port in zip(replicas, ports, strict=True):
        wait_ready(edge, port)
    shown, other = made("alice", "workflow:read", "--id", "t1"), made("bob", "workflow:read")
    urls = [f"ws://127.0.0.1:{port}" for port in ports]
    async with (
        connect(urls[0], token=shown) as first,
        connect(urls[1], token=shown) as second,
        connect(urls[1], token=other) as neighbour,
    ):
        for client in (first, second, neighbour):
            assert (await client.request("get_workflow_status", workflow_id="1"))["status"] == "not_found"
        ending = asyncio.gather(closed(first), closed(second))
        revoked = await asyncio.to_thread(edgebus, "token", "revoke", "--id", "t1", "--redis", broker.url)
        assert "2 edge(s) were told at once" in revoked.stdout
        with Redis.from_url(broker.url) as redis:
            at_s = float(redis.zscore("bus:revoked", "id:t1")) / 1000
        took_s = max(await ending) - at_s
        print(f"closed on both replicas {took_s * 1000:.0f} ms after the revocation")
        assert took_s < AT_ONCE_S
        assert (await neighbour.request("get_workflow_status", workflow_id="1"))["status"] == "not_found"
    watched = edgebus("listen", "workflow:1", "--url", urls[0], "--timeout", "0.5", EDGEBUS_TOKEN=other)
    assert (watched.returncode, "nothing more came" in watched.stderr) == (4, True)
    stranger = edgebus("listen", "workflow:1", "--url", urls[0], "--timeout", "5")
    assert (stranger.returncode, "EDGEBUS_TOKEN" in stranger.stderr) == (1, True), stranger.stderr
    logs = "".join(edge.output for edge in replicas) + revoked.stdout + revoked.stderr
    assert "edge listens" in logs
    pieces = [piece for token in (shown, other) for piece in token.split(".")] + [SECRET]
    assert [piece for piece in pieces if piece in logs] == []

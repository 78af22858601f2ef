"""An edge that has no descriptor left: who is inside stays and is served, who comes waits, and the log says it once."""

import asyncio
import itertools
import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from producers import Producer
from producers.services.mahavishnu import Mahavishnu
from tests.edges.peers import Client, eventually, upgrade
from tests.journeys.processes import EDGEBUS, Running
from tests.ports import free_port
from tests.processes import ended_within

INSIDE, WAITING = 10, 5
OUT = "no more descriptors"


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[tuple[Running, int, EmbeddedBroker]]:
    """Lend an edge as a process of its own, with its port and its Redis."""
    port = free_port()
    with EmbeddedBroker(port=0) as broker:
        argv = [*EDGEBUS, "edge", "mahavishnu", "--port", str(port), "--redis", broker.url]
        running = Running([*argv, "--set", "probe_interval_s=0.5"], tmp_path)
        try:
            yield running, port, broker
        finally:
            running.kill()


def told(running: Running) -> list[dict[str, Any]]:
    """Return what the edge logged about descriptors."""
    lines = [line for line in running.output.splitlines() if line.startswith("{")]
    return [record for record in map(json.loads, lines) if OUT in str(record.get("reason")) + str(record.get("was"))]


def leave_none(pid: int) -> None:
    """Set a process's limit of open files such that it may open no more (the next number would be the limit)."""
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (next(n for n in itertools.count() if n not in used), most))


async def welcomed(port: int) -> Client:
    client = await Client.open(port)
    await client.welcomed()
    return client


async def comes(port: int) -> Client:
    """Come in, however long that takes."""
    client = await Client.connect(port)
    client.write(upgrade())
    assert b" 101 " in await client.reader.readuntil(b"\r\n\r\n")
    await client.welcomed()
    return client


async def test_edge_without_descriptors_keeps_who_is_inside(edge: tuple[Running, int, EmbeddedBroker]) -> None:
    """Heartbeat, probe and events go on at the limit; when some leave, those who waited come in."""
    running, port, broker = edge
    await eventually(lambda: "listens on" in running.output, 20)
    await eventually(lambda: "link to Redis is up" in running.output, 20)
    clients = [await welcomed(port) for _ in range(INSIDE)]
    for client in clients:
        await client.subscribe("workflow:x")
    leave_none(running.pid)
    waiting = [asyncio.create_task(comes(port)) for _ in range(WAITING)]
    await eventually(lambda: told(running), 20)
    async with Redis.from_url(broker.url) as redis:
        (key,) = [name async for name in redis.scan_iter("bus:edge:*")]
        await redis.hdel(key, "rooms")
        await eventually(lambda: redis.hexists(key, "rooms"), 20)  # the next heartbeat
        await redis.hdel(key, "rooms")
        await eventually(lambda: redis.hexists(key, "rooms"), 20)
    async with Producer(broker.url) as producer:
        await Mahavishnu(producer).broadcast_workflow_failed("x", "no")
    for client in clients:
        assert (await client.message())["event"] == "workflow.failed"
    assert not any(task.done() for task in waiting)
    assert [record["level"] for record in told(running)] == ["error"]
    for client in clients[: WAITING + 1]:
        await client.close()
    async with asyncio.timeout(20):
        clients += await asyncio.gather(*waiting)
    await eventually(lambda: len(told(running)) == 2, 20)
    assert told(running)[1]["level"] == "info"
    assert not ended_within(running.pid, 0)
    for client in clients[WAITING + 1 :]:
        assert await client.marked() == []
        await client.close()

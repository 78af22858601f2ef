"""Leaving: the plan as values, then an edge in this process, then a process under SIGTERM with many clients."""

import asyncio
import random
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from edges.lifecycle.drain import Departures
from edges.protocol.messages import Closing, Notice
from producers import Producer
from producers.services.mahavishnu import Mahavishnu
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, Closed, eventually, get, http

pytestmark = pytest.mark.virtual_time

NO_REDIS = "redis://127.0.0.1:1"
WINDOW_S = 10.0


class Guest:
    def check_deadlines(self, now: float) -> None: ...

    def check_revoked(self) -> None: ...

    def close(self, code: Closing) -> None: ...

    def notify(self, notice: Notice) -> bool:
        return True

    def prove_alive(self, now: float) -> None: ...

    def cut(self) -> None: ...

    waiting_bytes = 0


def dice(seed: int = 1) -> random.Random:
    return random.Random(seed)  # noqa: S311 (not for secrets)


def guests(count: int) -> list[Guest]:
    return [Guest() for _ in range(count)]


# The plan


def delays(plan: Iterable[tuple[Any, float]]) -> list[float]:
    return sorted(delay_s for _, delay_s in plan)


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_departures_are_even(count: int) -> None:
    """Between two departures is the same time, and the last one is at the end of the window."""
    plan = delays(Departures(100 + WINDOW_S, dice()).plan(guests(count), 100.0))
    assert len(plan) == count
    assert plan[-1] == pytest.approx(WINDOW_S)
    assert [two - one for one, two in pairwise([0.0, *plan])] == pytest.approx([WINDOW_S / count] * count)


def test_departures_are_in_random_order() -> None:
    """Who came first does not leave first: else the clients of one page would all leave together."""
    present = guests(100)
    orders = [[one for one, _ in Departures(10.0, dice(seed)).plan(present, 0.0)] for seed in (1, 2)]
    assert orders[0] != orders[1] != present
    assert set(orders[0]) == set(present)


def test_everybody_leaves_once_and_on_time() -> None:
    """Each is due at the time it was told, not before, and only once."""
    departures, present = Departures(10.0, dice()), guests(50)
    told = dict(departures.plan(present, 0.0))
    gone: list[Any] = []
    for tick in range(101):
        now = tick / 10
        for one in departures.take_due(now):
            assert now - 0.1 < told[one] <= now + 1e-9
            gone.append(one)
    assert sorted(map(id, gone)) == sorted(map(id, present))


def test_newcomers_share_what_is_left() -> None:
    """Who comes during the window leaves within it; who was told already is not told anything else."""
    departures, present, late = Departures(10.0, dice()), guests(5), guests(2)
    departures.plan(present, 0.0)
    assert delays(departures.plan([*present, *late], 8.0)) == pytest.approx([1.0, 2.0])
    assert departures.plan([*present, *late], 9.0) == []
    assert len(departures.take_due(10.0)) == 7


def test_no_window_is_at_once() -> None:
    """A window of no length, or one that is over, lets everybody go now."""
    departures = Departures(0.0, dice())
    assert delays(departures.plan(guests(3), 5.0)) == [0.0, 0.0, 0.0]
    assert len(departures.take_due(5.0)) == 3


# An edge in this process


async def advice(client: Client) -> int:
    """Read up to ``edge.draining``; return its delay."""
    while (message := await client.message())["event"] != "edge.draining":
        pass
    assert message["type"] == "event"
    return int(message["data"]["reconnect_after_ms"])


async def test_draining_edge_is_not_ready_at_once_and_serves_on(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, redis: Redis, producer: Producer
) -> None:
    """During the notice /readyz is 503 and Redis says so; clients come in and get events as ever."""
    edge = await start_edge(broker, drain_notice_s=30.0)
    client = await open_client(edge)
    await client.welcomed()
    await client.subscribe("workflow:x")
    draining = asyncio.create_task(edge.drain())
    await eventually(lambda: edge.not_ready() is not None)
    status, _, body = await http(edge.port, get("/readyz"))
    assert (status, orjson.loads(body)["reason"]) == (503, "the edge is going away")
    assert (await http(edge.port, get("/healthz")))[0] == 200

    async def is_told() -> bool:
        return await redis.hget(f"bus:edge:{edge.id}", "draining") == b"1"

    async with asyncio.timeout(2):  # sooner than the next heartbeat
        await eventually(is_told)
    newcomer = await open_client(edge)
    await newcomer.welcomed()
    await newcomer.subscribe("workflow:x")
    await Mahavishnu(producer).broadcast_workflow_failed("x", "no")
    for one in (client, newcomer):
        assert (await one.message())["event"] == "workflow.failed"
        assert await one.marked() == []
    draining.cancel()
    await asyncio.wait([draining])


async def test_every_client_is_told_when_to_come_back_and_closed_then(
    start_edge: StartEdge, open_client: OpenClient
) -> None:
    """The delays are spread over the window; each connection is closed (1012) at its own, and then the drain ends."""
    edge = await start_edge(redis_url=NO_REDIS, drain_notice_s=0.0, drain_window_s=1.0, welcome_delay_ms=60_000)
    clients = [await open_client(edge) for _ in range(20)]
    for client in clients:
        await client.welcomed()
    loop = asyncio.get_running_loop()

    async def leaves(client: Client) -> tuple[int, float]:
        advised_ms = await advice(client)
        with pytest.raises(Closed) as closed:
            await client.message()
        assert closed.value.code == 1012
        client.writer.close()
        return advised_ms, (loop.time() - began_s) * 1000

    began_s = loop.time()
    leaving = [asyncio.create_task(leaves(client)) for client in clients]
    await edge.drain()
    found = sorted([await task for task in leaving])
    assert [advised for advised, _ in found] == pytest.approx([50 * (index + 1) for index in range(20)], abs=2)
    assert all(took_ms > advised - 5 for advised, took_ms in found), "none before its time, rounding and timers aside"


async def test_drain_ends_with_the_last_client(start_edge: StartEdge, open_client: OpenClient) -> None:
    """Nobody there, nothing to wait for; who leaves by itself is not waited for either."""
    edge = await start_edge(redis_url=NO_REDIS, drain_notice_s=0.0, drain_window_s=60.0)
    client = await open_client(edge)
    await client.welcomed()
    async with asyncio.timeout(5):
        draining = asyncio.create_task(edge.drain())
        assert await advice(client) == 60_000
        client.writer.close()
        await draining
        await edge.drain()


async def test_newcomer_during_the_window_is_closed_with_it(start_edge: StartEdge, open_client: OpenClient) -> None:
    """A balancer that has not noticed sends clients on: they are let in, and leave with the others."""
    edge = await start_edge(redis_url=NO_REDIS, drain_notice_s=0.0, drain_window_s=0.5)
    client = await open_client(edge)
    await client.welcomed()
    draining = asyncio.create_task(edge.drain())
    await advice(client)
    newcomer = await open_client(edge)  # silent, so the notice follows its welcome
    assert 0 < await advice(newcomer) <= 500
    assert await newcomer.close_code() == 1012
    assert await client.close_code() == 1012
    await draining


async def test_stop_after_a_drain_says_restart(start_edge: StartEdge, open_client: OpenClient) -> None:
    """Whoever is left when the drain is called off is told 1012 as well, without the wait."""
    edge = await start_edge(redis_url=NO_REDIS, drain_notice_s=60.0)
    client = await open_client(edge)
    await client.welcomed()
    draining = asyncio.create_task(edge.drain())
    await eventually(lambda: edge.not_ready() == "the edge is going away")
    draining.cancel()
    closing = asyncio.create_task(client.close_code())
    await edge.stop()
    assert await closing == 1012
    await asyncio.wait([draining])

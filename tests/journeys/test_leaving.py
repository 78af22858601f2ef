"""An edge that is told to end, as a process: balancers notice, clients go one by one, impatience works."""

import asyncio
import json
import time
from contextlib import AsyncExitStack
from itertools import pairwise
from signal import SIGINT, SIGTERM
from typing import Final

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bus.embedded import EmbeddedBroker
from tests.journeys.clients import Viewer, eventually, viewing
from tests.journeys.processes import EDGEBUS, Processes, Running, environment, fetch, free_port, wait_ready

CLIENTS: Final = 200
NOTICE_S, WINDOW_S = 0.6, 2.0


def start(processes: Processes, redis_url: str, notice_s: float, window_s: float) -> tuple[Running, int]:
    """Start an edge with times of its own for leaving, and wait until it is ready."""
    port = free_port()
    words = ("edge", "mahavishnu", "--port", str(port), "--redis", redis_url)
    env = environment(EDGEBUS_DRAIN_NOTICE_S=str(notice_s), EDGEBUS_DRAIN_WINDOW_S=str(window_s))
    edge = processes.start(*EDGEBUS, *words, env=env)
    wait_ready(edge, port)
    return edge, port


async def departure(client: ClientConnection) -> tuple[int, float, float, int]:
    """Read to the end; return the advised delay, when it came, when the connection was closed, and the code."""
    advised_ms, told_s = -1, 0.0
    try:
        while True:
            message = json.loads(await client.recv())
            if message["event"] == "edge.draining":
                advised_ms, told_s = message["data"]["reconnect_after_ms"], time.monotonic()
    except ConnectionClosed as closed:
        return advised_ms, told_s, time.monotonic(), closed.rcvd.code if closed.rcvd else 1006


async def test_sigterm_sends_clients_away_one_after_another(processes: Processes, broker: EmbeddedBroker) -> None:
    """Not ready at once, serving on for the notice; then all are told, closed evenly and not in the order they came."""
    edge, port = start(processes, broker.url, NOTICE_S, WINDOW_S)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(f"ws://127.0.0.1:{port}")) for _ in range(CLIENTS)]
        leaving = [asyncio.create_task(departure(client)) for client in clients]
        began_s = time.monotonic()
        edge.signal(SIGTERM)
        await eventually(lambda: fetch(f"http://127.0.0.1:{port}/readyz")[0] == 503)
        async with connect(f"ws://127.0.0.1:{port}") as late:
            assert (await Viewer(late).ask("ping"))["type"] == "pong"
        assert time.monotonic() - began_s < NOTICE_S, "all of this during the notice"
        found = [await task for task in leaving]
    assert {code for _, _, _, code in found} == {1012}
    assert min(told_s for _, told_s, _, _ in found) - began_s >= NOTICE_S
    advised = [advised_ms for advised_ms, _, _, _ in found]
    step_ms = WINDOW_S * 1000 / CLIENTS
    assert sorted(advised) == pytest.approx([step_ms * (index + 1) for index in range(CLIENTS)], abs=2)
    earlier = sum(one < two for one, two in pairwise(advised))
    assert CLIENTS * 0.3 < earlier < CLIENTS * 0.7, "the order is random"
    late_ms = [(closed_s - told_s) * 1000 - advised_ms for advised_ms, told_s, closed_s, _ in found]
    assert all(-50 < it < 500 for it in late_ms), (min(late_ms), max(late_ms))
    ends = sorted(closed_s for _, _, closed_s, _ in found)
    busiest = max(sum(1 for it in ends if start_s <= it < start_s + 0.5) for start_s in ends)
    assert busiest < CLIENTS * 0.5 / WINDOW_S * 2, "paced, not in a rush"
    assert await asyncio.to_thread(edge.exit_code) == 0
    print(f"{CLIENTS} clients gone in {time.monotonic() - began_s:.2f} s; at most {busiest} in half a second")


async def test_second_sigterm_ends_now(processes: Processes, broker: EmbeddedBroker) -> None:
    """Who asks twice does not wait for the notice."""
    edge, port = start(processes, broker.url, 60, 60)
    async with viewing(port) as viewer:
        edge.signal(SIGTERM)
        await eventually(lambda: fetch(f"http://127.0.0.1:{port}/readyz")[0] == 503)
        assert (await viewer.ask("ping"))["type"] == "pong"
        began_s = time.monotonic()
        assert await asyncio.to_thread(edge.signal(SIGTERM).exit_code) == 128 + SIGTERM
    assert time.monotonic() - began_s < 2


async def test_second_sigterm_during_the_window_ends_now(processes: Processes, broker: EmbeddedBroker) -> None:
    """The same while clients are sent away."""
    edge, port = start(processes, broker.url, 0, 60)
    async with viewing(port) as viewer:
        edge.signal(SIGTERM)
        while (await viewer.receive())["event"] != "edge.draining":
            pass
        assert await asyncio.to_thread(edge.signal(SIGTERM).exit_code) == 128 + SIGTERM


async def test_ctrl_c_does_not_drain(processes: Processes, broker: EmbeddedBroker) -> None:
    """A person at the terminal does not wait for balancers: clients are closed (1001), and that is that."""
    edge, port = start(processes, broker.url, 60, 60)
    async with connect(f"ws://127.0.0.1:{port}") as client:
        leaving = asyncio.create_task(departure(client))
        await client.send('{"type":"ping"}')
        began_s = time.monotonic()
        assert await asyncio.to_thread(edge.signal(SIGINT).exit_code) == 0
        advised_ms, _, _, code = await leaving
    assert (advised_ms, code) == (-1, 1001)
    assert time.monotonic() - began_s < 5


def test_nobody_there_is_nobody_to_wait_for(processes: Processes, broker: EmbeddedBroker) -> None:
    """Without clients an edge ends with the notice; the window is for those that are there."""
    edge, _ = start(processes, broker.url, 0, 60)
    assert edge.signal(SIGTERM).exit_code(10) == 0


def test_public_address_takes_tls_or_a_word(processes: Processes, broker: EmbeddedBroker) -> None:
    """On every address an edge without TLS ends with 2 and the remedy; told that a proxy ends TLS, it starts."""
    port = free_port()
    words = ("edge", "mahavishnu", "--host", "0.0.0.0", "--port", str(port), "--redis", broker.url)  # noqa: S104
    refused = processes.start(*EDGEBUS, *words)
    assert refused.exit_code() == 2
    assert "--insecure-behind-proxy" in refused.output
    assert "Traceback" not in refused.output
    wait_ready(processes.start(*EDGEBUS, *words, "--insecure-behind-proxy"), port)

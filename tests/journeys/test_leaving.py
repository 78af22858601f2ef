"""An edge that is told to end, as a process: balancers notice, clients go one by one, impatience works."""

import asyncio
import json
import time
from contextlib import AsyncExitStack
from signal import SIGINT, SIGTERM
from typing import Final

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bus.broker.embedded import EmbeddedBroker
from tests.journeys.clients import Viewer, eventually, viewing
from tests.journeys.processes import EDGEBUS, Processes, Running, environment, fetch, wait_ready
from tests.ports import free_port

CLIENTS: Final = 200
NOTICE_S, WINDOW_S = 2.0, 2.0
TIMER_MS: Final = 5.0
"""How early a timer of the loop may fire, and an advice of whole milliseconds be rounded up."""


def start(processes: Processes, redis_url: str, notice_s: float, window_s: float) -> tuple[Running, int]:
    """Start an edge with times of its own for leaving, and wait until it is ready."""
    port = free_port()
    words = ("edge", "mahavishnu", "--port", str(port), "--redis", redis_url)
    env = environment(EDGEBUS_DRAIN_NOTICE_S=str(notice_s), EDGEBUS_DRAIN_WINDOW_S=str(window_s))
    edge = processes.start(*EDGEBUS, *words, env=env)
    wait_ready(edge, port)
    return edge, port


async def departure(client: ClientConnection, told: list[int]) -> tuple[int, float, int]:
    """Read to the end, noting the advised delay in ``told`` at once; return delay, time of the end, and code."""
    advised_ms = -1
    try:
        while True:
            message = json.loads(await client.recv())
            if message["event"] == "edge.draining":
                advised_ms = message["data"]["reconnect_after_ms"]
                told.append(advised_ms)
    except ConnectionClosed as closed:
        return advised_ms, time.monotonic(), closed.rcvd.code if closed.rcvd else 1006


async def test_sigterm_sends_clients_away_one_after_another(processes: Processes, broker: EmbeddedBroker) -> None:
    """Not ready at once, serving on for the notice; then all are told, closed evenly and not in the order they came.

    Every bound on the clock is a lower one: a machine that is busy is late, never early. That nobody
    is closed late, and that closings are paced, is asserted with a clock of the test's own
    (tests/edges/lifecycle/test_drain.py).
    """
    edge, port = start(processes, broker.url, NOTICE_S, WINDOW_S)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(f"ws://127.0.0.1:{port}")) for _ in range(CLIENTS)]
        told: list[int] = []
        leaving = [asyncio.create_task(departure(client, told)) for client in clients]
        began_s = time.monotonic()
        edge.signal(SIGTERM)
        await eventually(lambda: fetch(f"http://127.0.0.1:{port}/readyz")[0] == 503)
        async with connect(f"ws://127.0.0.1:{port}") as late:
            assert (await Viewer(late).ask("ping"))["type"] == "pong"
        assert told == [], "all of this during the notice"
        found = [await task for task in leaving]
    assert {code for _, _, code in found} == {1012}
    advised = [advised_ms for advised_ms, _, _ in found]
    step_ms = WINDOW_S * 1000 / CLIENTS
    assert sorted(advised) == pytest.approx([step_ms * (index + 1) for index in range(CLIENTS)], abs=2)
    assert advised != sorted(advised), "the order is random"
    early_ms = [advised_ms + (NOTICE_S - closed_s + began_s) * 1000 for advised_ms, closed_s, _ in found]
    assert max(early_ms) < TIMER_MS
    assert await asyncio.to_thread(edge.exit_code) == 0
    print(f"{CLIENTS} clients gone in {time.monotonic() - began_s:.2f} s")


async def test_second_sigterm_ends_now(processes: Processes, broker: EmbeddedBroker) -> None:
    """Who asks twice does not wait for the notice."""
    edge, port = start(processes, broker.url, 60, 60)
    async with viewing(port) as viewer:
        edge.signal(SIGTERM)
        await eventually(lambda: fetch(f"http://127.0.0.1:{port}/readyz")[0] == 503)
        assert (await viewer.ask("ping"))["type"] == "pong"
        assert await asyncio.to_thread(edge.signal(SIGTERM).exit_code) == 128 + SIGTERM, "long before the notice's end"


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
        leaving = asyncio.create_task(departure(client, []))
        await client.send('{"type":"ping"}')
        assert await asyncio.to_thread(edge.signal(SIGINT).exit_code) == 0, "long before the notice's end"
        advised_ms, _, code = await leaving
    assert (advised_ms, code) == (-1, 1001)


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

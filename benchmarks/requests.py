"""Requests per second through a responder, beside folded ones, in one run.

    python -m benchmarks.requests [--seconds 3] [--clients 32] [--rounds 3] [--json]

A server, an edge and a responder are started, each a process; the clients are this process. The ways take turns, so
that a noisy machine disturbs all alike; figures are medians of rounds. Each client asks one question at a time. The
folded request reads a channel with 100 events: without news (the answer is kept), and with an event before each
question.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from pydantic import BaseModel
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.channel import Channel, Family
from bus.event import Event
from bus.service import PastEvent, Request, Service
from clients import Client, Disconnected, connect
from producers import Producer, Responder

PORT: Final = 18_791
ROOM: Final = Family("bench:{room}")
EVENTS: Final = 100
DEADLINE_S: Final = 30.0


class Sample(Event, event="bench.sample", channels=(ROOM,)):
    """The events of the log."""

    room: str


class Ask(BaseModel):
    """Every question."""

    room: str


class Told(BaseModel):
    """Every answer."""

    count: int


def rooms(question: Ask) -> Sequence[Channel]:
    return [ROOM.fill(question.room)]


def fold(_question: Ask, past: Sequence[PastEvent]) -> Told:
    return Told(count=len(past))


LIVE: Final = Request("live", Ask, Told, permission="bench:ask")
THREADED: Final = Request("threaded", Ask, Told, permission="bench:ask")
FOLDED: Final = Request("folded", Ask, Told, rooms, fold)
SERVICE: Final = Service("bench", PORT, "Hello", (ROOM,), (Sample,), (LIVE, THREADED, FOLDED))


async def respond(url: str) -> None:
    """Answer, until this process is ended."""
    async with Responder(url, SERVICE, max_at_once=64) as responder:

        @responder.answers(LIVE)
        async def live(_: Ask) -> Told:
            return Told(count=1)

        @responder.answers(THREADED)
        def threaded(_: Ask) -> Told:
            return Told(count=1)

        await responder.wait()


@asynccontextmanager
async def processes(url: str) -> AsyncIterator[None]:
    """Run an edge and a responder."""
    wide = {"EDGEBUS_REDIS_URL": url, "EDGEBUS_MESSAGE_RATE_LIMIT": "1000000"}
    commands = (["edgebus", "edge", "benchmarks.requests:SERVICE"], ["benchmarks.requests", "--respond", url])
    running = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *command), env={**os.environ, **wide}, stdout=asyncio.subprocess.DEVNULL
        )
        for command in commands
    ]
    try:
        async with Redis.from_url(url) as redis, asyncio.timeout(DEADLINE_S):
            while not await redis.zcard("bus:responders:{bench}:live"):  # noqa: ASYNC110 (Redis has no event for it)
                await asyncio.sleep(0.05)
        yield
    finally:
        for one in running:
            one.kill()
            await one.wait()


async def connected(client: Client) -> None:
    """Return when the edge answers ``client``."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                await client.services()
            except Disconnected:
                await asyncio.sleep(0.05)
            else:
                return


async def measure(clients: Sequence[Client], seconds: float, ask: Callable[[Client], Awaitable[Any]]) -> list[float]:
    """Return the time of each question, in seconds, of clients that ask one after another."""
    took: list[float] = []
    ends_at = time.perf_counter() + seconds

    async def go_on(client: Client) -> None:
        while (began := time.perf_counter()) < ends_at:
            await ask(client)
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(go_on(client) for client in clients))
    return took


async def compare(url: str, seconds: float, count: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return rate, p50 and p99 of each way, as medians of rounds."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(processes(url))
        producer = await stack.enter_async_context(Producer(url))
        for _ in range(EVENTS):
            await producer.publish(Sample(room="a"))
        edge = f"ws://127.0.0.1:{PORT}"
        clients = [await stack.enter_async_context(connect(edge, retry_first=True)) for _ in range(count)]
        await asyncio.gather(*(connected(client) for client in clients))

        async def renewed(client: Client) -> None:
            await producer.publish(Sample(room="a"))
            await client.request("folded", room="a")

        ways: dict[str, Callable[[Client], Awaitable[Any]]] = {
            "through a responder, async": lambda client: client.request("live", room="a"),
            "through a responder, in a thread": lambda client: client.request("threaded", room="a"),
            "folded, nothing new": lambda client: client.request("folded", room="a"),
            "folded, an event before each": renewed,
        }
        found: dict[str, list[tuple[float, float, float]]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, ask in ways.items():
                took = sorted(await measure(clients, seconds, ask))
                found[way].append((len(took) / seconds, _percentile(took, 50), _percentile(took, 99)))
    return {way: _medians(some) for way, some in found.items()}


def _percentile(took: Sequence[float], percent: int) -> float:
    return took[min(len(took) - 1, len(took) * percent // 100)] * 1000


def _medians(some: Sequence[tuple[float, float, float]]) -> dict[str, float]:
    names = ("per second", "p50 ms", "p99 ms")
    return {
        name: round(statistics.median(values), 2) for name, values in zip(names, zip(*some, strict=True), strict=True)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--respond", metavar="URL", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.respond:
        asyncio.run(respond(arguments.respond))
        return
    with EmbeddedBroker(port=0) as broker:
        found = asyncio.run(compare(broker.url, arguments.seconds, arguments.clients, arguments.rounds))
    if arguments.json:
        print(json.dumps(found))
        return
    for way, figures in found.items():
        print(f"{way:34}" + "".join(f"{name}: {value:<10}" for name, value in figures.items()))


if __name__ == "__main__":
    main()

"""Five incidents of a whole edge, told by the log alone: an operator at night reads nothing else."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any, Final

import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection, connect

from bus.broker.embedded import EmbeddedBroker
from producers import Producer
from producers.services.mahavishnu import WorkflowStarted
from tests.edges.signing import token
from tests.journeys.clients import Viewer
from tests.journeys.processes import EDGEBUS, Processes, Running, environment, wait_ready
from tests.ports import free_port

SECRET: Final = "mV7-4tRkW9zXq2Lp6Bf8Hd3Ns5Jy1Gc0Eu"
BAD_TOKENS: Final = 300
ROOMS: Final = 3
OUTAGE: Final = [
    "link to Redis is lost",
    "clients were told that events are late",
    "there is no link to Redis",
    "link to Redis is up",
    "a room was told of a gap",
    "link to Redis is restored: rooms are up to date again",
]
ENDING: Final = ["edge drains", "edge has sent its clients away; some may be left", "edge stopped"]


class Site:
    """A Redis without persistence, an edge, and clients with a token; what the edge logged as lines of JSON."""

    def __init__(self, processes: Processes, stack: AsyncExitStack) -> None:
        self._processes, self._stack = processes, stack
        self.redis_port, self.port = free_port(), free_port()
        self.token = token(permissions=["workflow:read"], key=SECRET)

    def start_redis(self) -> None:
        """Start an empty Redis, the first or another."""
        self.broker = self._stack.enter_context(EmbeddedBroker(self.redis_port))

    def start(self) -> None:
        """Start Redis and the edge; small bounds, so that a client is soon slow."""
        self.start_redis()
        bounds = ("max_waiting_bytes=65536", "send_buffer_bytes=8192", "auth_required=true")
        words = [word for bound in bounds for word in ("--set", bound)]
        env = environment(EDGEBUS_AUTH_SECRET=SECRET)
        argv = (*EDGEBUS, "edge", "mahavishnu", "--port", str(self.port), "--redis", self.broker.url, *words)
        self.edge: Running = self._processes.start(*argv, env=env)
        wait_ready(self.edge, self.port)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log: every line is one object. A line that is still being written has no end yet."""
        whole = self.edge.output.rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in whole if not line.startswith("mahavishnu listens on")]

    def told(self, event: str) -> list[dict[str, Any]]:
        """Return the lines with a text."""
        return [it for it in self.lines if it["event"] == event]

    async def until(self, fact: Callable[[], object]) -> None:
        """Wait for a fact of the log."""
        await asyncio.to_thread(self.edge.until, fact)

    async def watch(self, channel: str, *, since: str | None = None, slow: bool = False) -> ClientConnection:
        """Subscribe a client; a slow one reads nothing more, and its kernel takes little."""
        headers = {"Authorization": f"Bearer {self.token}"}
        url, bound = f"ws://127.0.0.1:{self.port}", 1 if slow else 1000
        coming = connect(url, additional_headers=headers, max_queue=bound, close_timeout=0.2)
        client = await self._stack.enter_async_context(coming)
        more = {} if since is None else {"since": since}
        assert (await Viewer(client).ask("subscribe", channel=channel, **more))["type"] == "response"
        if slow:
            client.transport.pause_reading()
        return client

    async def show_bad_token(self) -> None:
        """Come with a token that somebody else signed, and be sent away."""
        bad = token(permissions=["workflow:read"], key=SECRET[::-1])
        async with connect(f"ws://127.0.0.1:{self.port}", additional_headers={"Authorization": f"Bearer {bad}"}) as one:
            await one.wait_closed()


@pytest.fixture
async def site(processes: Processes) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        site = Site(processes, stack)
        site.start()
        yield site


async def lose_redis(site: Site) -> None:
    """Kill Redis under rooms with events, and start an empty one."""
    os.kill(site.broker.pid, signal.SIGKILL)
    await site.until(lambda: site.told("there is no link to Redis"))
    await asyncio.to_thread(site.start_redis)
    await site.until(lambda: site.told(OUTAGE[-1]))


async def test_five_incidents_in_the_log_alone(site: Site) -> None:
    """Redis killed, a client that stops reading, a flood of bad tokens, a log trimmed under a reader, a drain."""
    async with Producer(site.broker.url) as producer:

        async def publish(name: str, count: int, adapter: str = "local") -> list[str]:
            made = [WorkflowStarted(workflow_id=name, adapter=adapter) for _ in range(count)]
            return [str(it.positions[f"workflow:{name}"]) for it in await producer.publish_all(made)]

        for number in range(ROOMS):
            watcher = Viewer(await site.watch(f"workflow:{number}"))
            await publish(str(number), 2)
            await watcher.events(2)
        await lose_redis(site)
        await site.watch("workflow:slow", slow=True)
        await publish("slow", 400, adapter="a" * 4_000)
        await site.until(lambda: site.told("closed a slow client"))
        flood = asyncio.Semaphore(20)

        async def bad() -> None:
            async with flood:
                await site.show_bad_token()

        await asyncio.gather(*(bad() for _ in range(BAD_TOKENS)))
        await site.until(lambda: sum(it["count"] for it in site.told("sent a client away")) == BAD_TOKENS)
        positions = await publish("trimmed", 10)
        async with Redis.from_url(site.broker.url) as redis:
            await redis.xtrim("bus:log:{workflow:trimmed}", maxlen=2, approximate=False)
        await site.watch("workflow:trimmed", since=positions[0])
        await site.until(lambda: site.told("a client was told of a gap"))
        site.edge.signal(signal.SIGTERM)
        assert await asyncio.to_thread(site.edge.exit_code) == 0
    lines = site.lines
    read_story(lines, positions)
    with pytest.raises(AssertionError):  # the control: a log that says nothing of one room's gap is found out
        read_story([it for it in lines if it.get("channel") != "workflow:0"], positions)


def read_story(lines: list[dict[str, Any]], positions: list[str]) -> None:
    """Read the five stories, one after another, from nothing but the lines."""
    assert len({it["edge"] for it in lines}) == 1
    assert [it["generation"] for it in lines] == sorted(it["generation"] for it in lines)
    outage = [it for it in lines if it.get("incident") == "link-1"]
    read_outage(outage)
    after = lines[lines.index(outage[-1]) + 1 :]
    slow, *bad, gap = [it for it in after if it["event"] not in ENDING and it["logger"] == "edgebus.edges"]
    read_slow(slow)
    read_flood(bad)
    assert gap["event"] == "a client was told of a gap"
    assert (gap["channel"], gap["reason"], gap["from"], gap["to"]) == (
        "workflow:trimmed",
        "trimmed",
        positions[0],
        positions[-2],
    )
    ending = lines[-len(ENDING) :]
    assert [it["event"] for it in ending] == ENDING
    assert ending[0]["clients"] >= ROOMS


def read_outage(lines: list[dict[str, Any]]) -> None:
    """Lost, told, why there is no other, back, the gap of each room, and the sum at the end, in this order."""
    assert list(dict.fromkeys(it["event"] for it in lines)) == OUTAGE
    lost, told, *_, gap, restored = [next(it for it in lines if it["event"] == event) for event in OUTAGE]
    assert (lost["level"], lost["rooms"], lost["clients"], told["clients"]) == ("warning", ROOMS, ROOMS, ROOMS)
    assert "closed the connection" in lost["reason"]
    gaps = [it for it in lines if it["event"] == gap["event"]]
    assert sorted(it["channel"] for it in gaps) == [f"workflow:{number}" for number in range(ROOMS)]
    assert restored["gaps_told"] == Counter(it["reason"] for it in gaps)
    assert (restored["rooms_compared"], restored["clients"], restored["losses"]) == (ROOMS, ROOMS, 1)
    assert restored["level"] == "warning"
    assert restored["after_s"] > 0
    assert (lost["generation"], restored["generation"]) == (1, 2)


def read_slow(line: dict[str, Any]) -> None:
    """Who was closed, where, under which policy, and with what waiting."""
    assert (line["event"], line["level"], line["user"]) == ("closed a slow client", "warning", "alice")
    assert (line["address"], line["rooms"], line["rooms_in_all"]) == ("127.0.0.1", ["workflow:slow"], 1)
    assert (line["policy"], line["bound_bytes"]) == ("close", 65536)
    assert line["waiting_bytes"] > 0
    assert line["waiting_s"] >= 0


def read_flood(lines: list[dict[str, Any]]) -> None:
    """The first in full, the rest as sums with addresses: far fewer lines than tokens, and no token lost."""
    assert {it["event"] for it in lines} == {"sent a client away"}
    assert len({it["reason"] for it in lines}) == 1
    first, *sums = lines
    assert (first["count"], first["address"]) == (1, "127.0.0.1")
    assert first["connection"]
    assert sum(it["count"] for it in lines) == BAD_TOKENS
    assert all(it["by_address"] == {"127.0.0.1": it["count"]} for it in sums)
    assert len(lines) < BAD_TOKENS / 5
    assert {it["level"] for it in sums if it["count"] >= 100} <= {"warning"}

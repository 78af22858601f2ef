"""What benchmarks of an edge alone share: Redis, an edge on a core of its own, and a publisher through the bus's log.

``bench`` with its peers has its own, in C; whoever speaks no WebSocket, or is slow on purpose, is loaded from here.
"""

import argparse
import asyncio
import contextlib
import http
import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import orjson
import uvloop

from benchmarks.crowd import LoadError
from bus.broker.child import Child, spawn_bound
from bus.broker.embedded import EmbeddedBroker
from bus.channel import Channel
from bus.envelope import envelope, splice
from bus.log.appender import Appender
from bus.log.appending import Appended, Entry
from bus.position import BEGINNING

_ROOT = Path(__file__).resolve().parents[1]
_LISTENS = re.compile(rb"listens on ws://127\.0\.0\.1:([0-9]+)")
_READY_DEADLINE_S = 10.0
_LOOK_AGAIN_S = 0.02
_FRONT_BYTES = 76
"""Of ``position`` and ``previous``; a byte or two more or less, as their numbers have it."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The work of one server in one turn."""

    events: int
    deliveries: int
    cpu_s: float
    wall_s: float

    @property
    def per_cpu_s(self) -> float:
        """Deliveries per second of the server's processor time."""
        return self.deliveries / self.cpu_s


class Publisher:
    """Publishes bursts into the rooms of one server, in turn, through the bus's log."""

    def __init__(self, runner: asyncio.Runner, log: Appender, channels: Sequence[Channel], line_bytes: int) -> None:
        self._runner, self._log = runner, log
        self._entries = [Entry(it, "benchmark", "load", line_of(it.name, line_bytes)) for it in channels]
        self._last = [BEGINNING] * len(channels)
        self._next = 0

    def publish(self, count: int) -> list[tuple[int, bytes]]:
        """Publish ``count`` events, one room after another; return the room and the line of each."""
        rooms = [(self._next + offset) % len(self._entries) for offset in range(count)]
        self._next = (self._next + count) % len(self._entries)
        results = self._runner.run(self._log.append([self._entries[room] for room in rooms]))
        return [self._published(room, result) for room, result in zip(rooms, results, strict=True)]

    def _published(self, room: int, result: object) -> tuple[int, bytes]:
        if not isinstance(result, Appended) or result.position is None:
            raise LoadError(f"Redis did not take an event: {result}")
        previous, self._last[room] = self._last[room], result.position
        return room, splice(self._entries[room].line, result.position, previous)


def line_of(channel: str, size: int) -> bytes:
    """Return an event of ``size`` bytes when published: the whole line where that fits, else the data alone."""
    data = {"text": ""}
    whole = envelope("event", event="load", data=data, room=channel)
    value = whole if _FRONT_BYTES + len(orjson.dumps(whole)) <= size else {"event": "load", "data": data}
    data["text"] = "x" * (size - _FRONT_BYTES - len(orjson.dumps(value)) + 1)
    return orjson.dumps(value)


def cores() -> tuple[int, int]:
    """Return the cores for the load and for the servers; the same core where there is no other."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def pinned(stack: ExitStack, core: int) -> tuple[EmbeddedBroker, asyncio.Runner, Appender]:
    """Move this process to ``core``, and start Redis there, a loop for the load, and a log; all end with ``stack``."""
    stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    broker = stack.enter_context(EmbeddedBroker(port=0))
    runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
    log = Appender(broker.url, name="edgebus-benchmark")
    stack.callback(lambda: runner.run(log.close()))
    return broker, runner, log


def start(
    stack: ExitStack, core: int, *arguments: str, folder: Path = _ROOT, environment: Mapping[str, str] | None = None
) -> tuple[Child, int]:
    """Start a Python program of the checkout in ``folder`` on ``core``; return the process and the printed port."""
    env = {**os.environ, **(environment or {})}
    child = spawn_bound([sys.executable, *arguments], stdout=subprocess.PIPE, cwd=folder, env=env)
    stack.callback(child.stop_blocking)
    os.sched_setaffinity(child.pid, {core})
    assert child.process.stdout is not None
    said = child.process.stdout.readline()
    port = _LISTENS.search(said)
    if port is None:
        raise LoadError(f"{' '.join(arguments)} said {said!r} instead of where it listens")
    return child, int(port[1])


def start_edge(stack: ExitStack, core: int, redis_url: str, clients: int) -> tuple[Child, int]:
    """Start an edge as a user does; silent clients are not pinged, since clients of the load answer no ping."""
    options = ("--port", "0", "--redis", redis_url, "--max-connections", str(clients), "--log-level", "warning")
    child, port = start(stack, core, "-m", "edgebus", "edge", "mahavishnu", *options, "--set", "ping_interval_s=3600")
    give_up = time.monotonic() + _READY_DEADLINE_S
    while not is_ready(port):
        if time.monotonic() > give_up:
            raise LoadError(f"the edge was not ready after {_READY_DEADLINE_S:g} s")
        time.sleep(_LOOK_AGAIN_S)
    return child, port


def is_ready(port: int) -> bool:
    """Ask an edge whether the link to Redis is up."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=_READY_DEADLINE_S)) as connection:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK


def bounded(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of numbers from ``low`` to ``high``."""

    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected {low} to {high}")
        return value

    return parse

"""The cost of strangers to a neighbour: how long her events take before and during an attack, case by case.

``python -m benchmarks.strangers [--case NAME …]``: Redis, an edge as a user starts an edge, and a client in a room of
its own with 50 events a second. For each case of ``benchmarks.attacks``: an event's time from the publisher's call to
the client (p99 and most), the slowest answer of ``/readyz`` with the number of answers other than 200, and the edge's
memory before, at the worst, and at the end (ten seconds after, where memory grew). ``--checkout FOLDER`` starts the
edge of another checkout, so that two states of the code can be compared. The edge has a core of its own, all other
processes the other.
"""

import argparse
import asyncio
import http
import http.client
import os
import re
import select
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import orjson
from redis import Redis

from benchmarks.attacks import CASES, SECRET, Aim, Case, Stranger, token
from benchmarks.crowd import LoadError
from benchmarks.machine import allow_files
from benchmarks.slow import memory_mb
from benchmarks.stage import bounded, cores, is_ready, pinned, start
from bus.broker.child import Child, spawn_bound
from bus.envelope import envelope
from bus.log.appender import Appender
from bus.log.appending import Appended, Entry
from producers.services.akosha import METRICS

_ROOT: Final = Path(__file__).resolve().parents[1]
_PER_SECOND: Final = 50
_BEFORE_S: Final = 3.0
_AFTER_S: Final = 10.0
_LAST_EVENTS_S: Final = 20.0
_READY_S: Final = 20.0
_FILES: Final = 5_000
_AT_MOST_MS: Final = 50.0
_NUMBER: Final = re.compile(rb'"n":([0-9]+)')


class Neighbour:
    """A client in a room of its own, and the room's publisher."""

    def __init__(self, port: int, runner: asyncio.Runner, log: Appender, *, shown: str | None) -> None:
        self._runner, self._log = runner, log
        self._client = Stranger(port, shown=shown)
        self._client.ask("subscribe", channel="metrics")
        while (self._client.message() or {}).get("type") != "response":
            pass
        self._began: dict[int, float] = {}
        self._count = 0
        self.waits_s: list[float] = []

    def publish(self) -> None:
        """Publish the next event."""
        self._count += 1
        self._began[self._count] = time.perf_counter()
        line = orjson.dumps(envelope("event", event="aggregation.completed", data={"n": self._count}, room="metrics"))
        entry = Entry(METRICS.fill(), str(self._count), "aggregation.completed", line)
        (result,) = self._runner.run(self._log.append([entry]))
        if not isinstance(result, Appended):
            raise LoadError(f"Redis did not take an event: {result}")

    def read(self, wait_s: float) -> None:
        """Note the events that come within the time."""
        if not select.select([self._client.socket], [], [], wait_s)[0]:
            return
        data = self._client.socket.recv(1024 * 1024)
        if not data:
            raise LoadError("the edge closed the neighbour")
        now = time.perf_counter()
        for found in _NUMBER.finditer(data):  # a frame is small, and rarely cut: its number then counts as missing
            if (began := self._began.pop(int(found[1]), None)) is not None:
                self.waits_s.append(now - began)

    @property
    def owed(self) -> int:
        """How many events have not come yet."""
        return len(self._began)

    def take_waits(self) -> list[float]:
        """Return how long events took since the last call, seconds, shortest first."""
        waits, self.waits_s = sorted(self.waits_s), []
        return waits

    def forget(self) -> int:
        """Expect missing events no longer; return their number."""
        missing = len(self._began)
        self._began.clear()
        return missing


class Readiness(threading.Thread):
    """Asks ``/readyz`` four times a second, until told to end."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port, self._ends = port, threading.Event()
        self.worst_s = 0.0
        self.red = 0

    def run(self) -> None:
        """Ask until the end."""
        while not self._ends.wait(0.25):
            began = time.perf_counter()
            self.red += not self._asked()
            self.worst_s = max(self.worst_s, time.perf_counter() - began)

    def _asked(self) -> bool:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=_READY_S)) as connection:
                connection.request("GET", "/readyz")
                return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False

    def __enter__(self) -> Self:
        """Begin to ask."""
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End."""
        self._ends.set()
        self.join()


@dataclass(slots=True)
class Found:
    """The figures of one case."""

    before: list[float]
    during: list[float] = field(default_factory=list)
    missing: int = 0
    ready_s: float = 0.0
    red: int = 0
    memory_mb: tuple[float, float, float] = (0.0, 0.0, 0.0)
    told: str = ""


class Stage:
    """Redis, an edge, and the neighbour."""

    def __init__(self, stack: ExitStack, case: Case, checkout: Path) -> None:
        load_core, edge_core = cores()
        broker, self._runner, log = pinned(stack, load_core)
        self.redis_url = broker.url
        self._fill(log, case)
        self.edge, self.port = _edge(stack, edge_core, self.redis_url, case, checkout)
        shown = token("neighbour") if case.has_keys else None
        self.neighbour = Neighbour(self.port, self._runner, log, shown=shown)
        self.worst_mb = 0.0

    def _fill(self, log: Appender, case: Case) -> None:
        stored = case.stored()
        for first in range(0, len(stored), 20):
            self._runner.run(log.append(stored[first : first + 20]))
        with closing(Redis.from_url(self.redis_url)) as redis:
            case.prepare(redis)

    def go_on(self, seconds: float) -> None:
        """Publish at the pace, and read."""
        end = due = time.perf_counter()
        end += seconds
        while due < end:
            self.neighbour.publish()
            due += 1 / _PER_SECOND
            self._read_until(due)
            self.worst_mb = max(self.worst_mb, memory_mb(self.edge.pid))

    def _read_until(self, due: float) -> None:
        while (left_s := due - time.perf_counter()) > 0:
            self.neighbour.read(left_s)

    def catch_up(self) -> None:
        """Wait for the missing events."""
        end = time.perf_counter() + _LAST_EVENTS_S
        while self.neighbour.owed and time.perf_counter() < end:
            self._read_until(time.perf_counter() + 0.05)


def _edge(stack: ExitStack, core: int, redis_url: str, case: Case, checkout: Path) -> tuple[Child, int]:
    more = [part for setting in case.settings for part in ("--set", setting)]
    options = ("--port", "0", "--redis", redis_url, "--log-level", "error", "--set", "ping_interval_s=3600", *more)
    keys = {"EDGEBUS_AUTH_SECRET": SECRET} if case.has_keys else {}
    child, port = start(stack, core, "-m", "edgebus", "edge", "akosha", *options, folder=checkout, environment=keys)
    end = time.monotonic() + _READY_S
    while not is_ready(port):
        if time.monotonic() > end:
            raise LoadError("the edge was not ready in time")
        time.sleep(0.05)
    return child, port


def measure(name: str, seconds: int, checkout: Path) -> Found:
    """Run one case."""
    with ExitStack() as stack:
        stage = Stage(stack, CASES[name], checkout)
        stage.go_on(1.0)
        stage.neighbour.take_waits()
        stage.go_on(_BEFORE_S)
        stage.catch_up()
        found, before_mb = Found(stage.neighbour.take_waits()), memory_mb(stage.edge.pid)
        stage.worst_mb = 0.0
        with Readiness(stage.port) as readiness:
            attack = _attack(stack, name, stage, seconds)
            stage.go_on(seconds + 1)
            stage.catch_up()
        found.during, found.missing = stage.neighbour.take_waits(), stage.neighbour.forget()
        found.ready_s, found.red = readiness.worst_s, readiness.red
        found.told = attack.process.communicate()[0].decode().strip() or "the attack failed"
        stage.go_on(_AFTER_S if stage.worst_mb > 1.5 * before_mb else 1.0)
        found.memory_mb = (before_mb, stage.worst_mb, memory_mb(stage.edge.pid))
        return found


def _attack(stack: ExitStack, name: str, stage: Stage, seconds: int) -> Child:
    arguments = ["--attack", name, "--port", str(stage.port), "--redis", stage.redis_url, "--seconds", str(seconds)]
    program = [sys.executable, "-m", "benchmarks.strangers", *arguments]
    child = spawn_bound(program, stdout=subprocess.PIPE, cwd=_ROOT)
    stack.callback(child.stop_blocking)
    return child


def show(name: str, found: Found) -> None:
    """Print one case's row, and the outcome of the attack."""
    before, during = _p99_ms(found.before), _p99_ms(found.during)
    most = 1_000 * max(found.during, default=float("inf"))
    is_good = during <= _AT_MOST_MS and not found.missing and not found.red
    memory = " → ".join(f"{value:.0f}" for value in found.memory_mb)
    print(
        f"{name:10}{before:9.1f} ms{during:10.1f} ms{most:10.1f} ms{found.missing:9}"
        f"{1_000 * found.ready_s:9.0f} ms{found.red:5}   {memory:18}{'' if is_good else '  !'}\n"
        f"{'':10}{CASES[name].words}: {found.told}",
        flush=True,
    )


def _p99_ms(waits: list[float]) -> float:
    return 1_000 * waits[min(int(len(waits) * 0.99), len(waits) - 1)] if waits else float("inf")


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.strangers", description=__doc__.partition("\n")[0])
    arguments.add_argument("--case", choices=list(CASES), action="append", help="default: all, one by one")
    arguments.add_argument("--seconds", type=bounded(2, 60), default=10, help="of each attack")
    arguments.add_argument("--checkout", type=Path, default=_ROOT, help="whose edge; default: that of this benchmark")
    arguments.add_argument("--attack", choices=list(CASES), help=argparse.SUPPRESS)
    arguments.add_argument("--port", type=int, help=argparse.SUPPRESS)
    arguments.add_argument("--redis", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    allow_files(_FILES)
    if given.attack is not None:
        os.nice(5)  # the clock that measures runs on this core, too
        print(CASES[given.attack].attack(Aim(given.port, given.redis, time.monotonic() + given.seconds)))
        return
    heads = f"{'p99 before':>12}{'p99 during':>13}{'most':>13}{'missing':>9}{'/readyz':>12}{'red':>5}"
    print(f"{'':10}{heads}   memory of the edge, MB")
    for name in given.case or CASES:
        try:
            show(name, measure(name, given.seconds, given.checkout.resolve()))
        except LoadError as error:
            print(f"{name:10}not measured: {error}", flush=True)


if __name__ == "__main__":
    main()

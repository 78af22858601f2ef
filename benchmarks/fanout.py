"""What one core of an edge delivers, beside a plain peer in the same run.

``python -m benchmarks.fanout``: one Redis, our edge and ``benchmarks/peers/websockets``, each server with a crowd of
clients. Bursts are published through the bus's log, each burst when every client has all of the last. The servers take
turns (A B A B); both are pinned to one core, Redis and the load to another. The figure is deliveries per second of the
server's own processor time, user and system: such a figure survives a machine with other work.
"""

import argparse
import asyncio
import contextlib
import http
import http.client
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import orjson
import uvloop

from benchmarks.crowd import Crowd, LoadError, frame_of
from bus.broker.child import Child, spawn_bound
from bus.broker.embedded import EmbeddedBroker
from bus.channel import Channel
from bus.envelope import envelope, splice
from bus.log.appender import Appender
from bus.log.appending import Appended, Entry
from bus.position import BEGINNING
from producers.services.mahavishnu import WORKFLOW

_ROOT = Path(__file__).resolve().parents[1]
_LISTENS = re.compile(rb"listens on ws://127\.0\.0\.1:([0-9]+)")
_READY_DEADLINE_S = 10.0
_LOOK_AGAIN_S = 0.02
_WARM_UP_S = 0.5
_FRONT_BYTES = 76
"""Of ``position`` and ``previous``; a byte or two more or less, as their numbers have it."""
_FILES_BESIDE = 200


@dataclass(frozen=True, slots=True)
class Load:
    """The load of both servers."""

    clients: int
    rooms: int
    in_flight: int
    seconds: float
    rounds: int
    line_bytes: int


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


@dataclass(frozen=True, slots=True)
class Target:
    """One server under load."""

    name: str
    child: Child
    crowd: Crowd
    publisher: Publisher

    def burst(self, events: int) -> int:
        """Publish ``events``, and return the number of deliveries once all have arrived."""
        published = self.publisher.publish(events)
        deliveries = sum(self.crowd.expect(room, frame_of(line)) for room, line in published)
        self.crowd.receive_all()
        return deliveries

    def turn(self, in_flight: int, seconds: float) -> Turn:
        """Keep the server busy for ``seconds``, and then to the end of the burst."""
        events = deliveries = 0
        cpu_s, began = cpu_seconds(self.child.pid), time.perf_counter()
        while time.perf_counter() - began < seconds:
            deliveries += self.burst(in_flight)
            events += in_flight
        wall_s = time.perf_counter() - began
        cpu_s = cpu_seconds(self.child.pid) - cpu_s
        self.crowd.check()
        return Turn(events, deliveries, cpu_s, wall_s)


def line_of(channel: str, size: int) -> bytes:
    """Return an event of ``size`` bytes when published: the whole line where that fits, else the data alone."""
    data = {"text": ""}
    whole = envelope("event", event="load", data=data, room=channel)
    value = whole if _FRONT_BYTES + len(orjson.dumps(whole)) <= size else {"event": "load", "data": data}
    data["text"] = "x" * (size - _FRONT_BYTES - len(orjson.dumps(value)) + 1)
    return orjson.dumps(value)


def cpu_seconds(pid: int) -> float:
    """Return a process's user and system time so far (proc(5): fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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


def start_peer(stack: ExitStack, core: int, redis_url: str) -> tuple[Child, int]:
    """Start the plain peer."""
    return start(stack, core, "-m", "benchmarks.peers.websockets.server", "--redis", redis_url)


@contextlib.contextmanager
def targets(load: Load) -> Iterator[list[Target]]:
    """Start Redis, both servers and both crowds, and end all."""
    load_core, server_core = cores()
    with ExitStack() as stack:
        broker, runner, log = pinned(stack, load_core)

        def target(name: str, child: Child, port: int, *, greetings: int) -> Target:
            channels = [WORKFLOW.fill(f"{name}-{number}") for number in range(load.rooms)]
            crowd = Crowd(port, [it.redis for it in channels], load.clients, greetings=greetings)
            stack.enter_context(crowd)
            return Target(name, child, crowd, Publisher(runner, log, channels, load.line_bytes))

        yield [
            target("edge", *start_edge(stack, server_core, broker.url, load.clients), greetings=2),
            target("peer", *start_peer(stack, server_core, broker.url), greetings=1),
        ]


def measure(load: Load) -> dict[str, list[Turn]]:
    """Return the turns of each server, by name."""
    turns: dict[str, list[Turn]] = {"edge": [], "peer": []}
    with targets(load) as both:
        for target in both:
            target.turn(load.in_flight, _WARM_UP_S)
        for _ in range(load.rounds):
            for target in both:
                turns[target.name].append(target.turn(load.in_flight, load.seconds))
    return turns


def report(load: Load, turns: dict[str, list[Turn]]) -> None:
    load_core, server_core = cores()
    print(
        f"{load.clients} clients in {load.rooms} room(s), {load.in_flight} event(s) in flight, "
        f"{load.line_bytes}-byte lines, {load.rounds} turns of {load.seconds:g} s each\n"
        f"Python {platform.python_version()}, uvloop; servers on core {server_core}, load and Redis on {load_core}"
    )
    print(f"{'':6}{'deliveries per server-CPU-second':>50}{'its core':>10}{'deliveries':>12}")
    print(f"{'':6}{'min':>16}{'median':>17}{'max':>17}{'busy':>10}{'per second':>12}")
    for name, them in turns.items():
        rates = [it.per_cpu_s for it in them]
        busy = median(it.cpu_s / it.wall_s for it in them)
        speed = median(it.deliveries / it.wall_s for it in them)
        print(f"{name:6}{min(rates):16,.0f}{median(rates):17,.0f}{max(rates):17,.0f}{busy:10.0%}{speed:12,.0f}")
    pairs = ratios(turns)
    print(f"edge : peer = {median(pairs):.1f} (pairs: {', '.join(f'{it:.1f}' for it in pairs)})")


def ratios(turns: dict[str, list[Turn]]) -> list[float]:
    """Return edge to peer, pair by pair: a disturbance of one turn probably disturbed the next turn, too."""
    return [ours.per_cpu_s / theirs.per_cpu_s for ours, theirs in zip(turns["edge"], turns["peer"], strict=True)]


def as_json(load: Load, turns: dict[str, list[Turn]]) -> bytes:
    them = {name: [{**asdict(it), "per_cpu_s": it.per_cpu_s} for it in its] for name, its in turns.items()}
    pairs = ratios(turns)
    value = {"load": asdict(load), "turns": them, "ratios": pairs, "ratio": median(pairs)}
    return orjson.dumps(value, option=orjson.OPT_INDENT_2)


def allow_files(count: int) -> None:
    """Raise the limit of open files to the crowd's need; the servers inherit the limit."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if most == resource.RLIM_INFINITY else min(count, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit, wanted), most))


def bounded(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of numbers from ``low`` to ``high``."""

    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected {low} to {high}")
        return value

    return parse


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.fanout", description=__doc__.partition("\n")[0])
    arguments.add_argument("--clients", type=bounded(1, 10_000), default=1_000)
    arguments.add_argument("--rooms", type=bounded(1, 10_000), default=1, help="clients are spread evenly over them")
    arguments.add_argument("--in-flight", type=bounded(1, 1_024), default=32, help="events of a burst")
    arguments.add_argument("--seconds", type=bounded(1, 60), default=5, help="of each turn")
    arguments.add_argument("--rounds", type=bounded(1, 20), default=3, help="turns of each server")
    arguments.add_argument("--bytes", type=bounded(150, 4_096), default=200, help="of each event's line")
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    if given.rooms > given.clients:
        arguments.error("--rooms: a room without a client would receive nothing")
    load = Load(given.clients, given.rooms, given.in_flight, given.seconds, given.rounds, given.bytes)
    allow_files(2 * load.clients + _FILES_BESIDE)
    try:
        turns = measure(load)
    except LoadError as error:
        sys.exit(f"not measured: {error}")
    if given.json:
        sys.stdout.buffer.write(as_json(load, turns) + b"\n")
    else:
        report(load, turns)


if __name__ == "__main__":
    main()

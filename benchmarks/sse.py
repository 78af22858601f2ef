"""What one core of an edge delivers to streams of plain HTTP, beside WebSockets of the same edge.

``python -m benchmarks.sse``: one Redis, and one edge with three crowds, each in a room of its own: WebSockets, streams
of one channel (``GET /events``), and streams of two, whose ids are each client's own. Bursts are published as in
``benchmarks.bench``, and the crowds take turns. The figure is deliveries per second of the edge's processor time.
"""

import argparse
import platform
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from urllib.parse import quote

from benchmarks.crowd import Crowd, LoadError, frame_of
from benchmarks.machine import allow_files, cpu_seconds
from benchmarks.stage import Publisher, Turn, bounded, cores, pinned, start_edge
from edges.protocol.event_stream import EVENT_STREAM
from producers.services.mahavishnu import WORKFLOW

_LINE_BYTES = 450
_WARM_UP_S = 0.5
_FILES_BESIDE = 200
_SILENT = "workflow:silent"


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    pid: int
    crowd: Crowd
    publisher: Publisher
    frame: Callable[[bytes], bytes]

    def turn(self, in_flight: int, seconds: float) -> Turn:
        """Keep the edge busy for ``seconds``."""
        events = deliveries = 0
        cpu_s, began = cpu_seconds([self.pid]), perf_counter()
        while perf_counter() - began < seconds:
            published = self.publisher.publish(in_flight)
            deliveries += sum(self.crowd.expect(room, self.frame(line)) for room, line in published)
            self.crowd.receive_all()
            events += in_flight
        wall_s, cpu_s = perf_counter() - began, cpu_seconds([self.pid]) - cpu_s
        self.crowd.check()
        return Turn(events, deliveries, cpu_s, wall_s)


class _Door:
    """Brings connections into streams; ``place`` is the last id that was told."""

    def __init__(self, *beside: str) -> None:
        self._beside, self.place = beside, b""

    def __call__(self, connection: socket.socket, channel: str, _: int) -> None:
        """Ask for a stream, and read up to the answer about the last channel."""
        channels = (channel, *self._beside)
        query = "&".join(f"channel={quote(it)}" for it in channels)
        connection.sendall(f"GET /events?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        owed = len(channels)
        with connection.makefile("rb", buffering=0) as answer:
            while owed:
                line = answer.readline()
                if not line:
                    raise LoadError("the edge ended a stream")
                if line.startswith(b"id: "):
                    self.place = line[4:-1]
                owed -= line == b"event: subscribed\n"
            while answer.readline() != b"\n":
                pass


def _frame(line: bytes) -> bytes:
    return EVENT_STREAM.frame(line) or b""


@contextmanager
def _kinds(clients: int) -> Iterator[list[_Kind]]:
    load_core, edge_core = cores()
    with ExitStack() as stack:
        broker, runner, log = pinned(stack, load_core)
        child, port = start_edge(stack, edge_core, broker.url, 3 * clients)

        def kind(name: str, frame: Callable[[bytes], bytes], door: _Door | None = None) -> _Kind:
            channel = WORKFLOW.fill(name)
            crowd = Crowd(port, [channel.redis], clients, greetings=2, enter=door)
            stack.enter_context(crowd)
            return _Kind(name, child.pid, crowd, Publisher(runner, log, [channel], _LINE_BYTES), frame)

        two = _Door(_SILENT)

        def of_two(line: bytes) -> bytes:
            first, _, rest = _frame(line).partition(b"\n")
            return first + b"," + two.place.partition(b",")[2] + b"\n" + rest

        yield [kind("websocket", frame_of), kind("stream", _frame, _Door()), kind("of-two", of_two, two)]


def measure(clients: int, in_flight: int, seconds: float, rounds: int) -> dict[str, list[Turn]]:
    """Return the turns of each kind of client."""
    turns: dict[str, list[Turn]] = {}
    with _kinds(clients) as kinds:
        for kind in kinds:
            kind.turn(in_flight, _WARM_UP_S)
        for _ in range(rounds):
            for kind in kinds:
                turns.setdefault(kind.name, []).append(kind.turn(in_flight, seconds))
    return turns


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.sse", description=__doc__.partition("\n")[0])
    arguments.add_argument("--clients", type=bounded(1, 5_000), default=1_000, help="of each kind")
    arguments.add_argument("--in-flight", type=bounded(1, 1_024), default=32, help="events of a burst")
    arguments.add_argument("--seconds", type=bounded(1, 60), default=5, help="of each turn")
    arguments.add_argument("--rounds", type=bounded(1, 20), default=3, help="turns of each kind")
    given = arguments.parse_args()
    allow_files(3 * given.clients + _FILES_BESIDE)
    try:
        turns = measure(given.clients, given.in_flight, given.seconds, given.rounds)
    except LoadError as error:
        sys.exit(f"not measured: {error}")
    print(f"{given.clients} clients of each kind, {given.in_flight} in flight, Python {platform.python_version()}")
    for name, them in turns.items():
        rates = sorted(it.per_cpu_s for it in them)
        print(f"{name:10}{median(rates):12,.0f} deliveries per CPU second ({rates[0]:,.0f} to {rates[-1]:,.0f})")


if __name__ == "__main__":
    main()

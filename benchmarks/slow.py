"""The cost of slow clients to the others: a room of 1,000, one policy after another.

``python -m benchmarks.slow``: 780 clients read, 200 stop reading, 20 go on with 1 KB a second; events of 16 KB at 50 a
second. For each policy: how long the 780 wait for an event (median, p99, most) while all clients read, and then from
the stop of the 220 until the policy has fired; the edge's memory before, at the worst and after; the counters. Clients
are cheap, as in ``benchmarks.crowd``; the load and Redis are on one core, the edge on the other.
"""

import argparse
import asyncio
import base64
import contextlib
import os
import resource
import select
import signal
import socket
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from websockets.frames import Frame, Opcode

from benchmarks.crowd import LoadError, frame_of
from benchmarks.limited_edge import CHANNELS
from benchmarks.machine import allow_files
from benchmarks.stage import bounded, cores, pinned, start
from bus.broker.child import Child
from bus.envelope import envelope, splice
from bus.log.appender import Appender
from bus.log.appending import Appended, Entry
from bus.position import BEGINNING

_BUFFER_BYTES = 1024 * 1024
_TRICKLE_BYTES = 1024
_GREETINGS = 2
_SETTLE_S = 3.0
_GIVE_UP_S = 30.0
_FILES = 5_000
_PAGE_BYTES = resource.getpagesize()


@dataclass(slots=True)
class Client:
    """One client, and the received part of the room's events."""

    socket: socket.socket
    received: int = 0
    events: int = 0


@dataclass(slots=True)
class Crowd:
    """Clients of one room, and the events published there."""

    clients: list[Client] = field(default_factory=list)
    ends: list[int] = field(default_factory=lambda: [0])
    began: list[float] = field(default_factory=lambda: [0.0])
    waits_s: list[float] = field(default_factory=list)
    epoll: select.epoll = field(default_factory=select.epoll)
    by_number: dict[int, Client] = field(default_factory=dict)

    def admit(self, port: int, channel: str) -> None:
        """Let one more client in."""
        client = Client(_entered(port, channel))
        self.clients.append(client)
        self.by_number[client.socket.fileno()] = client
        self.epoll.register(client.socket.fileno(), select.EPOLLIN)

    def neglect(self, client: Client) -> None:
        """Read no more bytes of a client's."""
        self.epoll.unregister(client.socket.fileno())

    def published(self, size: int, began: float) -> None:
        """Take note of an event's frame, and of the beginning of its publishing."""
        self.ends.append(self.ends[-1] + size)
        self.began.append(began)

    def read(self, until: float) -> None:
        """Read until ``until``, and note the time at which each event was whole."""
        while (left_s := until - time.perf_counter()) > 0:
            for number, _ in self.epoll.poll(left_s):
                self._receive(self.by_number[number])

    def _receive(self, client: Client) -> None:
        count = client.socket.recv_into(_BUFFER, _BUFFER_BYTES, socket.MSG_TRUNC)
        if count == 0:
            raise LoadError("the edge closed a client that reads")
        client.received += count
        events, now = bisect_right(self.ends, client.received) - 1, time.perf_counter()
        self.waits_s += [now - self.began[number] for number in range(client.events + 1, events + 1)]
        client.events = events

    def close(self) -> None:
        """Drop all clients."""
        for client in self.clients:
            client.socket.close()
        self.epoll.close()


_BUFFER = bytearray(_BUFFER_BYTES)


@dataclass(slots=True)
class Room:
    """The room for the events of one policy."""

    runner: asyncio.Runner
    log: Appender
    policy: str
    line_bytes: int
    last: str = BEGINNING
    count: int = 0

    def publish(self, crowd: Crowd) -> None:
        """Publish the next event."""
        self.count += 1
        channel, began = CHANNELS[self.policy], time.perf_counter()
        data = {"user_id": f"u{self.count % 10}", "text": "x" * self.line_bytes}
        line = orjson.dumps(envelope("event", event="load", data=data, room=channel.name))
        (result,) = self.runner.run(self.log.append([Entry(channel, str(self.count), "load", line)]))
        if not isinstance(result, Appended):
            raise LoadError(f"Redis did not take an event: {result}")
        is_live = result.position is None
        previous, self.last = self.last, result.position or ""
        whole = splice(line, None, None) if is_live else splice(line, result.position, previous)
        crowd.published(len(frame_of(whole)), began)


def _entered(port: int, channel: str) -> socket.socket:
    """Return a client that shook hands, subscribed, and read the answer and the welcome."""
    plain = socket.create_connection(("127.0.0.1", port), 5)
    key = base64.b64encode(os.urandom(16)).decode()
    plain.sendall(
        f"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    request = orjson.dumps({"type": "request", "event": "subscribe", "data": {"channel": channel}, "id": "1"})
    plain.sendall(Frame(Opcode.TEXT, request).serialize(mask=True))
    with plain.makefile("rb", buffering=0) as answer:
        _read_head(answer)
        for _ in range(_GREETINGS):
            _read_frame(answer)
    return plain


def _read_head(answer: Any) -> None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += answer.read(1)
    if b" 101 " not in head:
        raise LoadError(f"the edge answered the handshake with {head!r}")


def _read_frame(answer: Any) -> None:
    size = answer.read(2)[1]
    size = int.from_bytes(answer.read(2)) if size == 126 else size
    while size:
        size -= len(answer.read(size))


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process (proc(5): the second field of statm)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES / 1e6


def counters(child: Child) -> dict[str, Any]:
    """Ask the edge for its counters."""
    os.kill(child.pid, signal.SIGUSR1)
    assert child.process.stdout is not None
    value = orjson.loads(child.process.stdout.readline())
    assert isinstance(value, dict)
    return value


@dataclass(frozen=True, slots=True)
class Load:
    """How many clients, how large events, how often."""

    readers: int
    never: int
    trickles: int
    line_bytes: int
    per_second: int
    before_s: float


class Run:
    """One policy, from all reading to the policy having fired."""

    def __init__(self, load: Load, child: Child, crowd: Crowd, room: Room) -> None:
        self._load, self._child, self._crowd, self._room = load, child, crowd, room
        self._trickled = time.perf_counter()
        self.worst_mb = 0.0

    def go_on(self, seconds: float, trickles: list[Client]) -> None:
        """Publish at the pace, read for the reading clients, and let the others trickle."""
        end, pace_s = time.perf_counter() + seconds, 1 / self._load.per_second
        due = time.perf_counter()
        while due < end:
            self._room.publish(self._crowd)
            due += pace_s
            self._crowd.read(due)
            self.worst_mb = max(self.worst_mb, memory_mb(self._child.pid))
            if time.perf_counter() - self._trickled >= 1:
                self._trickled = time.perf_counter()
                for client in trickles:
                    with contextlib.suppress(ConnectionError):
                        client.socket.recv_into(_BUFFER, _TRICKLE_BYTES, socket.MSG_DONTWAIT)

    def take_waits(self) -> list[float]:
        """Return how long events took since the last call, seconds, shortest first."""
        waits, self._crowd.waits_s = self._crowd.waits_s, []
        return sorted(waits)


def measure(policy: str, load: Load, port: int, child: Child, room: Room) -> None:
    crowd, lost = Crowd(), load.never + load.trickles
    try:
        for _ in range(load.readers + lost):
            crowd.admit(port, policy)
        run, began = Run(load, child, crowd, room), counters(child)
        run.go_on(1.0, [])
        run.take_waits()
        run.go_on(load.before_s, [])
        before, before_mb = run.take_waits(), memory_mb(child.pid)
        slow = crowd.clients[load.readers :]
        for client in slow:
            crowd.neglect(client)
        run.worst_mb, stopped = 0.0, time.perf_counter()
        while counters(child)["slow"] - began["slow"] < lost and time.perf_counter() - stopped < _GIVE_UP_S:
            run.go_on(1.0, slow[load.never :])
        fired_s = time.perf_counter() - stopped
        run.go_on(_SETTLE_S, slow[load.never :])
        after = counters(child)
        print(f"{policy}: {after['slow'] - began['slow']} of {lost} slow clients were closed within {fired_s:.0f} s")
        show(policy, load, before, run.take_waits())
    finally:
        crowd.close()
    print(
        f"  memory of the edge    before {before_mb:.0f} MB, worst {run.worst_mb:.0f}, after {memory_mb(child.pid):.0f}"
    )
    names = ("slow", "cut", "skipped", "conflated", "deliveries")
    said = [f"{name} {after[name] - began[name]:,}" for name in names]
    said += [f"{name} {count - began['limited'][name]:,}" for name, count in after["limited"].items() if count]
    print(f"  counters              {', '.join(said)}", flush=True)


def show(policy: str, load: Load, before: list[float], during: list[float]) -> None:
    print(f"  {load.readers} readers wait        {'median':>9}{'p99':>9}{'most':>9}  deliveries")
    for name, waits in (("before", before), ("during", during)):
        if not waits:
            raise LoadError(f"{policy}: nothing was received {name}")
        median, p99, most = (1_000 * waits[min(int(len(waits) * share), len(waits) - 1)] for share in (0.5, 0.99, 1))
        print(f"    {name:22}{median:6.1f} ms{p99:6.1f} ms{most:6.1f} ms  {len(waits):,}")


@contextlib.contextmanager
def servers(clients: int, settings: list[str]) -> Iterator[tuple[Child, int, asyncio.Runner, Appender]]:
    """Start Redis and an edge, and end them."""
    load_core, server_core = cores()
    with ExitStack() as stack:
        broker, runner, log = pinned(stack, load_core)
        options = [each for setting in (f"max_connections={clients}", *settings) for each in ("--set", setting)]
        child, port = start(stack, server_core, "-m", "benchmarks.limited_edge", "--redis", broker.url, *options)
        yield child, port, runner, log


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.slow", description=__doc__.partition("\n")[0])
    arguments.add_argument("--policy", choices=list(CHANNELS), action="append", help="default: all, one by one")
    arguments.add_argument("--readers", type=bounded(1, 5_000), default=780)
    arguments.add_argument("--never", type=bounded(0, 1_000), default=200)
    arguments.add_argument("--trickles", type=bounded(0, 1_000), default=20, help="clients that read 1 KB a second")
    arguments.add_argument("--bytes", type=bounded(100, 200_000), default=16_000, help="of each event's text")
    arguments.add_argument("--per-second", type=bounded(1, 1_000), default=50)
    arguments.add_argument("--before", type=bounded(1, 60), default=5, help="seconds in which all of them read")
    arguments.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the edge")
    given = arguments.parse_args()
    load = Load(given.readers, given.never, given.trickles, given.bytes, given.per_second, given.before)
    allow_files(_FILES)
    clients = load.readers + load.never + load.trickles
    print(f"a room of {clients}: {load.never} stop reading, {load.trickles} read 1 KB/s; {load.per_second} events/s")
    try:
        for policy in given.policy or CHANNELS:
            with servers(clients, ["ping_interval_s=3600", *given.set]) as (child, port, runner, log):
                measure(policy, load, port, child, Room(runner, log, policy, load.line_bytes))
    except LoadError as error:
        sys.exit(f"not measured: {error}")


if __name__ == "__main__":
    main()

"""How long a client takes to get in while others never end their handshakes.

``python -m benchmarks.loris``: 2,000 half handshakes from one process. Each sends a byte of its head now and then, and
begins anew at once when the edge ends the connection. A client that connects, shakes hands and asks for a pong is timed
before and during. The half handshakes come from another address of the machine than the client, unless ``--from
127.0.0.1`` says otherwise.
"""

import argparse
import contextlib
import select
import socket
import subprocess
import sys
import time
from contextlib import ExitStack

from websockets.frames import Frame, Opcode

from benchmarks.crowd import LoadError
from benchmarks.machine import allow_files
from benchmarks.slow import counters, memory_mb, servers
from benchmarks.stage import bounded
from bus.broker.child import spawn_bound

_HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
_FILES_BESIDE = 200
_ROUND_S = 1.0
_PING = Frame(Opcode.TEXT, b'{"type":"ping"}')
_UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Flood:
    """Half handshakes to one edge."""

    def __init__(self, port: int, address: str) -> None:
        self._port, self._address = port, address
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}

    def hold(self, count: int) -> None:
        """Hold ``count`` half handshakes for ever; print a line once all are there."""
        for _ in range(count):
            self._begin()
        print("holds", flush=True)
        round_at = time.monotonic()
        while True:
            for number, _ in self._epoll.poll(_ROUND_S):
                self._epoll.unregister(number)
                self._sockets.pop(number).close()
                self._begin()
            if time.monotonic() - round_at >= _ROUND_S:
                round_at = time.monotonic()
                self._trickle()

    def _begin(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self._port), source_address=(self._address, 0))
        with contextlib.suppress(ConnectionError):
            plain.sendall(_HEAD)
        self._sockets[plain.fileno()] = plain
        self._epoll.register(plain.fileno(), select.EPOLLIN | select.EPOLLRDHUP)

    def _trickle(self) -> None:
        for plain in self._sockets.values():
            with contextlib.suppress(ConnectionError):
                plain.send(b"x")


def connect_s(port: int) -> float:
    """Return a client's time from the connection to the first answer, seconds."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        plain.sendall(_UPGRADE)
        if b" 101 " not in plain.recv(4_096):
            raise LoadError("a client was not let in")
        plain.sendall(_PING.serialize(mask=True))
        plain.recv(4_096)
        return time.perf_counter() - began


def show(name: str, port: int, connects: int) -> None:
    found, failed = [], 0
    for _ in range(connects):
        try:
            found.append(connect_s(port))
        except (LoadError, OSError):
            failed += 1
        time.sleep(0.02)
    if not found:
        raise LoadError("no client got in")
    found.sort()
    median, p99, most = (1_000 * found[min(int(len(found) * share), len(found) - 1)] for share in (0.5, 0.99, 1))
    print(f"  {name:8}{median:6.1f} ms median{p99:8.1f} ms p99{most:8.1f} ms most, {failed} of {connects} not let in")


def measure(halves: int, address: str, connects: int, settings: list[str]) -> None:
    with servers(1_000, settings) as (child, port, _, _), ExitStack() as stack:
        show("before", port, connects)
        memory = memory_mb(child.pid)
        arguments = [sys.executable, "-m", "benchmarks.loris", "--flood", str(port), "--halves", str(halves)]
        flood = spawn_bound([*arguments, "--from", address], stdout=subprocess.PIPE)
        stack.callback(flood.stop_blocking)
        assert flood.process.stdout is not None
        flood.process.stdout.readline()
        show("during", port, connects)
        after = counters(child)
        print(f"  memory of the edge {memory:.0f} MB before, {memory_mb(child.pid):.0f} during")
        print(f"  counters: {', '.join(f'{name} {count:,}' for name, count in after['limited'].items() if count)}")


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.loris", description=__doc__.partition("\n")[0])
    arguments.add_argument("--halves", type=bounded(1, 5_000), default=2_000)
    arguments.add_argument("--connects", type=bounded(1, 1_000), default=300)
    arguments.add_argument("--from", default="127.0.0.2", dest="address", help="where the half handshakes come from")
    arguments.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the edge")
    arguments.add_argument("--flood", type=int, metavar="PORT", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    allow_files(given.halves + _FILES_BESIDE)
    if given.flood is not None:
        Flood(given.flood, given.address).hold(given.halves)
    print(f"{given.halves} half handshakes; a client from its connection to its first answer")
    try:
        measure(given.halves, given.address, given.connects, given.set)
    except LoadError as error:
        sys.exit(f"not measured: {error}")


if __name__ == "__main__":
    main()

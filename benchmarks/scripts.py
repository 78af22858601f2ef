"""The processor time of Redis per publish: ours, alone and together, beside Centrifugo's history script and plain ways.

    python -m benchmarks.scripts [--rounds 7] [--subscribers 1] [--channels 1] [--bytes 447] [--binary PATH] [--json]

Ways take turns on one server; figures are medians of rounds, in microseconds of all the server's threads per event.
Commands go in pipelines of a hundred, or one at a time with `--pipeline 1`. Logs are at their cap, unless channels are
many. Centrifugo's script is read from the cache of Go modules:
`go mod download github.com/centrifugal/centrifuge@v0.40.1` brings one.
"""

import argparse
import hashlib
import json
import shutil
import socket
import statistics
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import hiredis

from bus.broker.embedded import EmbeddedBroker
from bus.channel import Family
from bus.log.appending import SCRIPT, Entry, command
from bus.log.several import SEVERAL, plan
from bus.redis.command_link import packed

CENTRIFUGO: Final = "Centrifugo's history script"
OWN_PAYLOAD_BYTES: Final = 210
"""What Centrifugo itself stores for an event of 200 bytes."""
_ROOM: Final = Family("bench:{room}")
_KEEP: Final = 1_000
_FILLED: Final = 1_200
_FILLED_IN_ALL: Final = 20_000
_LIFE_S: Final = 86_400
_READ_BYTES: Final = 1 << 20
_EMPTY: Final = "return ARGV[1]"

Way: TypeAlias = Callable[[Sequence[str], bytes], tuple[bytes, int]]
"""Makes the commands for an event in each of the rooms, and the number of answers."""


def centrifugo() -> str:
    """Return Centrifugo's script from the cache of Go modules."""
    go = shutil.which("go")
    said = subprocess.run([go, "env", "GOMODCACHE"], capture_output=True, text=True, check=True).stdout if go else ""
    cache = Path(said.strip() or Path.home() / "go/pkg/mod") / "github.com/centrifugal"
    for folder in sorted(cache.glob("centrifuge@*/internal/redis_lua"), reverse=True):
        whole = folder / "broker_history_add_stream.lua"
        parts = [whole] if whole.exists() else sorted(folder.glob("broker_history_add_stream_*.lua"), reverse=True)
        if parts:
            return "\n".join(part.read_text() for part in parts)
    raise SystemExit(f"no script of Centrifugo's in {cache}: go mod download github.com/centrifugal/centrifuge@v0.40.1")


class Line:
    """A connection that sends bytes and waits for so many answers."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()

    def run(self, data: bytes, count: int) -> Any:
        """Return the last of ``count`` answers."""
        self._socket.sendall(data)
        answer: Any = None
        while count:
            answer = self._reader.gets()
            if answer is False:
                self._reader.feed(self._socket.recv(_READ_BYTES))
            elif isinstance(answer, Exception):
                raise answer
            else:
                count -= 1
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def each(make: Callable[[str, bytes], bytes], answers: int = 1) -> Way:
    """Return a way that sends a command, or several, for each event."""
    return lambda rooms, line: (b"".join(make(room, line) for room in rooms), answers * len(rooms))


def together(rooms: Sequence[str], line: bytes) -> tuple[bytes, int]:
    """Make what an appender sends for one pipeline."""
    pieces, stands_for = plan([_entry(room, line) for room in rooms], lambda one: [packed(command(one))])
    return b"".join(pieces), len(stands_for)


def by(size: int) -> Way:
    """Return a way that sends events of a room by so many."""

    def several(rooms: Sequence[str], line: bytes) -> tuple[bytes, int]:
        slices = [together(rooms[start : start + size], line) for start in range(0, len(rooms), size)]
        return b"".join(data for data, _ in slices), sum(count for _, count in slices)

    return several


def _entry(room: str, line: bytes) -> Entry:
    return Entry(_ROOM.fill(room), "00000000-0000-4000-8000-000000000000", "bench.sample", line)


def _multi(room: str, line: bytes) -> bytes:
    key = f"bench:multi:{{{room}}}"
    add = ("XADD", key, "MAXLEN", "~", _KEEP, "*", "id", "0", "event", "bench.sample", "line", line)
    words = (("MULTI",), add, ("PEXPIRE", key, _LIFE_S * 1000), ("PUBLISH", f"bench:{room}", line), ("EXEC",))
    return b"".join(map(packed, words))


def _centrifugal(script: str, size: int | None) -> Callable[[str, bytes], bytes]:
    sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()

    def make(room: str, line: bytes) -> bytes:
        keys = (f"centrifugo.stream.{room}", f"centrifugo.stream.meta.{room}", f"centrifugo.result.{room}")
        bounds = (_KEEP, _LIFE_S, f"bench:{room}", 30 * _LIFE_S, "epoch", "publish", "", "", "0", "")
        return packed(("EVALSHA", sha, 3, *keys, line[:size], *bounds))

    return make


def _called(script: str) -> Callable[[str, bytes], bytes]:
    sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
    return lambda room, line: packed(("EVALSHA", sha, 1, room, "id", "event", line, 1, _KEEP, _LIFE_S))


def ways(history: str) -> dict[str, Way]:
    """Return the ways by their names."""
    return {
        CENTRIFUGO: each(_centrifugal(history, None)),
        f"{CENTRIFUGO}, {OWN_PAYLOAD_BYTES} bytes": each(_centrifugal(history, OWN_PAYLOAD_BYTES)),
        "ours, one by one": each(lambda room, line: packed(command(_entry(room, line)))),
        "ours, by 2": by(2),
        "ours, by 10": by(10),
        "ours, as a pipeline": together,
        "MULTI XADD PEXPIRE PUBLISH": each(_multi, 5),
        "a script that does nothing": each(_called(_EMPTY)),
        "PUBLISH alone": each(lambda room, line: packed(("PUBLISH", f"bench:{room}", line))),
    }


def busy_us(pid: int) -> float:
    """Return the processor time of all threads so far, microseconds."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1000


def measured(line: Line, pid: int, made: dict[str, Way], given: argparse.Namespace) -> dict[str, float]:
    """Return microseconds per event for each way."""
    text = b'{"id":"%b"}' % (b"x" * (given.bytes - 9))
    rooms = [str(number % given.channels) for number in range(max(given.events, given.channels))]
    slices = [rooms[start : start + given.pipeline] for start in range(0, len(rooms), given.pipeline)]
    found: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(-(-min(_FILLED * given.channels, _FILLED_IN_ALL) // len(rooms))):
        _turn(line, made, slices, text)
    for _ in range(given.rounds):
        for name, way in made.items():
            began = busy_us(pid)
            _turn(line, {name: way}, slices, text)
            found[name].append((busy_us(pid) - began) / len(rooms))
    return {name: statistics.median(it) for name, it in found.items()}


def _turn(line: Line, made: dict[str, Way], slices: Sequence[Sequence[str]], text: bytes) -> None:
    for way in made.values():
        for data, count in [way(some, text) for some in slices]:
            line.run(data, count)


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Measure on a server of our own; return its version, and microseconds per event for each way."""
    history = centrifugo()
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedBroker(port=0, binary=given.binary))
        line = Line(server.port)
        stack.callback(line.close)
        for script in (SCRIPT, SEVERAL, history, _EMPTY):
            line.run(packed(("SCRIPT", "LOAD", script)), 1)
        for _ in range(given.subscribers):
            stack.enter_context(listening(server.port, given.channels))
        found = measured(line, server.pid, ways(history), given)
        return {"server": f"{Path(server.binary).name} {server.version}", "us": found, "line_bytes": given.bytes}


@contextmanager
def listening(port: int, channels: int) -> Iterator[None]:
    """Subscribe to all channels, read and forget."""
    line = socket.create_connection(("127.0.0.1", port))
    line.sendall(packed(("SUBSCRIBE", *(f"bench:{number}" for number in range(channels)))))

    def read() -> None:
        while line.recv(_READ_BYTES):
            pass

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        line.shutdown(socket.SHUT_RDWR)
        thread.join()
        line.close()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--events", type=int, default=3_000, help="of each way and round")
    arguments.add_argument("--pipeline", type=int, default=100)
    arguments.add_argument("--subscribers", type=int, default=1)
    arguments.add_argument("--channels", type=int, default=1)
    arguments.add_argument("--bytes", type=int, default=447, help="of a line before its position")
    arguments.add_argument("--binary", type=Path, default=shutil.which("redis-server"), help="default: redis-server")
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    result = run(given)
    if given.json:
        print(json.dumps(result))
        return
    base = result["us"][CENTRIFUGO]
    print(f"{result['server']}, {given.bytes} bytes, pipelines of {given.pipeline}{'us per event':>20}{'ratio':>8}")
    for name, us in result["us"].items():
        print(f"{name:50}{us:>12.2f}{us / base:>8.2f}")


if __name__ == "__main__":
    main()

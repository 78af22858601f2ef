"""The way of a command through the code of an edge: calls of our functions, changes of file, and files.

``python -m benchmarks.ways``: an edge in a thread of its own, a Redis, and a client. In the edge's thread, each call of
a function of our packages is counted from the client's message to the answer. Rounds with other work in between (a
deadline looked at, a probe) show more, so the round with the fewest calls counts. ``--checkout FOLDER`` looks at the
code of another checkout, so that two states can be compared; ``--files`` names the files, ``--calls`` each call.
"""

import argparse
import asyncio
import importlib
import inspect
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

import jwt
import orjson
from websockets.asyncio.client import ClientConnection, connect

_ROUNDS: Final = 20
_PACKAGES: Final = ("bus", "edges")
_SECRET: Final = "a secret of this benchmark alone, and of no use to anybody"  # noqa: S105 (nothing is behind it)
_DEADLINE_S: Final = 10.0
_TURNS: Final = 20
"""Turns of the edge's loop after an answer, for what its command does behind that."""


@dataclass(frozen=True, slots=True)
class Way:
    """The calls, in order: file and function."""

    calls: tuple[tuple[str, str], ...]

    @property
    def files(self) -> list[str]:
        """The files on the way, each once, in the order of the calls."""
        return list(dict.fromkeys(file for file, _ in self.calls))

    @property
    def changes(self) -> int:
        """How often a call is in another file than the call before."""
        return sum(one[0] != other[0] for one, other in itertools.pairwise(self.calls))


@dataclass(slots=True)
class Tracer:
    """Counts the calls of one thread, the edge's."""

    root: Path
    loop: asyncio.AbstractEventLoop
    _calls: list[tuple[str, str]] = field(default_factory=list)
    _names: dict[str, str | None] = field(default_factory=dict)

    async def trace(self, act: Callable[[], Awaitable[object]]) -> Way:
        """Return the way from ``act`` to the answer at the client."""
        self._calls = []
        await self._in_loop(lambda: sys.setprofile(self._note))
        await act()
        for _ in range(_TURNS):
            await self._in_loop(lambda: None)
        await self._in_loop(lambda: sys.setprofile(None))
        return Way(tuple(self._calls))

    async def _in_loop(self, call: Callable[[], object]) -> None:
        done = asyncio.get_running_loop().create_future()
        home = asyncio.get_running_loop()

        def run() -> None:
            call()
            home.call_soon_threadsafe(done.set_result, None)

        self.loop.call_soon_threadsafe(run)
        await done

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        file = self._file(code.co_filename)
        if file is not None and not _goes_on(frame):
            self._calls.append((file, code.co_qualname))

    def _file(self, path: str) -> str | None:
        if path not in self._names:
            inside = any(path.startswith(f"{self.root / package}{os.sep}") for package in _PACKAGES)
            self._names[path] = str(Path(path).relative_to(self.root)) if inside else None
        return self._names[path]


def _goes_on(frame: FrameType) -> bool:
    """Tell whether a coroutine or generator was called before, and only goes on."""
    resumes = frame.f_code.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR)
    return bool(resumes) and frame.f_lasti > _first_instruction(frame)


def _first_instruction(frame: FrameType) -> int:
    """Return the last instruction of a frame that has not begun: RETURN_GENERATOR, POP_TOP and RESUME come first."""
    return next((start for start, _, line in frame.f_code.co_lines() if line != frame.f_code.co_firstlineno), 0)


class EdgeThread:
    """An edge in a thread of its own."""

    def __init__(self, edge: Callable[[], Any]) -> None:
        self._make, self._ready, self._over = edge, threading.Event(), threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="edge")
        self.loop: asyncio.AbstractEventLoop
        self.port = 0

    def __enter__(self) -> "EdgeThread":
        self.thread.start()
        assert self._ready.wait(_DEADLINE_S), "the edge did not become ready"
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.thread.join()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        async with self._make() as edge:
            while edge.not_ready() is not None:  # noqa: ASYNC110 (readiness is a look, not an event)
                await asyncio.sleep(0.01)
            self.port = edge.port
            self._ready.set()
            await asyncio.to_thread(self._over.wait)


@asynccontextmanager
async def _client(edge: EdgeThread) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://127.0.0.1:{edge.port}", compression=None, ping_interval=None) as client:
        yield client


async def _ask(client: ClientConnection, count: int = 1, **message: Any) -> list[dict[str, Any]]:
    """Send a message, and return the next ``count`` messages."""
    await client.send(orjson.dumps(message).decode())
    return [orjson.loads(await client.recv()) for _ in range(count)]


async def _greeted(client: ClientConnection) -> None:
    await _ask(client, 2, type="ping", id="first")


def _subscribe(channel: str, **more: Any) -> dict[str, Any]:
    return {"type": "request", "event": "subscribe", "data": {"channel": channel, **more}, "id": "s"}


def _token() -> str:
    now = int(time.time())
    claims = {"user_id": "alice", "permissions": ["mahavishnu:read"], "iat": now, "exp": now + 3600}
    return jwt.encode(claims, _SECRET, "HS256")


class Ways:
    """Each way once, on an edge without tokens and on an edge that requires tokens."""

    def __init__(self, root: Path, plain: EdgeThread, locked: EdgeThread, producer: Any) -> None:
        self._root, self._plain, self._locked, self._producer = root, plain, locked, producer
        self._tracer = Tracer(root, plain.loop)
        self._rooms = itertools.count()

    async def _publish(self, workflow: str) -> str:
        model = importlib.import_module("producers.services.mahavishnu").WorkflowStarted
        published = await self._producer.publish(model(workflow_id=workflow, adapter="local"))
        return str(published.positions[f"workflow:{workflow}"])

    async def ping(self) -> Way:
        """A ping of a greeted client."""
        async with _client(self._plain) as client:
            await _greeted(client)
            return await self._tracer.trace(lambda: _ask(client, type="ping", id="p"))

    async def subscribe(self) -> Way:
        """A first subscription to a room with another client."""
        room = f"workflow:r{next(self._rooms)}"
        async with _client(self._plain) as other, _client(self._plain) as client:
            await _ask(other, 2, **_subscribe(room))
            await _greeted(client)
            return await self._tracer.trace(lambda: _ask(client, **_subscribe(room)))

    async def resume(self) -> Way:
        """A subscription with ``since`` to a room with another client; the room remembers the missed event."""
        name = f"r{next(self._rooms)}"
        async with _client(self._plain) as other, _client(self._plain) as client:
            await _ask(other, 2, **_subscribe(f"workflow:{name}"))
            start = await self._publish(name)
            await other.recv()
            await self._publish(name)
            await other.recv()
            await _greeted(client)
            return await self._tracer.trace(lambda: _ask(client, 2, **_subscribe(f"workflow:{name}", since=start)))

    async def token(self) -> Way:
        """The token of a client on an edge that requires tokens: the answer, and the welcome behind."""
        message = {"type": "request", "event": "auth", "data": {"token": _token()}, "id": "a"}
        async with _client(self._locked) as client:
            return await Tracer(self._root, self._locked.loop).trace(lambda: _ask(client, 2, **message))

    async def event(self) -> Way:
        """One event, from Redis to the only client of its room."""
        name = f"r{next(self._rooms)}"
        async with _client(self._plain) as client:
            await _ask(client, 2, **_subscribe(f"workflow:{name}"))

            async def act() -> None:
                await self._publish(name)
                await client.recv()

            await act()
            return await self._tracer.trace(act)


def _embedded_broker() -> Any:
    try:
        return importlib.import_module("bus.broker.embedded").EmbeddedBroker
    except ModuleNotFoundError:  # a checkout from before bus/ had rooms of its own
        return importlib.import_module("bus.embedded").EmbeddedBroker


async def _trace_all(root: Path, plain: EdgeThread, locked: EdgeThread, url: str) -> dict[str, Way]:
    async with importlib.import_module("producers").Producer(url) as producer:
        ways = Ways(root, plain, locked, producer)
        acts = (ways.ping, ways.subscribe, ways.resume, ways.token, ways.event)
        rounds = {act.__name__: [await act() for _ in range(_ROUNDS)] for act in acts}
    return {name: min(found, key=lambda way: len(way.calls)) for name, found in rounds.items()}


def trace_all() -> dict[str, Way]:
    """Return every way by name, of the packages imported by this process."""
    edges = importlib.import_module("edges")
    service = importlib.import_module("producers.services.mahavishnu").SERVICE
    root = Path(str(edges.__file__)).resolve().parents[1]
    with _embedded_broker()(port=0) as broker:

        def start(**settings: Any) -> EdgeThread:
            made = edges.EdgeSettings(port=0, redis_url=broker.url, welcome_delay_ms=600_000, **settings)
            return EdgeThread(lambda: edges.Edge(service, made))

        with start() as plain, start(auth_secret=_SECRET, auth_required=True) as locked:
            return asyncio.run(_trace_all(root, plain, locked, broker.url))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--checkout", type=Path, help="look at the packages of this folder")
    parser.add_argument("--files", action="store_true", help="name the files of each way")
    parser.add_argument("--calls", action="store_true", help="name the calls of each way")
    given = parser.parse_args()
    if given.checkout is not None:
        flags = [flag for flag in ("--files", "--calls") if getattr(given, flag[2:])]
        environment = {**os.environ, "PYTHONPATH": str(given.checkout.resolve())}
        command = [sys.executable, "-P", __file__, *flags]
        sys.exit(subprocess.run(command, env=environment, check=False).returncode)
    for name, way in trace_all().items():
        print(f"{name:10} {len(way.calls):4} calls {way.changes:4} changes of file {len(way.files):3} files")
        if given.files:
            print("           " + ", ".join(way.files))
        for file, function in way.calls if given.calls else ():
            print(f"           {file}: {function}")


if __name__ == "__main__":
    main()

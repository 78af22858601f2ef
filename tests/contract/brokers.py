"""The servers that the contract suite runs on, and what reads from them."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias
from unittest import mock

import pytest
from fakeredis import TcpFakeServer
from fakeredis._clients._tcp_server import TCPFakeRequestHandler
from fakeredis.commands_mixins.scripting_mixin import ScriptingCommandsMixin
from redis.exceptions import RedisError

from bus.redis.subscriber import Subscriber

DEADLINE_S: Final = 10.0
EMBEDDED, DEBIAN, FAKE = "embedded", "redis-server", "fakeredis"
REAL: Final = (EMBEDDED, DEBIAN)
also_fake: Final = pytest.mark.parametrize("broker", [*REAL, FAKE], indirect=True)
"""A test of the smoke row: fakeredis runs these, the real servers run all (decisions/0083)."""
Cli: TypeAlias = Any
"""A client of redis-py, as a person with redis-cli: its types allow for every option at once, so they are of no use."""


@dataclass(frozen=True, slots=True)
class Broker:
    """A server that is up. ``pid`` is 0 for one that is no process."""

    kind: str
    url: str
    pid: int = 0


class PatientHandler(TCPFakeRequestHandler):
    """Answers an error and goes on, as Redis does; fakeredis 2.40 ends the connection behind it."""

    def setup(self) -> None:
        super().setup()
        read = self.current_client.read_response

        def read_patiently(*args: Any, **kwargs: Any) -> Any:
            try:
                return read(*args, **kwargs)
            except RedisError as error:
                return error

        self.current_client.read_response = read_patiently  # type: ignore[method-assign]


def pcall_with_bytes(self: Any, lua_runtime: Any, *args: Any) -> Any:
    """Do what fakeredis' `redis.pcall` does, but with an error's text that Lua can look into."""
    try:
        return self._lua_redis_call(lua_runtime, *args)
    except Exception as error:  # noqa: BLE001 (fakeredis catches them all here)
        return lua_runtime.table_from({b"err": str(error).encode()})


@contextmanager
def fake_server() -> Iterator[str]:
    """Run fakeredis behind a socket of 127.0.0.1, and yield its URL."""
    server = TcpFakeServer(("127.0.0.1", 0), server_type="redis", server_version=(7, 0))
    server.RequestHandlerClass = PatientHandler
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    with mock.patch.object(ScriptingCommandsMixin, "_lua_redis_pcall", pcall_with_bytes):
        thread.start()
        try:
            yield f"redis://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


async def eventually(predicate: Callable[[], Awaitable[Any]], deadline_s: float = DEADLINE_S) -> Any:
    """Ask a server until the answer is true, and return it; fail at the deadline."""
    async with asyncio.timeout(deadline_s):
        while True:
            if value := await predicate():
                return value
            await asyncio.sleep(0.005)


class Receiver:
    """A subscriber on a connection of its own, which keeps what it gets and lets tests wait for facts."""

    def __init__(self, url: str, *, name: str = "edgebus-edge-test") -> None:
        self.lines: list[tuple[str, bytes]] = []
        self.ups = self.downs = 0
        self._wake = asyncio.Event()
        self.subscriber = Subscriber(url, name=name, deliver=self._deliver, on_up=self._up, on_down=self._down)

    async def __aenter__(self) -> Self:
        await self.subscriber.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.subscriber.close()

    def _deliver(self, batch: Sequence[tuple[bytes, bytes]]) -> None:
        self.lines += [(channel.decode(), line) for channel, line in batch]
        self._wake.set()

    def _up(self) -> None:
        self.ups += 1
        self._wake.set()

    def _down(self) -> None:
        self.downs += 1
        self._wake.set()

    async def until(self, fact: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
        """Return when ``fact`` holds, which is looked at whenever a line came or the link changed."""
        async with asyncio.timeout(deadline_s):
            while not fact():
                self._wake.clear()
                await self._wake.wait()

    async def until_up(self, times: int = 1) -> None:
        """Return when the link has come up so often, and is up."""
        await self.until(lambda: self.ups >= times and self.subscriber.is_up)

    async def subscribe(self, *channels: str) -> None:
        """Subscribe at one moment to all of them, as soon as the link is up."""
        await self.until_up()
        await asyncio.gather(*map(self.subscriber.subscribe, channels))

    async def of(self, channel: str, count: int) -> list[bytes]:
        """Return the lines of ``channel`` when ``count`` of them are there."""
        await self.until(lambda: sum(name == channel for name, _ in self.lines) >= count)
        return [line for name, line in self.lines if name == channel]

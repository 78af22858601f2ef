"""The processes of a scenario: Redis servers to pause and kill, sentinels, edges here and in processes of their own."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from bus.broker.child import Child, spawn_bound
from bus.broker.embedded import EmbeddedBroker
from bus.broker.server import find_server
from bus.redis.closing import client_of
from edgebus.lab.judge.records import Sample, Snapshot, Stored
from edgebus.lab.stage.service import SERVICE
from edges import Edge, EdgeSettings

__all__ = ["PROBE_INTERVAL_S", "EdgeNotStarted", "EdgeProcess", "RedisServer", "Sentinel", "edge_here", "get_status"]

PROBE_INTERVAL_S: Final = 0.5
"""Of the laboratory's edges: a tenth of the default, so that a run need not wait for a probe."""
EDGE_COMMAND: Final = [sys.executable, "-m", "edgebus"]
_CONNECTIONS: Final = 5_000
_START_DEADLINE_S: Final = 20.0
_END_DEADLINE_S: Final = 30.0
_ANSWER_DEADLINE_S: Final = 5.0
_ASK_TRIES: Final = 3
_STATUS_DEADLINE_S: Final = 2.0


class EdgeNotStarted(Exception):
    """An edge of its own process did not listen: on a busy machine in time, or not at all."""


class RedisServer:
    """One server process; a restart keeps the port.

    Args:
        directory: for data; None: no data are kept.
        binary: the program; None: the embedded server.
        extra: more arguments.

    """

    def __init__(self, *, directory: Path | None = None, binary: Path | None = None, extra: Sequence[str] = ()) -> None:
        self._directory, self._binary, self._extra = directory, binary, tuple(extra)
        self._broker = self._made(0)

    def _made(self, port: int) -> EmbeddedBroker:
        return EmbeddedBroker(port, self._directory, binary=self._binary, extra=self._extra)

    async def __aenter__(self) -> Self:
        """Start the server."""
        await self._broker.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the server, in any state."""
        self.resume()  # a stopped process does not see SIGTERM
        await self._broker.stop()

    @property
    def port(self) -> int:
        """The server's port."""
        return self._broker.port

    @property
    def url(self) -> str:
        """The URL for clients."""
        return self._broker.url

    def pause(self) -> None:
        """Stop the process where it stands (SIGSTOP)."""
        os.kill(self._broker.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let the process go on (SIGCONT)."""
        _signal(self._broker.pid, signal.SIGCONT)

    async def kill(self) -> None:
        """End the process by SIGKILL, as a crash would."""
        _signal(self._broker.pid, signal.SIGKILL)
        await self._broker.wait()
        await self._broker.stop()

    async def start_again(self) -> None:
        """Start a process on the same port, with the data of the directory."""
        self._broker = self._made(self._broker.port)
        await self._broker.start()

    async def ask(self, *command: str | int) -> Any:
        """Return the answer to a command, texts as ``str``; a lost connection is made anew.

        (A server promoted by a sentinel drops all clients.)
        """
        for _ in range(_ASK_TRIES - 1):
            with suppress(RedisConnectionError):
                return await self._ask(command)
        return await self._ask(command)

    async def _ask(self, command: Sequence[str | int]) -> Any:
        client = client_of(
            host="127.0.0.1",
            port=self.port,
            decode_responses=True,
            protocol=2,
            socket_timeout=_ANSWER_DEADLINE_S,
            retry=Retry(NoBackoff(), 0),  # a question to a dead server must fail, not wait
        )
        try:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call, unused-ignore]
        finally:
            await client.aclose()

    async def clock_ms(self) -> int:
        """Return the server's clock."""
        seconds, micros = await self.ask("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def snapshot(self, name: str, channel: str, from_s: float, until_s: float) -> Snapshot:
        """Return the whole log of a channel."""
        entries = await self.ask("XRANGE", f"bus:log:{{{channel}}}", "-", "+")
        return Snapshot(name, channel, tuple(_stored(*entry) for entry in entries), from_s, until_s)

    async def links(self) -> set[str]:
        """Return the ids of the connections with a subscription."""
        clients = await self.ask("CLIENT LIST", "TYPE", "PUBSUB")
        rows = clients if isinstance(clients, list) else []
        return {str(row["id"]) for row in rows}


def _stored(position: str, fields: Any) -> Stored:
    pairs = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
    return Stored(position, pairs["previous"], pairs["id"], pairs["line"].encode())


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:  # it has ended already
        return


class Sentinel:
    """A sentinel process, alone at one primary (quorum 1).

    Args:
        primary: the port of the primary.
        port: the sentinel's port.
        directory: for the configuration, rewritten by the sentinel.

    """

    def __init__(self, primary: int, port: int, directory: Path) -> None:
        self.port = port
        self._primary, self._directory = primary, directory
        self._child: Child | None = None

    async def __aenter__(self) -> Self:
        """Start the sentinel."""
        config = self._directory / "sentinel.conf"
        lines = (
            f"port {self.port}",
            "bind 127.0.0.1",
            "protected-mode no",
            f"sentinel monitor lab 127.0.0.1 {self._primary} 1",
            "sentinel down-after-milliseconds lab 500",  # 30 s by default: longer than a whole run
            "sentinel failover-timeout lab 3000",
        )
        await asyncio.to_thread(config.write_text, "\n".join(lines) + "\n")
        self._child = await asyncio.to_thread(
            spawn_bound, [find_server().path, config, "--sentinel"], stdout=subprocess.DEVNULL, cwd=self._directory
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """End the sentinel."""
        if self._child is not None:
            await self._child.stop()


class EdgeProcess:
    """An edge in a process of its own, to kill or drain, and to start again on the same port.

    Args:
        redis_url: of the edge's Redis.
        settings: beside the laboratory's usual ones.

    """

    def __init__(self, redis_url: str, settings: Mapping[str, object] | None = None) -> None:
        self._redis_url = redis_url
        self._settings = {"probe_interval_s": PROBE_INTERVAL_S, **(settings or {})}
        self._child: Child | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        """Start the edge, until it listens."""
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Kill the edge: an orderly end is a scenario's own matter."""
        await self.kill()

    @property
    def pid(self) -> int:
        """The id of the process; 0 before the first start."""
        return 0 if self._child is None else self._child.pid

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"ws://127.0.0.1:{self.port}/"

    async def start(self) -> None:
        """Start a process, on the port of the one before if there was one.

        Raises:
            EdgeNotStarted: the edge does not listen.

        """
        words = [*EDGE_COMMAND, "edge", "edgebus.lab.stage.service:SERVICE", "--port", str(self.port)]
        words += ["--redis", self._redis_url, "--max-connections", str(_CONNECTIONS), "--log-level", "error"]
        words += [word for name, value in self._settings.items() for word in ("--set", f"{name}={value}")]
        self._child = await asyncio.to_thread(spawn_bound, words, stdout=subprocess.PIPE)
        output = self._child.process.stdout
        if output is None:
            raise OSError("the edge has no standard output")
        # The line comes behind the bind, so the port is that of a listener: no second guess, no race for a free one.
        try:
            async with asyncio.timeout(_START_DEADLINE_S):
                line = (await asyncio.to_thread(output.readline)).decode()
        except TimeoutError as error:
            raise EdgeNotStarted(f"an edge listens within {_START_DEADLINE_S:g} s of its start") from error
        if "ws://" not in line:
            raise EdgeNotStarted(f"an edge starts; the first line of this one was {line!r}")
        self.port = int(line.partition("ws://127.0.0.1:")[2].partition(",")[0])

    async def kill(self) -> None:
        """End the process by SIGKILL."""
        await self._end(signal.SIGKILL)

    async def drain(self) -> None:
        """End the process by SIGTERM, as a restart does, and wait for the end.

        Raises:
            TimeoutError: the process did not end.

        """
        await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> None:
        if self._child is None:
            return
        _signal(self._child.pid, number)
        async with asyncio.timeout(_END_DEADLINE_S):
            await self._child.wait()
        if self._child.process.stdout is not None:
            self._child.process.stdout.close()


def edge_here(redis_url: str, **settings: Any) -> Edge:
    """Return an edge to run in this process."""
    usual: dict[str, Any] = {
        "port": 0,
        "redis_url": redis_url,
        "max_connections": _CONNECTIONS,
        "probe_interval_s": PROBE_INTERVAL_S,
        "close_timeout_s": 0.5,
    }
    return Edge(SERVICE, EdgeSettings(**{**usual, **settings}))


async def get_status(port: int, path: str, at_s: float) -> Sample:
    """Return an edge's answer to a GET."""
    name, status = f"edge {port}", 0
    try:
        async with asyncio.timeout(_STATUS_DEADLINE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
                status = int((await reader.readline()).split()[1])
            finally:
                writer.close()
    except (OSError, IndexError, ValueError):  # TimeoutError is an OSError: no answer
        status = 0
    return Sample(at_s, name, path, status)

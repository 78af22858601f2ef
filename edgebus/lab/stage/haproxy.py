"""A real balancer in front of edges: haproxy, with the lines of deploy/haproxy.cfg for the choice of an edge."""

import asyncio
import csv
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from bus.broker.child import Child, spawn_bound

__all__ = ["Haproxy", "find_haproxy"]

_ANSWER_DEADLINE_S: Final = 2.0
_CONFIG: Final = """
global
    maxconn {connections}
    stats socket {socket} level user
defaults
    mode http
    timeout http-request 5s
    timeout connect 2s
    timeout queue 5s
    timeout client 30s
    timeout server 30s
    timeout tunnel 1h
    balance leastconn
    retries 3
    option redispatch 1
    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host localhost
    http-check expect status 200
    default-server check {checks}
listen edges
    bind fd@{listening}
{servers}
"""


def find_haproxy() -> Path | None:
    """Return the path of haproxy, also from Debian's folders beside a user's PATH; None: not installed."""
    found = shutil.which("haproxy", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    return None if found is None else Path(found)


class Haproxy:
    """One haproxy for as long as the ``async with`` lasts.

    Args:
        binary: the program.
        directory: for its configuration.
        edges: the ports of the edges.
        checks: the times of readiness checks, as after ``default-server check``.
        connections: the most at once.

    """

    def __init__(self, binary: Path, directory: Path, edges: Sequence[int], *, checks: str, connections: int) -> None:
        self._binary, self._directory, self._edges = binary, directory, list(edges)
        self._checks, self._connections = checks, connections
        self._socket = directory / "haproxy.sock"
        self._port = 0
        self._child: Child | None = None

    async def __aenter__(self) -> Self:
        """Start haproxy, before its first check of any edge."""
        file = self._directory / "haproxy.cfg"
        command: list[Path | str] = [self._binary, "-db", "-f", file]
        # A socket to inherit: what was a free port may be another's a moment later.
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self._port, number = listening.getsockname()[1], listening.fileno()
            await asyncio.to_thread(file.write_text, self._config(number))
            silent = subprocess.DEVNULL
            self._child = await asyncio.to_thread(
                spawn_bound, command, stdout=silent, stderr=silent, pass_fds=(number,)
            )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """End haproxy."""
        if self._child is not None:
            await self._child.stop()

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"ws://127.0.0.1:{self._port}/"

    def _config(self, listening: int) -> str:
        servers = "\n".join(
            f"    server edge-{index} 127.0.0.1:{port}" for index, port in enumerate(self._edges, start=1)
        )
        return _CONFIG.format(
            connections=self._connections,
            checks=self._checks,
            listening=listening,
            servers=servers,
            socket=self._socket,
        )

    async def has_all(self) -> bool:
        """Tell whether haproxy takes every edge for ready."""
        try:
            async with asyncio.timeout(_ANSWER_DEADLINE_S):
                table = await self._ask()
        except OSError:  # TimeoutError is one
            return False
        states = [row["status"] for row in _rows(table)]
        return len(states) == len(self._edges) and set(states) == {"UP"}

    async def retries(self) -> int:
        """Return how often an edge was taken for ready and was gone: haproxy tried again, there or elsewhere."""
        return sum(int(row["wretr"] or 0) + int(row["wredis"] or 0) for row in _rows(await self._ask()))

    async def _ask(self) -> list[str]:
        """Return haproxy's figures: comma-separated values; the first line begins with ``# ``."""
        reader, writer = await asyncio.open_unix_connection(self._socket)
        try:
            writer.write(b"show stat\n")
            return (await reader.read()).decode().removeprefix("# ").splitlines()
        finally:
            writer.close()


def _rows(table: list[str]) -> list[dict[str, str]]:
    """Return the figures of the edges, without the sums over them."""
    return [row for row in csv.DictReader(table) if row["svname"].startswith("edge-")]

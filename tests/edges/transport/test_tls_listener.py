"""Accepting for ``wss``: sockets that never agree on TLS, failures to accept, and the end; on both event loops."""

import asyncio
import errno
import logging
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from websockets.asyncio.client import connect

from edges import Edge, EdgeSettings
from edges.limits.registry import Registry
from producers.services.mahavishnu import SERVICE
from tests.edges.peers import Client, eventually
from tests.edges.transport.test_tls import NO_REDIS, Files

HALVES = 200
LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
Run = Callable[[Awaitable[None]], None]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


async def welcomed(edge: Edge, context: ssl.SSLContext) -> None:
    """Connect as a client does, within the deadline, and read the welcome."""
    async with asyncio.timeout(20), connect(f"wss://localhost:{edge.port}", ssl=context) as client:
        assert "session.created" in str(await client.recv())


def edge_with(files: Files, **settings: Any) -> Edge:
    return Edge(SERVICE, EdgeSettings(port=0, redis_url=NO_REDIS, **files.settings, **settings))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@LOOPS
def test_half_agreements_keep_nobody_out(files: Files, run: Run) -> None:
    """Sockets that never agree on TLS are bounded and counted like other half handshakes, and a client comes in."""

    async def check() -> None:
        async with edge_with(files, max_handshakes=20) as edge:
            before = open_files()
            halves = [await Client.connect(edge.port) for _ in range(HALVES)]
            await eventually(lambda: edge.statistics()[0].limited["max_handshakes"] >= HALVES - 40)
            await welcomed(edge, files.client())
            assert len(edge._parts.registry) <= 40  # noqa: SLF001
            await eventually(lambda: open_files() - before <= HALVES + 45)
            for half in halves:
                await half.close()
            await eventually(lambda: len(edge._parts.registry) == 0)  # noqa: SLF001
            assert open_files() <= before + 5

    run(check())


@LOOPS
def test_half_agreements_that_nobody_counts(files: Files, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: were they not known before TLS is agreed on, all of them would stay."""
    monkeypatch.setattr("edges.transport.connection.Connection.begin_tls", lambda *_: None)

    async def check() -> None:
        async with edge_with(files, max_handshakes=20, open_timeout_s=30) as edge:
            before = open_files()
            halves = [await Client.connect(edge.port) for _ in range(HALVES)]
            await eventually(lambda: open_files() - before >= 2 * HALVES)
            assert edge.statistics()[0].limited["max_handshakes"] == 0
            for half in halves:
                await half.close()
            await eventually(lambda: open_files() - before <= 5)

    run(check())


@LOOPS
def test_half_agreement_ends_at_the_deadline(files: Files, run: Run) -> None:
    """Who says nothing is dropped at the deadline of the opening handshake, and that is counted."""

    async def check() -> None:
        async with edge_with(files, open_timeout_s=0.2) as edge:
            silent = await Client.connect(edge.port)
            await eventually(lambda: edge.statistics()[0].limited["open_timeout_s"] == 1)
            await eventually(lambda: len(edge._parts.registry) == 0)  # noqa: SLF001
            await silent.close()

    run(check())


@LOOPS
def test_stop_ends_half_agreements(files: Files, run: Run) -> None:
    """An edge that stops waits for nobody who has still to agree on TLS."""

    async def check() -> None:
        before = open_files()
        async with edge_with(files, close_timeout_s=1) as edge:
            silent = await Client.connect(edge.port)
            await eventually(lambda: len(edge._parts.registry) == 1)  # noqa: SLF001
            async with asyncio.timeout(0.9):
                await edge.stop()
        await silent.close()
        await eventually(lambda: open_files() <= before + 5)

    run(check())


@LOOPS
def test_no_open_files_left(
    files: Files, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the system has no descriptor left the log says so, and clients are accepted when it has one again."""
    monkeypatch.setattr("edges.transport.tls_listener._PAUSE_S", 0.05)
    accept, failures = socket.socket._accept, [errno.EMFILE, errno.ENFILE]  # type: ignore[attr-defined]  # noqa: SLF001

    def fail(listening: socket.socket) -> Any:
        if failures:
            raise OSError(failures.pop(), "too many open files")
        return accept(listening)

    async def check() -> None:
        async with edge_with(files) as edge:
            monkeypatch.setattr(socket.socket, "_accept", fail)
            await welcomed(edge, files.client())

    with caplog.at_level(logging.ERROR, "edgebus"):
        run(check())
    assert [it.message for it in caplog.records] == ["cannot accept clients; raise the limit of open files"] * 2


def test_entering_twice_is_once() -> None:
    """Who was counted before TLS is not counted again after it."""

    async def check() -> None:
        registry = Registry(1)
        guest: Any = object()
        registry.enter(guest, "10.0.0.1", 0.0)
        registry.enter(guest, "10.0.0.1", 1.0)
        assert len(registry) == 1
        registry.exit(guest)
        assert len(registry) == 0

    asyncio.run(check())

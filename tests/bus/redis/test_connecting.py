"""Connections to literal addresses, and what they must not leave behind: threads, and sockets."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.broker.embedded import EmbeddedBroker
from bus.redis.connecting import connected


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A listener that nobody accepts from; the kernel does the rest."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found


async def test_connected_socket_does_not_block(listening: socket.socket) -> None:
    """The socket leads to the address, and asyncio may have it."""
    with await connected(*listening.getsockname()) as plain:
        assert (plain.getpeername(), plain.getblocking()) == (listening.getsockname(), False)


async def test_address_of_ipv6() -> None:
    """A colon tells the family."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("without IPv6")
    found = socket.create_server(("::1", 0), family=socket.AF_INET6)
    with found, await connected("::1", found.getsockname()[1]) as plain:
        assert plain.getpeername() == found.getsockname()


async def test_refused_connection(listening: socket.socket) -> None:
    """The error is the system's own."""
    place = listening.getsockname()
    listening.close()
    with pytest.raises(ConnectionRefusedError):
        await connected(*place)


async def test_cancelled_connection_leaves_no_socket(listening: socket.socket) -> None:
    """A socket left open would be a warning, which fails a test."""
    task = asyncio.create_task(connected(*listening.getsockname()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


_THREADS = """
import asyncio, os, sys, uvloop
from edges import Edge, EdgeSettings
from producers.services.mahavishnu import SERVICE

async def main():
    async with Edge(SERVICE, EdgeSettings(port=0, redis_url=sys.argv[1])) as edge:
        await edge.ready()
        async with asyncio.timeout(20):
            while len(os.listdir("/proc/self/task")) > 1:  # modules are loaded in a thread, which ends
                await asyncio.sleep(0.01)

uvloop.run(main())
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_edge_has_no_threads(broker: EmbeddedBroker) -> None:
    """An edge with literal addresses, ready and connected to Redis by all of its links, comes to be a single thread."""
    done = subprocess.run([sys.executable, "-c", _THREADS, broker.url], capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr.decode()

"""``edgebus edge`` and ``edgebus broker``: the two commands that run until a signal."""

import asyncio
import gc
import logging
import os
import resource
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

from bus.errors import BrokerError
from bus.redis.address import without_password
from bus.service import Service
from bus.tasks import end
from edgebus.run import Asked, signalled
from edgebus.terminal import Exit, exit_with, show
from edges import Edge, EdgeSettings
from edges.net.addresses import written

__all__ = ["serve_broker", "serve_edge"]

_logger = logging.getLogger("edgebus")

_FILES_BESIDE = 200
"""Files that are no client's."""
_GARBAGE: Final = (10_000, 5, 5)
"""Objects made before a look for garbage among the young; looks before one among the older, and among all."""


async def serve_edge(service: Service, settings: EdgeSettings) -> None:
    """Run one edge until a signal, or until a part of the edge fails. SIGTERM drains first, Ctrl-C does not."""
    # docs/limits.md: clients that come back all at once are no flood, so twice the handshakes may be there for a while.
    # A shell's soft limit is often 1,024, and an edge without files cannot accept at all.
    allow_files(settings.max_connections + 2 * settings.max_handshakes + _FILES_BESIDE)
    edge = Edge(service, settings)
    async with signalled() as asked:
        try:
            await edge.start()
        except OSError as error:
            exit_with(Exit.FAILED, f"cannot listen on {written(edge.host, edge.port)}: {why(error)}; try --port")
        scheme = "wss" if settings.tls_certificate else "ws"
        where = f"{scheme}://{written(edge.host, edge.port)}"
        show(f"{service.name} listens on {where}, Redis is {without_password(settings.redis_url)}")
        collecting = asyncio.create_task(_collect(edge), name="edge settles")
        try:
            await _until_asked(asked, edge)
            if asked.may_take_time:  # decisions/0027
                await edge.drain()
        finally:
            await end([collecting])
            await edge.stop()


async def _collect(edge: Edge) -> None:
    """Collect garbage from the time on at which all is loaded; `edgebus edge` loads without."""
    await edge.settled()
    # decisions/0151: the modules stay, so no collection looks through them again; a client that went is no garbage,
    # so collections may come seldom. Only here: an application around an `Edge` has thresholds of its own.
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    gc.enable()


async def _until_asked(asked: Asked, edge: Edge) -> None:
    try:
        await until(asked, edge.wait())
    except Exception:
        _logger.exception("the edge ends: a part of it failed", extra={"edge": edge.id})
        raise


async def serve_broker(port: int, directory: Path | None) -> None:
    """Run the embedded server until a signal, or until the server ends by itself."""
    from bus.broker.embedded import EmbeddedBroker  # here: an edge starts no server

    async with signalled() as asked, EmbeddedBroker(port, directory) as broker:
        kept = f"data in {directory}" if directory else "nothing is kept after it ends"
        show(f"{broker.binary.name} {broker.version} listens on {broker.url} ({kept})")
        await until(asked, broker.wait())
        if not asked.is_set():
            raise BrokerError(f"the server ended by itself:\n{broker.log_tail()}")


def allow_files(count: int) -> None:
    """Raise the process's limit of open files to ``count``, as far as the system allows (getrlimit(2))."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if most == resource.RLIM_INFINITY else min(count, most)
    if limit != resource.RLIM_INFINITY and limit < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def why(error: OSError) -> str:
    """Return the system's sentence, without uvloop's sentence around."""
    # getaddrinfo's errors have negative numbers of their own, and `os.strerror` knows none of them.
    number = error.errno or 0
    return os.strerror(number) if number > 0 else str(error.strerror)


async def until(asked: asyncio.Event, other: Coroutine[Any, Any, Any]) -> None:
    """Wait until ``asked`` is set or ``other`` ends; raise the error of ``other``."""
    signal_task, other_task = asyncio.create_task(asked.wait()), asyncio.create_task(other)
    done, pending = await asyncio.wait([signal_task, other_task], return_when=asyncio.FIRST_COMPLETED)
    await end(pending)
    if other_task in done:  # also where both came at once: a failure is not hidden by a signal
        other_task.result()

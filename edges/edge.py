"""An edge: one process's door for one service, from the listening socket to Redis.

Everything an edge needs is made here and handed down; nothing is held at module level, so several edges can live in
one process.
"""

import asyncio
import contextlib
import logging
import os
import platform
import ssl
import time
from collections.abc import Coroutine, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar, Final, Self

from bus.errors import BusError, BusUnavailable
from bus.log import Log
from bus.probe import Probe
from bus.service import Service
from bus.subscriber import Subscriber
from bus.tasks import end
from edges.answers import Answers
from edges.connection import Connection
from edges.hub import Hub, HubStatistics
from edges.protocol import GOING_AWAY, Notice
from edges.registry import Registry, RegistryStatistics
from edges.session import Surroundings
from edges.settings import EdgeSettings

__all__ = ["Edge"]

_HEARTBEAT_S: Final = 3.0
_PRESENCE_S: Final = 10.0
_WITHDRAW_S: Final = 1.0
"""For a Redis that hangs: what is not taken back expires by itself."""
_COMPARE_RETRY_S: Final = 0.2
_DEADLINES_S: Final = 1.0
_ROOMS_S: Final = 0.25
_KEEP_EVERY_S: Final = 600.0
_KEEP_SHARE: Final = 3
"""A log is kept so many times in its life, so that one call may fail."""

_logger = logging.getLogger("edgebus.edges")


class Edge:
    """One WebSocket server for one service.

    ``async with Edge(service, settings) as edge`` listens when it returns; Redis need not be there yet. Leaving closes
    in order: stop accepting, tell clients (1001), wait for them up to ``close_timeout_s``, close Redis.

    Args:
        service: the catalogue to serve.
        settings: None takes the defaults and the environment.
        tls: serve ``wss`` with this.

    """

    connection: ClassVar = Connection
    """What takes a socket. The conformance suite puts an echo here; nothing else should."""

    def __init__(
        self, service: Service, settings: EdgeSettings | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.service = service
        self.settings = settings if settings is not None else EdgeSettings()
        self._port = service.port if self.settings.port is None else self.settings.port
        self._tls = tls
        self._registry = Registry(self.settings.max_connections)
        name = f"edgebus-edge-{service.name}-{self._port}"
        self._log = Log(self.settings.redis_url, name=name)
        self._probe_log = Log(self.settings.redis_url, name=f"{name}-probe")  # its own: a long read is no deaf link
        self._answers = Answers(self._log)
        self._hub = Hub(self._log, line_limit_bytes=self.settings.max_line_bytes)
        self._subscriber = Subscriber(
            self.settings.redis_url,
            name=name,
            deliver=self._hub.deliver,
            on_up=self._link_came,
            on_down=self._link_went,
            probe=Probe(self._probe_log, interval_s=self.settings.probe_interval_s),
        )
        self._hub.attach(self._subscriber, self._spawn)
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._commands: set[asyncio.Task[None]] = set()
        self._is_draining = self._is_compared = False
        self._started = 0.0

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop."""
        await self.stop()

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self.settings.host

    @property
    def port(self) -> int:
        """The port it listens on; the true one when the settings said 0."""
        if self._server is None or not self._server.sockets:
            return self._port
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def is_running(self) -> bool:
        """Whether it accepts connections."""
        return self._server is not None and self._server.is_serving()

    @property
    def id(self) -> str:
        """Its name in Redis: ``<service>-<host>-<port>-<pid>``."""
        return f"{self.service.name}-{platform.node()}-{self.port}-{os.getpid()}"

    async def start(self) -> None:
        """Listen, and begin to connect to Redis.

        Raises:
            OSError: the port cannot be had.

        """
        loop = asyncio.get_running_loop()
        around = Surroundings(
            self.service,
            self.settings,
            self._hub,
            self._answers,
            self._registry,
            self._spawn,
            self.health,
            self.not_ready,
        )
        self._server = await loop.create_server(
            lambda: self.connection(around), self.settings.host, self._port, ssl=self._tls, backlog=1024
        )
        self._started = time.time()
        self._subscriber.name_probe(f"bus:probe:{self.id}")
        await self._subscriber.__aenter__()
        self._tasks = [
            asyncio.create_task(self._watch_deadlines(), name="edge deadlines"),
            asyncio.create_task(self._close_rooms(), name="edge rooms"),
            asyncio.create_task(self._announce(), name="edge presence"),
            asyncio.create_task(self._keep_logs(), name="edge logs"),
        ]
        _logger.info("edge listens", extra={"service": self.service.name, "host": self.host, "port": self.port})

    async def stop(self) -> None:
        """Close in order; calling it twice is harmless."""
        if self._server is None:
            return
        presence = f"bus:edge:{self.id}"  # while the port is known
        server, self._server = self._server, None
        self._is_draining = True
        server.close()
        await self._close_connections()
        await self._subscriber.close()  # first: what comes by it may begin new tasks
        await end([*self._tasks, *self._commands, *self._answers.reads, *self._hub.reads])
        with contextlib.suppress(BusError, TimeoutError):
            async with asyncio.timeout(_WITHDRAW_S):
                await self._log.withdraw(presence)
        await self._log.close()
        await self._probe_log.close()
        _logger.info("edge stopped", extra={"service": self.service.name})

    async def wait(self) -> None:
        """Wait until a part of the edge fails.

        Raises:
            Exception: what the part failed with.

        """
        link = asyncio.create_task(self._subscriber.closed(), name="edge link")
        try:
            done, _ = await asyncio.wait([link, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            link.cancel()
        for task in done:
            task.result()

    # What others see of it.

    def health(self) -> dict[str, object]:
        """Return the body of ``/healthz``."""
        return {
            "status": "healthy",
            "service": self.service.name,
            "connections": len(self._registry),
            "rooms": self._hub.statistics().rooms,
        }

    def not_ready(self) -> str | None:
        """Return why the edge is not ready, None when it is."""
        if self._is_draining:
            return "the edge is going away"
        if not self._subscriber.is_up:
            return "the link to Redis is down"
        if not self._subscriber.is_heard:
            return "the link to Redis is deaf: no probe came back in time"
        return None if self._is_compared else "rooms are being compared with their logs"

    def statistics(self) -> tuple[RegistryStatistics, HubStatistics]:
        """Return the counters of connections and of rooms."""
        return self._registry.statistics(), self._hub.statistics()

    # What goes on by itself.

    async def _watch_deadlines(self) -> None:
        """Look at every connection's deadlines."""
        while True:
            await asyncio.sleep(_DEADLINES_S)
            now = asyncio.get_running_loop().time()
            for connection in self._registry:
                connection.check_deadlines(now)

    async def _close_rooms(self) -> None:
        """Look for rooms that nobody has been in for a while."""
        while True:
            await asyncio.sleep(_ROOMS_S)
            await self._hub.close_empty()

    async def _announce(self) -> None:
        """Say in Redis that this edge is there, for as long as it is."""
        while True:
            with _spared("presence"):
                await self._log.announce(f"bus:edge:{self.id}", self._presence(), expires_s=_PRESENCE_S)
            await asyncio.sleep(_HEARTBEAT_S)

    def _presence(self) -> dict[str, str | int]:
        return {
            "service": self.service.name,
            "host": platform.node(),
            "port": self.port,
            "pid": os.getpid(),
            "connections": len(self._registry),
            "rooms": self._hub.statistics().rooms,
            "started": int(self._started * 1000),
            "version": _version(),
            "generation": self._subscriber.statistics().generation,
            "draining": int(self._is_draining),
        }

    async def _keep_logs(self) -> None:
        """Keep the logs of open rooms from expiring while somebody watches."""
        lives_s = [it.retention.expires_s for it in self.service.families if it.retention.kind != "live"]
        every_s = min([_KEEP_EVERY_S, *(life_s / _KEEP_SHARE for life_s in lives_s)])
        while True:
            await asyncio.sleep(every_s)
            with _spared("logs"):
                await self._log.keep(self._hub.channels)

    def _link_came(self) -> None:
        self._log.forget()
        if (
            self._subscriber.statistics().generation > 1
        ):  # what was asked meanwhile may wait for where nothing comes back
            self._spawn(self._log.drop(), "drop a connection to Redis")
        self._spawn(self._compare(), "compare rooms")

    def _link_went(self) -> None:
        self._is_compared = False
        for log in (self._log, self._probe_log):
            self._spawn(log.drop(), "drop a connection to Redis")
        self._notify_all(Notice("bus.degraded", {"reason": "the link to Redis is down; events will be made up for"}))

    async def _compare(self) -> None:
        """Make up for what was missed while the link was away; try again for as long as it is up."""
        generation = self._subscriber.statistics().generation
        while self._is_link(generation):
            try:
                await self._hub.compare()
            except BusError:
                await asyncio.sleep(_COMPARE_RETRY_S)
                continue
            if not self._is_link(generation):  # lost meanwhile: what was compared says nothing about the next one
                return
            self._is_compared = True
            if generation > 1:
                self._notify_all(Notice("bus.restored", {"generation": generation}))
            return

    def _is_link(self, generation: int) -> bool:
        return self._subscriber.is_up and self._subscriber.statistics().generation == generation

    def _notify_all(self, notice: Notice) -> None:
        for connection in self._registry:
            connection.notify(notice)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Run a client's command; the edge owns the task, and ends it when it stops."""
        task = asyncio.create_task(work, name=name)
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)
        return task

    async def _close_connections(self) -> None:
        for connection in self._registry:
            connection.close(GOING_AWAY)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.close_timeout_s):
                await self._registry.emptied()
        for connection in self._registry:
            connection.cut()


@contextlib.contextmanager
def _spared(what: str) -> Iterator[None]:
    """Let work that is repeated anyway fail: a Redis that is away or full must not end an edge that still delivers."""
    try:
        yield
    except BusUnavailable:
        _logger.debug("Redis is away", extra={"work": what})
    except BusError as error:
        _logger.warning("Redis refused", extra={"work": what, "reason": str(error)})


def _version() -> str:
    try:
        return version("edgebus")
    except PackageNotFoundError:
        return "unknown"

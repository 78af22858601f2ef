"""An edge: one process's door for one service, from the listening socket to Redis.

Everything an edge needs is made here and handed down; nothing is held at module level, so several edges can live in
one process.
"""

import asyncio
import contextlib
import logging
import os
import platform
import secrets
import ssl
import time
from collections.abc import Collection, Coroutine
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, Self

from bus.log.log import Log
from bus.parts import check_part
from bus.redis.link import Batch
from bus.redis.preflight import inspect
from bus.redis.probe import Probe
from bus.redis.revocation import REVOKED, Revocations
from bus.redis.subscriber import Subscriber
from bus.service import Service
from bus.tasks import end
from edges.auth.authenticator import Gate
from edges.auth.jwks import PublishedKeys
from edges.auth.permissions import Access
from edges.auth.revocations import Revoked
from edges.lifecycle.drain import send_away
from edges.lifecycle.health import Health
from edges.lifecycle.heartbeat import announce, announce_once, withdraw
from edges.lifecycle.housekeeping import close_rooms, keep_keys, keep_logs, watch_certificate, watch_deadlines
from edges.lifecycle.redis_link import RedisLink
from edges.limits.mishaps import Mishaps
from edges.limits.quotas import Quota
from edges.limits.registry import Registry, RegistryStatistics
from edges.protocol.messages import GOING_AWAY, RESTARTING, Notice
from edges.rooms.hub import Hub, HubStatistics, RoomLimits
from edges.session.context import Surroundings
from edges.session.requests import Answers
from edges.settings import EdgeSettings
from edges.transport.connection import Connection
from edges.transport.tls import check_exposure, identity
from edges.transport.tls_listener import Listener

__all__ = ["Edge"]

_logger = logging.getLogger("edgebus.edges")


class Edge:
    """One WebSocket server for one service.

    ``async with Edge(service, settings) as edge`` listens when it returns; Redis need not be there yet. Leaving closes
    in order: stop accepting, tell clients (1001), wait for them up to ``close_timeout_s``, close Redis. An edge among
    replicas is left by ``drain`` before that.

    Args:
        service: the catalogue to serve.
        settings: None takes the defaults and the environment.
        tls: serve ``wss`` with this; None: with the files that the settings name, if any.

    Raises:
        TypeError: ``service`` is none, such as its name.

    """

    connection: ClassVar = Connection
    """What takes a socket. The conformance suite puts an echo here; nothing else should."""

    def __init__(
        self, service: Service, settings: EdgeSettings | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        check_part("service", service, Service, "a Service")
        self.service = service
        self.settings = settings if settings is not None else EdgeSettings()
        self._port = service.port if self.settings.port is None else self.settings.port
        self._tls = tls
        self._nonce = secrets.token_hex(4)
        self._registry = _registry(self.settings)
        name = f"edgebus-edge-{service.name}-{self._port}"
        self._mishaps = Mishaps()
        self._log = Log(self.settings.redis_url, name=name, appends=False)
        # Its own: a long read is no deaf link.
        self._probe_log = Log(self.settings.redis_url, name=f"{name}-probe", appends=False)
        self._answers = Answers(
            self._log,
            model_of=service.event,
            limit=self.settings.max_requests,
            limit_bytes=self.settings.max_answer_bytes,
        )
        self._subscriber = Subscriber(
            self.settings.redis_url,
            name=name,
            deliver=self._deliver,
            on_up=self._link_came,
            on_down=self._link_went,
            probe=Probe(self._probe_log, interval_s=self.settings.probe_interval_s),
        )
        self._hub = Hub(
            self._log,
            self._subscriber,
            self._spawn,
            limits=_room_limits(self.settings),
        )
        revocations = Revocations(self.settings.redis_url, name=f"{name}-revocations")
        self._revoked, self._has_tokens = Revoked(revocations, self._spawn, self._check_revoked), False
        self._server: Listener | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._commands: set[asyncio.Task[None]] = set()
        beside = (self._log, self._probe_log, self._revoked)
        self._link = RedisLink(self._subscriber, self._hub, beside, self._spawn, self._notify_all, self._mishaps)
        self._health = Health(
            service,
            self._registry,
            self._hub,
            self._link,
            knows_revoked=lambda: not self._has_tokens or self._revoked.is_read,
            max_connections=self.settings.max_connections,
        )
        self._farewell = GOING_AWAY
        self._expires: datetime | None = None
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
        """Its name in Redis: ``<service>-<host>-<port>-<pid>-<random>``.

        Without the last part two containers with one host name and PID 1 could share it.
        """
        return f"{self.service.name}-{platform.node()}-{self.port}-{os.getpid()}-{self._nonce}"

    async def start(self) -> None:
        """Listen, and begin to connect to Redis.

        Raises:
            OSError: the port cannot be had.
            SettingsError: tokens are required and no key is set up, or one that is cannot be used; it would listen
                without TLS where others reach it, or the files for TLS are of no use.

        """
        self._prepare_tls()
        gate = Gate(self.settings, is_revoked=self._revoked.concerns, revoked_ms=self._revoked.revoked_ms)
        around = Surroundings(
            self.service,
            self.settings,
            self._hub,
            self._answers,
            self._registry,
            self._spawn,
            self._health.body,
            self._health.not_ready,
            gate,
            Access(self.service),
            self._link.outage,
            lambda: self._mishaps.reason,
        )
        self._server = await self._listen(around)
        self._started = time.time()
        self._subscriber.name_probe(f"bus:probe:{self.id}")
        if not gate.is_open:
            self._has_tokens = True
            self._subscriber.listen(REVOKED, self._revoked.take)
        await self._subscriber.__aenter__()
        self._tasks = [
            asyncio.create_task(work, name=f"edge {name}") for name, work in self._upkeep(gate.published).items()
        ]
        _logger.info("edge listens", extra={"service": self.service.name, "host": self.host, "port": self.port})

    def _upkeep(self, published: PublishedKeys | None) -> dict[str, Coroutine[Any, Any, None]]:
        works = {
            "deadlines": watch_deadlines(self._registry, self._mishaps),
            "rooms": close_rooms(self._hub, self._mishaps),
            "presence": announce(self._log, self.id, self._facts, self._mishaps),
            "logs": keep_logs(self._log, self._hub, self.service.families, self._mishaps),
            "certificate": watch_certificate(self._expires),
        }
        return works if published is None else {**works, "keys": keep_keys(published, self._mishaps)}

    def _prepare_tls(self) -> None:
        if self._tls is None and (files := identity(self.settings)) is not None:
            self._tls, self._expires = files.context, files.expires
        check_exposure(self.host, self.settings, is_tls=self._tls is not None)

    async def _listen(self, around: Surroundings) -> Listener:
        def connection() -> Connection:
            return self.connection(around)

        listener = Listener(
            connection,
            self._tls,
            self._spawn,
            self._mishaps,
            open_timeout_s=self.settings.open_timeout_s,
            close_timeout_s=self.settings.close_timeout_s,
        )
        return await listener.listen(self.settings.host, self._port)

    async def drain(self) -> None:
        """Go away so that nobody notices: what a rolling restart does before ``stop``.

        Not ready at once; serves on for ``drain_notice_s``, so that balancers notice and send nobody new; then tells
        every client when to come back, and closes it (1012) at that time, evenly over ``drain_window_s``. Returns when
        the window ends, or when nobody is connected any more. May be cancelled: ``stop`` does the rest.
        """
        self._health.leave()
        self._farewell = RESTARTING
        _logger.info("edge drains", extra={"service": self.service.name, "connections": len(self._registry)})
        self._spawn(announce_once(self._log, self.id, self._facts(), self._mishaps), "edge presence")
        await asyncio.sleep(self.settings.drain_notice_s)
        await send_away(self._registry, self.settings.drain_window_s)

    async def stop(self) -> None:
        """Close in order; calling it twice is harmless."""
        if self._server is None:
            return
        edge_id = self.id  # while the port is known
        server, self._server = self._server, None
        self._health.leave()
        server.close()
        await self._close_connections()
        await self._subscriber.close()  # first: what comes by it may begin new tasks
        await end([*self._tasks, *self._commands, *self._answers.reads, *self._hub.reads])
        await withdraw(self._log, edge_id)
        await self._log.close()
        await self._probe_log.close()
        await self._revoked.close()
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
        return self._health.body()

    def not_ready(self) -> str | None:
        """Return why the edge is not ready, None when it is."""
        return self._health.not_ready()

    def statistics(self) -> tuple[RegistryStatistics, HubStatistics]:
        """Return the counters of connections and of rooms."""
        unreadable = self._log.unreadable + self._answers.left_out
        return self._registry.statistics(), replace(self._hub.statistics(), unreadable=unreadable)

    def _facts(self) -> dict[str, str | int]:
        return {
            "service": self.service.name,
            "port": self.port,
            "connections": len(self._registry),
            "rooms": self._hub.occupied,
            "started": int(self._started * 1000),
            "generation": self._link.generation,
            "draining": int(self._health.is_leaving),
        }

    # The link to Redis comes and goes.

    def _deliver(self, batch: Batch) -> None:
        self._hub.deliver(batch)  # the hub subscribes by the link, and so is built after it

    def _link_came(self) -> None:
        self._log.forget()
        generation = self._link.generation
        if generation > 1:  # what was asked meanwhile may wait for where nothing comes back
            self._spawn(self._log.drop(), "drop a connection to Redis")
        self._link.came()
        if self._has_tokens:
            self._revoked.read()
        if generation == 1:
            self._spawn(self._inspect(), "inspect Redis")

    def _link_went(self) -> None:
        self._link.went()

    async def _inspect(self) -> None:
        name = f"edgebus-edge-{self.service.name}-{self._port}-look"
        await inspect(self.settings.redis_url, name=name, line_limit_bytes=self.settings.max_line_bytes)

    def _check_revoked(self, members: Collection[str]) -> None:
        for member in members:
            for connection in self._registry.named(member):
                connection.check_revoked()

    def _notify_all(self, notice: Notice) -> None:
        for connection in self._registry:
            connection.notify(notice)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Run a client's command, or work on the side; the edge owns the task, and ends it when it stops."""
        task = asyncio.create_task(work, name=name)
        self._commands.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._commands.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _logger.error("a task of the edge failed", exc_info=error, extra={"task": task.get_name()})

    async def _close_connections(self) -> None:
        for connection in self._registry:
            connection.close(self._farewell)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.close_timeout_s):
                await self._registry.emptied()
        for connection in self._registry:
            connection.cut()


def _room_limits(settings: EdgeSettings) -> RoomLimits:
    return RoomLimits(
        line_bytes=settings.max_line_bytes,
        rooms=settings.max_open_rooms,
        replays=settings.max_replays,
        backlog_bytes=settings.max_waiting_bytes // 4,
    )


def _registry(settings: EdgeSettings) -> Registry:
    address = Quota(
        "address",
        connections=settings.max_connections_per_address,
        per_second=settings.connects_per_second_per_address,
    )
    user = Quota(
        "user", connections=settings.max_connections_per_user, per_second=settings.connects_per_second_per_user
    )
    return Registry(settings.max_connections, handshakes=settings.max_handshakes, addresses=address, users=user)

"""An edge, from the listening socket to Redis: the server of a service's events in a process.

An edge binds first, and has its parts built then, once: without state at module level, several edges live in a process.
"""

import logging
import os
import platform
import secrets
import socket
import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Self

from bus.log_fields import speaking
from bus.parts import check_part
from bus.service import Service
from edges.lifecycle.readiness import until_ready
from edges.limits.registry import RegistryStatistics
from edges.net.addresses import port_of
from edges.parts import Parts
from edges.rooms.statistics import HubStatistics
from edges.running import Running
from edges.session.owner import OwnedClient, Owner
from edges.settings import EdgeSettings
from edges.transport.connection import Connection
from edges.transport.screen import ProcessRequest
from edges.transport.tls import check_exposure, identity
from edges.transport.tls_listener import bind, checked

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from edges.session.live import LiveStatistics

__all__ = ["Edge"]

_logger = logging.getLogger("edgebus.edges")


class Edge:
    """A WebSocket server for a service.

    ``async with Edge(service, settings) as edge`` listens inside the block; Redis need not be there yet. Leaving closes
    in order: stop accepting, tell clients (1001), wait up to ``close_timeout_s`` for clients and until rooms were
    compared with the logs, close Redis. An edge among replicas is left by ``drain`` before.

    Args:
        service: the catalogue to serve.
        settings: None takes the defaults and the environment.
        tls: serve ``wss`` so; None: with the files of the settings, if any.
        sockets: already bound, in place of the settings' host and port. An edge that stops closes the sockets.
        owner: greets and answers clients in place of the edge; None: the edge answers, by the catalogue.
        process_request: the hook of ``websockets.serve``, plain or async: called with a connection (``respond``,
            ``remote_address``) and the request, also for plain GETs; returns the answer, or None to let the request
            pass. The edge's own checks, of origins above all, come first.
        metrics: a registry of ``prometheus_client``, shown on the edge's page beside the edge's own numbers.

    Raises:
        TypeError: ``service`` is no service, such as a name; or an entry of ``sockets`` is no bound TCP socket.

    """

    connection: ClassVar = Connection
    """Makes the owner of a socket. The conformance suite puts an echo here; other programs should not."""

    def __init__(
        self,
        service: Service,
        settings: EdgeSettings | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        sockets: Sequence[socket.socket] = (),
        owner: Owner | None = None,
        process_request: ProcessRequest | None = None,
        metrics: "Collector | None" = None,
    ) -> None:
        check_part("service", service, Service, "a Service")
        self.service = service
        self._given = checked(sockets)
        self.settings = (settings if settings is not None else EdgeSettings()).bound_to(self._given)
        self._wanted_port = service.port if self.settings.port is None else self.settings.port
        self._tls, self._owner, self._process_request = tls, owner, process_request
        self._metrics = metrics
        self._nonce = secrets.token_hex(4)
        self._built: Parts | None = None
        self._running: Running | None = None

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop."""
        await self.stop()

    @property
    def host(self) -> str:
        """The address to listen on."""
        return self.settings.host

    @property
    def port(self) -> int:
        """The port to listen on; with 0 in the settings, the port of a running edge is the true one."""
        return port_of(self._built.listener.sockets) if self._built and self.is_running else self._wanted_port

    @property
    def metrics_port(self) -> int | None:
        """The port for ``GET /metrics`` alone, of a running edge the true one; None without such a port."""
        sockets = self._built.metrics_listener.sockets if self._built is not None else ()
        return port_of(sockets) if sockets else self.settings.metrics_port

    @property
    def is_running(self) -> bool:
        """Whether connections are accepted."""
        return self._built is not None and self._built.listener.is_serving()

    @property
    def id(self) -> str:
        """The edge's name in Redis: ``<service>-<host>-<port>-<pid>-<random>``."""
        # Without the random part two containers with one host name and PID 1 could share a name.
        return self._id(self.port)

    def _id(self, port: int) -> str:
        return f"{self.service.name}-{platform.node()}-{port}-{os.getpid()}-{self._nonce}"

    async def start(self) -> None:
        """Listen, and begin to connect to Redis.

        Raises:
            OSError: the port cannot be had.
            SettingsError: tokens are required and no key is set up, or a key cannot be used; the edge would listen
                without TLS where others reach the port, or the files for TLS are of no use.

        """
        tls, expires = self._identity()
        check_exposure(self.host, self.settings, is_tls=tls is not None)
        bound = () if self._given else await bind(self.host, self._wanted_port)
        beside: tuple[socket.socket, ...] = ()
        try:
            if self.settings.metrics_port is not None:
                beside = await bind(self.host, self.settings.metrics_port)
            self._built = self._build(self._given or bound, tls, beside)
        except BaseException:
            for one in (*bound, *beside):  # those that were given are still their owner's
                one.close()
            raise
        self._running = Running(self._built)
        # decisions/0127: from here on, each task and callback of the edge inherits the fields of the edge's lines.
        with speaking(self._built.outage.fields):
            await self._running.begin(expires)
            where = {"service": self.service.name, "host": self.host, "port": self.port}
            _logger.info("edge listens", extra={**where, "io_uring": self._built.ring is not None})

    async def ready(self) -> None:
        """Wait until the edge is ready (``/readyz``); the caller sets an end, if any (``asyncio.timeout``).

        Raises:
            RuntimeError: the edge has not started, or was stopped.
            Exception: the failure of a part.

        """
        await until_ready(self._parts.health.not_ready, self.wait, lambda: self.is_running)

    async def settled(self) -> None:
        """Wait until all is loaded that an edge loads by itself; soon after the edge is ready, or could have been.

        Raises:
            RuntimeError: the edge has not started.

        """
        await self._parts.settling.over()

    def _identity(self) -> tuple[ssl.SSLContext | None, datetime | None]:
        if self._tls is None and (files := identity(self.settings)) is not None:
            return files.context, files.expires
        return self._tls, None

    def _build(
        self, sockets: tuple[socket.socket, ...], tls: ssl.SSLContext | None, beside: tuple[socket.socket, ...]
    ) -> Parts:
        name = f"edgebus-edge-{self.service.name}-{self._wanted_port}"
        edge_id = self._id(port_of(sockets))
        return Parts(
            self.service,
            self.settings,
            sockets,
            tls,
            name=name,
            edge_id=edge_id,
            connection=self.connection,
            owner=self._owner,
            process_request=self._process_request,
            metrics_sockets=beside,
            metrics=self._metrics,
        )

    async def drain(self) -> None:
        """Go away unnoticed: the step of a rolling restart before ``stop``.

        Not ready at once; serves on for ``drain_notice_s``, so that balancers notice and send no new clients; then
        tells every client when to come back, and closes with 1012 at that time, evenly over ``drain_window_s``. Returns
        at the end of the window, or after the last client, with rooms in agreement with the logs: another Redis may
        just have taken over, without events that only this edge had. May be cancelled: ``stop`` does the rest.
        """
        with speaking(self._parts.outage.fields):
            await self._life.drain()

    async def stop(self) -> None:
        """Close in order; twice is harmless."""
        if self.is_running:
            with speaking(self._parts.outage.fields):
                await self._life.close()
                _logger.info("edge stopped", extra={"service": self.service.name})

    async def wait(self) -> None:
        """Wait until a part of the edge fails.

        Raises:
            Exception: the failure of the part.

        """
        await self._life.failed()

    def health(self) -> dict[str, object]:
        """Return the body of ``/healthz``."""
        return self._parts.health.body()

    def not_ready(self) -> str | None:
        """Return why the edge is not ready, None for a ready edge."""
        return "the edge has not started" if self._built is None else self._built.health.not_ready()

    def statistics(self) -> tuple[RegistryStatistics, HubStatistics]:
        """Return the counters of connections and of rooms."""
        return self._parts.statistics()

    def questions(self) -> "LiveStatistics | None":
        """Return the counters of questions to responders; None for a service without live requests."""
        live = self._parts.features.live
        return None if live is None else live.statistics()

    @property
    def clients(self) -> Mapping[str, OwnedClient]:
        """The clients that have arrived at an edge with an owner, by the ids of their connections."""
        ownership = None if self._built is None else self._built.ownership
        return {} if ownership is None else MappingProxyType(ownership.clients)

    def rooms(self) -> dict[str, set[str]]:
        """Return the rooms of these clients by name, each with the ids of its connections."""
        rooms: dict[str, set[str]] = {}
        for client in self.clients.values():
            for channel in client.channels:
                rooms.setdefault(channel.name, set()).add(client.id)
        return rooms

    @property
    def _parts(self) -> Parts:
        if self._built is None:
            raise RuntimeError("the edge has not started")
        return self._built

    @property
    def _life(self) -> Running:
        if self._running is None:
            raise RuntimeError("the edge has not started")
        return self._running

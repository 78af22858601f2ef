"""``WebSocketServer``: the base of services' server classes, over an edge and a producer."""

import asyncio
import inspect
import logging
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from bus.errors import BusUnavailable
from bus.redis.address import default_url, without_password
from bus.service import Service
from edgebus.compat.catalogues import names_of, service_of
from edgebus.compat.hooks import Hooks
from edgebus.compat.metrics import WebSocketMetrics, free_port
from edgebus.compat.protocol import WebSocketMessage, WebSocketProtocol
from edgebus.compat.rooms import channel_of
from edgebus.compat.settings import edge_settings, from_environment, from_file
from edges import Edge, EdgeSettings, SettingsError
from producers import Producer, raw_event

__all__ = ["WebSocketServer"]

READY_S: Final = 10.0
"""For Redis to be there, at the start."""
_EVERYBODY: Final = "global"
_NO_CERTIFICATE: Final = (
    "tls_enabled is on without cert_file and key_file, and none is made up here; make a pair for development with: "
    "edgebus cert --dev"
)

_logger = logging.getLogger("edgebus.compat")


class WebSocketServer(ABC):
    """A service's own server, with replicas, history and recovery behind.

    The arguments, methods, attributes and hooks are those of ``mcp_common.websocket.WebSocketServer``. Events go
    through Redis to the clients of every replica; ``connections`` and ``connection_rooms`` are this process's.

    Args:
        host: to listen on.
        port: to listen on; 0 takes a free one, and ``port`` is the true one from the start on.
        max_connections: clients at once.
        message_rate_limit: messages per second of one client.
        authenticator: its secret is the edge's; None: ``{SERVICE}_AUTH_ENABLED`` and ``{SERVICE}_JWT_SECRET`` say.
        require_auth: whether a client must show a token first.
        ssl_context: serve ``wss`` so.
        cert_file: PEM file, with ``tls_enabled``.
        key_file: PEM file, with ``tls_enabled``.
        ca_file: PEM file: who signs clients' certificates, with ``verify_client``.
        tls_enabled: serve ``wss`` with the files.
        verify_client: ask clients for a certificate.
        auto_cert: refused without files, as ``tls_enabled`` is.
        server_name: in logs; None: the class's name.
        enable_metrics: serve the ecosystem's names of metrics, and the edge's own; ``metrics`` counts errors and
            latencies that the class tells.
        metrics_port: for ``GET /metrics``, on ``host``; a port that is taken is a warning, and no metrics.
        process_request: asked before a handshake is accepted, and before a plain GET is answered; the edge's own check
            of origins stays beside.
        redis_url: None takes ``EDGEBUS_REDIS_URL``.
        allowed_origins: pages that may come in.

    """

    service: ClassVar[Service | str | None] = None
    """The catalogue whose channels the rooms are; None: by the class's name."""
    message_timeout_s: float = 300.0
    """For ``on_message``, seconds; then the hook is cancelled, and the client answered TIMEOUT."""

    def __init__(  # noqa: PLR0913, PLR0917 (the ecosystem's constructor)
        self,
        host: str = "127.0.0.1",
        port: int = 8688,
        max_connections: int = 1000,
        message_rate_limit: int = 100,
        authenticator: Any = None,
        require_auth: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
        ca_file: str | None = None,
        tls_enabled: bool = False,
        verify_client: bool = False,
        auto_cert: bool = False,
        server_name: str | None = None,
        enable_metrics: bool = False,
        metrics_port: int = 9090,
        process_request: Callable[..., Any] | None = None,
        *,
        redis_url: str | None = None,
        allowed_origins: Any = None,
    ) -> None:
        catalogue = service_of(self.service, type(self).__name__, port)
        said = from_environment(names_of(catalogue.name))
        self.host, self.port = host, port
        self.max_connections, self.message_rate_limit = max_connections, message_rate_limit
        self.authenticator: Any = authenticator or said.get("authenticator")
        self.require_auth = require_auth or bool(said.get("require_auth"))
        self.ssl_context, self.auto_cert = ssl_context, auto_cert
        self.cert_file, self.key_file = cert_file or said.get("cert_file"), key_file or said.get("key_file")
        self.ca_file = ca_file or said.get("ca_file")
        self.tls_enabled = tls_enabled or bool(said.get("tls_enabled"))
        self.verify_client = verify_client or bool(said.get("verify_client"))
        self.server_name = server_name or type(self).__name__
        self.enable_metrics, self.metrics_port = enable_metrics, metrics_port
        self.metrics = (
            WebSocketMetrics(self.server_name, self.tls_enabled, service=catalogue.name) if enable_metrics else None
        )
        self.process_request, self.redis_url = process_request, redis_url
        self.allowed_origins = allowed_origins or said.get("allowed_origins")
        self.is_running = False
        self.connections: dict[str, Any] = {}
        self.connection_rooms: dict[str, set[str]] = {}
        self.room_connections: dict[str, str] = {}
        self.event_handlers: dict[str, set[Callable[..., Any]]] = {}
        self._catalogue, self._hooks = catalogue, Hooks(self)
        self._edge: Edge | None = None
        self._producer: Producer | None = None
        self._stack: AsyncExitStack | None = None
        self._start_task: asyncio.Task[None] | None = None

    @classmethod
    def from_settings(cls, file: str | Path, **more: Any) -> Self:
        """Return a server with the ``websocket:`` section of a service's settings file; ``more`` wins.

        Raises:
            SettingsError: the file or a key is wrong.

        """
        return cls(**{**from_file(Path(file)), **more})

    # Coming and going.

    @property
    def uri(self) -> str:
        """Where clients connect to."""
        is_secure = self.ssl_context is not None or self.tls_enabled
        return f"{'wss' if is_secure else 'ws'}://{self.host}:{self.port}"

    @property
    def producer(self) -> Producer | None:
        """The running server's way to Redis, for the SDK's calls beside (``Mahavishnu(producer, wait=False)``)."""
        return self._producer

    async def start(self) -> None:
        """Listen, and return when the next client is served at once; a running server is left alone.

        Raises:
            SettingsError: an argument cannot be taken over; the message names the setting that would allow it.
            BusUnavailable: Redis was not there within ten seconds.
            OSError: the port cannot be had.
            RuntimeError: the server was stopped meanwhile.

        """
        if self._stack is not None:
            _logger.warning("the server runs already", extra={"server": self.server_name, "uri": self.uri})
            return
        if self._start_task is None:
            self._start_task = asyncio.create_task(self._start(), name=f"start {self.server_name}")
        task = self._start_task
        # Shielded: one caller that gives up must not end the start that others wait for.
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():  # the caller was cancelled, so nobody waits for the server
                await self.stop()
                raise
            raise RuntimeError("the server was stopped while it was starting") from None
        finally:
            if task.done() and self._start_task is task:
                self._start_task = None

    async def _start(self) -> None:
        settings = self._edge_settings()
        async with AsyncExitStack() as stack:
            producer = await stack.enter_async_context(Producer(settings.redis_url, name=self._catalogue.name))
            edge = Edge(
                self._catalogue,
                settings,
                tls=self.ssl_context,
                owner=self._hooks,
                process_request=self.process_request,
                metrics=self.metrics,
            )
            stack.callback(self._forget)
            stack.push_async_callback(edge.stop)  # before that: while stopping, hooks still send and broadcast
            self._edge, self._producer = edge, producer
            await edge.start()
            self.port = edge.port
            # decisions/0096: `start()` meant ready in the old server, and a client right behind it is served.
            await _ready(edge, settings.redis_url)
            self._stack = stack.pop_all()
        self.is_running = True
        _logger.info("the server is ready", extra={"server": self.server_name, "uri": self.uri})

    def _edge_settings(self) -> EdgeSettings:
        if not self.message_timeout_s > 0:
            raise SettingsError(f"message_timeout_s is {self.message_timeout_s}; a number above 0 is wanted")
        has_files = self.cert_file is not None and self.key_file is not None
        wants_files = self.tls_enabled and self.ssl_context is None
        if wants_files and not has_files:
            raise SettingsError(_NO_CERTIFICATE)
        given = {
            "host": self.host,
            "port": self.port,
            "max_connections": self.max_connections,
            "message_rate_limit": self.message_rate_limit,
            "redis_url": self.redis_url or default_url(),
            "allowed_origins": self.allowed_origins,
            "tls_certificate": self.cert_file if wants_files else None,
            "tls_key": self.key_file if wants_files else None,
            "tls_client_ca": self.ca_file if wants_files and self.verify_client else None,
        }
        if self.metrics is not None:
            port = free_port(self.host, self.metrics_port, self.server_name)
            given |= {"metrics_names": "ecosystem", "metrics_port": port}
        return edge_settings(given, self.authenticator, require_auth=self.require_auth)

    def _forget(self) -> None:
        self._edge = self._producer = None

    async def stop(self) -> None:
        """Stop, also while starting; twice is harmless. ``on_disconnect`` is called for each connection first."""
        task = self._start_task
        # The start ends first: parts that it builds after `stop` had looked would stay.
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])
        stack, self._stack = self._stack, None
        self.is_running = False
        if stack is not None:
            await stack.aclose()

    # Hooks.

    @abstractmethod
    async def on_connect(self, websocket: Any, connection_id: str) -> None:
        """Greet a client; messages sent here follow the client's first answer, or a short silence."""

    @abstractmethod
    async def on_disconnect(self, websocket: Any, connection_id: str) -> None:
        """Take note of a client's end."""

    @abstractmethod
    async def on_message(self, websocket: Any, message: WebSocketMessage) -> None:
        """Answer a client's message."""

    def authenticate_websocket(self, token: str) -> dict[str, Any] | None:
        """Return the payload of a valid token, else None, as without an authenticator."""
        found: dict[str, Any] | None = self.authenticator and self.authenticator.authenticate_connection(token)
        return found

    # Rooms.

    async def join_room(self, room_id: str, connection_id: str) -> None:
        """Let a connection into a room.

        Raises:
            ChannelError: the name can be no room's; in ``on_message``, the client is answered INVALID_CHANNEL.
            BusUnavailable: Redis cannot be reached; the client is answered UNAVAILABLE.

        """
        client = self._client(connection_id)
        # The edge's room first: a room that cannot be opened must not stand in the class's own tables.
        if client is not None:
            await client.join(channel_of(self._catalogue, room_id))
        self.connection_rooms.setdefault(room_id, set()).add(str(connection_id))
        self.room_connections[str(connection_id)] = room_id

    async def leave_room(self, room_id: str, connection_id: str) -> None:
        """Let a connection out of a room; without the connection in the room, nothing happens."""
        members = self.connection_rooms.get(room_id, set())
        if str(connection_id) not in members:
            return
        members.discard(str(connection_id))
        if not members:
            del self.connection_rooms[room_id]
        if self.room_connections.get(str(connection_id)) == room_id:
            del self.room_connections[str(connection_id)]
        client = self._client(connection_id)
        if client is not None:
            client.leave(channel_of(self._catalogue, room_id))

    async def leave_all_rooms(self, connection_id: str) -> None:
        """Let a connection out of every room."""
        # A list: leaving the last member of a room deletes the room's key from the table.
        for room_id in [room for room, members in self.connection_rooms.items() if str(connection_id) in members]:
            await self.leave_room(room_id, connection_id)

    def _client(self, connection_id: str) -> Any:
        return None if self._edge is None else self._edge.clients.get(str(connection_id))

    # Sending. None of these raises, or waits for a client or for Redis.

    async def broadcast_to_room(self, room_id: str, message: WebSocketMessage) -> None:
        """Publish an event for the clients of a room, on every replica.

        An event that cannot be published is counted (``statistics()["dropped"]``) and logged.
        """
        message.room = room_id
        if self._producer is None:
            await self._send_here(room_id, message)
            return
        try:
            event = raw_event(channel_of(self._catalogue, room_id), message.event or "", message.data)
            # decisions/0090: by the outbox, since the old server's broadcast never waited and never raised.
            self._producer.emit(event)
        except Exception as error:  # noqa: BLE001 (a broadcast never stops the observed)
            self._skip(room_id, message, error)

    def _skip(self, room_id: str, message: WebSocketMessage, error: Exception) -> None:
        if self._producer is not None:
            # Cut: the name is the service's value, and goes into a log.
            self._producer.skip(str(message.event)[:128], error)

    async def _send_here(self, room_id: str, message: WebSocketMessage) -> None:
        """Send to the connections of this object, without a bus: a server before its start, as in unit tests."""
        for connection_id in list(self.connection_rooms.get(room_id, ())):
            await self.send_to_connection(connection_id, message)

    async def broadcast_event(self, event_type: str, data: Mapping[str, Any], room: str | None = None) -> None:
        """Publish an event for a room; None: the room ``global``."""
        message = WebSocketProtocol.create_event(event_type, dict(data), room or _EVERYBODY)
        await self.broadcast_to_room(room or _EVERYBODY, message)

    async def send_to_connection(self, connection_id: str, message: WebSocketMessage) -> None:
        """Send a message to a connection of the process; nothing for a connection that is gone."""
        client, websocket = self._client(connection_id), self.connections.get(str(connection_id))
        try:
            text = WebSocketProtocol.encode(message)
            if client is not None:
                client.put(text)
            elif websocket is not None:
                await websocket.send(text)
            else:
                _logger.warning("no such connection", extra={"connection": str(connection_id)})
        except Exception:
            _logger.exception("a message was not sent", extra={"connection": str(connection_id)})

    def statistics(self) -> dict[str, Any]:
        """Return counters: connections, rooms, dropped broadcasts by reason, hooks that failed by name."""
        dropped = {} if self._producer is None else dict(self._producer.statistics().dropped)
        failed = 0 if self._edge is None else self._edge.statistics()[0].failed_hooks
        return {
            "connections": len(self.connections),
            "rooms": len(self.connection_rooms),
            "dropped": dropped,
            "hook_errors": {**self._hooks.errors, "process_request": failed},
        }

    # Events inside the process.

    def on_event(self, event_type: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Return a decorator that has a function called by ``emit_event``."""

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self.event_handlers.setdefault(event_type, set()).add(function)
            return function

        return register

    async def emit_event(self, event_type: str, data: dict[str, Any]) -> None:
        """Call every function registered for an event; errors are logged."""
        for function in list(self.event_handlers.get(event_type, ())):
            try:
                outcome = function(data)
                if inspect.isawaitable(outcome):
                    await outcome
            except Exception:
                _logger.exception("a handler of an event failed", extra={"event": event_type})


async def _ready(edge: Edge, url: str) -> None:
    """Wait until clients are served.

    Raises:
        BusUnavailable: Redis was not there in time.

    """
    try:
        async with asyncio.timeout(READY_S):
            await edge.ready()
    except TimeoutError:
        why = f"{edge.not_ready()}; is Redis at {without_password(url)}? Start one with: edgebus broker"
        raise BusUnavailable(f"not ready within {READY_S:g} s: {why}") from None

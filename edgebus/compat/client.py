"""``WebSocketClient``: the ecosystem's client, which resumes each room behind its last event after a reconnect."""

import asyncio
import inspect
import logging
import ssl
from collections.abc import Callable
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from bus.tasks import end
from bus.words import Verb
from edgebus.compat.protocol import WebSocketMessage, WebSocketProtocol

__all__ = ["WebSocketClient"]

_logger = logging.getLogger("edgebus.compat")


class WebSocketClient:
    """A client of a server; see ``clients.connect`` for one that shows gaps.

    Args:
        uri: ``ws://…`` or ``wss://…``.
        token: shown as the first message of every connection.
        reconnect: come back after a lost connection, and keep trying from the start.
        max_retries: attempts in a row, before the client gives up.
        initial_delay: before the second attempt, seconds; doubled each time.
        max_delay: the longest delay, seconds.
        ssl_context: for ``wss``; None makes one.
        verify_ssl: False takes any certificate, for development only.
        ca_file: PEM file with the issuer of the server's certificate.

    """

    def __init__(  # noqa: PLR0913, PLR0917 (the ecosystem's constructor)
        self,
        uri: str,
        token: str | None = None,
        reconnect: bool = True,
        max_retries: int = 5,
        initial_delay: float = 1.0,
        max_delay: float = 60.0,
        ssl_context: ssl.SSLContext | None = None,
        verify_ssl: bool = True,
        ca_file: str | None = None,
    ) -> None:
        self.uri, self.token, self.reconnect = uri, token, reconnect
        self.max_retries, self.initial_delay, self.max_delay = max_retries, initial_delay, max_delay
        self.verify_ssl, self.ca_file = verify_ssl, ca_file
        self.ssl_context = ssl_context or (_context(ca_file, verify=verify_ssl) if self.is_secure else None)
        self.websocket: ClientConnection | None = None
        self.is_connected = self.is_authenticated = False
        self.connection_id: str | None = None
        self.request_timeout = 30.0
        self.pending_requests: dict[str, asyncio.Future[WebSocketMessage]] = {}
        self.event_handlers: dict[str, set[Callable[..., Any]]] = {}
        self.rooms: set[str] = set()
        self._positions: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def is_secure(self) -> bool:
        """Whether the connection is ``wss``."""
        return self.uri.startswith("wss://")

    async def connect(self) -> None:
        """Connect; with ``reconnect``, a server that is not there yet is tried again in the background.

        Raises:
            ConnectionError: the token is refused; or, without ``reconnect``, the server cannot be reached.
            OSError: the same.

        """
        if self.is_connected:
            return
        try:
            await self._open()
        except (OSError, WebSocketException) as error:
            if not self.reconnect or (
                isinstance(error, ConnectionError) and not isinstance(error, ConnectionRefusedError)
            ):
                raise
            _logger.warning("no connection yet", extra={"uri": self.uri})
        self._task = asyncio.create_task(self._run(), name="compat client")

    async def disconnect(self) -> None:
        """Close; twice is harmless."""
        task, self._task = self._task, None
        if task is not None:
            await end([task])
        await self._drop()

    async def _open(self) -> None:
        websocket = await connect(self.uri, ssl=self.ssl_context)
        try:
            if self.token:
                await self._authenticate(websocket)
        except BaseException:
            await websocket.close()
            raise
        self.websocket, self.is_connected, self.connection_id = websocket, True, str(websocket.id)
        for room in list(self.rooms):
            await self._subscribe(room)

    async def _authenticate(self, websocket: ClientConnection) -> None:
        request = WebSocketProtocol.create_request(Verb.AUTH, {"token": self.token})
        await websocket.send(WebSocketProtocol.encode(request))
        while (answer := WebSocketProtocol.decode(await websocket.recv())).correlation_id != request.id:
            await self._take(answer)
        if answer.type == "error":
            raise ConnectionError(f"Authentication failed: {answer.error_message}")
        self.is_authenticated = True

    async def _drop(self) -> None:
        websocket, self.websocket = self.websocket, None
        self.is_connected = self.is_authenticated = False
        for future in self.pending_requests.values():
            if not future.done():
                future.set_exception(ConnectionError("the connection ended before the answer came"))
        if websocket is not None:
            await websocket.close()

    async def _run(self) -> None:
        attempt, delay_s = 0, self.initial_delay
        while True:
            if self.websocket is not None:
                attempt, delay_s = 0, self.initial_delay
                await self._receive(self.websocket)
                await self._drop()
            if not self.reconnect or attempt >= self.max_retries:
                return
            attempt += 1
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, self.max_delay)
            try:
                await self._open()
            except (OSError, WebSocketException):
                _logger.warning("no connection yet", extra={"uri": self.uri, "attempt": attempt})

    async def _receive(self, websocket: ClientConnection) -> None:
        try:
            async for text in websocket:
                try:
                    message = WebSocketProtocol.decode(text)
                except ValueError:
                    _logger.warning("a message that is none", extra={"uri": self.uri})
                    continue
                await self._take(message, text)
        except ConnectionClosed:
            return

    async def _take(self, message: WebSocketMessage, text: str | bytes = "") -> None:
        future = self.pending_requests.pop(message.correlation_id or "", None)
        if future is not None:
            if not future.done():
                future.set_result(message)
        elif message.type == "event" and message.event:
            self._note(message, text)
            await self._emit_event(message.event, message.data)

    def _note(self, message: WebSocketMessage, text: str | bytes) -> None:
        position = orjson.loads(text or b"{}").get("position")
        if message.room is not None and isinstance(position, str):
            self._positions[message.room] = position

    async def _emit_event(self, event_type: str, data: dict[str, Any]) -> None:
        for function in list(self.event_handlers.get(event_type, ())):
            try:
                outcome = function(data)
                if inspect.isawaitable(outcome):
                    await outcome
            except Exception:
                _logger.exception("a handler of an event failed", extra={"event": event_type})

    # Calls.

    async def send_request(
        self,
        event: str,
        data: dict[str, Any],
        timeout: float | None = None,  # noqa: ASYNC109 (the ecosystem's argument)
    ) -> WebSocketMessage:
        """Return the answer to a request.

        Raises:
            ConnectionError: there is no connection, or it ended before the answer.
            TimeoutError: no answer came in ``timeout`` seconds, else 30.

        """
        request = WebSocketProtocol.create_request(event, data)
        future: asyncio.Future[WebSocketMessage] = asyncio.get_running_loop().create_future()
        self.pending_requests[request.id] = future
        limit_s = timeout or self.request_timeout
        try:
            await self._send(request)
            async with asyncio.timeout(limit_s):
                return await future
        except TimeoutError:
            raise TimeoutError(f"Request {event} timed out after {limit_s:g}s") from None
        finally:
            self.pending_requests.pop(request.id, None)

    async def send(self, event: str, data: dict[str, Any]) -> None:
        """Send an event; no answer is waited for.

        Raises:
            ConnectionError: there is no connection.

        """
        await self._send(WebSocketProtocol.create_event(event, data))

    async def _send(self, message: WebSocketMessage) -> None:
        if self.websocket is None:
            raise ConnectionError("Not connected")
        await self.websocket.send(WebSocketProtocol.encode(message))

    async def subscribe_to_room(self, room_id: str) -> None:
        """Follow a room, also after a reconnect."""
        self.rooms.add(room_id)
        await self._subscribe(room_id)

    async def _subscribe(self, room_id: str) -> None:
        since = self._positions.get(room_id)
        await self.send(Verb.SUBSCRIBE, {"room": room_id} if since is None else {"room": room_id, "since": since})

    async def unsubscribe_from_room(self, room_id: str) -> None:
        """Follow a room no longer."""
        self.rooms.discard(room_id)
        self._positions.pop(room_id, None)
        await self.send(Verb.UNSUBSCRIBE, {"room": room_id})

    def on_event(self, event_type: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Return a decorator that has a function called with the data of each such event."""

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self.event_handlers.setdefault(event_type, set()).add(function)
            return function

        return register


def _context(ca_file: str | None, *, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    if not verify:
        _logger.warning("certificates are not verified: for development only")
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context

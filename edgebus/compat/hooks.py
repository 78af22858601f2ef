"""Between an edge and a service's class: a client's coming, messages and end become the class's three hooks."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final, Protocol

from pydantic import ValidationError

from bus.errors import BusError, ChannelError
from bus.words import Code, Verb
from edgebus.compat.protocol import WebSocketMessage, WebSocketProtocol
from edgebus.compat.websocket import WebSocket
from edges import OwnedClient

__all__ = ["Hooked", "Hooks"]

_logger = logging.getLogger("edgebus.compat")
_SUBSCRIPTIONS: Final = {Verb.SUBSCRIBE: "subscribed", Verb.UNSUBSCRIBE: "unsubscribed"}


class Hooked(Protocol):
    """A service's class, as far as the hooks know the class."""

    connections: dict[str, Any]
    message_timeout_s: float
    authenticator: Any

    async def on_connect(self, websocket: Any, connection_id: str) -> None:
        """Greet."""

    async def on_disconnect(self, websocket: Any, connection_id: str) -> None:
        """Take note of the end."""

    async def on_message(self, websocket: Any, message: WebSocketMessage) -> None:
        """Answer."""

    async def join_room(self, room_id: str, connection_id: str) -> None:
        """Let a connection in."""

    async def leave_room(self, room_id: str, connection_id: str) -> None:
        """Let a connection out."""

    async def leave_all_rooms(self, connection_id: str) -> None:
        """Let a connection out of every room."""


class Hooks:
    """The owner of the edge.

    Attributes:
        errors: how often a hook failed, by the hook's name.

    """

    def __init__(self, server: Hooked) -> None:
        self._server = server
        self.errors = {"on_connect": 0, "on_message": 0, "on_disconnect": 0}

    async def arrived(self, client: OwnedClient) -> None:
        """Call ``on_connect``; the connection is known before, so that the hook may send and join."""
        websocket = self._server.connections[client.id] = WebSocket(client)
        try:
            await self._server.on_connect(websocket, client.id)
        except BaseException:  # a hook that hangs ends by cancellation, and is a failed hook all the same
            self.errors["on_connect"] += 1
            raise

    async def said(self, client: OwnedClient, message: Mapping[str, Any]) -> None:
        """Call ``on_message``; a subscription unknown to the class is made here."""
        websocket = self._server.connections.get(client.id) or WebSocket(client)
        try:
            decoded = _decoded(message)
        except ValidationError as error:
            await websocket.send(_error(Code.INVALID_REQUEST, _fault(error), message))
            return
        sent = websocket.sent  # counted: silence of the class is the one sign that it does not know the request
        try:
            # decisions/0078: a client's later messages wait, so that a hook without an end is a client without answers.
            async with asyncio.timeout(self._server.message_timeout_s) as patience:
                await self._server.on_message(websocket, decoded)
            if websocket.sent == sent and decoded.event in _SUBSCRIPTIONS:
                await self._subscribe(websocket, decoded)
        except TimeoutError:
            self.errors["on_message"] += 1
            if not patience.expired():  # the hook's own
                raise
            await self._give_up(websocket, message, has_answered=websocket.sent != sent)
        except ChannelError as error:
            await websocket.send(_error(Code.INVALID_CHANNEL, str(error), message))
        except BusError:  # Redis' fault, or a bound's: answered UNAVAILABLE
            raise
        except Exception:
            self.errors["on_message"] += 1
            raise

    async def _give_up(self, websocket: WebSocket, message: Mapping[str, Any], *, has_answered: bool) -> None:
        limit_s = self._server.message_timeout_s
        _logger.warning(
            "on_message took too long", extra={"connection": websocket.id, "event": str(message.get("event"))[:128]}
        )
        if not has_answered:
            sentence = f"no answer within {limit_s:g} s (message_timeout_s)"
            await websocket.send(_error(Code.TIMEOUT, sentence, message))

    async def _subscribe(self, websocket: WebSocket, message: WebSocketMessage) -> None:
        """Answer the request of ``WebSocketClient.subscribe_to_room`` for a class without an answer of its own."""
        room = message.data.get("channel", message.data.get("room"))
        if not isinstance(room, str):
            return
        if self._server.authenticator is not None:  # who may see the room, the class alone knows
            await websocket.send(_error(Code.FORBIDDEN, "the service does not answer this", message.model_dump()))
            return
        move = self._server.join_room if message.event == Verb.SUBSCRIBE else self._server.leave_room
        await move(room, websocket.id)
        data = {"status": _SUBSCRIPTIONS[Verb(str(message.event))], "channel": room}
        await websocket.send(WebSocketProtocol.encode(WebSocketProtocol.create_response(message, data)))

    async def left(self, client: OwnedClient) -> None:
        """Call ``on_disconnect``, and forget the connection."""
        websocket = self._server.connections.get(client.id) or WebSocket(client)
        try:
            await self._server.on_disconnect(websocket, client.id)
        except Exception:
            self.errors["on_disconnect"] += 1
            _logger.exception("on_disconnect failed", extra={"connection": client.id})
        except asyncio.CancelledError:  # longer than ``open_timeout_s``, which the edge tells
            self.errors["on_disconnect"] += 1
            raise
        finally:  # whatever the hook does: health tools count these tables
            self._server.connections.pop(client.id, None)
            await self._server.leave_all_rooms(client.id)


def _decoded(message: Mapping[str, Any]) -> WebSocketMessage:
    """Return a client's message, such that a response carries the ``id`` by which clients match answers."""
    given = {name: value for name, value in message.items() if value is not None}
    kind = given.get("type")
    # The short form `{"type": "subscribe"}` of the documented snippets is a request by another name.
    if kind in _SUBSCRIPTIONS:
        given |= {"type": "request", "event": kind}
    reply_to = given.get("id", given.get("correlation_id"))
    return WebSocketMessage.model_validate({**given, "correlation_id": reply_to})


def _error(code: str, sentence: str, message: Mapping[str, Any]) -> str:
    reply_to = message.get("id") or message.get("correlation_id")
    error = WebSocketProtocol.create_error(code, sentence, reply_to)
    error.event = message.get("event")
    return WebSocketProtocol.encode(error)


def _fault(error: ValidationError) -> str:
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg'].lower()}"

"""A client of an edge with an owner: the owner's messages behind the right answer, rooms joined behind the answer."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import orjson

from bus.channel import Channel
from bus.log.replay import Replay, Start
from edges.auth.permissions import Caller
from edges.limits.rates import LimitReached
from edges.protocol.envelope import ENVELOPE, text_frame
from edges.protocol.messages import Closing, Code, Refusal
from edges.session.authentication import Admission
from edges.session.context import Context
from edges.session.greeting import Greeting
from edges.session.owner import Ownership
from edges.session.pacing import Pacing
from edges.session.subscriptions import Subscriptions
from edges.session.transport import Transport

__all__ = ["Asked", "Owned"]

_logger = logging.getLogger("edgebus.edges")


class Asked(NamedTuple):
    """A message under way: the verb, the id of the reply, and where a ``subscribe`` wants to begin."""

    message: dict[str, Any]
    verb: str
    reply_to: str | None
    start: Start | None


class Owned:
    """A client, for the owner of the edge; see ``OwnedClient``.

    Attributes:
        has_arrived: whether the owner was told of the client.

    """

    def __init__(
        self,
        ownership: Ownership,
        context: Context,
        transport: Transport,
        admission: Admission,
        rooms: Subscriptions,
        greeting: Greeting,
        pacing: Pacing,
    ) -> None:
        self._ownership, self._context, self._transport = ownership, context, transport
        self._admission, self._rooms, self._greeting, self._pacing = admission, rooms, greeting, pacing
        self._turn = asyncio.Lock()
        self._asked: Asked | None = None
        self._pending: dict[Channel, Start | None] = {}
        self.has_arrived = self._has_left = False

    # For the session.

    async def arrive(self) -> None:
        """Let the owner greet the client.

        Raises:
            TimeoutError: the owner took longer than ``open_timeout_s``.
            Exception: the owner's.

        """
        self.has_arrived = True
        async with self._turn, asyncio.timeout(self._context.settings.open_timeout_s):
            self._ownership.clients[self.id] = self
            await self._ownership.owner.arrived(self)
            await self._enter()

    async def tell(self, asked: Asked) -> None:
        """Let the owner answer a message.

        Raises:
            Exception: the owner's.

        """
        async with self._turn:
            self._asked = asked
            try:
                await self._ownership.owner.said(self, asked.message)
                await self._enter()
            finally:
                self._asked = None
                self._pending.clear()

    def depart(self) -> None:
        """Let the owner take note of the client's end, behind the message under way."""
        if self.has_arrived and not self._has_left:
            self._has_left = True
            self._ownership.see_off(self._leave(), f"end of {self.id}")

    async def _leave(self) -> None:
        patience_s = self._context.settings.open_timeout_s
        try:
            async with asyncio.timeout(patience_s):
                await self._turn.acquire()  # for good: nothing is said behind the end
        except TimeoutError:
            _logger.warning("the owner still answers a client that has left", extra={"connection": self.id})
        try:
            async with asyncio.timeout(patience_s):
                await self._ownership.owner.left(self)
        except Exception:
            _logger.exception("the owner failed at the end of a client", extra={"connection": self.id})
        finally:
            self._ownership.clients.pop(self.id, None)

    # For the owner.

    @property
    def id(self) -> str:
        """Id of the connection."""
        return self._transport.name

    @property
    def address(self) -> str:
        """Address of the client."""
        return self._transport.visitor.address

    @property
    def caller(self) -> Caller:
        """User and permissions."""
        return self._admission.caller

    @property
    def channels(self) -> Sequence[Channel]:
        """The client's rooms."""
        return [*self._rooms.channels, *self._pending]

    async def send(self, text: str | bytes) -> None:
        """Send a message, at the client's pace."""
        payload = text.encode() if isinstance(text, str) else bytes(text)
        if self._is_too_large(payload):
            return
        if self._asked is None:
            self._write(payload)
            await self._transport.drained()
            return
        async with self._pacing.room_for(len(payload)):
            await self._enter(payload)
        self._greet()

    def put(self, text: str | bytes) -> bool:
        """Send a message without waiting."""
        payload = text.encode() if isinstance(text, str) else bytes(text)
        if self._rooms.has_ended or self._is_too_large(payload):
            return False
        self._write(payload)
        return True

    async def join(self, channel: Channel) -> None:
        """Let the client into a room, behind the answer of the message under way."""
        if self._rooms.has_ended:
            return
        asked, limit = self._asked, self._context.settings.max_rooms
        if channel.name not in self._rooms.rooms and len(self.channels) >= limit:
            self._context.counters.hit("max_rooms")
            raise LimitReached("max_rooms", f"max_rooms: the client is in {limit} rooms, the limit of one connection")
        if asked is None or asked.start is None or channel.retention.kind == "live":
            await self._rooms.open(channel)
        self._pending[channel] = None if asked is None or channel.retention.kind == "live" else asked.start
        if asked is None:
            await self._enter()

    def leave(self, channel: Channel) -> None:
        """Let the client out of a room."""
        self._pending.pop(channel, None)
        self._rooms.leave(channel)

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake, behind the welcome."""
        self._greet()
        self._transport.close(Closing(cast(Any, code), reason))

    # Writing.

    def _is_too_large(self, payload: bytes) -> bool:
        limit = self._context.settings.max_answer_bytes
        if len(payload) <= limit:
            return False
        self._context.counters.hit("max_answer_bytes")
        _logger.warning(
            "dropped a message of the owner: too large", extra={"connection": self.id, "size": len(payload)}
        )
        if self._asked is not None:
            sentence = f"the answer has {len(payload)} bytes; max_answer_bytes is {limit}: ask for less"
            refusal = Refusal(Code.ANSWER_TOO_LARGE, sentence, self._asked.verb, self._asked.reply_to)
            self._transport.write(text_frame(ENVELOPE.write(refusal)))
            self._greet()
        return True

    def _write(self, payload: bytes) -> None:
        """Write a message of no answer: before the welcome was said, the message is part of the welcome."""
        if self._greeting.is_due:
            self._greeting.held = [*(self._greeting.held or ()), text_frame(payload)]
        else:
            self._transport.write(text_frame(payload))

    def _greet(self) -> None:
        for item in self._greeting.take():
            self._transport.write(item if isinstance(item, bytes) else text_frame(ENVELOPE.write(item)))

    async def _enter(self, answer: bytes | None = None) -> None:
        """Join the rooms that wait for the answer, and write the answer in front of their events."""
        while len(self._pending) > 1 or (self._pending and answer is None):
            await self._enter_one(None)
        if self._pending:
            await self._enter_one(answer)
        elif answer is not None:
            self._transport.write(text_frame(answer))

    async def _enter_one(self, answer: bytes | None) -> None:
        channel, start = next(iter(self._pending.items()))
        if start is not None:
            async with self._rooms.resume(channel, start) as replay:
                self._pending.pop(channel, None)
                self._write_answer(answer, channel.name, _facts(replay))
                del replay
            return
        await self._rooms.open(channel)
        self._pending.pop(channel, None)
        joined = self._rooms.join(channel)
        self._write_answer(answer, channel.name, {} if joined is None else {"position": joined.position})
        for frame in joined.frames if joined is not None else ():
            self._transport.write(frame)

    def _write_answer(self, answer: bytes | None, room: str, facts: dict[str, Any]) -> None:
        if answer is not None:
            self._transport.write(text_frame(_with(facts, room, answer)))


def _facts(replay: Replay) -> dict[str, Any]:
    found = {"position": replay.position, "recovered": replay.reason is None, "reason": replay.reason}
    gap = {} if replay.gap_after is None else {"gap_after": replay.gap_after}
    return {**found, "replayed": len(replay.lines), **gap}


def _with(facts: dict[str, Any], room: str, answer: bytes) -> bytes:
    """Return a response with what the edge knows of the room: by these facts a client resumes later.

    A channel that was asked for by another spelling than the events' is told by both, as in the edge's own answers.
    """
    try:
        message = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return answer
    is_response = isinstance(message, dict) and message.get("type") == "response"
    if not is_response or not isinstance(message.get("data"), dict):
        return answer
    data = message["data"]
    named = {} if data.get("channel", room) == room else {"room": room}
    return orjson.dumps({**message, "data": {**data, **named, **facts}})

"""A client's socket: bytes to messages, frames to bytes, deadlines and the end.

Decisions are elsewhere: ``handshake`` on the first bytes, ``framing`` on frames, ``session`` on messages, ``writing``
on waiting bytes, ``keepalive`` on silence.
"""

import asyncio
import socket
from typing import Final, cast

from edges.protocol.messages import (
    AT_CAPACITY,
    CONTROL_FLOOD,
    KEEPALIVE,
    STUCK,
    TOO_BIG_YET,
    TOO_MANY_PARTS,
    Closing,
)
from edges.session.client import SENT_AWAY
from edges.session.context import Context
from edges.session.session import Session
from edges.transport.backpressure import RESERVE_BYTES
from edges.transport.following import Following
from edges.transport.framing import PING_FRAME, End, Part, Ping, WebSocket, Whole
from edges.transport.handshake import Asking, Entry, Farewell, Handshake, Outcome, Word, at_once
from edges.transport.keepalive import Due, Keepalive
from edges.transport.outgoing import Outgoing
from edges.transport.routes import Routes
from edges.transport.served import SILENT, Served
from edges.transport.stream import stream_of
from edges.transport.tls_listener import Agreement
from edges.transport.writing import Phase, other_end, visitor_at

__all__ = ["Connection"]

_LINGER_S: Final = 1.0
"""With TLS, for bytes that a client had under way when the connection was failed."""
_LIMITS: Final = {
    CONTROL_FLOOD: "control_rate_limit",
    TOO_BIG_YET: "max_message_bytes",
    TOO_MANY_PARTS: "max_fragments",
}
"""Faults of clients, with the limit that each hits."""


class Connection(Served):
    """A client of an edge, from ``connection_made`` to ``connection_lost``; the connection needs no task."""

    __slots__ = ("_accepted", "_handshake", "_is_deaf", "_keepalive", "_routes", "_websocket")

    def __init__(self, context: Context, routes: Routes) -> None:
        super().__init__(context)
        self._routes, settings, now = routes, context.settings, self._loop.time()
        self._websocket = WebSocket(settings.max_message_bytes, settings.max_fragments, settings.control_rate_limit)
        self._keepalive = Keepalive(interval_s=settings.ping_interval_s, timeout_s=settings.ping_timeout_s, now=now)
        self._handshake: Handshake | None = None
        self._accepted: socket.socket | None = None
        self._session: Session | None = None
        self._is_deaf = False

    # The socket's side.

    def begin_plain(self, address: str, accepted: socket.socket) -> None:
        """Be lent the socket, without TLS."""
        self.lend(accepted)
        self._accepted, self.visitor = accepted, visitor_at(address, False)

    def begin_tls(self, address: str, agreement: Agreement) -> None:
        """Be counted before TLS is agreed on; until then the agreement is all there is to drop."""
        self._transport = cast(asyncio.Transport, agreement)
        self._accepted, self.visitor = agreement.accepted, visitor_at(address, True)
        self._context.registry.enter(self, self.visitor.address, self._loop.time())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new socket, and bound the buffers."""
        self._transport = cast(asyncio.Transport, transport)
        self._outgoing = Outgoing(self._transport, self._context.settings, self._context.counters, self._accepted)
        if self._accepted is None:
            self.visitor = other_end(self._transport)
        self._context.registry.enter(self, self.visitor.address, self._loop.time())

    def data_received(self, data: bytes) -> None:
        """Take bytes; a bug of the edge closes the one connection and no other."""
        self._keepalive.heard(self._loop.time())
        try:
            if self._phase is Phase.OPENING:
                self._shake(data)
            elif self._phase is not Phase.GONE:
                self._receive(data)
        except Exception as error:  # noqa: BLE001 (told, with its traceback)
            self._failed(error)

    def connection_lost(self, error: Exception | None) -> None:
        """Take note of the socket's end."""
        self._handshake = None
        super().connection_lost(error)

    def eof_received(self) -> bool:
        """Take the end of the client's bytes; False lets the transport close."""
        if self._phase is not Phase.GONE:
            self._websocket.receive_eof()
        return False

    def _check_deadlines(self, now: float) -> None:
        """Cut off a late handshake; ping a silent client; give up on a client without an answer or without reading.

        Pings say nothing of a client that writes and does not read, hence the deadline on waiting bytes getting less.
        """
        if self._deadline is not None:
            if now >= self._deadline:
                self._cut_late()
        elif self._is_paused:
            if self._outgoing.is_stuck(now):
                self.close_slow(STUCK)
            self._keepalive.excuse(now)  # decisions/0046: a pong comes behind all unread bytes
        elif self._is_deaf:  # the edge does not read, so silence says nothing of the client
            self._keepalive.excuse(now)
        else:
            due = self._keepalive.due(now, self._outgoing)
            if due is not None:
                self._act(due)
        if self._phase is Phase.OPEN:
            self._websocket.rest()
        self._check_standing(now)

    def _act(self, due: Due) -> None:
        match due:
            case Due.PING:
                self._ping()
            case Due.CLOSE:
                self._note(SENT_AWAY, KEEPALIVE.reason)
                self.close(KEEPALIVE)
            case Due.CUT:
                self._note(SILENT, KEEPALIVE.reason)
                self.cut()

    def prove_alive(self, now: float) -> None:
        """Ask for a sign of life: another client of the same user or address finds no place (decisions/0057).

        Silence says nothing of a client with unread bytes before the ping, or of a client that the edge does not read.
        """
        says_nothing = self._phase is not Phase.OPEN or self._is_deaf or self._is_paused
        if not says_nothing and self._keepalive.wants_proof(now):
            self._ping()

    def _ping(self) -> None:
        if self._may_send(len(PING_FRAME)):
            self._put(PING_FRAME)
        self._keepalive.pinged(self._outgoing.unread_bytes())

    # The opening handshake.

    def _shake(self, data: bytes) -> None:
        match self._shaken(data, self._keepalive.heard_at):
            case Entry() as entry:
                self._enter(entry)
            case Asking() as asking:
                self._transport.pause_reading()
                self._deadline = self._loop.time() + 2 * self._context.settings.open_timeout_s  # a hook has half
                self._context.spawn(self._ask(asking), "request")
            case Word(answer):
                self._transport.write(answer)
            case Farewell() | Following() as outcome:
                self._conclude(outcome)

    def _shaken(self, data: bytes, now: float) -> Outcome | Asking | Word | None:
        if self._handshake is None:  # the first bytes
            known = self._context, self._routes, self._websocket, self, self.visitor
            if (outcome := at_once(data, now, *known)) is not None:
                return outcome
            self._handshake = Handshake(*known)
        return self._handshake.take(data, now)

    async def _ask(self, asking: Asking) -> None:
        outcome = await asking.outcome()
        with self._failing():
            if self._phase is Phase.OPENING:  # else the client, or the edge, went away meanwhile
                self._transport.resume_reading()
                self._conclude(outcome)

    def _conclude(self, outcome: Entry | Farewell | Following) -> None:
        match outcome:
            case Entry():
                self._enter(outcome)
            case Following():
                self._hand_over(outcome)
            case Farewell():
                self._finish(outcome.answer)

    def _hand_over(self, following: Following) -> None:
        """Leave the socket to the client of a stream: another protocol, that the socket speaks to from now on."""
        self._come_to(Phase.GONE)
        self._handshake = None
        self._context.registry.exit(self)
        stream = stream_of(self._context, following, self._transport, self._outgoing)
        if self._plain is not None:
            stream.lend(self._plain)
        self._transport.set_protocol(stream)
        stream.begin()

    def _finish(self, answer: bytes) -> None:
        """Write the last bytes and close the socket."""
        self._come_to(Phase.GONE)
        self._handshake = None
        self._context.registry.give_back(self)
        self._transport.write(answer)
        self._end_writing()

    def _enter(self, entry: Entry) -> None:
        self.visitor, self._handshake = entry.visitor, None
        self._transport.write(entry.answer)
        self._come_to(Phase.OPEN)
        self._deadline = None
        if (closing := self._context.registry.turn_away(self)) is not None:
            self.close(closing)
            return
        # decisions/0043: a client that owes a token takes no place of a client that has shown a token.
        if entry.visitor.needs_token or self._context.settings.auth_required:
            self._context.registry.expect_token(self, entry.visitor.address)
        elif not self.take_place():
            self.close(AT_CAPACITY)
            return
        self._session = Session(self, self._context, entry.tokens)
        self._session.begin()
        if entry.rest:
            self._receive(entry.rest)

    # Frames from the client.

    def _receive(self, data: bytes) -> None:
        session = self._session
        if session is not None and session.greeting.is_due:
            session.bytes_came()
        # decisions/0165: most bytes of a client are one command, and all below is for other bytes.
        if session is not None and not session.admission.is_locked and self._phase is Phase.OPEN:
            text = self._websocket.take_text(data)
            if text is not None:
                self._hand_on(text, is_text=True)
                if session.greeting.is_due and self._phase is Phase.OPEN:
                    session.bytes_ended()
                return
        for part in self._websocket.take(data, self._keepalive.heard_at):
            if self._phase is not Phase.OPEN:
                break
            self._take(part)
        if self._websocket.is_too_big and self._phase is Phase.OPEN:
            self._context.counters.hit("max_message_bytes")
        if session is not None and session.admission.is_locked and self._phase is Phase.OPEN:
            self._may_come(self._websocket.held_bytes)
        self._send_pending()
        if session is None or self._phase is not Phase.OPEN:
            return
        if session.greeting.is_due and self._websocket.is_whole:
            session.bytes_ended()

    def _take(self, part: Part) -> None:
        match part:
            case Whole(data, is_text):
                self._hand_on(data, is_text=is_text)
            case Ping(pong):
                self.write(pong)
            case Closing() as fault:
                self._refuse(fault)
            case End():
                self._come_to(Phase.CLOSING)
                self._deadline = self._loop.time() + self._context.settings.close_timeout_s

    def _hand_on(self, data: bytes, *, is_text: bool) -> None:
        """Give a whole message to the session, which reads text and binary alike."""
        session = self._session
        if session is not None and (not session.admission.is_locked or self._may_come(len(data))):
            session.message(data)

    def _may_come(self, size: int) -> bool:
        """Tell whether a message may have ``size`` bytes: few, where a required token has not come."""
        is_small = self._session is None or self._session.may_have(size)
        if not is_small:
            self._refuse(TOO_BIG_YET)
        return is_small

    def _refuse(self, fault: Closing) -> None:
        if fault in _LIMITS:
            self._context.counters.hit(_LIMITS[fault])
        self._note(SENT_AWAY, fault.reason)
        self.close(fault)

    # Frames to the client.

    @property
    def name(self) -> str:
        """Id of the connection, as in the welcome and in logs."""
        return self._websocket.name

    def pause_reading(self) -> None:
        """Take no more bytes from the client for now."""
        self._is_deaf = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes again."""
        self._is_deaf = False
        self._keepalive.excuse(self._loop.time())
        if self._phase is not Phase.GONE:
            self._transport.resume_reading()

    def close(self, code: Closing) -> None:
        """Begin the closing handshake; the socket is cut after ``close_timeout_s``."""
        if self._phase is not Phase.OPEN:
            self.cut()
            return
        self._come_to(Phase.CLOSING)
        self._deadline = self._loop.time() + self._context.settings.close_timeout_s
        if self._websocket.is_open:  # else a close or a fault came behind the reason of this one, and has its answer
            self._websocket.send_close(code.code, code.reason)
        self._send_pending()
        self._release_drain()
        if self._session is not None:
            self._session.end()
            self.resume_reading()  # its commands may have waited, and the client's half of the close is behind them

    def _send_pending(self) -> None:
        """Write the protocol's bytes; by an empty piece the protocol says that the socket is done."""
        for data in self._websocket.data_to_send():
            if not data:
                self._come_to(Phase.CLOSING)
                self._end_writing()
            elif self._may_send(len(data)):
                self._put(data)

    def _may_send(self, size: int) -> bool:
        """Tell whether a control frame may still wait; the close frame may always."""
        is_bound = self._is_paused and self._phase is Phase.OPEN
        return not is_bound or self._fits(size, reserve=RESERVE_BYTES)

    def _end_writing(self) -> None:
        """Close the edge's half of the socket; the client closes the other half within the deadline."""
        # decisions/0008: closing both halves while bytes of the client are on their way resets the connection, and the
        # reset may overtake the close frame or the answer (RFC 6455, section 7.1.1; RFC 9112, section 9.6). TLS has no
        # halves: a client whose connection was failed is given a moment to end its sending.
        self._deadline = self._loop.time() + self._context.settings.close_timeout_s
        if self._transport.can_write_eof():
            self._transport.write_eof()
        elif self._websocket.is_failed:
            self._loop.call_later(_LINGER_S, self._transport.close)
        else:
            self._transport.close()

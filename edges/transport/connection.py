"""One client: bytes from its socket to messages, and frames to its socket.

An ``asyncio.Protocol`` around what decides: ``handshake`` on the first bytes, ``framing`` on frames, ``session`` on
messages. Here are the socket, its deadlines, and what may wait for a client.
"""

import asyncio
import logging
import socket
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from enum import Enum, auto
from typing import Final, cast

from websockets.frames import CLOSE, PING, PONG, Frame

from bus.channel import Channel
from edges.limits.quotas import Excess
from edges.limits.rates import TokenBucket
from edges.net.forwarded import client_address
from edges.net.visitor import Visitor
from edges.protocol.envelope import ENVELOPE, Dialect
from edges.protocol.messages import (
    AT_CAPACITY,
    CONTROL_FLOOD,
    KEEPALIVE,
    OUR_BUG,
    SLOW,
    STUCK,
    TOO_BIG_YET,
    TOO_MANY_PARTS,
    Closing,
    Notice,
)
from edges.session.context import Context
from edges.session.session import Session
from edges.transport.acknowledged import peer, unacknowledged_bytes
from edges.transport.backpressure import RESERVE_BYTES, Ebb, patience
from edges.transport.framing import Assembly, WebSocket, Whole
from edges.transport.handshake import Entry, Farewell, Handshake
from edges.transport.tls_listener import Agreement

__all__ = ["Connection"]

_PACE_BYTES: Final = 64 * 1024
"""More than this in the transport, and a replay waits."""
_SMALL_BYTES: Final = 4 * 1024
"""What a room lacked is written at once, if it is no more, to whoever has not read the rest yet either."""
_KERNEL_BYTES: Final = 256 * 1024
_LOOK_S: Final = 0.02
_MANY: Final = 2**62
_LINGER_S: Final = 1.0
"""With TLS, for what a client had under way when its connection was failed."""
_CLOSE_FRAME_BYTES: Final = 127
"""The most that a close frame takes (RFC 6455, section 5.5)."""

PROOF_S: Final = 3.0
"""For a sign of life of a client that another one would take the place of."""
_SLOW_CLOSE_S: Final = 2.0
"""For a slow client to read what waits for it and the close frame behind that, before it is cut off."""

_logger = logging.getLogger("edgebus.edges")


class _Phase(Enum):
    OPENING = auto()
    OPEN = auto()
    CLOSING = auto()
    GONE = auto()


_OPEN: Final = _Phase.OPEN
"""By a name of its own: through the class, an enum's member costs as much as the rest of ``deliver``."""


class Connection(asyncio.Protocol):
    """One client of an edge. Lives from ``connection_made`` to ``connection_lost``; needs no task of its own.

    Attributes:
        visitor: the client; before its handshake was read, and for plain HTTP, the other end of the socket.

    """

    # One object per delivery, not three: with a thousand connections, each of them is a cache miss.
    __slots__ = (
        "_around",
        "_assembly",
        "_behind_bytes",
        "_control",
        "_deadline",
        "_drain",
        "_ebb",
        "_handshake",
        "_heard",
        "_is_deaf",
        "_is_paused",
        "_is_slow",
        "_kept",
        "_loop",
        "_owed_until",
        "_own_bytes",
        "_phase",
        "_pinged",
        "_proof_due",
        "_rooms",
        "_session",
        "_transport",
        "_unread_at_ping",
        "_websocket",
        "_window_bytes",
        "visitor",
    )

    _transport: asyncio.Transport  # asyncio builds a protocol before its socket, and hands that to `connection_made`

    def __init__(self, around: Context) -> None:
        self._around = around
        self._loop = asyncio.get_running_loop()
        self._websocket = WebSocket(around.settings.max_message_bytes)
        self._handshake: Handshake | None = None
        self.visitor = Visitor("", is_secure=False)
        self._phase = _Phase.OPENING
        self._assembly = Assembly(around.settings.max_fragments)
        self._kept: list[bytes] = []
        self._session: Session | None = None
        self._rooms: Sized = ()
        now = self._loop.time()
        self._control = TokenBucket(around.settings.control_rate_limit, now)
        self._heard = now
        self._deadline: float | None = now + around.settings.open_timeout_s
        self._pinged = self._is_paused = self._is_deaf = self._is_slow = False
        self._proof_due: float | None = None
        self._ebb: Ebb | None = None
        self._unread_at_ping = self._window_bytes = 0
        self._own_bytes = self._behind_bytes = self._owed_until = 0
        self._drain: asyncio.Future[None] | None = None

    # The socket's side.

    def knock(self, address: str, agreement: Agreement) -> None:
        """Be counted before TLS is agreed on; until then the agreement is all there is to drop."""
        self._transport = cast(asyncio.Transport, agreement)
        self._around.registry.enter(self, client_address(address, (), ()), self._loop.time())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new socket, with its bounds."""
        self._transport = cast(asyncio.Transport, transport)
        settings = self._around.settings
        plain: socket.socket = transport.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, settings.send_buffer_bytes)
        if plain.family != socket.AF_UNIX:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            name = transport.get_extra_info("peername")  # None when it has gone already
            self.visitor = Visitor(
                client_address(name[0], (), ()) if name else "", transport.get_extra_info("sslcontext") is not None
            )
        other = peer(plain)  # before it was written to, so that all of its window is open
        self._window_bytes = 0 if other is None else other.window_bytes
        self._transport.set_write_buffer_limits(high=self._little_bytes)
        self._handshake = Handshake(self._around, self._websocket, self, self.visitor)
        self._around.registry.enter(self, self.visitor.address, self._loop.time())

    def data_received(self, data: bytes) -> None:
        """Take bytes; a bug of ours in handling them closes this connection and no other."""
        self._heard, self._pinged = self._loop.time(), False
        try:
            if self._phase is _Phase.OPENING:
                self._shake(data)
            elif self._phase is not _Phase.GONE:
                self._receive(data)
        except Exception:
            _logger.exception("a connection failed", extra={"connection": self.name})
            self.fail()

    def eof_received(self) -> bool:
        """Take the end of the client's bytes; the transport then closes itself."""
        if self._phase is not _Phase.GONE:
            self._websocket.receive_eof()
        return False

    def pause_writing(self) -> None:
        """Take note that the client reads slower than it is written to."""
        self._is_paused = True
        waiting = self._waiting_bytes()
        self._ebb = Ebb(self._unread_bytes(), self._loop.time())
        if waiting > self._around.settings.max_waiting_bytes + RESERVE_BYTES:
            self.close_slow()
        else:
            self._take_note_of(waiting)

    def resume_writing(self) -> None:
        """Take note that the client has caught up."""
        self._is_paused, self._ebb = False, None
        self._own_bytes = self._behind_bytes = 0
        self._release_drain()
        if self._session is not None:
            self._session.catch_up()

    def _fits(self, size: int, *, reserve: int = 0) -> bool:
        """Tell whether ``size`` bytes more may wait; a client for which they may not is slow. Asked while paused."""
        waiting = self._waiting_bytes() + size
        if waiting > self._around.settings.max_waiting_bytes + reserve:
            self.close_slow()
            return False
        self._behind_bytes += size
        if self._ebb is not None:
            self._ebb.add(size)
        self._take_note_of(waiting)
        return True

    def _waiting_bytes(self) -> int:
        """Return how much waits, without what is left of the edge's own large write: the client did not let that wait.

        What was written behind that stands in the buffer behind it, so the rest is in front.
        """
        size = self._transport.get_write_buffer_size()
        return size - max(0, min(self._own_bytes, size - self._behind_bytes))

    def _take_note_of(self, waiting: int) -> None:
        """Leave the client out where that is allowed, from half its bound on: the rest is for what it must be given."""
        if waiting > self._around.settings.max_waiting_bytes // 2 and self._session is not None:
            self._session.fall_behind()

    def close_slow(self, code: Closing = SLOW) -> None:
        """Close a client that reads too slowly; one for which not even a close frame may wait is cut off."""
        if self._phase is not _Phase.OPEN:
            return
        settings, self._is_slow = self._around.settings, True
        self._around.registry.count_slow("slow_deadline_s" if code is STUCK else "max_waiting_bytes")
        _logger.info("closed a slow client", extra={"connection": self.name, "reason": code.reason})
        waiting = self._transport.get_write_buffer_size() + _CLOSE_FRAME_BYTES
        if waiting > settings.max_waiting_bytes + RESERVE_BYTES:
            self._cut_slow()
        else:
            self.close(code)
            self._deadline = self._loop.time() + min(_SLOW_CLOSE_S, settings.close_timeout_s)

    def _cut_slow(self) -> None:
        self._around.registry.cut += self._is_slow
        self.cut()

    async def drained(self) -> None:
        """Wait until the client has read most of what was written to it, or is gone."""
        while not self.takes_more:  # another that waited may have written meanwhile
            if not self._is_paused:
                await asyncio.sleep(_LOOK_S)
                continue
            self._drain = self._drain or self._loop.create_future()
            await asyncio.shield(self._drain)

    def _release_drain(self) -> None:
        drain, self._drain = self._drain, None
        if drain is not None:
            drain.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        """Take note that the socket is gone."""
        self._phase, self._handshake = _Phase.GONE, None
        self._around.registry.exit(self)
        self._release_drain()
        if self._session is not None:
            self._session.end()

    def check_deadlines(self, now: float) -> None:
        """Do what is due at ``now``; a bug of ours in that closes this connection and no other."""
        with self._failing():
            self._check_deadlines(now)

    def _check_deadlines(self, now: float) -> None:
        """Cut off a handshake that takes too long; ping a silent client; give up on one that does not answer or read.

        Pings say nothing of a client that writes and does not read, hence a deadline on what waits getting less. Nor do
        they of one that has still to read what was written before them: bytes that it acknowledges are life.
        """
        settings = self._around.settings
        self._proof_due = self._proof_due if self._pinged else None
        if self._deadline is not None:
            if now >= self._deadline:
                self._around.registry.limited["open_timeout_s"] += self._phase is _Phase.OPENING
                self._cut_slow()
        elif self._ebb is not None:
            if self._ebb.stuck_s(self._unread_bytes(), now) >= self._slow_deadline_s():
                self.close_slow(STUCK)
            self._heard = now  # until then it reads, as far as anybody knows
        elif self._is_deaf:  # we do not read, so its silence says nothing
            self._heard = now
        elif self._proof_due is not None and now >= self._proof_due and not self._is_paused:
            _logger.info("cut a client that gave no sign of life", extra={"connection": self.name})
            self.cut()
        elif self._pinged and now - self._heard >= settings.ping_interval_s + settings.ping_timeout_s:
            self._give_up(now)
        elif not self._pinged and now - self._heard >= settings.ping_interval_s:
            self._ping()
        if self._session is not None and self._phase is _Phase.OPEN:
            self._session.check_standing(now)
            self._session.check_kept()

    def prove_alive(self, now: float) -> None:
        """Ask for a sign of life: another client of the same user or address finds no place, and this one may be gone.

        Of a client that does not read what waits for it, or that the edge does not read, silence says nothing.
        """
        if self._phase is not _Phase.OPEN or self._is_deaf or self._is_paused:
            return
        if self._proof_due is None or not self._pinged:
            self._proof_due = now + PROOF_S
            self._ping()

    def _ping(self) -> None:
        self._pinged = True
        self._websocket.send_ping(b"")
        self._send_pending()
        self._unread_at_ping = self._unread_bytes()

    def _unread_bytes(self) -> int:
        """Return what gets less by each byte that the client acknowledges: more than was ever written, but for those.

        Where that is not known it is what waits in the transport and in the kernel.
        """
        acknowledged = self._acknowledged_bytes()
        return self._outgoing_bytes() if acknowledged == _MANY else _MANY - acknowledged

    def _outgoing_bytes(self) -> int:
        plain = self._transport.get_extra_info("socket")
        return self._transport.get_write_buffer_size() + (0 if plain is None else unacknowledged_bytes(plain))

    def _slow_deadline_s(self) -> float:
        """Return within which the client acknowledges something, while no more waits than what a replay writes."""
        deadline_s = self._around.settings.slow_deadline_s
        is_little = self._waiting_bytes() <= 2 * _PACE_BYTES
        return deadline_s * patience(self._window_bytes) if is_little else deadline_s

    def _give_up(self, now: float) -> None:
        """Close a client that has not answered a ping, unless it has just not come to reading it yet."""
        unread, outgoing = self._unread_bytes(), self._outgoing_bytes()
        if unread < self._unread_at_ping:
            self._unread_at_ping, self._heard = unread, now - self._around.settings.ping_interval_s
        elif not outgoing or now - self._heard >= self._late_answer_s(outgoing):
            self.close(KEEPALIVE)

    def _late_answer_s(self, outgoing: int) -> float:
        """Return the silence that is allowed while so much is on its way: longer where the other kernel is alive."""
        settings, plain = self._around.settings, self._transport.get_extra_info("socket")
        other = None if plain is None else peer(plain)
        is_alive = other is not None and other.answers and other.window_bytes < outgoing
        return settings.ping_interval_s + settings.ping_timeout_s * (patience(self._window_bytes) if is_alive else 1)

    def check_revoked(self) -> None:
        """Send the client away if its token was revoked; a bug of ours lets nobody stay who was."""
        with self._failing():
            if self._session is not None and self._phase is _Phase.OPEN:
                self._session.check_revoked()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            _logger.exception("a connection failed", extra={"connection": self.name})
            self.fail()

    def fail(self) -> None:
        """Be closed for a bug of ours; one that cannot even be closed is cut off."""
        try:
            self.close(OUR_BUG)
        except Exception:
            _logger.exception("a connection could not be closed", extra={"connection": self.name})
            self.cut()

    # The opening handshake.

    def _shake(self, data: bytes) -> None:
        match self._handshake.take(data, self._loop.time()) if self._handshake is not None else None:
            case Farewell(answer):
                self._finish(answer)
            case Entry() as entry:
                self._enter(entry)

    def _finish(self, answer: bytes) -> None:
        """Write the last bytes and close the socket."""
        self._phase, self._handshake = _Phase.GONE, None
        self._around.registry.give_back(self)
        self._transport.write(answer)
        self._end_writing()

    def _enter(self, entry: Entry) -> None:
        self.visitor, self._handshake = entry.visitor, None
        self._transport.write(entry.answer)
        self._phase, self._deadline = _Phase.OPEN, None
        if entry.visitor.needs_token or self._around.settings.auth_required:
            self._around.registry.expect_token(self, entry.visitor.address)
        elif not self.take_place():
            self.close(AT_CAPACITY)
            return
        self._session = Session(self, self._around, entry.tokens)
        self._rooms = self._session.rooms
        self._session.begin()
        if entry.rest:
            self._receive(entry.rest)

    # Frames from the client.

    def _receive(self, data: bytes) -> None:
        session = self._session
        if session is not None:
            session.bytes_came()
        self._websocket.receive_data(data)
        frames = self._websocket.events_received()
        for frame in frames:
            if self._phase is not _Phase.OPEN:
                break
            self._take(cast(Frame, frame))
        if self._websocket.is_too_big and self._phase is _Phase.OPEN:
            self._around.registry.limited["max_message_bytes"] += 1
        if session is not None and self._phase is _Phase.OPEN:
            self._may_come(self._websocket.held_bytes)
        self._send_pending()
        # Of a frame that has begun the parser may have taken all there was, so an empty buffer alone says nothing.
        is_whole = bool(frames) and not self._assembly.is_under_way and not self._websocket.reader.buffer
        if session is not None and self._phase is _Phase.OPEN and is_whole:
            session.bytes_ended()

    def _take(self, frame: Frame) -> None:
        match frame.opcode:
            case _ if frame.opcode is PING or frame.opcode is PONG:
                if self._control.take(self._heard) > 0:
                    self._around.registry.limited["control_rate_limit"] += 1
                    self.close(CONTROL_FLOOD)
                elif frame.opcode is PING:
                    self.write(Frame(PONG, frame.data).serialize(mask=False))
            case _ if frame.opcode is CLOSE:
                self._phase, self._deadline = _Phase.CLOSING, self._loop.time() + self._around.settings.close_timeout_s
            case _:
                self._take_data(frame)

    def _take_data(self, frame: Frame) -> None:
        match self._assembly.take(frame):
            case Whole(data, is_text):
                self._hand_on(data, is_text=is_text)
            case Closing() as fault:
                self._around.registry.limited["max_fragments"] += fault is TOO_MANY_PARTS
                self.close(fault)

    def _hand_on(self, data: bytes, *, is_text: bool) -> None:
        """Give a whole message to the session; it reads text and binary alike."""
        if self._session is not None and self._may_come(len(data)):
            self._session.message(data)

    def _may_come(self, size: int) -> bool:
        """Tell whether a message may have ``size`` bytes; from a client that has shown no token, few are taken."""
        if self._session is None or self._session.may_have(size):
            return True
        self._around.registry.limited["max_message_bytes"] += 1
        self.close(TOO_BIG_YET)
        return False

    # Frames to the client.

    @property
    def name(self) -> str:
        """Id of the connection, as in the welcome and in logs."""
        return str(self._websocket.id)

    def identify(self, user: str) -> Excess | None:
        """Count the connection as one of ``user``'s, or say what that user has too much of."""
        return self._around.registry.identify(self, user, self._loop.time())

    def be_found(self, names: tuple[str, ...]) -> None:
        """Be found by these names from now on: those of the revocations that concern the client."""
        self._around.registry.name(self, names)

    def take_place(self) -> bool:
        """Take a place among the clients; tell whether there was one."""
        return self._around.registry.take_place(self)

    @property
    def dialect(self) -> Dialect:
        """What the client speaks at the moment."""
        return ENVELOPE if self._session is None else self._session.dialect

    def write(self, frames: bytes) -> None:
        """Write finished frames that answer the client, or that it is caught up with: they may use the reserve.

        What is written to a client for which little waits may have any size: it is the edge's own, and counts as
        nothing that the client lets wait.
        """
        if self._phase is not _Phase.OPEN or (self._is_paused and not self._fits(len(frames), reserve=RESERVE_BYTES)):
            return
        if not self._is_paused:
            self._own_bytes, self._behind_bytes = len(frames), 0
        if self.visitor.is_secure and len(frames) > _KERNEL_BYTES:
            self._owed_until = self._acknowledged_bytes() + len(frames) - _KERNEL_BYTES
        self._transport.write(frames)
        if self._transport.get_write_buffer_size() <= self._little_bytes:
            self._own_bytes = 0

    @property
    def _little_bytes(self) -> int:
        """How much may be in the transport before the client counts as one that is waited for."""
        return min(_PACE_BYTES, self._around.settings.max_waiting_bytes // 2)

    @property
    def takes_more(self) -> bool:
        """Whether little waits for the client, or nothing counts any more."""
        return self._phase is not _Phase.OPEN or not (self._is_paused or self._is_owed)

    @property
    def _is_owed(self) -> bool:
        """Whether more of a large write over TLS is left than the kernel takes: asyncio does not show that buffer."""
        if self._owed_until and self._acknowledged_bytes() >= self._owed_until:
            self._owed_until = 0
        return self._owed_until > 0

    def _acknowledged_bytes(self) -> int:
        """Return how many bytes the client has acknowledged; as good as all of them where nobody knows."""
        plain = self._transport.get_extra_info("socket")
        other = None if plain is None else peer(plain)
        return _MANY if other is None else other.acknowledged_bytes

    def takes(self, size: int) -> bool:
        """Tell whether so much that a room lacked may be written at once; events must still fit behind it."""
        bound = self._around.settings.max_waiting_bytes // 4
        return size <= min(_SMALL_BYTES if self._is_paused else _PACE_BYTES, bound)

    def recover(self, channel: Channel, position: str) -> None:
        """Catch up with a room from ``position`` on, at the client's pace; it was taken out of the room for that."""
        if self._session is not None:
            self._session.recover(channel, position)

    def deliver(self, frames: bytes) -> bool:
        """Write frames of a room; kept back while more rooms may have some in the same tick."""
        if len(self._rooms) == 1:
            if self._phase is _OPEN and not (self._is_paused and not self._fits(len(frames))):
                self._transport.write(frames)
            return False
        self._kept.append(frames)
        return len(self._kept) == 1

    def uncork(self) -> None:
        """Write what was kept back, in one piece."""
        kept, self._kept = self._kept, []
        frames = b"".join(kept)
        if self._phase is _OPEN and not (self._is_paused and not self._fits(len(frames))):
            self._transport.write(frames)

    def notify(self, notice: Notice) -> bool:
        """Tell the client something about its connection, unless it has not been greeted yet; tell whether it was."""
        with self._failing():
            return self._session is not None and self._session.notify(notice)
        return False

    def pause_reading(self) -> None:
        """Take no more bytes from this client for now."""
        self._is_deaf = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes again."""
        self._is_deaf, self._heard = False, self._loop.time()
        if self._phase is not _Phase.GONE:
            self._transport.resume_reading()

    def close(self, code: Closing) -> None:
        """Begin the closing handshake; the socket is cut when it takes longer than ``close_timeout_s``."""
        if self._phase is not _Phase.OPEN:
            self.cut()
            return
        self._phase, self._deadline = _Phase.CLOSING, self._loop.time() + self._around.settings.close_timeout_s
        if self._websocket.is_open:  # else a close or a fault came behind what we close for, and has its answer
            self._websocket.send_close(code.code, code.reason)
        self._send_pending()
        self._release_drain()
        if self._session is not None:
            self._session.end()
            self.resume_reading()  # its commands may have waited, and the client's half of the close is behind them

    def cut(self) -> None:
        """Drop the socket now, and what waits for it."""
        self._phase = _Phase.GONE
        self._transport.abort()

    def _send_pending(self) -> None:
        """Write what the protocol wants written; an empty piece is its way to say that the socket is done."""
        for data in self._websocket.data_to_send():
            if not data:
                self._phase = _Phase.CLOSING
                self._end_writing()
            elif self._may_send(len(data)):
                self._transport.write(data)

    def _may_send(self, size: int) -> bool:
        """Tell whether a control frame may still wait; the close frame may always."""
        is_bound = self._is_paused and self._phase is _Phase.OPEN
        return not is_bound or self._fits(size, reserve=RESERVE_BYTES)

    def _end_writing(self) -> None:
        """Close our half of the socket, and let the client close its own within the deadline.

        Closing both at once while bytes of the client are still on their way would reset the connection, and the reset
        may overtake the close frame or the answer (RFC 6455, section 7.1.1; RFC 9112, section 9.6). With TLS there are
        no halves: a client whose connection was failed is given a moment to end what it is sending.
        """
        self._deadline = self._loop.time() + self._around.settings.close_timeout_s
        if self._transport.can_write_eof():
            self._transport.write_eof()
        elif self._websocket.close_sent is not None and self._websocket.close_rcvd is None:
            self._loop.call_later(_LINGER_S, self._transport.close)
        else:
            self._transport.close()

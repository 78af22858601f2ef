"""Frames to a client: at once, in one piece with frames of other rooms, or never where too much waits already.

Frames of rooms go to the socket itself while asyncio's transport holds no bytes: decisions/0150.

asyncio tells of a full buffer by the protocol's own ``pause_writing``, hence a base class of ``Connection``.
"""

import asyncio
import socket
from enum import Enum, auto
from functools import lru_cache
from typing import Final

from edges.net.forwarded import client_address
from edges.net.visitor import Visitor
from edges.rooms.ways import send_some
from edges.transport.backpressure import RESERVE_BYTES
from edges.transport.outgoing import Outgoing

__all__ = ["Phase", "Writer", "other_end", "visitor_at"]

_LOOK_S: Final = 0.02


class Phase(Enum):
    """How far a connection has come."""

    OPENING = auto()
    OPEN = auto()
    CLOSING = auto()
    GONE = auto()


class Writer(asyncio.Protocol):
    """The frames that are written to a client, and the bound on waiting bytes.

    Attributes:
        visitor: the client; before the handshake was read, and for plain HTTP, the other end of the socket.
        direct: the socket, for frames of rooms; None where ``deliver`` is the way, as for a client in several rooms.
        direct_joined: the same for all frames of a tick in one piece, and so for a client in several rooms, too.

    """

    # One object per delivery, not three: with a thousand connections, each object is a cache miss. Hence a flag of its
    # own beside the detector in `outgoing`. A delivery asks nothing: what would be asked is decided by `_choose`.
    __slots__ = (
        "_drain",
        "_is_paused",
        "_kept",
        "_loop",
        "_outgoing",
        "_phase",
        "_plain",
        "_rooms",
        "_transport",
        "direct",
        "direct_joined",
        "visitor",
    )

    _transport: asyncio.Transport  # asyncio builds a protocol before its socket, and hands that to `connection_made`
    _outgoing: Outgoing

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.visitor = _NOBODY
        self._phase = Phase.OPENING
        self._kept: list[bytes] = []
        self._rooms, self._is_paused = 0, False
        self._drain: asyncio.Future[None] | None = None
        self._plain: socket.socket | None = None
        self.direct: socket.socket | None = None
        self.direct_joined: socket.socket | None = None

    # Which way frames of rooms go.

    def lend(self, plain: socket.socket) -> None:
        """Be lent the socket, which stays the transport's: without TLS, frames may go to the socket itself."""
        self._plain = plain

    def attend(self, rooms: int) -> None:
        """Take note of the number of rooms: with several, frames of one tick are joined."""
        self._rooms = rooms
        self._choose()

    def _come_to(self, phase: Phase) -> None:
        self._phase = phase
        self._choose()

    def _choose(self) -> None:
        """Choose the way: after each change of the phase or the rooms, and after each write to the transport.

        Bytes that wait in the transport stand before all others, so the socket is sent to only while none wait.
        """
        plain = self._plain
        if plain is not None and (self._phase is not Phase.OPEN or self._transport.get_write_buffer_size()):
            plain = None
        direct = None if self._rooms > 1 else plain
        if direct is not self.direct or plain is not self.direct_joined:
            self.direct, self.direct_joined = direct, plain
            self._note_way()

    def _put(self, data: bytes) -> None:
        if data:
            self._transport.write(data)
            self._choose()

    # What the connection does about a slow client.

    def close_slow(self) -> None:
        """Close a slow client."""
        raise NotImplementedError

    def _suspend(self) -> None:
        """Leave the client out of rooms that allow so."""
        raise NotImplementedError

    def _readmit(self) -> None:
        """Bring the client back into such rooms."""
        raise NotImplementedError

    def _note_way(self) -> None:
        """Take note that rooms must not go by what they know of the socket."""
        raise NotImplementedError

    # What waits.

    def pause_writing(self) -> None:
        """Take note of a client slower than the writes."""
        self._is_paused = True
        waiting = self._outgoing.waiting_bytes()
        self._outgoing.pause(self._loop.time())
        if waiting > self._outgoing.bound_bytes + RESERVE_BYTES:
            self.close_slow()
        else:
            self._take_note_of(waiting)

    def resume_writing(self) -> None:
        """Take note of a client that has caught up."""
        self._is_paused = False
        self._outgoing.resume()
        self._release_drain()
        self._readmit()

    def _fits(self, size: int, *, reserve: int = 0) -> bool:
        """Tell whether ``size`` bytes more may wait; otherwise the client is slow. Asked while paused."""
        waiting = self._outgoing.waiting_bytes() + size
        if waiting > self._outgoing.bound_bytes + reserve:
            self.close_slow()
            return False
        self._outgoing.add(size)
        self._take_note_of(waiting)
        return True

    def _take_note_of(self, waiting: int) -> None:
        """Suspend the client from half the bound on: the rest is for lines of rooms that leave no event out."""
        if waiting > self._outgoing.bound_bytes // 2:
            self._suspend()

    async def drained(self) -> None:
        """Wait until the client has read most of the written bytes, or is gone."""
        while not self.takes_more:  # another that waited may have written meanwhile
            if not self._is_paused:  # TLS holds bytes that no callback of asyncio tells of, so the kernel is asked
                await asyncio.sleep(_LOOK_S)
                continue
            self._drain = self._drain or self._loop.create_future()
            await asyncio.shield(self._drain)

    def _release_drain(self) -> None:
        drain, self._drain = self._drain, None
        if drain is not None:
            drain.set_result(None)

    @property
    def takes_more(self) -> bool:
        """Whether little waits for the client, or the connection ends."""
        return self._phase is not Phase.OPEN or not (self._is_paused or self._outgoing.is_owed)

    @property
    def is_idle(self) -> bool:
        """Whether the connection is open, and no bytes wait here."""
        return self.takes_more and self._phase is Phase.OPEN and not self._transport.get_write_buffer_size()

    def takes(self, size: int) -> bool:
        """Tell whether ``size`` bytes that a room lacked may be written at once; later events must fit behind."""
        return self._outgoing.takes(size)

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait for the client."""
        return self._outgoing.waiting_bytes()

    @property
    def lagging_at(self) -> float | None:
        """Since when much waits, in seconds of the loop's clock; None while little waits."""
        return self._outgoing.paused_at

    # What is written.

    def write(self, frames: bytes, behind: bytes = b"") -> None:
        """Write finished frames of an answer, a notice or a replay, and ``behind``; such frames may use the reserve.

        While little waits, frames of any size are written: the edge's choice, and never counted as the client's delay.
        """
        if self._phase is not Phase.OPEN:
            return
        if self._is_paused and not self._fits(len(frames) + len(behind), reserve=RESERVE_BYTES):
            return
        if not self._outgoing.write(frames, behind, is_secure=self.visitor.is_secure, plain=self.direct_joined):
            self._choose()

    def deliver(self, frames: bytes) -> bool:
        """Write frames of a room; kept back while more rooms may have some in the same tick."""
        if self._rooms > 1:
            self._kept.append(frames)
            return len(self._kept) == 1
        self._deliver(frames)
        return False

    def uncork(self) -> int:
        """Write all frames that were kept back, in one piece; return how many there were."""
        kept, self._kept = self._kept, []
        frames = b"".join(kept)
        self._deliver(frames)
        return len(kept)

    def _deliver(self, frames: bytes) -> None:
        if self._phase is Phase.OPEN and not (self._is_paused and not self._fits(len(frames))):
            plain = self.direct_joined
            self._put(frames if plain is None else frames[send_some(plain, frames) :])


def other_end(transport: asyncio.Transport) -> Visitor:
    """Return the other end of a transport, as far as that tells; a Unix socket's peer has no address."""
    name = transport.get_extra_info("peername")  # None when it has gone already; no tuple of a Unix socket
    is_secure = transport.get_extra_info("sslcontext") is not None
    return visitor_at(name[0] if isinstance(name, tuple) else "", is_secure)


@lru_cache(1_024)
def visitor_at(address: str, is_secure: bool) -> Visitor:
    """Return the other end of a socket with an address: one object for all sockets of it."""
    return Visitor(client_address(address, (), ()) if address else "", is_secure)


_NOBODY: Final = Visitor("", is_secure=False)

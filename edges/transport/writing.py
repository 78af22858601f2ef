"""Frames to a client: at once, in one piece with frames of other rooms, or never where too much waits already.

asyncio tells of a full buffer by the protocol's own ``pause_writing``, hence a base class of ``Connection``.
"""

import asyncio
import socket
from collections.abc import Sized
from enum import Enum, auto
from typing import Final

from edges.net.forwarded import client_address
from edges.net.visitor import Visitor
from edges.transport.backpressure import RESERVE_BYTES
from edges.transport.outgoing import Outgoing

__all__ = ["Phase", "Writer", "other_end"]

_LOOK_S: Final = 0.02


class Phase(Enum):
    """How far a connection has come."""

    OPENING = auto()
    OPEN = auto()
    CLOSING = auto()
    GONE = auto()


_OPEN: Final = Phase.OPEN
"""By a name of its own: through the class, an enum's member costs as much as the rest of ``deliver``."""


class Writer(asyncio.Protocol):
    """The frames that are written to a client, and the bound on waiting bytes.

    Attributes:
        visitor: the client; before the handshake was read, and for plain HTTP, the other end of the socket.

    """

    # One object per delivery, not three: with a thousand connections, each object is a cache miss. Hence a flag of its
    # own beside the detector in `outgoing`, and `rooms` by reference.
    __slots__ = ("_drain", "_is_paused", "_kept", "_loop", "_outgoing", "_phase", "_rooms", "_transport", "visitor")

    _transport: asyncio.Transport  # asyncio builds a protocol before its socket, and hands that to `connection_made`
    _outgoing: Outgoing

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.visitor = Visitor("", is_secure=False)
        self._phase = Phase.OPENING
        self._kept: list[bytes] = []
        self._rooms: Sized = ()
        self._is_paused = False
        self._drain: asyncio.Future[None] | None = None

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

    def write(self, frames: bytes) -> None:
        """Write finished frames of an answer, a notice or a replay; such frames may use the reserve.

        While little waits, frames of any size are written: the edge's choice, and never counted as the client's delay.
        """
        if self._phase is not Phase.OPEN or (self._is_paused and not self._fits(len(frames), reserve=RESERVE_BYTES)):
            return
        self._outgoing.write(frames, is_secure=self.visitor.is_secure)

    def deliver(self, frames: bytes) -> bool:
        """Write frames of a room; kept back while more rooms may have some in the same tick."""
        if len(self._rooms) == 1:
            if self._phase is _OPEN and not (self._is_paused and not self._fits(len(frames))):
                self._transport.write(frames)
            return False
        self._kept.append(frames)
        return len(self._kept) == 1

    def uncork(self) -> int:
        """Write all frames that were kept back, in one piece; return how many there were."""
        kept, self._kept = self._kept, []
        frames = b"".join(kept)
        if self._phase is _OPEN and not (self._is_paused and not self._fits(len(frames))):
            self._transport.write(frames)
        return len(kept)


def other_end(transport: asyncio.Transport) -> Visitor:
    """Return the other end of a socket, as far as the socket tells; a Unix socket's peer has no address."""
    if transport.get_extra_info("socket").family == socket.AF_UNIX:
        return Visitor("", is_secure=False)
    name = transport.get_extra_info("peername")  # None when it has gone already
    is_secure = transport.get_extra_info("sslcontext") is not None
    return Visitor(client_address(name[0], (), ()) if name else "", is_secure)

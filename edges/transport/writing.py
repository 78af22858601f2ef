"""Frames to one client: at once, in one piece with those of other rooms, or not at all where too much waits already.

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
    """What is written to one client, and what may wait for it.

    Attributes:
        visitor: the client; before its handshake was read, and for plain HTTP, the other end of the socket.

    """

    # One object per delivery, not three: with a thousand connections, each of them is a cache miss.
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

    # What the connection does about it.

    def close_slow(self) -> None:
        """Close a client that reads too slowly."""
        raise NotImplementedError

    def _suspend(self) -> None:
        """Leave the client out where that is allowed."""
        raise NotImplementedError

    def _readmit(self) -> None:
        """Give the client what was left out."""
        raise NotImplementedError

    # What waits.

    def pause_writing(self) -> None:
        """Take note that the client reads slower than it is written to."""
        self._is_paused = True
        waiting = self._outgoing.waiting_bytes()
        self._outgoing.pause(self._loop.time())
        if waiting > self._outgoing.bound_bytes + RESERVE_BYTES:
            self.close_slow()
        else:
            self._take_note_of(waiting)

    def resume_writing(self) -> None:
        """Take note that the client has caught up."""
        self._is_paused = False
        self._outgoing.resume()
        self._release_drain()
        self._readmit()

    def _fits(self, size: int, *, reserve: int = 0) -> bool:
        """Tell whether ``size`` bytes more may wait; a client for which they may not is slow. Asked while paused."""
        waiting = self._outgoing.waiting_bytes() + size
        if waiting > self._outgoing.bound_bytes + reserve:
            self.close_slow()
            return False
        self._outgoing.add(size)
        self._take_note_of(waiting)
        return True

    def _take_note_of(self, waiting: int) -> None:
        """Leave the client out from half its bound on: the rest is for what it must be given."""
        if waiting > self._outgoing.bound_bytes // 2:
            self._suspend()

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

    @property
    def takes_more(self) -> bool:
        """Whether little waits for the client, or nothing counts any more."""
        return self._phase is not Phase.OPEN or not (self._is_paused or self._outgoing.is_owed)

    def takes(self, size: int) -> bool:
        """Tell whether so much that a room lacked may be written at once; events must still fit behind it."""
        return self._outgoing.takes(size)

    # What is written.

    def write(self, frames: bytes) -> None:
        """Write finished frames that answer the client, or that it is caught up with: they may use the reserve.

        What is written to a client for which little waits may have any size: it is the edge's own, and counts as
        nothing that the client lets wait.
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

    def uncork(self) -> None:
        """Write what was kept back, in one piece."""
        kept, self._kept = self._kept, []
        frames = b"".join(kept)
        if self._phase is _OPEN and not (self._is_paused and not self._fits(len(frames))):
            self._transport.write(frames)


def other_end(transport: asyncio.Transport) -> Visitor:
    """Return the other end of a socket, as far as the socket tells; a Unix socket's peer has no address."""
    if transport.get_extra_info("socket").family == socket.AF_UNIX:
        return Visitor("", is_secure=False)
    name = transport.get_extra_info("peername")  # None when it has gone already
    is_secure = transport.get_extra_info("sslcontext") is not None
    return Visitor(client_address(name[0], (), ()) if name else "", is_secure)

"""One WebSocket connection of the laboratory's own client, read as fast as bytes come, or at a given speed."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final, cast
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

__all__ = ["Wire", "dial"]

_SLOW_BUFFER_BYTES: Final = 4 * 1024
_ROOM_BYTES: Final = 256 * 1024
"""The kernel's receive buffer of a slow client from the moment on at which the client hurries."""
_MADE_UP_S: Final = 1.0
_PIECE_BYTES: Final = 256
"""One read of a slow client: small, so that pauses are short and the connection never looks stalled."""


async def dial(url: str, take: Callable[[bytes], None], *, bytes_per_s: float | None = None) -> "Wire":
    """Connect to an edge.

    Args:
        url: an edge of this machine.
        take: called with each text.
        bytes_per_s: the speed of reading; None: as fast as bytes come.

    """
    loop, address = asyncio.get_running_loop(), ("127.0.0.1", urlsplit(url).port or 0)
    if bytes_per_s is None:
        return (await loop.create_connection(lambda: _FastWire(url, take), *address))[1]
    # Before it connects: the kernel fixes the scale of its window then, and a buffer of later would count for nothing.
    plain, wire = _short_of_room(), _SlowWire(url, take, bytes_per_s)
    try:
        await loop.sock_connect(plain, address)
        await loop.create_connection(lambda: wire, sock=plain)
    except BaseException:
        plain.close()
        raise
    return wire


class Wire(asyncio.BaseProtocol):
    """One WebSocket connection around the Sans-I/O protocol.

    Attributes:
        opened: done when the edge has answered the handshake; ``closed``: when the socket is gone.

    """

    def __init__(self, url: str, take: Callable[[bytes], None]) -> None:
        self._protocol = ClientProtocol(parse_uri(url), max_size=None)  # bounds are the edge's to keep
        self._take_text = take
        self._transport: asyncio.Transport | None = None
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the opening handshake."""
        self._transport = cast(asyncio.Transport, transport)
        self._protocol.send_request(self._protocol.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Take bytes, and hand on complete texts."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                if event.opcode is Opcode.TEXT:
                    self._take_text(bytes(event.data))
            elif not self.opened.done():
                self._answered()
        self._flush()

    def _answered(self) -> None:
        refused = self._protocol.handshake_exc
        if refused is None:
            self.opened.set_result(None)
        else:
            self.opened.set_exception(ConnectionRefusedError(str(refused)))

    def eof_received(self) -> bool:
        """Let the transport close."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Wake the waiters: the socket is gone."""
        if not self.opened.done():
            self.opened.set_exception(ConnectionResetError("the edge dropped the connection"))
        if not self.closed.done():
            self.closed.set_result(None)

    def send(self, text: bytes) -> None:
        """Send a text."""
        self._protocol.send_text(text)
        self._flush()

    def abort(self) -> None:
        """Drop the socket."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def farewell(self) -> bytes:
        """The edge's close code and reason; empty without a close frame."""
        said = self._protocol.close_rcvd
        return b"" if said is None else f"{said.code} {said.reason}".encode()

    def hurry(self) -> None:
        """Read as fast as bytes come, from now on."""

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if self._transport is not None and data:
                self._transport.write(data)
            elif self._transport is not None:
                self._transport.close()


class _FastWire(Wire, asyncio.Protocol):
    """A connection that is read as fast as bytes come."""


class _SlowWire(Wire, asyncio.BufferedProtocol):
    """A connection that is read at ``bytes_per_s``, in small pieces without a pause, as over a narrow line."""

    def __init__(self, url: str, take: Callable[[bytes], None], bytes_per_s: float) -> None:
        super().__init__(url, take)
        self._bytes_per_s: float | None = bytes_per_s
        self._due_s = asyncio.get_running_loop().time()
        self._piece = bytearray(_PIECE_BYTES)

    def get_buffer(self, sizehint: int) -> bytearray:
        del sizehint
        return self._piece

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._piece[:nbytes])
        if self._transport is not None and self._bytes_per_s is not None:
            self._transport.pause_reading()
            self._rest(nbytes / self._bytes_per_s)
        self.data_received(data)

    def _rest(self, seconds: float) -> None:
        """Read the next piece when due; what a busy machine held up within the last second is made up for."""
        loop = asyncio.get_running_loop()
        self._due_s = max(self._due_s, loop.time() - _MADE_UP_S) + seconds
        loop.call_at(self._due_s, self._go_on)

    def _go_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def hurry(self) -> None:
        """Read as fast as bytes come from now on, with a usual receive buffer."""
        self._bytes_per_s, self._piece = None, bytearray(_ROOM_BYTES)
        if self._transport is not None and not self._transport.is_closing():
            plain: socket.socket = self._transport.get_extra_info("socket")
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM_BYTES)


def _short_of_room() -> socket.socket:
    """Return a socket with the smallest receive buffer of the kernel."""
    plain = socket.socket()
    plain.setblocking(False)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SLOW_BUFFER_BYTES)
    return plain

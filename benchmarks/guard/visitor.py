"""A client of the counted edge, blocking: one step at a time, so that each count holds the same steps."""

import socket
import struct
from typing import Final, Self

__all__ = ["Visitor"]

_HANDSHAKE: Final = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nUser-Agent: visitor\r\n\r\n"
)
_DEADLINE_S: Final = 60.0


class Visitor:
    """A connection that has been welcomed.

    Args:
        port: of the edge, on this machine.

    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_DEADLINE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(_HANDSHAKE % port)
        self._come = b""
        while b"\r\n\r\n" not in self._come:
            self._receive()
        answer, _, self._come = self._come.partition(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 101 "):
            raise ConnectionError(answer.decode(errors="replace"))
        self.take(b"session.created")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def subscribe(self, channel: str) -> None:
        """Subscribe, and wait for the answer."""
        text = b'{"type":"request","event":"subscribe","data":{"channel":"%s"},"id":"1"}' % channel.encode()
        self._socket.sendall(b"\x81" + bytes((0x80 | len(text),)) + b"\0\0\0\0" + text)
        self.take(b"subscribed")

    def take(self, word: bytes) -> None:
        """Wait for the next message, which holds ``word``."""
        message = self._message()
        if word not in message:
            raise ConnectionError(f"no {word!r} in {message!r}")

    def _message(self) -> bytes:
        """Return the next frame's payload (RFC 6455, section 5.2); a server's has no mask."""
        size, at = self._needed(2)[1], 2
        if size == 126:
            (size,), at = struct.unpack("!H", self._needed(4)[2:4]), 4
        elif size == 127:
            (size,), at = struct.unpack("!Q", self._needed(10)[2:10]), 10
        payload = self._needed(at + size)[at : at + size]
        self._come = self._come[at + size :]
        return payload

    def _needed(self, count: int) -> bytes:
        while len(self._come) < count:
            self._receive()
        return self._come

    def _receive(self) -> None:
        come = self._socket.recv(65536)
        if not come:
            raise ConnectionError("the edge has closed the connection")
        self._come += come

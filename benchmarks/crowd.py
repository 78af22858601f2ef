"""Clients of next to no cost: a client shakes hands, subscribes, and from then on only counts bytes.

Bytes are dropped in the kernel (``MSG_TRUNC`` on a TCP socket, tcp(7)) without a copy. The numbers show missing bytes,
for the length of every frame is known. Wrong bytes are shown by a witness in some of the rooms: a client that reads and
compares every byte.
"""

import base64
import io
import os
import select
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self, TypeAlias

import orjson
from websockets.frames import Frame, Opcode

__all__ = ["Crowd", "Enter", "LoadError", "frame_of"]

_WITNESSES = 8
_BUFFER_BYTES = 1024 * 1024
_ANSWER_DEADLINE_S = 5.0
_WHOLE_TEXT = 0x81
_LENGTH_16 = 126


Enter: TypeAlias = Callable[[socket.socket, str, int], None]
"""Brings a connection into a room, by the room's channel, and reads so many greetings."""


class LoadError(Exception):
    """The measurement is void; the message says why."""


@dataclass(slots=True)
class _Client:
    socket: socket.socket
    room: int
    received: int = 0
    read: list[bytes] | None = None
    """What a witness has read of the burst under way; None for the others."""


@dataclass(slots=True)
class _Room:
    channel: str
    members: int = 0
    sent: int = 0
    burst: list[bytes] = field(default_factory=list)


class Crowd:
    """``clients`` connections to one server, spread evenly over the rooms of ``channels``.

    Args:
        port: of the server, on 127.0.0.1.
        channels: the rooms.
        clients: how many; the first clients come into the first rooms.
        greetings: text frames that the server sends after a subscription, before any event.
        enter: how a client comes into a room; None: by WebSocket.

    Raises:
        LoadError: the server does not let a client in.

    """

    def __init__(
        self, port: int, channels: Sequence[str], clients: int, *, greetings: int, enter: "Enter | None" = None
    ) -> None:
        self._enter = enter or _enter
        self._rooms = [_Room(channel) for channel in channels]
        self._clients: dict[int, _Client] = {}
        self._epoll = select.epoll()
        self._buffer = bytearray(_BUFFER_BYTES)
        self._owed = 0
        for number in range(clients):
            self._admit(port, number % len(channels), greetings)

    def __enter__(self) -> Self:
        """Connect."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Drop all connections."""
        self._epoll.close()
        for client in self._clients.values():
            client.socket.close()

    def _admit(self, port: int, room: int, greetings: int) -> None:
        connection = socket.create_connection(("127.0.0.1", port), _ANSWER_DEADLINE_S)
        client = _Client(connection, room)
        self._enter(connection, self._rooms[room].channel, greetings)
        connection.setblocking(False)
        if self._rooms[room].members == 0 and room < _WITNESSES:
            client.read = []
        self._rooms[room].members += 1
        self._clients[connection.fileno()] = client
        self._epoll.register(connection.fileno(), select.EPOLLIN)

    def expect(self, room: int, frame: bytes) -> int:
        """Take note that every client of a room will receive ``frame``; return the number of clients."""
        there = self._rooms[room]
        there.sent += len(frame)
        there.burst.append(frame)
        self._owed += len(frame) * there.members
        return there.members

    def receive_all(self, deadline_s: float = 30.0) -> None:
        """Return when every frame announced by ``expect`` has been received.

        Raises:
            LoadError: bytes are missing at the deadline, a connection was closed, or other bytes came.

        """
        give_up = time.monotonic() + deadline_s
        while self._owed > 0:
            ready = self._epoll.poll(give_up - time.monotonic())
            if not ready:
                raise LoadError(f"{self._owed} bytes did not come within {deadline_s:g} s")
            for number, _ in ready:
                self._receive(self._clients[number])
        if self._owed < 0:
            raise LoadError(f"{-self._owed} bytes more came than were sent")
        self._hear_witnesses()

    def _receive(self, client: _Client) -> None:
        if client.read is None:
            count = client.socket.recv_into(self._buffer, _BUFFER_BYTES, socket.MSG_TRUNC)
        else:
            data = client.socket.recv(_BUFFER_BYTES)
            client.read.append(data)
            count = len(data)
        if count == 0:
            raise LoadError(f"the server closed a connection in room {client.room}")
        client.received += count
        self._owed -= count

    def _hear_witnesses(self) -> None:
        for client in self._clients.values():
            if client.read is not None and b"".join(client.read) != b"".join(self._rooms[client.room].burst):
                raise LoadError(f"room {client.room} received other bytes than were published")
            if client.read is None:
                break  # unless there are fewer rooms than witnesses, they came first
            client.read.clear()
        for room in self._rooms:
            room.burst.clear()

    def check(self) -> None:
        """Compare each client's bytes since its coming with the bytes sent to its room.

        Raises:
            LoadError: a client has other bytes.

        """
        wrong = sum(client.received != self._rooms[client.room].sent for client in self._clients.values())
        if wrong:
            raise LoadError(f"{wrong} of {len(self._clients)} clients received more or less than their room was sent")


def frame_of(line: bytes) -> bytes:
    """Return the frame that carries a line to a client."""
    return bytes(Frame(Opcode.TEXT, line).serialize(mask=False))


def _enter(connection: socket.socket, channel: str, greetings: int) -> None:
    """Shake hands (RFC 6455, section 4.1), subscribe, and read the server's answers."""
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    with connection.makefile("rb") as answer:
        status = answer.readline()
        if b" 101 " not in status:
            raise LoadError(f"the server answered the handshake with {status!r}")
        while answer.readline() not in (b"\r\n", b""):
            pass
        request = orjson.dumps({"type": "request", "event": "subscribe", "data": {"channel": channel}, "id": "1"})
        connection.sendall(Frame(Opcode.TEXT, request).serialize(mask=True))
        for number in range(greetings):
            text = _read_text(answer)
            if number == 0 and b'"subscribed"' not in text:
                raise LoadError(f"the server answered the subscription with {text!r}")


def _read_text(answer: io.BufferedReader) -> bytes:
    """Read one text frame of a server (RFC 6455, section 5.2) that is shorter than 64 KiB."""
    first, second = answer.read(2)
    if first != _WHOLE_TEXT or second > _LENGTH_16:
        raise LoadError(f"the server sent another frame than a short text: {first:#x} {second:#x}")
    return answer.read(int.from_bytes(answer.read(2)) if second == _LENGTH_16 else second)

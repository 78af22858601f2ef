"""Clients that come and go for as long as the run lasts, and count what they are given."""

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import Any, Final, cast

__all__ = ["Crowd", "Tally"]

_HANDSHAKE: Final = (
    "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_TEXT: Final = 0x81
_CLOSE: Final = 0x88
_PING: Final = 0x89
_PONG: Final = 0x8A
_AWAY_S: Final = 5.0
_DRAIN_S: Final = 20.0
_POLL_S: Final = 0.1


@dataclass(slots=True)
class Tally:
    """What all clients have seen.

    Attributes:
        delivered: events.
        lost: events missing in a client's room, untold.
        doubled: events that came again.
        told: resumptions that the edge could not make whole, and said so.
        resumed: connections that went on from a position.
        came: clients that began anew.
        closed: connections that the edge ended.

    """

    delivered: int = 0
    lost: int = 0
    doubled: int = 0
    told: int = 0
    resumed: int = 0
    came: int = 0
    closed: int = 0


@dataclass(slots=True)
class _Place:
    """Where a client stands in its room; kept while it is away."""

    room: str
    number: int | None = None
    position: str | None = None


class _Client(asyncio.Protocol):
    def __init__(self, place: _Place, tally: Tally, port: int) -> None:
        self.place, self._tally, self._port = place, tally, port
        self._come = b""
        self._is_open = self._leaves = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write((_HANDSHAKE % self._port).encode())

    def connection_lost(self, exc: Exception | None) -> None:
        self._tally.closed += not self._leaves

    def leave(self, *, abruptly: bool) -> None:
        """Go away: with a closing handshake, or without a word."""
        self._leaves = True
        if self._transport is not None:
            if abruptly:
                self._transport.abort()
            else:
                self._send(_CLOSE, b"\x03\xe8")
                self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._leaves:
            return
        self._come += data
        if not self._is_open:
            head, end, rest = self._come.partition(b"\r\n\r\n")
            if not end:
                return
            self._is_open, self._come = True, rest
            if not head.startswith(b"HTTP/1.1 101 "):
                raise ConnectionError(head.decode(errors="replace"))
            self._subscribe()
        at = 0
        while (frame := _frame(self._come, at)) is not None:
            kind, payload, at = frame
            self._take(kind, payload)
        self._come = self._come[at:]

    def _subscribe(self) -> None:
        data: dict[str, Any] = {"channel": self.place.room}
        if self.place.position is not None:
            data["since"] = self.place.position
        self._send(_TEXT, json.dumps({"type": "request", "event": "subscribe", "data": data, "id": "1"}).encode())

    def _send(self, kind: int, payload: bytes) -> None:
        assert self._transport is not None
        size = bytes((0x80 | len(payload),)) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
        self._transport.write(bytes((kind,)) + size + b"\0\0\0\0" + payload)

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == _PING:
            self._send(_PONG, payload)
        elif kind == _TEXT:
            message = json.loads(payload)
            if message["type"] == "response":
                self._answered(message["data"])
            elif message["event"] == "step.done":
                self._count(message["data"]["n"], message["position"])

    def _answered(self, data: dict[str, Any]) -> None:
        if self.place.position is None:
            self.place.position = data["position"]
            self._tally.came += 1
            return
        self._tally.resumed += 1
        if not data["recovered"]:
            self._tally.told += 1
            self.place.number = None

    def _count(self, number: int, position: str) -> None:
        self._tally.delivered += 1
        due = number if self.place.number is None else self.place.number + 1
        self._tally.lost += max(0, number - due)
        self._tally.doubled += number < due
        self.place.number, self.place.position = max(number, due), position


def _frame(data: bytes, at: int) -> tuple[int, bytes, int] | None:
    """Return a frame's kind and payload, and where the next begins (RFC 6455, 5.2); None: not all is here."""
    if len(data) < at + 2:
        return None
    size, begins = data[at + 1], at + 2
    if size >= 126:
        begins += 2 if size == 126 else 8
        size = int.from_bytes(data[at + 2 : begins], "big")
    if len(data) < begins + size:
        return None
    return data[at], data[begins : begins + size], begins + size


@dataclass(slots=True)
class Crowd:
    """Clients of one edge, spread over rooms.

    Args:
        port: of the edge.
        count: clients at once.
        rooms: names are ``workflow:0`` and so on.
        replaced: the share of all clients that is replaced in a minute; as many go, and come back to their position.

    """

    port: int
    count: int
    rooms: int
    replaced: float
    tally: Tally = field(default_factory=Tally)
    _clients: list[_Client] = field(default_factory=list)
    _random: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 (no secret)

    async def come(self) -> None:
        """Let all come."""
        for number in range(self.count):
            self._clients.append(await self._connected(_Place(f"workflow:{number % self.rooms}")))

    async def change(self) -> None:
        """Let clients come and go, one after another, until cancelled."""
        pause_s = 60 / (2 * self.replaced * self.count)
        async with asyncio.TaskGroup() as returning:
            while True:
                await asyncio.sleep(pause_s)
                returning.create_task(self._renew(self._take_out(), is_new=True))
                await asyncio.sleep(pause_s)
                returning.create_task(self._renew(self._take_out(), is_new=False))

    async def leave(self, published: dict[str, int]) -> None:
        """Wait until each client has its room's last event, count what is missing, and let all go."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + _DRAIN_S
        while self._missing(published) and loop.time() < give_up:  # noqa: ASYNC110 (frames set no event)
            await asyncio.sleep(_POLL_S)
        self.tally.lost += self._missing(published)
        for client in self._clients:
            client.leave(abruptly=False)

    def _missing(self, published: dict[str, int]) -> int:
        known = [it.place for it in self._clients if it.place.number is not None and it.place.room in published]
        return sum(published[place.room] - (place.number or 0) for place in known)

    def _take_out(self) -> _Client:
        client = self._clients.pop(self._random.randrange(len(self._clients)))
        client.leave(abruptly=self._random.random() < 0.5)
        return client

    async def _renew(self, gone: _Client, *, is_new: bool) -> None:
        """Put another client, or the same one after a while, in the place of ``gone``."""
        if is_new:
            # And one that looks into a room of its own for a moment.
            visitor = await self._connected(_Place(f"workflow:visit-{self.tally.came}"))
            try:
                await asyncio.sleep(1)
            finally:
                visitor.leave(abruptly=True)
            place = _Place(f"workflow:{self._random.randrange(self.rooms)}")
        else:
            await asyncio.sleep(self._random.uniform(0, _AWAY_S))
            place = gone.place
        self._clients.append(await self._connected(place))

    async def _connected(self, place: _Place) -> _Client:
        client = _Client(place, self.tally, self.port)
        await asyncio.get_running_loop().create_connection(lambda: client, "127.0.0.1", self.port)
        return client

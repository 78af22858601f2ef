"""A TCP proxy with faults on demand: cut, reset, swallow, delay, narrow, lose one answer, lead elsewhere."""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, cast

from bus.values import mutable

__all__ = ["Proxy"]

_CONNECT_DEADLINE_S: Final = 2.0
_RECEIVE_BUFFER_BYTES: Final = 64 * 1024
_PIECE_BYTES: Final = 2 * 1024
_WINDOW_BYTES: Final = 64 * 1024


@mutable
class Faults:
    """Faults of the bytes on their way; ``up`` is from the client to the server."""

    delay_up_s: float = 0.0
    delay_down_s: float = 0.0
    swallows_up: bool = False
    swallows_down: bool = False


class Narrowness:
    """A path with a capacity in bytes a second, shared by all connections."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_s = 0.0
        self.carried = 0

    def takes_until(self, size: int, now_s: float) -> float:
        """Return the time at which ``size`` bytes more are through, behind all bytes under way."""
        self.carried += size
        # From now on where the path was idle: capacity of the past is lost, and no burst may make up for it.
        self._free_s = max(self._free_s, now_s) + size / self._bytes_per_s
        return self._free_s


class Proxy:
    """Forwards one port of 127.0.0.1 to another, and applies faults to the bytes between.

    Args:
        port: of the server behind the proxy; ``lead_to`` names another one for new connections.

    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._refuses = False
        self._loses_answer_to: bytes | None = None
        self._resets_behind: dict[bytes, int] = {}
        self.lost_answers = self.resets = self.round_trips = 0
        self.narrowness: Narrowness | None = None
        self.faults = Faults()

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        loop = asyncio.get_running_loop()
        # Room for all clients at once: only the edge behind may turn a client away.
        self._server = await loop.create_server(lambda: _Side(self._met), "127.0.0.1", 0, backlog=1024)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        self._refuses = True
        self.cut()
        connecting = [pair.connecting for pair in self._pairs if pair.connecting is not None]
        if connecting:
            await asyncio.wait(connecting)

    @property
    def port(self) -> int:
        """The port to connect to."""
        return int(cast(asyncio.Server, self._server).sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._pairs)

    @property
    def under_way(self) -> int:
        """How many pieces are held up on the ways of all connections."""
        return sum(len(pair.up) + len(pair.down) for pair in self._pairs)

    def lead_to(self, port: int) -> None:
        """Take new connections to another server."""
        self._target = port

    def cut(self) -> int:
        """Drop every connection; return their number."""
        pairs = list(self._pairs)
        for pair in pairs:
            pair.cut()
        return len(pairs)

    def refuse(self) -> None:
        """Drop each new connection at once; open connections stay."""
        self._refuses = True

    def accept(self) -> None:
        """Take new connections again."""
        self._refuses = False

    def swallow(self, *, up: bool = True, down: bool = True) -> None:
        """Let nothing through and keep connections open: a black hole, in both directions or in one.

        A connection that was in the hole stays there, whatever comes next: what it lost would never come.
        """
        self.faults = Faults(swallows_up=up, swallows_down=down)
        for pair in self._pairs:
            pair.fall_in(self.faults)

    def heal(self) -> None:
        """Be harmless to new connections; the open ones have lost bytes, and stay dead."""
        self.faults = Faults()

    def stall(self) -> None:
        """Stop reading from the server on the open connections, as a client without time does."""
        for pair in self._pairs:
            pair.stall()

    def go_on(self) -> None:
        """Read again."""
        for pair in self._pairs:
            pair.go_on()

    def delay(self, seconds: float) -> None:
        """Hold up every byte for so long, in each direction."""
        self.faults = Faults(delay_up_s=seconds, delay_down_s=seconds)

    def narrow(self, bytes_per_s: float | None) -> None:
        """Limit the bytes a second down to clients, over all connections together; None: no limit."""
        self.narrowness = None if bytes_per_s is None else Narrowness(bytes_per_s)

    def lose_answer(self, to: bytes) -> None:
        """Let the next command with ``to`` through, and cut the connection when the answer comes."""
        self._loses_answer_to = to

    def reset_behind(self, to: bytes, *, times: int = 1) -> None:
        """Reset the connection right behind the answer to each of the next ``times`` commands with ``to``."""
        self._resets_behind[to] = times

    def _met(self, client: "_Side") -> None:
        if self._refuses:
            client.abort()
            return
        pair = _Pair(client, self)
        self._pairs.add(pair)
        pair.connecting = asyncio.create_task(pair.connect(self._target), name="proxy connects")

    def gone(self, pair: "_Pair") -> None:
        """Forget a pair."""
        self._pairs.discard(pair)

    def wants_lost(self, data: bytes) -> bool:
        """Tell whether to lose the answer to ``data``, which happens once."""
        if self._loses_answer_to is None or self._loses_answer_to not in data:
            return False
        self._loses_answer_to = None
        self.lost_answers += 1
        return True

    def wants_reset(self, data: bytes) -> bool:
        """Tell whether to reset behind the answer to ``data``, and count the reset."""
        for to, times in self._resets_behind.items():
            if times and to in data:
                self._resets_behind[to] -= 1
                self.resets += 1
                return True
        return False


class _Side(asyncio.Protocol):
    """A socket of a pair."""

    def __init__(self, met: "Callable[[_Side], None] | None" = None) -> None:
        self._met = met
        self._transport: asyncio.Transport | None = None
        self._early = bytearray()  # a client speaks first, and the server's socket may not be there yet
        self._take: Callable[[bytes], None] = self._early.extend
        self._over: Callable[[], None] = lambda: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._met is not None:
            self._met(self)

    def data_received(self, data: bytes) -> None:
        self._take(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._over()

    def follow(self, take: Callable[[bytes], None], over: Callable[[], None]) -> None:
        """Hand on the bytes received so far, and all later ones."""
        self._take, self._over = take, over
        if self._early:
            take(bytes(self._early))

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def stall(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def go_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def reset(self) -> None:
        """Send the bytes written so far, and a reset behind them."""
        if self._transport is not None and not self._transport.is_closing():
            plain: socket.socket = self._transport.get_extra_info("socket")
            # Without a linger, abort() is a FIN, which a peer may take for a half-closed connection that still hears.
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()


class _Way:
    """One direction of a connection: bytes may be held up, and leave in the order in which they came, as TCP has it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces = deque[tuple[float, Callable[[bytes], None], bytes]]()

    def __len__(self) -> int:
        return len(self._pieces)

    def carry(self, data: bytes, due_s: float, act: Callable[[bytes], None]) -> None:
        """Hand ``data`` to ``act`` at a time of the loop's clock, and not before the pieces on the way."""
        if not self._pieces and due_s <= self._loop.time():
            act(data)
            return
        self._pieces.append((due_s, act, data))
        if len(self._pieces) == 1:
            self._loop.call_at(due_s, self._arrive)

    def _arrive(self) -> None:
        """Hand on the first piece, and those behind it that are due."""
        now_s = self._pieces[0][0]  # the loop calls a timer up to its clock's resolution too early
        while self._pieces and self._pieces[0][0] <= max(now_s, self._loop.time()):
            _, act, data = self._pieces.popleft()
            act(data)
        if self._pieces:
            self._loop.call_at(self._pieces[0][0], self._arrive)


class _Pair:
    """A client's socket and the socket to the server."""

    def __init__(self, client: _Side, proxy: Proxy) -> None:
        self._client, self._proxy = client, proxy
        self._server = _Side()
        self._loop = asyncio.get_running_loop()
        self.up, self.down = _Way(), _Way()
        self._loses_next_answer = self._resets_next_answer = self._is_connected = self._is_cut = False
        self._has_answered = True
        self._waiting: list[bytes] = []
        self._in_narrows = 0
        self._is_lost_up = self._is_lost_down = False
        self.fall_in(proxy.faults)
        self.connecting: asyncio.Task[None] | None = None
        client.follow(self._client_says, self.cut)

    async def connect(self, port: int) -> None:
        """Connect to the server, and hand on the client's bytes of the meantime."""
        try:
            async with asyncio.timeout(_CONNECT_DEADLINE_S):
                await self._loop.create_connection(lambda: self._server, sock=await self._socket(port))
        except OSError:  # TimeoutError is one
            self.cut()
            return
        if self._is_cut:  # meanwhile: nobody else would ever close the socket to the server
            self._server.abort()
            return
        self._server.follow(self._server_says, self.cut)
        self._server.write(b"".join(self._waiting))
        self._is_connected = True

    async def _socket(self, port: int) -> socket.socket:
        """Connect with a small receive buffer, so that a stalled connection fills up soon."""
        plain = socket.socket()
        is_connected = False
        try:
            plain.setblocking(False)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            await self._loop.sock_connect(plain, ("127.0.0.1", port))
            is_connected = True
        finally:
            if not is_connected:
                plain.close()
        return plain

    def fall_in(self, hole: Faults) -> None:
        """Lose all bytes from now on, in the directions of the hole, and those of holes before."""
        # Bytes from the middle of a stream would be no answers: Redis' protocol has no resync, and TCP loses none.
        self._is_lost_up |= hole.swallows_up
        self._is_lost_down |= hole.swallows_down

    def stall(self) -> None:
        self._server.stall()

    def go_on(self) -> None:
        self._server.go_on()

    def cut(self) -> None:
        self._is_cut = True
        self._proxy.gone(self)
        self._client.abort()
        self._server.abort()

    def _client_says(self, data: bytes) -> None:
        self._proxy.round_trips += self._has_answered
        self._has_answered = False
        self._loses_next_answer |= self._proxy.wants_lost(data)
        self._resets_next_answer |= self._proxy.wants_reset(data)
        if not self._is_lost_up:
            self.up.carry(data, self._loop.time() + self._proxy.faults.delay_up_s, self._to_server)

    def _to_server(self, data: bytes) -> None:
        if self._is_connected:
            self._server.write(data)
        else:
            self._waiting.append(data)

    def _server_says(self, data: bytes) -> None:
        self._has_answered = True
        if self._loses_next_answer:  # the server has done the work, and the caller cannot know: decisions/0020
            self.cut()
        elif self._proxy.narrowness is not None:
            self._through(self._proxy.narrowness, data)
        elif not self._is_lost_down:
            self.down.carry(data, self._loop.time() + self._proxy.faults.delay_down_s, self._client.write)
            if self._resets_next_answer:
                self._client.reset()
                self.cut()

    def _through(self, narrowness: Narrowness, data: bytes) -> None:
        """Carry ``data`` in small pieces, and read no more while much is under way, as a window of TCP does."""
        for start in range(0, len(data), _PIECE_BYTES):
            piece = data[start : start + _PIECE_BYTES]
            self._in_narrows += len(piece)
            self.down.carry(piece, narrowness.takes_until(len(piece), self._loop.time()), self._came_through)
        if self._in_narrows > _WINDOW_BYTES:
            self._server.stall()

    def _came_through(self, piece: bytes) -> None:
        self._in_narrows -= len(piece)
        if not self._is_lost_down:
            self._client.write(piece)
        if self._in_narrows < _WINDOW_BYTES // 2:
            self._server.go_on()

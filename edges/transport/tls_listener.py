"""Accepting: clients wait in the socket's queue without descriptors, and are counted before TLS is agreed on.

asyncio's own server tells of no socket before TLS is agreed on, so the number of agreements would have no bound.
Without descriptors asyncio's logs a traceback a second, and uvloop's turns clients away without a word.
"""

import asyncio
import contextlib
import functools
import logging
import os
import socket
import ssl
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Protocol, cast

from bus.shortage import shortage
from bus.tasks import Spawn
from edges.limits.mishaps import Mishaps
from edges.net.addresses import opened

__all__ = ["Agreement", "Listener", "SocketOwner", "bind", "bound", "checked"]

_AT_ONCE: Final = 64
"""So many are accepted before other work is heard, such as dropping handshakes beyond the bound."""
_PAUSE_S: Final = 1.0
_SPARE_S: Final = 2.0
"""So much later than the connection's deadline, which is counted, asyncio's own ends an agreement on TLS."""
_BACKLOG: Final = 1024
_WORK: Final = "accept"

_logger = logging.getLogger("edgebus.edges")


async def bind(host: str, port: int) -> tuple[socket.socket, ...]:
    """Return sockets for ``host`` and ``port``, bound as the event loop binds.

    Raises:
        OSError: the port cannot be had.

    """
    if (everywhere := opened(host, port)) is not None:
        return (everywhere,)
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, port, start_serving=False)
    sockets = tuple(socket.socket(fileno=os.dup(it.fileno())) for it in server.sockets)
    server.close()
    return sockets


def checked(sockets: Sequence[socket.socket]) -> tuple[socket.socket, ...]:
    """Return ``sockets`` that were bound elsewhere.

    Raises:
        TypeError: one is no TCP socket, or not bound: the edge would fail at the first client, or be out of reach.

    """
    for one in sockets:
        if not _is_bound_tcp(one):
            raise TypeError(f"sockets: a bound TCP socket is needed, and this is {one!r}")
    return tuple(sockets)


def bound(sockets: tuple[socket.socket, ...], send_buffer_bytes: int) -> tuple[socket.socket, ...]:
    """Return ``sockets`` with a bound on the kernel's buffer for each client, and small frames sent at once."""
    # A client's socket inherits both (socket(7), tcp(7)), which spares two calls for each. Without the bound the kernel
    # grows the buffer to megabytes.
    for listening in sockets:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sockets


def _is_bound_tcp(one: object) -> bool:
    if not isinstance(one, socket.socket) or one.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    return one.type == socket.SOCK_STREAM and one.getsockname()[1] != 0


class _Accepted(socket.socket):
    """A client's socket; loops ask for ``family`` and ``type``, of which the properties make an enum each time."""

    __slots__ = ()
    type = socket.SOCK_STREAM  # of every listening socket here (see ``checked``)


class _AcceptedV4(_Accepted):
    __slots__ = ()
    family = socket.AF_INET


class _AcceptedV6(_Accepted):
    __slots__ = ()
    family = socket.AF_INET6


_KINDS: Final[Mapping[int, type[_Accepted]]] = {socket.AF_INET: _AcceptedV4, socket.AF_INET6: _AcceptedV6}


class SocketOwner(Protocol):
    """The owner of a socket: an ``asyncio.Protocol``, with TLS already there before TLS is."""

    def begin_tls(self, address: str, agreement: "Agreement") -> None:
        """Be counted from now on; ``address`` is of the other end, ``agreement`` is dropped until TLS is there."""

    def begin_plain(self, address: str, accepted: socket.socket) -> None:
        """Be lent the socket, without TLS: the transport's to read, to wait and to close, the owner's to send."""

    def connection_lost(self, error: Exception | None) -> None:
        """Take note of a socket without TLS, or of the end."""


class Agreement:
    """A socket between accepting and the owner, until TLS is agreed on.

    Attributes:
        accepted: the socket, which the loop closes: to ask the kernel, not to send.

    """

    def __init__(self, listener: "Listener", accepted: socket.socket, owner: SocketOwner) -> None:
        self._listener, self.accepted, self._owner = listener, accepted, owner
        self._task: asyncio.Task[None] | None = None
        self._has_begun = self._is_dropped = False

    def begin(self, spawn: Spawn) -> None:
        """Begin, unless dropped already."""
        if self._is_dropped:
            self._fail()
            return
        self._task = spawn(self._agree(), "welcome a socket")
        self._task.add_done_callback(lambda task: self._fail() if task.cancelled() else None)

    def abort(self) -> None:
        """Drop the socket."""
        self._is_dropped = True
        if self._task is not None:
            self._task.cancel()

    async def _agree(self) -> None:
        self._has_begun = True
        try:
            await self._listener.agree(self.accepted, self._owner)
        except OSError as error:  # that of OpenSSL is one, too
            _logger.debug("a socket came to nothing", extra={"reason": str(error)})
            self._fail()

    def _fail(self) -> None:
        if not self._has_begun:  # else the socket is the loop's
            self.accepted.close()
        self._owner.connection_lost(None)


class Listener:
    """Listening sockets, as far as an edge needs them of an ``asyncio.Server``.

    Args:
        owner_of: makes the owner of a socket.
        sockets: already bound; the listener closes the sockets.
        tls: the certificate for clients; None: ``ws``.
        spawn: owns the tasks in which sockets are handed over.
        mishaps: is told when no client can be accepted.
        open_timeout_s: the deadline of the whole opening handshake.
        close_timeout_s: the deadline of TLS' closing handshake.

    """

    def __init__(
        self,
        owner_of: Callable[[], SocketOwner],
        sockets: tuple[socket.socket, ...],
        tls: ssl.SSLContext | None,
        spawn: Spawn,
        mishaps: Mishaps,
        *,
        open_timeout_s: float,
        close_timeout_s: float,
    ) -> None:
        self._owner_of, self._tls, self._spawn, self._mishaps = owner_of, tls, spawn, mishaps
        self._open_timeout_s, self._close_timeout_s = open_timeout_s, close_timeout_s
        self._loop = asyncio.get_running_loop()
        self._pauses: dict[socket.socket, asyncio.TimerHandle] = {}
        self._coming: list[tuple[Coroutine[Any, Any, object], asyncio.Future[Any]]] = []
        self.sockets, self._accepts = sockets, False

    def accept(self) -> None:
        """Begin to accept."""
        self._accepts = True
        for listening in self.sockets:
            listening.setblocking(False)
            listening.listen(_BACKLOG)
            self._loop.add_reader(listening.fileno(), self._accept, listening)

    def is_serving(self) -> bool:
        """Whether clients are accepted."""
        return self._accepts and bool(self.sockets)

    def close(self) -> None:
        """Stop accepting; accepted clients stay. Twice is harmless."""
        sockets, self.sockets = self.sockets, ()
        for listening in sockets:
            if listening in self._pauses:
                self._pauses.pop(listening).cancel()
            self._loop.remove_reader(listening.fileno())
            listening.close()

    def _accept(self, listening: socket.socket) -> None:
        self._accept_some(listening, listening.family, listening.proto)
        if self._coming:
            self._loop.call_soon(self._handed_over)

    def _accept_some(self, listening: socket.socket, family: int, proto: int) -> None:
        kind = _KINDS[family]
        for _ in range(_AT_ONCE):
            try:
                # decisions/0165: `accept` makes two enums for each client, and asks for the default of timeouts.
                descriptor, peer = listening._accept()  # type: ignore[attr-defined]  # noqa: SLF001
            except BlockingIOError:  # not before: the last descriptor may be that of the last one accepted
                self._mishaps.end(_WORK)
                return
            except (InterruptedError, ConnectionAbortedError):
                return
            except (OSError, MemoryError) as error:
                if (lack := shortage(error)) is None:
                    raise
                self._pause(listening, lack)
                return
            self._take(kind(family, socket.SOCK_STREAM, proto, descriptor), peer[0])

    def _pause(self, listening: socket.socket, lack: str) -> None:
        """Accept no client for a moment: the socket stays ready, and would be tried without end."""
        self._mishaps.note(_WORK, lack, "cannot accept clients; raise the limit of open files", logging.ERROR)
        self._loop.remove_reader(listening.fileno())
        self._pauses[listening] = self._loop.call_later(_PAUSE_S, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        del self._pauses[listening]
        self._loop.add_reader(listening.fileno(), self._accept, listening)
        self._accept(listening)  # to find out whether it is over, though nobody comes

    def _take(self, accepted: socket.socket, address: str) -> None:
        owner = self._owner_of()
        if self._tls is None:
            owner.begin_plain(address, accepted)
            self._hand_over(accepted, owner)
            return
        agreement = Agreement(self, accepted, owner)
        # decisions/0033: a flood of silent sockets before TLS took all descriptors of an edge, counted by none.
        owner.begin_tls(address, agreement)
        agreement.begin(self._spawn)

    def _hand_over(self, accepted: socket.socket, owner: SocketOwner) -> None:
        """Take the first step of the loop's own coroutine for a socket; its only wait is for the owner's call."""
        # No task: a task with its owner's books costs as much as accepting does, and there is nothing to cancel.
        coming = self._loop.connect_accepted_socket(lambda: cast(asyncio.Protocol, owner), accepted)
        try:
            self._coming.append((coming, coming.send(None)))
        except OSError as error:
            _logger.debug("a socket came to nothing", extra={"reason": str(error)})
            accepted.close()
            owner.connection_lost(None)

    def _handed_over(self) -> None:
        """End the coroutines of the sockets that were accepted together: their owners have been called."""
        coming, self._coming = self._coming, []
        for one, waiter in coming:
            if waiter.done():
                _end(one)
            else:
                waiter.add_done_callback(functools.partial(_end, one))

    async def agree(self, accepted: socket.socket, owner: SocketOwner) -> None:
        """Agree on TLS, and hand the socket to the owner.

        Raises:
            OSError: no agreement was found.

        """
        await self._loop.connect_accepted_socket(
            lambda: cast(asyncio.Protocol, owner),
            accepted,
            ssl=self._tls,
            ssl_handshake_timeout=self._open_timeout_s + _SPARE_S,
            ssl_shutdown_timeout=self._close_timeout_s,
        )


def _end(coming: "Coroutine[Any, Any, object]", _: object = None) -> None:
    # RuntimeError: the owner has dropped the socket already.
    with contextlib.suppress(StopIteration, OSError, RuntimeError):
        coming.send(None)

"""Accepting: who comes waits in the socket's queue while there are no descriptors, and is somebody before TLS is there.

A server of asyncio tells nobody of a socket while TLS is agreed on, so nothing would bound how many are at it. Without
descriptors it logs a traceback a second, and uvloop's turns away, without a word, whoever comes.
"""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

from bus.shortage import shortage
from bus.tasks import Spawn
from edges.limits.mishaps import Mishaps
from edges.net.addresses import opened

__all__ = ["Agreement", "Guest", "Listener", "bind", "checked"]

_AT_ONCE: Final = 64
"""So many are accepted before other work is heard, such as that of dropping those who are too many."""
_PAUSE_S: Final = 1.0
_SPARE_S: Final = 2.0
"""So much later than a guest's own deadline, which is counted, asyncio's own ends an agreement on TLS."""
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
    """Return ``sockets`` that somebody else bound.

    Raises:
        TypeError: one is no TCP socket, or not bound: an edge would fail at the first client, or be reached by nobody.

    """
    for one in sockets:
        if not _is_bound_tcp(one):
            raise TypeError(f"sockets: a bound TCP socket is needed, and this is {one!r}")
    return tuple(sockets)


def _is_bound_tcp(one: object) -> bool:
    if not isinstance(one, socket.socket) or one.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    return one.type == socket.SOCK_STREAM and one.getsockname()[1] != 0


class Guest(Protocol):
    """Who takes a socket: an ``asyncio.Protocol``, with TLS one that is there before TLS is."""

    def knock(self, address: str, agreement: "Agreement") -> None:
        """Be counted from now on; ``address`` is the other end's, ``agreement`` what is dropped until TLS is there."""

    def connection_lost(self, error: Exception | None) -> None:
        """Take note that nothing came of it."""


class Agreement:
    """One socket from when it is accepted until its guest has it; with TLS, until that is agreed on."""

    def __init__(self, listener: "Listener", accepted: socket.socket, guest: Guest) -> None:
        self._listener, self._accepted, self._guest = listener, accepted, guest
        self._task: asyncio.Task[None] | None = None
        self._has_begun = self._is_dropped = False

    def begin(self, spawn: Spawn) -> None:
        """Begin, unless it was dropped already."""
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
            await self._listener.agree(self._accepted, self._guest)
        except OSError as error:  # that of OpenSSL is one, too
            _logger.debug("a socket came to nothing", extra={"reason": str(error)})
            self._fail()

    def _fail(self) -> None:
        if not self._has_begun:  # else the socket is the loop's
            self._accepted.close()
        self._guest.connection_lost(None)


class Listener:
    """Listening sockets, as far as an edge needs them of an ``asyncio.Server``.

    Args:
        guest: makes who takes a socket.
        sockets: bound ones; the listener closes them.
        tls: what is shown to clients; None: ``ws``.
        spawn: owns the tasks in which sockets are handed over.
        mishaps: is told when nobody can be accepted.
        open_timeout_s: the deadline of the whole opening handshake.
        close_timeout_s: of the closing one of TLS.

    """

    def __init__(
        self,
        guest: Callable[[], Guest],
        sockets: tuple[socket.socket, ...],
        tls: ssl.SSLContext | None,
        spawn: Spawn,
        mishaps: Mishaps,
        *,
        open_timeout_s: float,
        close_timeout_s: float,
    ) -> None:
        self._guest, self._tls, self._spawn, self._mishaps = guest, tls, spawn, mishaps
        self._open_timeout_s, self._close_timeout_s = open_timeout_s, close_timeout_s
        self._loop = asyncio.get_running_loop()
        self._pauses: dict[socket.socket, asyncio.TimerHandle] = {}
        self.sockets, self._accepts = sockets, False

    def accept(self) -> None:
        """Begin to accept."""
        self._accepts = True
        for listening in self.sockets:
            listening.setblocking(False)
            listening.listen(_BACKLOG)
            self._loop.add_reader(listening.fileno(), self._accept, listening)

    def is_serving(self) -> bool:
        """Whether it accepts."""
        return self._accepts and bool(self.sockets)

    def close(self) -> None:
        """Stop accepting; who was accepted stays. Twice is harmless."""
        sockets, self.sockets = self.sockets, ()
        for listening in sockets:
            if listening in self._pauses:
                self._pauses.pop(listening).cancel()
            self._loop.remove_reader(listening.fileno())
            listening.close()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, peer = listening.accept()
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
            self._take(accepted, str(peer[0]))

    def _pause(self, listening: socket.socket, lack: str) -> None:
        """Accept nobody for a moment: the socket stays ready, and would be tried without end."""
        self._mishaps.note(_WORK, lack, "cannot accept clients; raise the limit of open files", logging.ERROR)
        self._loop.remove_reader(listening.fileno())
        self._pauses[listening] = self._loop.call_later(_PAUSE_S, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        del self._pauses[listening]
        self._loop.add_reader(listening.fileno(), self._accept, listening)
        self._accept(listening)  # to find out whether it is over, though nobody comes

    def _take(self, accepted: socket.socket, address: str) -> None:
        accepted.setblocking(False)
        guest = self._guest()
        agreement = Agreement(self, accepted, guest)
        if self._tls is not None:
            guest.knock(address, agreement)
        agreement.begin(self._spawn)

    async def agree(self, accepted: socket.socket, guest: Guest) -> None:
        """Agree on TLS where there is one, and hand the socket to its guest.

        Raises:
            OSError: they did not agree.

        """

        def protocol() -> asyncio.Protocol:
            return cast(asyncio.Protocol, guest)

        if self._tls is None:
            await self._loop.connect_accepted_socket(protocol, accepted)
            return
        await self._loop.connect_accepted_socket(
            protocol,
            accepted,
            ssl=self._tls,
            ssl_handshake_timeout=self._open_timeout_s + _SPARE_S,
            ssl_shutdown_timeout=self._close_timeout_s,
        )

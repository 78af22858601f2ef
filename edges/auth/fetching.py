"""One document by HTTP, off the event loop, and within one deadline for all of it: name, connection, TLS, head, body.

A deadline for each read is none for a server that sends its head byte by byte.
"""

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from edges.net.addresses import is_loopback

__all__ = ["FETCH_S", "aside", "fetch"]

FETCH_S: Final = 5.0
_DOCUMENT_BYTES: Final = 256 * 1024

ResultT = TypeVar("ResultT")


def fetch(url: str, *, deadline_s: float = FETCH_S) -> bytes:
    """Return the document at ``url``, at most 256 KiB within the deadline; no other address is asked for it. Blocks.

    Only the resolver can hold this up for longer; so whoever must not wait calls it ``aside``.

    Raises:
        OSError: it cannot be had; the text says why.
        HTTPException: what answers speaks no HTTP.

    """
    request = Request(url, headers={"Accept": "application/json"})  # noqa: S310 (check_jwks_url saw to the scheme)
    with closing(_Sockets()) as sockets:
        timer = threading.Timer(deadline_s, sockets.cut)
        timer.daemon = True
        timer.start()
        try:
            return _document(request, sockets, deadline_s)
        except (OSError, HTTPException) as error:
            if not sockets.are_cut:
                raise
            raise TimeoutError(f"the document takes more than {deadline_s:g} s") from error
        finally:
            timer.cancel()


def _document(request: Request, sockets: "_Sockets", timeout_s: float) -> bytes:
    handlers: list[Any] = [_NoRedirects(), _Http(sockets), _Https(sockets)]
    if is_loopback(urlsplit(request.full_url).hostname or ""):
        handlers.append(ProxyHandler({}))
    with build_opener(*handlers).open(request, timeout=timeout_s) as response:
        document = bytearray()
        while piece := response.read1(_DOCUMENT_BYTES):
            document += piece
            if len(document) > _DOCUMENT_BYTES:
                raise OSError(f"the document has more than {_DOCUMENT_BYTES} bytes")
    if sockets.are_cut:  # a body without a length ends wherever the connection does
        raise TimeoutError
    return bytes(document)


class _Sockets:
    """The connections of one fetch, which another thread may cut.

    They are held by descriptors of their own: TLS takes a socket's descriptor away from it.
    """

    def __init__(self) -> None:
        self._held: list[socket.socket] = []
        self._lock = threading.Lock()
        self.are_cut = False

    def open(self, *args: Any, **options: Any) -> socket.socket:
        """Connect as ``socket.create_connection`` does."""
        opened = socket.create_connection(*args, **options)
        with self._lock:
            self._held.append(socket.socket(fileno=os.dup(opened.fileno())))
            if self.are_cut:
                self._shut()
        return opened

    def cut(self) -> None:
        """End every connection, now and later; whoever reads from one reads its end."""
        with self._lock:
            self.are_cut = True
            self._shut()

    def _shut(self) -> None:
        for held in self._held:
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the descriptors."""
        with self._lock:
            for held in self._held:
                held.close()
            self._held.clear()

    def connection(self, kind: type[HTTPConnection]) -> Callable[..., HTTPConnection]:
        """Return what makes connections of ``kind`` that can be cut."""

        def make(host: str, **options: Any) -> HTTPConnection:
            made = kind(host, **options)
            made._create_connection = self.open  # type: ignore[attr-defined]  # noqa: SLF001 (the one place to hook in)
            return made

        return make


class _Http(HTTPHandler):
    def __init__(self, sockets: _Sockets) -> None:
        super().__init__()
        self._sockets = sockets

    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(self._sockets.connection(HTTPConnection), req)


class _Https(HTTPSHandler):
    def __init__(self, sockets: _Sockets) -> None:
        super().__init__()
        self._sockets = sockets

    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(self._sockets.connection(HTTPSConnection), req)


class _NoRedirects(HTTPRedirectHandler):
    """Takes an answer that points elsewhere for an error: the address was chosen, and checked."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nothing."""


async def aside(work: Callable[[], ResultT], name: str) -> ResultT:
    """Run what blocks in a thread of its own, which the end of the process does not wait for. May be cancelled.

    ``asyncio.to_thread`` is for what ends soon: the loop's end waits for it, for a resolver that hangs as well.
    """
    future = Future[ResultT]()
    future.set_running_or_notify_cancel()  # from now on a cancelled wait leaves it to the thread

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 (raised again where it is waited for)
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(future)

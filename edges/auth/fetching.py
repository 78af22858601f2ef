"""A document by HTTP, off the event loop, with one deadline for name, connection, TLS, head and body together.

A deadline for each read is no deadline for a server that sends the head byte by byte.
"""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from edges.net.addresses import is_loopback

__all__ = ["FETCH_S", "fetch"]

FETCH_S: Final = 5.0
_DOCUMENT_BYTES: Final = 256 * 1024

ResultT = TypeVar("ResultT")


def fetch(url: str, *, deadline_s: float = FETCH_S) -> bytes:
    """Return the document at ``url``, at most 256 KiB within the deadline; no other address is asked. Blocks.

    Only the resolver can block for longer; callers that must not wait call ``fetch`` ``aside``.

    Raises:
        OSError: the document cannot be had; the text says why.
        HTTPException: the other end speaks no HTTP.

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
        handlers.append(ProxyHandler({}))  # a proxy of the environment reaches its own loopback, not this machine's
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
    """The connections of a fetch, to be cut by another thread."""

    # By duplicates of descriptors: TLS takes a socket's own descriptor away.

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
        """End every connection, now and later; a reader reads the end."""
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
        """Return a maker of connections of ``kind`` that can be cut."""

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
    """Takes a redirect for an error: the address was chosen, and checked."""

    def redirect_request(self, *_: Any) -> None:
        """Follow no redirect."""

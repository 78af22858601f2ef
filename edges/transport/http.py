"""The form of requests, and the answers of plain HTTP, as values. Pure."""

import http
import math
from collections.abc import Callable, Sequence
from email.utils import formatdate
from typing import Final

import orjson
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from bus.words import Code

__all__ = [
    "HEAD_LIMIT_BYTES",
    "answered",
    "bare",
    "failed",
    "forbidden",
    "head_end",
    "is_upgrade",
    "lists_too_much",
    "lost_on_the_way",
    "no_request",
    "not_allowed",
    "not_found",
    "page",
    "readiness",
    "refused",
    "stream_head",
    "too_long",
    "too_many",
    "upgrade_required",
]

HEAD_LIMIT_BYTES = 64 * 1024
"""The most bytes that a request's line and headers may have together."""
_LISTS: Final = ("Upgrade", "Connection", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions")
_VALUES: Final = 100
"""The most that these headers and the query may list together; a browser lists some five."""


def head_end(data: bytes | bytearray) -> int:
    """Return where the head of a request ends in ``data``, after the blank line; -1 before the end has come."""
    found = data.find(b"\r\n\r\n")
    return -1 if found < 0 else found + 4


def is_upgrade(request: Request) -> bool:
    """Tell whether a request asks for WebSocket; ``accept`` judges the form."""
    offers = ",".join(request.headers.get_all("Upgrade")).lower()  # `curl --http2` offers h2c, and means a plain GET
    return "websocket" in offers and request.method == "GET"


def lost_on_the_way(request: Request) -> list[str]:
    """Return the lines of a handshake that a proxy took; none are missing of any other request.

    ``Upgrade`` and ``Connection`` end at each hop (RFC 9110, section 7.6.1), and ``Sec-WebSocket-Key`` does not.
    """
    # decisions/0132
    if request.method != "GET" or "Sec-WebSocket-Key" not in request.headers:
        return []
    has = {
        "HTTP/1.1": request.protocol == "HTTP/1.1",
        "'Upgrade: websocket'": is_upgrade(request),
        "'Connection: Upgrade'": "upgrade" in ",".join(request.headers.get_all("Connection")).lower(),
    }
    return [line for line, is_there in has.items() if not is_there]


def lists_too_much(request: Request) -> bool:
    """Tell whether a handshake lists more values than a client needs: each costs every reader a step of Python."""
    listed = "".join(value for name in _LISTS for value in request.headers.get_all(name))
    return listed.count(",") + listed.count(";") + request.path.count("&") > _VALUES


def page(text: bytes, content_type: str, *headers: tuple[str, str]) -> Response:
    """Return a page of its own content type."""
    return _plain(200, text, content_type, *headers)


def bare(status: int, *headers: tuple[str, str]) -> Response:
    """Return an answer without a body."""
    fields = [("Date", formatdate(usegmt=True)), ("Connection", "close"), *headers]
    return Response(status, http.HTTPStatus(status).phrase, Headers(fields), b"")


def stream_head(content_type: str, *headers: tuple[str, str]) -> bytes:
    """Return the head of an answer that the end of the connection ends, kept by no cache and held by no proxy."""
    kept = ("Cache-Control", "no-cache, no-store, no-transform"), ("X-Accel-Buffering", "no")
    return bare(200, ("Content-Type", content_type), *kept, *headers).serialize()


def answered(body: dict[str, object]) -> Response:
    """Return a plain answer."""
    return _json(200, body)


def readiness(not_ready: str | None, warning: Callable[[], str | None]) -> Response:
    """Return the answer about readiness; ``warning`` is asked of a ready edge only."""
    if not_ready is not None:
        return _json(503, {"status": "not ready", "reason": not_ready})
    told = warning()
    return _json(200, {"status": "ready"} if told is None else {"status": "ready", "warning": told})


def not_found(paths: Sequence[str]) -> Response:
    """Return the answer to a request for an unknown path, with the known ``paths``."""
    return _json(404, {"error": f"not found; there are {_listed(paths)}, and WebSocket on any path"})


def upgrade_required(lost: Sequence[str]) -> Response:
    """Return the answer to a handshake with ``lost`` lines, with those that a proxy needs (RFC 9110, 15.5.22)."""
    needs = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
    told = f"a handshake without {_listed(lost)}, as a proxy leaves it; nginx needs {needs}"
    status = 505 if lost == ["HTTP/1.1"] else 426
    return _json(status, {"error": told}, ("Upgrade", "websocket"), ("Connection", "Upgrade"))


def sentence_of(refusal: Response) -> str:
    """Return the sentence of a refusal, for the log."""
    return str(orjson.loads(refusal.body)["error"])


def forbidden(sentence: str) -> Response:
    """Return the refusal of a handshake, with the reason."""
    return _json(403, {"error": sentence})


def failed(sentence: str) -> Response:
    """Return the answer to a request that a hook of the process failed at."""
    return _json(500, {"error": sentence})


def not_allowed(methods: Sequence[str]) -> Response:
    """Return the answer to a request by another method."""
    allowed = ", ".join(methods)
    return _json(405, {"error": f"method not allowed; use {allowed}"}, ("Allow", allowed))


def no_request() -> Response:
    """Return the answer to bytes without a request in them, or to a request with a body."""
    return _json(400, {"error": "not an HTTP/1.1 request without a body"})


def refused(status: int, sentence: str, code: str = Code.INVALID_REQUEST, *headers: tuple[str, str]) -> Response:
    """Return the refusal of a publish, with the code of the wire and the reason."""
    return _json(status, {"code": code, "error": sentence}, *headers)


def too_long() -> Response:
    """Return the answer to a handshake with too long lists (RFC 6585, section 5)."""
    return _json(431, {"error": f"a header or the query lists more than {_VALUES} values"})


def too_many(name: str, limit: int, retry_s: float) -> Response:
    """Return the answer to a handshake over a quota (RFC 6585, section 4), naming the setting."""
    wait = ("Retry-After", str(max(1, math.ceil(retry_s))))
    return _json(429, {"error": f"{name}: the limit is {limit}; try again later"}, wait)


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _json(status: int, body: dict[str, object], *headers: tuple[str, str]) -> Response:
    return _plain(status, orjson.dumps(body) + b"\n", "application/json", *headers)


def _plain(status: int, text: bytes, content_type: str, *headers: tuple[str, str]) -> Response:
    return Response(
        status,
        http.HTTPStatus(status).phrase,
        Headers(
            [
                ("Date", formatdate(usegmt=True)),
                ("Connection", "close"),
                ("Content-Type", content_type),
                ("Content-Length", str(len(text))),
                *headers,
            ]
        ),
        text,
    )

"""The plain HTTP side of an edge's port: health, readiness, and clear answers to all else. Pure."""

import http
import math
from collections.abc import Callable
from email.utils import formatdate
from typing import Final

import orjson
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

__all__ = [
    "HEAD_LIMIT_BYTES",
    "answer",
    "forbidden",
    "head_end",
    "is_upgrade",
    "lists_too_much",
    "refusal",
    "too_long",
    "too_many",
]

HEAD_LIMIT_BYTES = 64 * 1024
"""The most bytes that a request's line and headers may have together."""
_LISTS: Final = ("Upgrade", "Connection", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions")
_VALUES: Final = 100
"""The most that these headers and the query may list together; a browser lists some five."""
_METHODS: Final = ("GET", "HEAD")


def head_end(data: bytes | bytearray) -> int:
    """Return where the head of a request ends in ``data``, after its blank line; -1 when it is not there yet."""
    found = data.find(b"\r\n\r\n")
    return -1 if found < 0 else found + 4


def is_upgrade(request: Request) -> bool:
    """Tell whether a request wants anything but a plain answer; whether it may have it is for ``accept`` to say."""
    offers = ",".join(request.headers.get_all("Upgrade")).lower()  # `curl --http2` offers h2c, and means a plain GET
    return "websocket" in offers and request.method == "GET"


def lists_too_much(request: Request) -> bool:
    """Tell whether a handshake lists more values than a client has to say: each costs its readers a step of Python."""
    listed = "".join(value for name in _LISTS for value in request.headers.get_all(name))
    return listed.count(",") + listed.count(";") + request.path.count("&") > _VALUES


def answer(
    request: Request,
    health: Callable[[], dict[str, object]],
    not_ready: Callable[[], str | None],
    warning: Callable[[], str | None] = lambda: None,
) -> Response:
    """Return the answer to a plain request; that to HEAD is GET's without its body (RFC 9110, section 9.3.2).

    Args:
        request: without a body; ``websockets`` refuses bodies before this.
        health: returns what ``/healthz`` says; asked for that only.
        not_ready: returns why ``/readyz`` is 503, None when it is 200; likewise.
        warning: returns what ``/readyz`` says beside being ready, None for nothing; likewise.

    """
    if request.method not in _METHODS:
        return not_allowed()
    response = _answer_to_get(request.path.partition("?")[0], health, not_ready, warning)
    if request.method == "HEAD":
        response.body = b""
    return response


def _answer_to_get(
    path: str,
    health: Callable[[], dict[str, object]],
    not_ready: Callable[[], str | None],
    warning: Callable[[], str | None],
) -> Response:
    match path:
        case "/healthz" | "/health":  # the ecosystem's charts ask for the second
            return _json(200, health())
        case "/readyz":
            return _readiness(not_ready(), warning())
        case _:
            return _json(404, {"error": "not found; there are /healthz and /readyz, and WebSocket on any path"})


def _readiness(not_ready: str | None, warning: str | None) -> Response:
    if not_ready is None:
        return _json(200, {"status": "ready"} if warning is None else {"status": "ready", "warning": warning})
    return _json(503, {"status": "not ready", "reason": not_ready})


def forbidden(sentence: str) -> Response:
    """Return the answer to a handshake that may not come in, with the reason."""
    return _json(403, {"error": sentence})


def not_allowed() -> Response:
    """Return the answer to a request by another method."""
    allowed = ", ".join(_METHODS)
    return _json(405, {"error": f"method not allowed; use {allowed}"}, ("Allow", allowed))


def too_long() -> Response:
    """Return the answer to a handshake that lists too much (RFC 6585, section 5)."""
    return _json(431, {"error": f"a header or the query lists more than {_VALUES} values"})


def too_many(name: str, limit: int, retry_s: float) -> Response:
    """Return the answer to a handshake that is one too many (RFC 6585, section 4), naming the setting."""
    wait = ("Retry-After", str(max(1, math.ceil(retry_s))))
    return _json(429, {"error": f"{name}: the limit is {limit}; try again later"}, wait)


def refusal(head: bytes) -> Response:
    """Return the answer to what ``websockets`` took for no request: that includes every one with a body."""
    method, _, rest = head.partition(b" ")
    is_request = method.isalpha() and method.isupper() and b" HTTP/1." in rest.partition(b"\r\n")[0]
    if is_request and method.decode() not in _METHODS:
        return not_allowed()
    return _json(400, {"error": "not an HTTP/1.1 request without a body"})


def _json(status: int, body: dict[str, object], *headers: tuple[str, str]) -> Response:
    text = orjson.dumps(body) + b"\n"
    return Response(
        status,
        http.HTTPStatus(status).phrase,
        Headers(
            [
                ("Date", formatdate(usegmt=True)),
                ("Connection", "close"),
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(text))),
                *headers,
            ]
        ),
        text,
    )

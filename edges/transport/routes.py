"""The plain HTTP side of an edge's port as a table: a path more is a row more. Pure."""

from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import NamedTuple, Protocol, TypeAlias

from websockets.http11 import Request, Response

from edges.transport import http
from edges.transport.opening import Openings
from edges.transport.paths import EVENTS, HISTORY
from edges.transport.screen import ProcessRequest

__all__ = ["Answer", "Guard", "Handler", "Route", "Routes", "Standing", "routes_of"]

Handler: TypeAlias = Callable[[Request], Response]
Guard: TypeAlias = Callable[[Request], Response | None]
"""Returns the refusal of a request, None for a request that is answered."""


class Standing(Protocol):
    """How an edge stands; asked only by a request that needs the answer, since every stranger may send a GET."""

    def body(self) -> dict[str, object]:
        """Return the body of ``/healthz``."""

    def not_ready(self) -> str | None:
        """Return why ``/readyz`` is 503, None when it is 200."""

    def warning(self) -> str | None:
        """Return the warning of ``/readyz`` beside being ready, None for no warning."""


class Answer(Enum):
    """How a row is answered."""

    AT_ONCE = auto()
    STREAM = auto()
    """The answer has no end."""
    HISTORY = auto()
    """The answer is read from a log."""
    BEFOREHAND = auto()
    """A page of elsewhere asks whether it may ask (CORS)."""


class Route(NamedTuple):
    """A row.

    Attributes:
        method: GET stands for HEAD, too (RFC 9110, section 9.3.2).
        path: without the query; behind a slash at the end, there is a name.
        handler: returns the answer.
        guard: returns the refusal of clients that may not have the answer.
        answer: by the handler, or in ways that need more than the request.

    """

    method: str
    path: str
    handler: Handler
    guard: Guard
    answer: Answer = Answer.AT_ONCE


class Routes:
    """The rows, and the answers to requests without a row.

    Args:
        rows: no two with one method and path; of two with one handler, only the first is named to strangers.
        guard: returns the refusal of clients that may not hear of missing rows either.
        hook: asked first, for handshakes too.

    Attributes:
        openings: reads the usual handshakes.

    """

    def __init__(self, rows: Iterable[Route], guard: Guard, hook: ProcessRequest | None = None) -> None:
        self.hook, self.openings = hook, Openings()
        self._rows = {(row.path, row.method): row for row in rows}
        self._guard = guard

    def find(self, request: Request) -> Route:
        """Return the row of a request; without a row, and for what is left of a handshake, a row that answers so."""
        if lost := http.lost_on_the_way(request):
            return Route("GET", request.path, lambda _: http.upgrade_required(lost), self._guard)
        is_head = request.method == "HEAD"
        path = self._spelled(request.path.partition("?")[0])
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            route = self._rows.get((path, "GET"))
            if route is not None and route.answer is not Answer.AT_ONCE:
                return route._replace(answer=Answer.BEFOREHAND)
        route = self._find(path, "GET" if is_head else request.method)
        return route._replace(handler=_without_body(route.handler)) if is_head else route

    def _spelled(self, path: str) -> str:
        """Return the path of a row with names below it for a path below it, any other as it is."""
        above = path[: path.find("/", 1) + 1]
        return above if (above, "GET") in self._rows and path != above else path

    def _find(self, path: str, method: str) -> Route:
        return self._rows.get((path, method)) or Route(method, path, lambda _: self._missing(path, method), self._guard)

    def _missing(self, path: str, method: str) -> Response:
        allowed = self._methods(path)
        if method not in allowed or any(path == it for it, _ in self._rows):
            return http.not_allowed(allowed)
        return http.not_found(self._named())

    def _methods(self, path: str) -> list[str]:
        """Return the methods of a path; of an unknown path, the methods of all paths."""
        found = [method for it, method in self._rows if it == path] or [method for _, method in self._rows]
        return list(dict.fromkeys(name for method in found for name in _methods_of(method)))

    def _named(self) -> list[str]:
        first: dict[Handler, str] = {}
        for row in self._rows.values():
            first.setdefault(row.handler, row.path)
        return list(first.values())

    def refusal(self, head: bytes) -> Response:
        """Return the answer to bytes that ``websockets`` took for no request: requests with a body, too."""
        method, _, rest = head.partition(b" ")
        is_request = method.isalpha() and method.isupper() and b" HTTP/1." in rest.partition(b"\r\n")[0]
        path = rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1")
        if is_request and method.decode() not in (allowed := self._methods(path)):
            return http.not_allowed(allowed)
        if is_request and method == b"POST" and (path, "POST") not in self._rows:
            return http.not_found(self._named())
        return http.no_request()


def routes_of(
    standing: Standing,
    guard: Guard,
    hook: ProcessRequest | None = None,
    *,
    publishes: bool = False,
    metrics: Handler | None = None,
    events: bool = False,
) -> Routes:
    """Return the table of an edge; ``guard`` stands before the paths of health, and before the ``hook``.

    ``publishes``: there is ``POST /publish``, which the handshake answers: the table has no place for a body.
    ``metrics`` answers ``/metrics``; None: there is no such path. ``events``: the edge's events are there for plain
    HTTP, too, streamed and from the logs.
    """

    def health(_: Request) -> Response:
        return http.answered(standing.body())

    def readiness(_: Request) -> Response:
        return http.readiness(standing.not_ready(), standing.warning)

    rows: tuple[Route, ...] = (
        Route("GET", "/healthz", health, guard),
        Route("GET", "/health", health, guard),  # the ecosystem's charts ask for this one
        Route("GET", "/readyz", readiness, guard),
    )
    if publishes:
        rows = (*rows, Route("POST", "/publish", lambda _: http.no_request(), guard))
    if events:
        rows = (
            *rows,
            Route("GET", EVENTS, _unanswered, guard, Answer.STREAM),
            Route("GET", HISTORY, _past_unanswered, guard, Answer.HISTORY),
        )
    if metrics is not None:
        rows = (*rows, Route("GET", "/metrics", metrics, guard))
    return Routes(rows, guard, hook)


def _unanswered(_: Request) -> Response:
    """Stand for an answer that needs more than the request."""
    return http.no_request()


def _past_unanswered(request: Request) -> Response:
    return _unanswered(request)


def _methods_of(method: str) -> tuple[str, ...]:
    return ("GET", "HEAD") if method == "GET" else (method,)


def _without_body(handler: Handler) -> Handler:
    def headless(request: Request) -> Response:
        response = handler(request)
        response.body = b""
        return response

    return headless

"""``GET /metrics`` of an edge: on the edge's own port, on another port, on both or on none."""

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

from websockets.http11 import Request, Response

from edges.lifecycle.metrics.sources import Sources
from edges.transport import http
from edges.transport.routes import Handler
from edges.transport.screen import Applicant

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

__all__ = ["metrics_of", "without_websocket"]


def metrics_of(sources: Callable[[], Sources], beside: "Collector | None", *, is_shown: bool) -> Handler | None:
    """Return the answer to ``GET /metrics``, with the metrics ``beside``; None where nobody is to read metrics."""
    if not is_shown:
        return None
    # Imported here: the library looks at the process on its import, and most edges' clients never ask.
    from edges.lifecycle.metrics.page import page_of

    return page_of(sources(), beside).answer


def without_websocket(applicant: Applicant, request: Request) -> Response | None:
    """Refuse opening handshakes: the hook of a port for plain requests alone."""
    if not http.is_upgrade(request):
        return None
    return applicant.respond(HTTPStatus.NOT_FOUND, "no WebSocket on this port\n")

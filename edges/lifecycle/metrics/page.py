"""``GET /metrics``: the metrics as text, in the form that the scraper asks for."""

import time
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from websockets.http11 import Request, Response

from edges.lifecycle.metrics.collector import registry_of
from edges.lifecycle.metrics.sources import Sources
from edges.transport import http

__all__ = ["Page", "page_of"]

_FRESH_S: Final = 0.5
_OPEN_METRICS: Final = "application/openmetrics-text"
_FORMS: Final = {True: f"{_OPEN_METRICS}; version=1.0.0", False: "text/plain; version=0.0.4"}


class Page:
    """The page.

    Args:
        registry: of the edge.
        now: a monotonic clock, seconds.

    """

    def __init__(self, registry: CollectorRegistry, now: Callable[[], float] = time.monotonic) -> None:
        self._registry, self._now = registry, now
        self._kept: dict[str, tuple[float, bytes]] = {}

    def answer(self, request: Request) -> Response:
        """Return the page, of half a second ago at most."""
        asked = ",".join(request.headers.get_all("Accept"))
        encode, content_type = choose_encoder(_FORMS[_OPEN_METRICS in asked])
        # Some milliseconds of the loop each: where the port is public, strangers ask as often as they like.
        made_s, text = self._kept.get(content_type, (0.0, b""))
        if not text or self._now() - made_s >= _FRESH_S:
            text = encode(self._registry)
            self._kept[content_type] = self._now(), text
        return http.page(text, content_type)


def page_of(sources: Sources) -> Page:
    """Return the page of an edge."""
    return Page(registry_of(sources))

"""``GET /metrics``: the metrics as text, in the form that the scraper asks for."""

import time
from collections.abc import Callable
from typing import Final

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from websockets.http11 import Request, Response

from edges.lifecycle.metrics.collector import collector_of
from edges.lifecycle.metrics.sources import Sources
from edges.transport import http

__all__ = ["Page", "page_of"]

_FRESH_S: Final = 0.5
_OPEN_METRICS: Final = "application/openmetrics-text"
_FORMS: Final = {True: f"{_OPEN_METRICS}; version=1.0.0", False: "text/plain; version=0.0.4"}


class Page:
    """The page.

    Args:
        collector: of the edge.
        may_be_open_metrics: whether a scraper may have OpenMetrics, where each name stands for one metric.
        now: a monotonic clock, seconds.

    """

    def __init__(
        self, collector: Collector, *, may_be_open_metrics: bool = True, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._collector, self._now = collector, now
        self._may_be_open_metrics = may_be_open_metrics
        self._kept: dict[str, tuple[float, bytes]] = {}

    def answer(self, request: Request) -> Response:
        """Return the page, of half a second ago at most."""
        asked = ",".join(request.headers.get_all("Accept"))
        encode, content_type = choose_encoder(_FORMS[self._may_be_open_metrics and _OPEN_METRICS in asked])
        # Some milliseconds of the loop each: where the port is public, strangers ask as often as they like.
        made_s, text = self._kept.get(content_type, (0.0, b""))
        if not text or self._now() - made_s >= _FRESH_S:
            text = encode(self._collector)
            self._kept[content_type] = self._now(), text
        return http.page(text, content_type)


def page_of(sources: Sources, beside: Collector | None = None) -> Page:
    """Return the page of an edge, with the metrics ``beside``."""
    # The ecosystem has a gauge and a counter of one name but for `_total`, which OpenMetrics takes for one metric.
    may_be_open_metrics = sources.settings.metrics_names == "own"
    return Page(collector_of(sources, beside), may_be_open_metrics=may_be_open_metrics)

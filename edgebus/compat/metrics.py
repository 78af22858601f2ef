"""``WebSocketMetrics``: the calls by which a service's class counts, beside what its edge counts by itself."""

import logging
import socket
from collections.abc import Iterable
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from edges.lifecycle.metrics.collector import cumulative
from edges.lifecycle.metrics.ecosystem import TEXTS
from edges.limits.buckets import Buckets
from edges.session.tallies import BOUNDS_S, OTHER

__all__ = ["WebSocketMetrics", "free_port"]

_WORDS: Final = 50
"""Types that are told apart: a class may call with an exception's text, which has no end."""
_CONNECTION_ERRORS: Final = "websocket_connection_errors_total"
_MESSAGE_ERRORS: Final = "websocket_message_errors_total"
_LATENCY: Final = "websocket_latency_seconds"

_logger = logging.getLogger("edgebus.compat")


class WebSocketMetrics(Collector):
    """The value of ``server.metrics`` with ``enable_metrics``.

    Connections, messages and broadcasts are counted by the edge, so calls that tell of those count nothing twice.
    Errors and latencies that only the class knows are counted here. Both are on one page, which the edge serves.

    Attributes:
        server_name: as the old server had it; the label ``server`` is the service's name.
        tls_mode: ``wss`` or ``ws``.
        enabled: True.

    """

    def __init__(
        self, server_name: str, tls_enabled: bool = False, enabled: bool = True, *, service: str | None = None
    ) -> None:
        self.server_name, self.tls_mode, self.enabled = server_name, "wss" if tls_enabled else "ws", enabled
        self._server = service or server_name
        self._errors: dict[str, dict[str, int]] = {_CONNECTION_ERRORS: {}, _MESSAGE_ERRORS: {}}
        self._latency: dict[str, Buckets] = {}

    def on_connect(self, connection_id: str) -> None:
        """Do nothing: the edge counts connections."""

    def on_disconnect(self, connection_id: str) -> None:
        """Do nothing: the edge counts connections."""

    def set_active_connections(self, count: int) -> None:
        """Do nothing: the edge counts connections."""

    def on_message_sent(self, message_type: str) -> None:
        """Do nothing: the edge counts messages."""

    def on_message_received(self, message_type: str) -> None:
        """Do nothing: the edge counts messages."""

    def on_broadcast(self, channel: str, duration: float) -> None:
        """Do nothing: each edge counts the events that it hands on, wherever they were broadcast."""

    def on_connection_error(self, error_type: str) -> None:
        """Count an error of a connection."""
        self._count(_CONNECTION_ERRORS, error_type)

    def on_message_error(self, error_type: str) -> None:
        """Count an error at a message."""
        self._count(_MESSAGE_ERRORS, error_type)

    def _count(self, name: str, error_type: str) -> None:
        counts = self._errors[name]
        word = _bounded(error_type, counts)
        counts[word] = counts.get(word, 0) + 1

    def observe_latency(self, message_type: str, latency: float) -> None:
        """Count a latency, seconds."""
        self._latency.setdefault(_bounded(message_type, self._latency), Buckets(BOUNDS_S)).observe(latency)

    def start_metrics_server(self, port: int = 9090) -> bool:
        """Return False: the edge serves the page, from the server's start to its end."""
        return False

    def collect(self) -> Iterable[Metric]:
        """Yield what was counted here."""
        for name, counts in self._errors.items():
            errors = CounterMetricFamily(name, TEXTS[name], labels=["server", "error_type"])
            for error_type, count in counts.items():
                errors.add_metric([self._server, error_type], count)
            yield errors
        latency = HistogramMetricFamily(_LATENCY, TEXTS[_LATENCY], labels=["server", "message_type"])
        for message_type, buckets in self._latency.items():
            latency.add_metric([self._server, message_type], cumulative(buckets), buckets.sum_s)
        yield latency


def _bounded(word: str, known: Iterable[str]) -> str:
    words = list(known)
    return str(word)[:64] if word in words or len(words) < _WORDS else OTHER


def free_port(host: str, port: int, server_name: str) -> int | None:
    """Return ``port`` if it can be had; else None, with a warning: the old server went on without metrics, too."""
    try:
        with socket.create_server((host, port)):
            return port
    except OSError as error:
        fields = {"server": server_name, "metrics_port": port, "reason": error.strerror}
        _logger.warning("metrics_port cannot be had, so no metrics are served", extra=fields)
        return None

"""The metrics of producers, for a Prometheus registry of the program's own. Imported where metrics are asked for."""

import threading
from collections import Counter
from collections.abc import Iterable
from typing import Final, Protocol
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from producers.drops import DropReason
from producers.statistics import ProducerStatistics

__all__ = ["COUNTERS", "DROPPED", "DURATION", "GAUGES", "ProducerMetrics", "metrics_in"]

DURATION: Final = (
    "edgebus_publish_duration_seconds",
    "From a call of `publish`, `publish_all` or a batch to Redis' answer, or to the error; all attempts together.",
)
COUNTERS: Final = {
    "published": ("edgebus_published_total", "Events that Redis has on every channel, emitted ones included."),
    "failed": ("edgebus_publish_failures_total", "Events of which a caller was told an error."),
    "retried": ("edgebus_publish_retries_total", "Attempts beyond the first."),
    "unreplicated": (
        "edgebus_publish_unreplicated_total",
        "Events that are stored, and that fewer replicas confirmed than were asked for.",
    ),
}
GAUGES: Final = {
    "outbox_events": ("edgebus_outbox_events", "Emitted events that wait or are being sent."),
    "outbox_bytes": ("edgebus_outbox_bytes", "The size of these events, bytes."),
    "is_away": ("edgebus_producers_away", "Producers whose last attempt to reach Redis failed."),
}
DROPPED: Final = (
    "edgebus_outbox_dropped_total",
    "Emitted events that were given up, and values that made no event (`invalid`).",
)
_BOUNDS_S: Final = tuple(0.0001 * 2**power for power in range(18))
"""From 0.1 ms to 13 s, the deadline of a publish."""


class Source(Protocol):
    """A producer, as far as its numbers go."""

    def statistics(self) -> ProducerStatistics:
        """Return the counters; from any thread."""


class ProducerMetrics(Collector):
    """The sums over all producers of a registry.

    Attributes:
        duration: of publishes.

    """

    def __init__(self) -> None:
        self.duration = Histogram(*DURATION, buckets=_BOUNDS_S, registry=None)
        self._lock = threading.Lock()
        self._known = WeakKeyDictionary[Source, ProducerStatistics]()
        self._sums, self._dropped = Counter[str](), Counter[str]({reason.value: 0 for reason in DropReason})

    def add(self, producer: Source) -> None:
        """Count a producer in from now on."""
        with self._lock:
            self._known[producer] = ProducerStatistics()

    def settle(self, producer: Source) -> None:
        """Add what a producer counted since the last look: called at the close, before the producer is forgotten."""
        with self._lock:
            self._settle(producer)

    def _settle(self, producer: Source) -> ProducerStatistics:
        # Differences, since a counter must never fall, and a producer that is gone counts on.
        now, before = producer.statistics(), self._known[producer]
        for name in COUNTERS:
            self._sums[name] += getattr(now, name) - getattr(before, name)
        self._dropped.update(Counter(now.dropped) - Counter(before.dropped))
        self._known[producer] = now
        return now

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics; from any thread."""
        with self._lock:
            present = [self._settle(producer) for producer in list(self._known)]
            sums, dropped = dict(self._sums), dict(self._dropped)
        yield from self.duration.collect()
        for name, (metric, text) in COUNTERS.items():
            yield CounterMetricFamily(metric, text, value=sums.get(name, 0))
        for name, (metric, text) in GAUGES.items():
            yield GaugeMetricFamily(metric, text, value=sum(getattr(it, name) for it in present))
        family = CounterMetricFamily(*DROPPED, labels=["reason"])
        for reason, count in dropped.items():
            family.add_metric([reason], count)
        yield family


_BY_REGISTRY: Final = WeakKeyDictionary[CollectorRegistry, ProducerMetrics]()
_REGISTERING: Final = threading.Lock()


def metrics_in(registry: CollectorRegistry) -> ProducerMetrics:
    """Return the metrics of a registry, which all producers of the registry share: it takes each name once.

    Raises:
        TypeError: ``registry`` is none.

    """
    if not isinstance(registry, CollectorRegistry):
        raise TypeError(f"metrics: a prometheus_client.CollectorRegistry is wanted, and this is {registry!r}")
    with _REGISTERING:
        if (known := _BY_REGISTRY.get(registry)) is None:
            known = _BY_REGISTRY[registry] = ProducerMetrics()
            registry.register(known)
        return known

"""The table of metrics, as a collector of ``prometheus_client``."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from edges.lifecycle.metrics.rows import ROWS, Read, Row
from edges.lifecycle.metrics.sources import Seen, Sources
from edges.limits.buckets import Buckets

__all__ = ["EdgeCollector", "registry_of"]


class EdgeCollector(Collector):
    """Reads the metrics of an edge at each scrape; must be called on the edge's event loop.

    Args:
        look: looks at the edge.
        rows: the metrics.

    """

    def __init__(self, look: Callable[[], Seen], rows: Sequence[Row] = ROWS) -> None:
        self._look, self._rows = look, rows

    def collect(self) -> Iterable[Metric]:
        """Yield a metric for each row that has something to say."""
        seen = self._look()
        for row in self._rows:
            if (read := row.read(seen)) is not None:
                yield _metric(row, read)

    def describe(self) -> Iterable[Metric]:
        """Yield no description: without one, the registry would look at the edge to learn the names."""
        return ()


def _metric(row: Row, read: Read) -> Metric:
    values = read if isinstance(read, Mapping) else {(): read}
    if row.kind == "histogram":
        histogram = HistogramMetricFamily(row.name, row.text, labels=row.labels)
        for labels, buckets in values.items():
            if isinstance(buckets, Buckets):
                histogram.add_metric(labels, _cumulative(buckets), buckets.sum_s)
        return histogram
    metric = (CounterMetricFamily if row.kind == "counter" else GaugeMetricFamily)(
        row.name, row.text, labels=row.labels
    )
    for labels, value in values.items():
        if isinstance(value, (int, float)):
            metric.add_metric(labels, value)
    return metric


def _cumulative(buckets: Buckets) -> list[tuple[str, int]]:
    bounds = [f"{bound:.6g}" for bound in buckets.bounds_s]
    return list(zip([*bounds, "+Inf"], accumulate(buckets.counts), strict=True))


def registry_of(sources: Sources) -> CollectorRegistry:
    """Return a registry of its own for an edge: several edges live in a process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(EdgeCollector(sources.look))
    ProcessCollector(registry=registry)
    return registry

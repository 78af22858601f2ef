"""The table of metrics, as a collector of ``prometheus_client``."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from edges.lifecycle.metrics.ecosystem import ECOSYSTEM_ROWS, SKILL_ROWS
from edges.lifecycle.metrics.rows import ROWS, Read, Row
from edges.lifecycle.metrics.sources import Seen, Sources
from edges.limits.buckets import Buckets

__all__ = ["EdgeCollector", "collector_of", "cumulative"]


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
                histogram.add_metric(labels, cumulative(buckets), buckets.sum_s)
        return histogram
    metric = (CounterMetricFamily if row.kind == "counter" else GaugeMetricFamily)(
        row.name, row.text, labels=row.labels
    )
    for labels, value in values.items():
        if isinstance(value, (int, float)):
            metric.add_metric(labels, value)
    return metric


def cumulative(buckets: Buckets) -> list[tuple[str, int]]:
    """Return the counts up to each bound, as a histogram of Prometheus has them."""
    bounds = [f"{bound:.6g}" for bound in buckets.bounds_s]
    return list(zip([*bounds, "+Inf"], accumulate(buckets.counts), strict=True))


class _Together(Collector):
    """Collectors on one page. A metric of several is one metric, with the sums of equal labels."""

    def __init__(self, *collectors: Collector) -> None:
        self._collectors = collectors

    def collect(self) -> Iterable[Metric]:
        found: dict[tuple[str, str], Metric] = {}
        for collector in self._collectors:
            for metric in collector.collect():
                known = found.setdefault((metric.name, metric.type), metric)
                # The process is one, whoever looks at it; of other metrics each part has counted its own share.
                if known is not metric and not metric.name.startswith("process_"):
                    known.samples = _summed(known.samples, metric.samples)
        return found.values()


def _summed(*parts: Sequence[Sample]) -> list[Sample]:
    sums: dict[tuple[str, frozenset[tuple[str, str]]], Sample] = {}
    for sample in (it for part in parts for it in part):
        key = sample.name, frozenset(sample.labels.items())
        before = sums.get(key)
        sums[key] = sample if before is None else sample._replace(value=before.value + sample.value)
    return list(sums.values())


def collector_of(sources: Sources, beside: Collector | None) -> Collector:
    """Return the metrics of an edge and its process, with those ``beside``.

    Of the edge alone, in no registry: several edges live in a process, and a registry takes each name once.
    """
    rows = (*ROWS, *ECOSYSTEM_ROWS, *SKILL_ROWS) if sources.settings.metrics_names == "ecosystem" else ROWS
    own = EdgeCollector(sources.look, rows), ProcessCollector(registry=None)
    return _Together(*own, *(() if beside is None else (beside,)))

"""akosha's part of the demo: anomalies and patterns in the machine's load and in the demo's own rate."""

import asyncio
import os
import statistics
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Final, Literal

from producers import Producer
from producers.services.akosha import Akosha

__all__ = ["Machine"]

_WINDOW: Final = 30
_SETTLED: Final = 10
_AGGREGATE_EVERY: Final = 10

Severity = Literal["low", "medium", "high", "critical"]


class _Series:
    """The newest readings of one quantity, with deviation and shape."""

    def __init__(self, name: str, read: Callable[[], float]) -> None:
        self.name, self._read = name, read
        self.values: deque[float] = deque(maxlen=_WINDOW)
        self.shape = ""

    def sample(self) -> tuple[float, float]:
        """Take a reading; return the value, and its distance from the earlier readings in standard deviations."""
        value, before = self._read(), list(self.values)
        self.values.append(value)
        if len(before) < _SETTLED:  # of a few readings any other one is far out
            return value, 0.0
        spread = statistics.stdev(before)
        return value, (value - statistics.fmean(before)) / spread if spread > 0 else 0.0

    def new_shape(self) -> tuple[str, float] | None:
        """Return the shape of the window with its confidence (r squared of a line, or steadiness) when it changed."""
        if len(self.values) < _SETTLED:
            return None
        values = list(self.values)[-_SETTLED:]
        shape, confidence = _shape(values)
        if shape == self.shape:
            return None
        self.shape = shape
        return shape, confidence


def _shape(values: list[float]) -> tuple[str, float]:
    # A correlation of equal values is undefined, and the library raises.
    mean = statistics.fmean(values)
    if max(values) == min(values):
        return "steady", 1.0
    variation = statistics.pstdev(values) / abs(mean) if mean else 1.0
    correlation = statistics.correlation(range(len(values)), values)
    if correlation**2 >= 0.8:
        return "rising" if correlation > 0 else "falling", correlation**2
    return ("steady", 1 - variation) if variation < 0.1 else ("varying", min(1.0, variation))


class Machine:
    """Reads the load and the demo's rate once a second, and publishes anomalies and patterns.

    Args:
        producer: publishes the events.
        steps_so_far: how many steps the demo has made.

    """

    def __init__(self, producer: Producer, steps_so_far: Callable[[], int]) -> None:
        self._events = Akosha(producer)
        self._steps_so_far, self._steps_before = steps_so_far, 0
        self._series = (
            _Series("load", lambda: os.getloadavg()[0] / (os.cpu_count() or 1)),
            _Series("steps-per-second", self._steps_per_second),
        )

    def _steps_per_second(self) -> float:
        before, self._steps_before = self._steps_before, self._steps_so_far()
        return float(self._steps_before - before)

    async def run(self) -> None:
        """Look once a second until cancelled."""
        for second in count(1):
            await asyncio.sleep(1)
            for series in self._series:
                await self._look(series, f"{os.getpid()}-{series.name}-{second}")
            if second % _AGGREGATE_EVERY == 0:
                await self._aggregate(second)

    async def _look(self, series: _Series, event_id: str) -> None:
        value, deviation = series.sample()
        if abs(deviation) > 3:
            sentence = f"{series.name} is {value:.2f}, {abs(deviation):.1f} standard deviations from the last readings"
            metrics = {"value": value, "deviation": deviation}
            await self._events.broadcast_anomaly_detected(
                event_id, series.name, _severity(deviation), sentence, metrics
            )
        shape = series.new_shape()
        if shape is not None:
            sentence = f"{series.name} is {shape[0]} over the last {_SETTLED} seconds"
            metadata = {"series": series.name, "newest": value}
            await self._events.broadcast_pattern_detected(event_id, shape[0], sentence, shape[1], metadata)

    async def _aggregate(self, second: int) -> None:
        summary = {
            series.name: {"mean": statistics.fmean(series.values), "max": max(series.values)} for series in self._series
        }
        records = sum(len(series.values) for series in self._series)
        await self._events.broadcast_aggregation_completed(f"{os.getpid()}-{second}", "demo", records, summary)


def _severity(deviation: float) -> Severity:
    size = abs(deviation)
    return "critical" if size > 8 else "high" if size > 6 else "medium" if size > 4 else "low"

"""Durations of the demo's own steps: the skill metrics of session-buddy. The work of a step is not known here."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from bus.event import now

__all__ = ["Steps"]

_SETTLED: Final = 30
"""Invocations before a deviation means anything."""
_DEVIATION: Final = 4.0


@dataclass
class _Skill:
    """Count, failures, and running mean and variance of the durations (Welford's method)."""

    # Running figures, since a demo may run for days: a list of all durations would grow without a bound.

    invocations: int = 0
    failures: int = 0
    mean_s: float = 0.0
    spread: float = 0.0
    recent: list[float] = field(default_factory=list)

    def add(self, duration_s: float, *, failed: bool) -> None:
        self.invocations += 1
        self.failures += failed
        delta = duration_s - self.mean_s
        self.mean_s += delta / self.invocations
        self.spread += delta * (duration_s - self.mean_s)
        self.recent.append(duration_s)

    def deviation(self) -> float:
        """Return the distance of the newest durations' mean from the mean of all, in standard errors.

        The newest durations are forgotten then.
        """
        recent, self.recent = self.recent, []
        if not recent or self.invocations < _SETTLED or self.spread == 0:
            return 0.0
        error = math.sqrt(self.spread / (self.invocations - 1) / len(recent))
        return (sum(recent) / len(recent) - self.mean_s) / error


class Steps:
    """Counts and times steps by name. For one thread: workers hand their durations to the event loop's."""

    def __init__(self) -> None:
        self._skills: dict[str, _Skill] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time the block; an exception counts as a failure."""
        began, failed = time.perf_counter(), True
        try:
            yield
            failed = False
        finally:
            self.add(name, time.perf_counter() - began, failed=failed)

    def add(self, name: str, duration_s: float, *, failed: bool = False) -> None:
        """Count one step."""
        self._skills.setdefault(name, _Skill()).add(duration_s, failed=failed)

    @property
    def total(self) -> int:
        """How many steps were counted."""
        return sum(skill.invocations for skill in self._skills.values())

    def read(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return skills and anomalies in session-buddy's form."""
        skills = [
            {
                "skill_name": name,
                "total_invocations": skill.invocations,
                "completion_rate": 100.0 * (skill.invocations - skill.failures) / skill.invocations,
                "avg_duration_seconds": skill.mean_s,
            }
            for name, skill in self._skills.items()
        ]
        deviations = [(name, skill.deviation()) for name, skill in self._skills.items()]
        anomalies = [
            {
                "skill_name": name,
                "detected_at": now(),
                "anomaly_type": "spike" if deviation > 0 else "drop",
                "deviation_score": abs(deviation),
            }
            for name, deviation in deviations
            if abs(deviation) > _DEVIATION
        ]
        return skills, anomalies

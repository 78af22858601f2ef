"""Rows of a table, with a value per turn and peer, and the facts that a reader needs beside the values."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.machine import description
from benchmarks.stand import Turn

__all__ = ["OURS", "Result", "Row", "Sample"]

OURS: Final = "ours"
DISTURBED: Final = 0.1
"""The share of the server's core that others may have before a run counts as disturbed."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The figure of a turn; ``detail`` is the generator's report with processor times."""

    value: float
    foreign: float = 0.0
    detail: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, turn: Turn, value: float) -> "Sample":
        """Return the figure of a turn."""
        detail = {**turn.answer, "cpu_s": turn.cpu_s, "redis_cpu_s": turn.redis_cpu_s, "load_cpu_s": turn.load_cpu_s}
        detail["load_foreign"] = round(turn.load_foreign, 3)
        return cls(value, turn.foreign, detail)


@dataclass(slots=True)
class Row:
    """A work: the figures of all peers.

    Attributes:
        name: for the command line and the file.
        title: for the table.
        unit: of the figures.
        is_more_better: false where the lower figure wins.
        samples: by peer.
        refused: why a peer has no figure, by peer.
        notes: what a reader of the figures must know.

    """

    name: str
    title: str
    unit: str
    is_more_better: bool = True
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, peer: str, sample: Sample) -> None:
        """Take a further figure of a peer."""
        self.samples.setdefault(peer, []).append(sample)

    def middle(self, peer: str) -> float | None:
        """Return a peer's median; None if the peer has no figure, or failed once."""
        its = self.samples.get(peer)
        return median(it.value for it in its) if its and peer not in self.refused else None

    def spread(self, peer: str) -> float:
        """Return the distance of a peer's lowest and highest figure, as a share of the median."""
        values = [it.value for it in self.samples[peer]]
        middle = median(values)
        return (max(values) - min(values)) / middle if middle else 0.0

    def ratio(self, peer: str) -> float | None:
        """Return how many times as good as the peer our edge is: more than 1 is ahead, in any unit.

        Turn by turn where both had as many turns: a disturbance of a turn probably lasted into the next.
        """
        if self.middle(OURS) is None or self.middle(peer) is None:
            return None
        ours, theirs = ([it.value for it in self.samples[name]] for name in (OURS, peer))
        pairs = list(zip(ours, theirs, strict=True)) if len(ours) == len(theirs) else [(median(ours), median(theirs))]
        ratios = [(a / b if self.is_more_better else b / a) for a, b in pairs if a and b]
        return median(ratios) if ratios else None


@dataclass(slots=True)
class Result:
    """A run."""

    peers: dict[str, str]
    """Versions by name, in the order of the table."""
    missing: dict[str, str]
    """Reasons by the name of a peer that could not be installed."""
    settings: dict[str, Any]
    rows: dict[str, Row] = field(default_factory=dict)
    began: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    took_s: dict[str, float] = field(default_factory=dict)
    """Seconds by row; crowds that several rows share are called by their shape."""

    def row(self, name: str, title: str, unit: str, *, is_more_better: bool = True) -> Row:
        """Return the named row; the first call makes the row."""
        return self.rows.setdefault(name, Row(name, title, unit, is_more_better))

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note how long a part of the run took."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.took_s[name] = self.took_s.get(name, 0.0) + time.monotonic() - began

    def foreign(self) -> float:
        """Return the median share of other programs in the server's core during turns."""
        shares = [it.foreign for row in self.rows.values() for its in row.samples.values() for it in its if it.detail]
        return median(shares) if shares else 0.0

    def is_disturbed(self) -> bool:
        """Tell whether other programs had more of the core than figures bear."""
        return self.foreign() > DISTURBED

    def as_json(self) -> str:
        """Return the run as JSON, with every turn."""
        value = {
            "began": self.began,
            "machine": description(),
            "settings": self.settings,
            "foreign": round(self.foreign(), 3),
            "peers": self.peers,
            "missing": self.missing,
            "took_s": {name: round(took) for name, took in self.took_s.items()},
            "rows": [self._row_as_json(row) for row in self.rows.values()],
        }
        return json.dumps(value, indent=1) + "\n"

    def _row_as_json(self, row: Row) -> dict[str, Any]:
        figures = {
            peer: {
                "median": _rounded(row.middle(peer)),
                "ours_to_it": _rounded(row.ratio(peer)),
                "turns": [_rounded(it.value) for it in its],
                "foreign": _rounded(median(it.foreign for it in its)),
                "last": dict(its[-1].detail),
            }
            for peer, its in row.samples.items()
        }
        kind = {"name": row.name, "title": row.title, "unit": row.unit, "is_more_better": row.is_more_better}
        return {**kind, "figures": figures, "refused": row.refused, "notes": row.notes}

    def write(self, folder: Path) -> Path:
        """Write ``<date>.json`` into ``folder``; return the path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.began[:10]}.json"
        path.write_text(self.as_json())
        return path


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")

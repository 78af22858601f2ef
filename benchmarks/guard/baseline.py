"""What the paths cost when somebody last looked, and whether they have become dearer. Pure, but for the file.

Costs are multiples of the floor, work of Python alone, counted in the same run. So a Python that was built otherwise
moves both, and a path that got dearer moves one.
"""

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.guard.counting import FLOOR, Counts

__all__ = ["FILE", "LIMIT", "interpreter", "judged", "kept", "put_down", "ratios"]

FILE: Final = Path(__file__).with_name("baseline.json")
LIMIT: Final = 0.15
"""A path may be dearer by as much."""
_OF_ANOTHER: Final = 0.40
"""The same for a Python without a baseline of its own, held against the first in the file: versions differ."""

Ratios = dict[str, float]


def interpreter() -> str:
    """Return the name of this Python in the file."""
    return f"{platform.python_implementation()} {'.'.join(platform.python_version_tuple()[:2])}"


def ratios(counts: Counts) -> Ratios:
    """Return each path's cost as a multiple of the floor."""
    return {path: float(f"{count / counts[FLOOR]:.4g}") for path, count in counts.items() if path != FLOOR}


def kept(file: Path = FILE) -> tuple[Ratios, float]:
    """Return the baseline for this Python, and by how much a path may be dearer."""
    baselines: Mapping[str, Ratios] = json.loads(file.read_text())
    if interpreter() in baselines:
        return baselines[interpreter()], LIMIT
    return next(iter(baselines.values())), _OF_ANOTHER


def judged(now: Ratios, before: Ratios, limit: float) -> list[str]:
    """Return a sentence for each path that is dearer than allowed, or that one of the two does not know."""
    unknown = [f"{path}: counted on one side only; write the baseline anew" for path in now.keys() ^ before.keys()]
    return unknown + [
        f"{path}: {now[path] / before[path] - 1:.0%} dearer ({before[path]:g} to {now[path]:g} times the floor); "
        f"at most {limit:.0%} is let pass"
        for path in now.keys() & before.keys()
        if now[path] > before[path] * (1 + limit)
    ]


def put_down(now: Ratios, file: Path = FILE) -> None:
    """Make ``now`` this Python's baseline; others stay."""
    baselines = json.loads(file.read_text()) if file.exists() else {}
    baselines[interpreter()] = now
    file.write_text(json.dumps(baselines, indent=2) + "\n")

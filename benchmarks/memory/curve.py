"""Samples of a process over time, the slope of each figure, and whether it is flat. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["BOUNDS", "Sample", "Slopes", "drawn", "settled", "settles_s", "slopes", "verdict"]

BOUNDS: Final[Mapping[str, float]] = {"own_kb": 64.0, "kept": 300.0, "fds": 1.0, "tasks": 1.0}
"""What a figure may grow by in a minute: less than a third of a kilobyte for each of 200 connections that end in it."""

_SETTLES_S: Final = 300.0
_SETTLES_SHARE: Final = 0.4
_LONG_MIN: Final = 25.0
"""In less time collections and pools move the slope; then a figure may grow by as much as in these minutes."""
_WIDTH: Final = 640
_HEIGHT: Final = 200
_LEFT: Final = 60
_COLOURS: Final = ("#1f6feb", "#d4730b")


@dataclass(frozen=True, slots=True)
class Sample:
    """A process at one moment.

    Attributes:
        at_s: since the run began.
        own_kb: memory that no file stands behind, such as the heap (proc(5), smaps_rollup, Anonymous).
        rss_kb: memory, with the pages of programs and libraries, which others have in common.
        fds: open files.
        tasks: of asyncio.
        objects: that the garbage collector knows; garbage waits for its next collection among them.
        kept: the same after a collection; None where none was made.

    """

    at_s: float
    own_kb: int
    rss_kb: int
    fds: int
    tasks: int
    objects: int
    kept: int | None = None


Slopes = dict[str, float]
"""What each figure grows by in a minute."""


def settles_s(length_s: float) -> float:
    """Return after how long a run of ``length_s`` is judged: five minutes; in a short run two fifths.

    Until then windows of recent events and pools of memory fill up.
    """
    return min(_SETTLES_S, length_s * _SETTLES_SHARE)


def settled(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples that are judged."""
    return [it for it in samples if it.at_s >= settles_s(samples[-1].at_s)]


def slopes(samples: Sequence[Sample]) -> Slopes:
    """Return the slope of each figure in a minute, by least squares; of objects, between those kept by collections."""
    # A collection of all generations comes every few minutes: the objects before it are a saw.
    return {
        name: _slope([(it.at_s / 60, value) for it in samples if (value := getattr(it, name)) is not None])
        for name in BOUNDS
    }


def _slope(points: Sequence[tuple[float, float]]) -> float:
    if not points:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def verdict(samples: Sequence[Sample]) -> list[str]:
    """Return a sentence for each figure that grows; empty: flat."""
    found, minutes = slopes(samples), (samples[-1].at_s - samples[0].at_s) / 60
    bounds = {name: bound * max(1.0, _LONG_MIN / max(minutes, 1 / 60)) for name, bound in BOUNDS.items()}
    return [
        f"{name} grows by {found[name]:.1f} a minute, at most {bound:.0f} is flat in {minutes:.1f} minutes"
        for name, bound in bounds.items()
        if found[name] > bound
    ]


def drawn(curves: Mapping[str, Sequence[Sample]]) -> str:
    """Return the memory of each process over time as SVG."""
    most_kb = max(it.own_kb for samples in curves.values() for it in samples) * 1.1
    most_s = max(samples[-1].at_s for samples in curves.values()) or 1.0
    lines = []
    for (name, samples), colour in zip(curves.items(), _COLOURS, strict=False):
        points = [(_LEFT + it.at_s / most_s * _WIDTH, _HEIGHT * (1 - it.own_kb / most_kb)) for it in samples]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        lines.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{path}"/>')
        label = f"{name}: {samples[-1].own_kb / 1024:.1f} MB"
        lines.append(f'<text x="{_LEFT + 8}" y="{points[-1][1] - 6:.0f}" fill="{colour}">{label}</text>')
    frame = f"M{_LEFT} 0 V{_HEIGHT} H{_LEFT + _WIDTH}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -10 {_LEFT + _WIDTH + 20} {_HEIGHT + 40}" '
        'font-family="sans-serif" font-size="12">\n'
        f'<path d="{frame}" fill="none" stroke="#888"/>\n' + "\n".join(lines) + "\n"
        f'<text x="0" y="10" fill="#888">{most_kb / 1024:.0f} MB</text>'
        f'<text x="{_LEFT + _WIDTH - 40}" y="{_HEIGHT + 18}" fill="#888">{most_s / 60:.0f} min</text>\n</svg>\n'
    )

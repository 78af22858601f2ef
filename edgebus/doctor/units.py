"""Figures in sentences."""

from collections.abc import Sequence
from typing import Final

__all__ = ["days", "median", "milliseconds", "seconds", "size"]

_STEP: Final = 1024
_DAY_S: Final = 86_400
_HOUR_S: Final = 3_600
_MINUTE_S: Final = 60
_SECOND_MS: Final = 1000
_TEN: Final = 10


def size(number: float) -> str:
    """Return a number of bytes, such as ``12.5 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(number) < _STEP:
            return f"{number:.3g} {unit}" if abs(number) < _STEP / _TEN else f"{number:.0f} {unit}"
        number /= _STEP
    return f"{number:.3g} TiB"


def seconds(number: float) -> str:
    """Return a duration, such as ``3 h``."""
    for unit, whole in (("days", _DAY_S), ("h", _HOUR_S), ("min", _MINUTE_S)):
        if number >= 2 * whole:
            return f"{number // whole:.0f} {unit}"
    return f"{number:.3g} s"


def milliseconds(number: float) -> str:
    """Return a short duration, such as ``0.21 ms``."""
    return (
        f"{number:.2g} ms"
        if abs(number) < _TEN
        else f"{number:.0f} ms"
        if abs(number) < _SECOND_MS
        else seconds(number / _SECOND_MS)
    )


def days(number_s: float) -> str:
    """Return a duration in whole days."""
    return f"{number_s // _DAY_S:.0f} days"


def median(values: Sequence[float]) -> float:
    """Return the middle of ``values``; 0 without values."""
    return sorted(values)[len(values) // 2] if values else 0.0

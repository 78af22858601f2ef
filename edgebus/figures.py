"""Figures for people: counts, bytes, rates and times, each short enough for a column. Pure."""

from datetime import UTC, datetime
from typing import Final

__all__ = ["age", "amount", "clock_time", "count", "rate", "shortened"]

_BYTES: Final = ("B", "KB", "MB", "GB", "TB")
_SPANS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def count(number: float | None) -> str:
    """Return a whole number with commas; ``-`` for an unknown number."""
    return "-" if number is None else f"{int(number):,}"


def rate(number: float | None) -> str:
    """Return events a second: small rates with a digit behind the point, since 0 means no event."""
    if number is None:
        return "-"
    return f"{number:,.0f}" if number >= 10 or number == 0 else f"{number:.1f}"


def amount(size: float | None) -> str:
    """Return a number of bytes in the fitting unit."""
    if size is None:
        return "-"
    for unit in _BYTES:
        if size < 1000 or unit == _BYTES[-1]:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    return "-"


def age(seconds: float | None) -> str:
    """Return a span of time, as ``3 h`` or ``12 s``; a negative span, of different clocks, is ``0 s``."""
    if seconds is None:
        return "-"
    seconds = max(0.0, seconds)
    size, unit = next(((size, unit) for size, unit in _SPANS if seconds >= 2 * size or size == 1))
    return f"{int(seconds // size)} {unit}"


def clock_time(ms: int | None) -> str:
    """Return a date and a time of day, UTC, of milliseconds since 1970; ``-`` for an impossible or unknown time."""
    try:
        return "-" if ms is None else f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"
    except (OverflowError, ValueError, OSError):
        return "-"


def shortened(text: str, limit: int) -> str:
    """Return ``text`` with the middle left out where longer than ``limit``: ids differ at both ends."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}…{text[len(text) - tail :]}"

"""Events on their way to pages: filters, a sample of a flood, and delays. Pure."""

import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import field
from datetime import datetime
from typing import Any, Final

import orjson

from bus.values import frozen, mutable
from edgebus.dashboard.names import Names, is_channel

__all__ = ["Filter", "Flow", "Taken", "Viewer", "row_of"]

SHOWN_A_SECOND: Final = 50
"""More events a second than that are sampled."""
_PENDING: Final = 150
_PREVIEW: Final = 400
_KEPT: Final = 600
_KEPT_BYTES: Final = 16 * 1024 * 1024
_LATENCIES: Final = 3_000
_SPAN_MS: Final = 60_000
_SAMPLE_MS: Final = 20
_HEADS: Final = 2_000
_GOLDEN: Final = 2_654_435_769
_WHOLE: Final = 2**32


@mutable
class Taken:
    """A line of Redis.

    Attributes:
        number: counts from 1 on.
        channel: the name in Redis.
        at_ms: when the line came here.
        value: the line read; None before somebody needed it, or where the line is no JSON object.

    """

    number: int
    channel: str
    line: bytes
    at_ms: float
    value: dict[str, Any] | None = None
    is_read: bool = False

    def read(self) -> dict[str, Any]:
        """Return the line as an object; an empty one for a line that is none."""
        if not self.is_read:
            self.is_read = True
            try:
                value = orjson.loads(self.line)
            except orjson.JSONDecodeError:
                value = None
            self.value = value if isinstance(value, dict) else None
        return self.value or {}


@frozen
class Filter:
    """The conditions of a page; an empty text is none. ``channel`` begins the name, or is all of it."""

    service: str = ""
    channel: str = ""
    event: str = ""
    text: str = ""
    exact: bool = False

    @classmethod
    def of(cls, data: Any) -> "Filter":
        """Read a page's filter."""
        known = data if isinstance(data, dict) else {}
        texts = {name: str(known.get(name) or "")[:200] for name in ("service", "channel", "event", "text")}
        return cls(**texts, exact=known.get("exact") is True)

    def matches(self, taken: Taken, service: str) -> bool:
        """Tell whether a line is wanted; the line is read only where its bytes may fit."""
        if self.service and self.service != service:
            return False
        if self.channel and not (taken.channel == self.channel if self.exact else self.channel in taken.channel):
            return False
        if self.event and (
            self.event.encode() not in taken.line or self.event not in str(taken.read().get("event", ""))
        ):
            return False
        return not self.text or self._has_text(taken)

    def _has_text(self, taken: Taken) -> bool:
        wanted = self.text.casefold()
        return wanted in orjson.dumps(taken.read().get("data")).decode(errors="replace").casefold()


@mutable
class Viewer:
    """One page's view of the flow.

    Attributes:
        filter: what the page wants.
        matched: lines that the page wants, since the page began.
        every: one of so many is shown.
        pending: shown next.
        asked_ms: when the page last asked.

    """

    filter: Filter = field(default_factory=Filter)
    matched: int = 0
    every: int = 1
    pending: deque[Taken] = field(default_factory=lambda: deque(maxlen=_PENDING))
    asked_ms: float = 0.0
    _second: int = 0
    _in_second: int = 0

    def take(self, taken: Taken, service: str) -> bool:
        """Take a line; tell whether the page will show the line."""
        if not self.filter.matches(taken, service):
            return False
        # The share of a second is of the second before: known when the first line comes, and said beside the rows.
        second = int(taken.at_ms // 1000)
        if second != self._second:
            self.every = max(1, math.ceil(self._in_second / SHOWN_A_SECOND)) if second == self._second + 1 else 1
            self._second, self._in_second = second, 0
        self.matched += 1
        self._in_second += 1
        # Every other line would always be the same of two that come in turn: drawn by the golden ratio instead.
        if self.every > 1 and self.matched * _GOLDEN % _WHOLE * self.every >= _WHOLE:
            return False
        self.pending.append(taken)
        return True

    def answer(self, names: Names, now_ms: float) -> dict[str, Any]:
        """Return the rows since the last answer."""
        self.asked_ms = now_ms
        rows = [row_of(it, names) for it in self.pending]
        self.pending.clear()
        return {"rows": rows, "matched": self.matched, "every": self.every}


class Flow:
    """The lines of all channels.

    Args:
        names: channels to services.
        clock_ms: milliseconds since 1970.

    Attributes:
        total: lines since the first page opened.

    """

    def __init__(self, names: Names, clock_ms: Callable[[], float]) -> None:
        self.names, self._clock_ms = names, clock_ms
        self.viewers: dict[str, Viewer] = {}
        self.total = 0
        self._kept: deque[Taken] = deque()
        self._kept_bytes = 0
        self._late: deque[tuple[float, float]] = deque(maxlen=_LATENCIES)
        self._sampled_ms = 0.0
        self._counts: Counter[str] = Counter()
        self.channels: dict[str, tuple[int, float]] = {}

    def take(self, channel: str, line: bytes) -> None:
        """Take a line; neither waits nor raises."""
        if not is_channel(channel):
            return
        now_ms = self._clock_ms()
        self.total += 1
        service = self.names.service(channel)
        self._counts[service] += 1
        if channel in self.channels or len(self.channels) < _HEADS:
            self.channels[channel] = self.channels.get(channel, (0, 0.0))[0] + 1, now_ms
        taken = Taken(self.total, channel, line, now_ms)
        wanted = [viewer.take(taken, service) for viewer in self.viewers.values()]
        if any(wanted):
            self._keep(taken)
        # Reading each line would cost more than all else here; fifty a second make a median.
        if now_ms - self._sampled_ms >= _SAMPLE_MS:
            self._sampled_ms = now_ms
            self._note(taken)

    def _keep(self, taken: Taken) -> None:
        self._kept.append(taken)
        self._kept_bytes += len(taken.line)
        # For a click on a row: channels without a log have their lines here alone.
        while len(self._kept) > _KEPT or (self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1):
            self._kept_bytes -= len(self._kept.popleft().line)

    def _note(self, taken: Taken) -> None:
        published_ms = _ms(taken.read().get("timestamp"))
        if published_ms is not None:
            self._late.append((taken.at_ms, max(0.0, taken.at_ms - published_ms)))

    def kept(self, number: int) -> Taken | None:
        """Return a line of some page, as long as the line is kept."""
        return next((it for it in self._kept if it.number == number), None)

    def counts(self) -> dict[str, int]:
        """Return lines by service since the first page opened."""
        return dict(self._counts)

    def latencies(self) -> dict[str, float | int | None]:
        """Return p50 and p99 of the last minute, from the publisher's clock to this one, of a sample."""
        since = self._clock_ms() - _SPAN_MS
        late = sorted(value for at, value in self._late if at >= since)
        if not late:
            return {"p50": None, "p99": None, "count": 0}
        return {"p50": late[len(late) // 2], "p99": late[min(len(late) - 1, len(late) * 99 // 100)], "count": len(late)}

    def forget(self, idle_ms: float) -> None:
        """Forget pages that have not asked for so long."""
        now_ms = self._clock_ms()
        for name, viewer in list(self.viewers.items()):
            if now_ms - viewer.asked_ms > idle_ms:
                del self.viewers[name]


def row_of(taken: Taken, names: Names) -> dict[str, Any]:
    """Return the row of a line: everything but the whole of long data."""
    value = taken.read()
    data = orjson.dumps(value.get("data")).decode(errors="replace") if value else taken.line.decode(errors="replace")
    return {
        "number": taken.number,
        "channel": taken.channel,
        "service": names.service(taken.channel),
        "event": _text(value.get("event")),
        "id": _text(value.get("id")),
        "timestamp": _text(value.get("timestamp")),
        "position": _text(value.get("position")),
        "at": taken.at_ms,
        "size": len(taken.line),
        "preview": data[:_PREVIEW],
        "isEvent": bool(value) and isinstance(value.get("event"), str) and isinstance(value.get("data"), dict),
    }


def _text(value: Any) -> str | None:
    return value[:300] if isinstance(value, str) else None


def _ms(value: Any) -> float | None:
    try:
        return datetime.fromisoformat(value).timestamp() * 1000 if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None

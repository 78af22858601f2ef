"""The stages of traced events in an edge: noted at the hand-over, written to Redis by a task apart."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from bus import spans
from bus.traces.lines import Marked, read_marked
from bus.traces.stages import Handover, iso
from bus.traces.store import TraceStore
from edges.limits.mishaps import Mishaps
from edges.rooms.traced import TracedLine

__all__ = ["Traces"]

_WAITING: Final = 1_000
_WAITING_BYTES: Final = 4 * 1024 * 1024
_ROUND_S: Final = 0.25
_WRITTEN: Final = 25
"""A hundred events a second are written to Redis, at most: the rest is for spans alone."""


class Traces:
    """Keeps the stages of traced events.

    Args:
        store: in Redis.
        edge_id: names the edge.
        offset_ms: the edge's clock, less Redis'; None before the two were compared.

    Attributes:
        left_out: events beyond the bounds, of waiting or of writing.

    """

    def __init__(self, store: TraceStore, edge_id: str, offset_ms: Callable[[], float | None]) -> None:
        self._store, self._edge_id, self._offset_ms = store, edge_id, offset_ms
        self._waiting: deque[TracedLine] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self.left_out = 0

    def note(self, traced: TracedLine) -> None:
        """Take note of a line behind the hand-over. Never waits and never raises."""
        if len(self._waiting) >= _WAITING or self._bytes + len(traced.line) > _WAITING_BYTES:
            self.left_out += 1
            return
        self._waiting.append(traced)
        self._bytes += len(traced.line)
        self._wake.set()

    async def run(self, mishaps: Mishaps) -> None:
        """Write noted lines, round by round; wait while there are none."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            # No timer while nothing is traced; behind a round a pause, so that a flood is many events a pipeline.
            with mishaps.spared("traces"):
                await self.write()
            await asyncio.sleep(_ROUND_S)

    async def write(self) -> None:
        """Write the lines noted so far.

        Raises:
            BusUnavailable: Redis is away; the lines noted are lost.
            BusError: Redis refused; likewise.

        """
        noted, self._waiting, self._bytes = self._waiting, deque(), 0
        pairs = [(marked, it) for it in noted if (marked := read_marked(it.line)) is not None]
        if spans.is_loaded():  # for all, and before Redis is asked: a collector need not wait for Redis
            for marked, traced in pairs:
                self._record(marked, traced)
        self.left_out += max(0, len(pairs) - _WRITTEN)
        if pairs:
            await self._store.add([(marked, self._handover(it)) for marked, it in pairs[:_WRITTEN]])

    def _record(self, marked: Marked, traced: TracedLine) -> None:
        if marked.traceparent is not None:
            spans.handed_over(
                marked.traceparent,
                channel=traced.channel,
                event=marked.event,
                event_id=marked.id,
                edge=self._edge_id,
                clients=traced.clients,
                read_ns=traced.read_ns,
                written_ns=traced.written_ns,
            )

    def _handover(self, traced: TracedLine) -> Handover:
        offset_ns = (self._offset_ms() or 0.0) * 1e6
        read, written = iso(traced.read_ns - offset_ns), iso(traced.written_ns - offset_ns)
        return Handover(self._edge_id, traced.channel, read, written, traced.clients, traced.is_held)

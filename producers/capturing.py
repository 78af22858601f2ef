"""A producer for tests: validates and composes as the real one does, and keeps the events instead of sending them.

::

    producer = CapturingProducer()
    await Mahavishnu(producer).broadcast_workflow_started("wf_123", {})
    assert producer.events == [WorkflowStarted(workflow_id="wf_123")]
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from bus.channel import Channel
from bus.envelope import LINE_LIMIT_BYTES, compose, splice
from bus.errors import BusError
from bus.event import Event, attempt, check_events, remember
from bus.log.publication import Published
from bus.position import BEGINNING
from producers.statistics import ProducerStatistics

__all__ = ["BlockingCapturingProducer", "Captured", "CapturedBatch", "CapturingProducer"]

_BEGAN_MS: Final = 1_000_000_000_000


class Captured:
    """What was published: the part that both capturing producers share. Needs not be opened.

    Attributes:
        events: the events, in order; a repeated one is there once.
        lines: channel name to the lines that its subscribers would have read, oldest first.

    """

    def __init__(self, *, limit_bytes: int = LINE_LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._known: dict[str, Published] = {}
        self._last: dict[str, str] = {}
        self.events: list[Event] = []
        self.lines: defaultdict[str, list[bytes]] = defaultdict(list)

    def clear(self) -> None:
        """Forget the events and the lines; positions go on."""
        self.events.clear()
        self.lines.clear()

    def emit(self, event: Event) -> bool:
        """Keep ``event``; True, as the outbox has room."""
        self._capture(event)
        return True

    def statistics(self) -> ProducerStatistics:
        """Return the counters: what was published."""
        return ProducerStatistics(published=len(self._known))

    def _capture(self, event: Event, *, repeated: bool = False) -> Published:
        made = attempt(event, repeated=repeated)
        message = compose(event, limit_bytes=self._limit_bytes, made=made)
        remember(event, made)
        if made.id not in self._known:
            positions = {channel.name: self._place(channel, line) for channel, line in message.lines}
            self._known[made.id] = Published(made.id, positions, 0)
            self.events.append(event)
        return self._known[made.id]

    def _place(self, channel: Channel, line: bytes) -> str | None:
        if channel.retention.kind == "live":
            self.lines[channel.name].append(splice(line, None, None))
            return None
        previous = self._last.get(channel.name, BEGINNING)
        position = self._last[channel.name] = f"{_BEGAN_MS + len(self._known)}-1"
        self.lines[channel.name].append(splice(line, position, previous))
        return position


class CapturingProducer(Captured):
    """Stands in for ``producers.Producer`` in tests; no call waits for anything."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    async def publish(self, event: Event, *, deadline_s: float | None = None, repeated: bool = False) -> Published:
        """Keep ``event``, and answer as Redis would without subscribers."""
        return self._capture(event, repeated=repeated)

    async def publish_all(
        self, events: Sequence[Event], *, deadline_s: float | None = None, repeated: bool = False
    ) -> list[Published]:
        """Keep several events; all are validated before the first is kept."""
        check_events(events)
        for event in events:
            compose(event, limit_bytes=self._limit_bytes)
        return [self._capture(event, repeated=repeated) for event in events]

    async def publish_every(self, interval_s: float, make: Callable[[], Sequence[Event]]) -> None:
        """Keep what ``make`` returns every ``interval_s`` seconds; ends only with an exception."""
        while True:
            await self.publish_all(make())
            await asyncio.sleep(interval_s)

    async def emit_wait(self, event: Event, *, timeout_s: float | None = None) -> bool:
        """Keep ``event``."""
        return self.emit(event)

    async def flush(self, timeout_s: float | None = None) -> bool:
        """Return True: nothing waits."""
        return True

    def batch(self, *, deadline_s: float | None = None) -> "_AsyncBatch":
        """Return a batch whose events are kept when its block ends."""
        return _AsyncBatch(self)


class BlockingCapturingProducer(Captured):
    """Stands in for ``producers.blocking.Producer`` in tests."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def publish(self, event: Event, *, deadline_s: float | None = None, repeated: bool = False) -> Published:
        """Keep ``event``, and answer as Redis would without subscribers."""
        return self._capture(event, repeated=repeated)

    def publish_all(
        self, events: Sequence[Event], *, deadline_s: float | None = None, repeated: bool = False
    ) -> list[Published]:
        """Keep several events; all are validated before the first is kept."""
        check_events(events)
        for event in events:
            compose(event, limit_bytes=self._limit_bytes)
        return [self._capture(event, repeated=repeated) for event in events]

    def publish_every(self, interval_s: float, make: Callable[[], Sequence[Event]]) -> None:
        """Keep what ``make`` returns every ``interval_s`` seconds; ends only with an exception."""
        while True:
            self.publish_all(make())
            time.sleep(interval_s)

    def emit_wait(self, event: Event, *, timeout_s: float | None = None) -> bool:
        """Keep ``event``."""
        return self.emit(event)

    def flush(self, timeout_s: float | None = None) -> bool:
        """Return True: nothing waits."""
        return True

    def batch(self, *, deadline_s: float | None = None) -> "_BlockingBatch":
        """Return a batch whose events are kept when its block ends."""
        return _BlockingBatch(self)


CapturedT = TypeVar("CapturedT", bound=Captured)


class CapturedBatch(Generic[CapturedT]):
    """Events that are kept together when the block ends; none is if it ends with an exception."""

    def __init__(self, producer: CapturedT) -> None:
        self._producer = producer
        self._events: list[tuple[Event, bool]] = []
        self.results: list[Published | BusError] = []

    def add(self, event: Event, *, repeated: bool = False) -> None:
        """Add ``event``; it is validated here."""
        compose(event, limit_bytes=self._producer._limit_bytes)  # noqa: SLF001 (one module)
        self._events.append((event, repeated))

    def _keep(self) -> list[Published | BusError]:
        events, self._events = self._events, []
        self.results = [self._producer._capture(event, repeated=it) for event, it in events]  # noqa: SLF001 (one module)
        return self.results


class _AsyncBatch(CapturedBatch[CapturingProducer]):
    async def publish(self) -> list[Published | BusError]:
        """Keep what was added, and return ``results``."""
        return self._keep()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep the events, unless the block ended with an exception."""
        if kind is None:
            self._keep()


class _BlockingBatch(CapturedBatch[BlockingCapturingProducer]):
    def publish(self) -> list[Published | BusError]:
        """Keep what was added, and return ``results``."""
        return self._keep()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Keep the events, unless the block ended with an exception."""
        if kind is None:
            self._keep()

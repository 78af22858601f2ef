"""Producers for tests: the real producers on a log in memory; events are kept, and not sent.

::

    producer = CapturingProducer()
    await Mahavishnu(producer).broadcast_workflow_started("wf_123", {})
    assert producer.events == [WorkflowStarted(workflow_id="wf_123")]
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, Final, Self

from bus.envelope import LINE_LIMIT_BYTES
from bus.event import Event
from bus.log.kept_state import KeptState
from bus.log.memory import MemoryLog
from bus.log.publisher import Publisher
from producers.background import Background
from producers.blocking import Producer as BlockingProducer
from producers.guard import renew_after_fork
from producers.outbox import Item, Outbox
from producers.producer import Producer
from producers.sender import LOGGER, Sender
from producers.statistics import ProducerStatistics

__all__ = ["BlockingCapturingProducer", "CapturingProducer"]

_URL: Final = "redis://127.0.0.1:6390"
"""Stands where a URL is wanted; nothing connects."""
_NAME: Final = "capturing"


class CapturingProducer(Producer):
    """Stands in for ``producers.Producer`` in tests. Needs not be opened, and no call waits.

    ``emit`` may be called without an event loop; the event is with the log when ``emit`` returns.

    Attributes:
        events: the events, in order; a repeated event is there once.
        lines: channel name to the lines for subscribers, oldest first.
        states: channel name to the state of a channel that keeps one.

    """

    def __init__(self, *, limit_bytes: int = LINE_LIMIT_BYTES) -> None:
        super().__init__(_URL, name=_NAME, limit_bytes=limit_bytes)
        self._log = MemoryLog()
        self._ids: set[str] = set()
        self._at_once = _SenderAtOnce(self._outbox, self._log, self._keep)
        self._sender = self._at_once
        self._sender.open()
        self.events: list[Event] = []
        self.lines: defaultdict[str, list[bytes]] = self._log.lines
        self.states: Mapping[str, KeptState] = self._log.states
        renew_after_fork(self, CapturingProducer._after_fork)

    async def open(self) -> Self:
        """Return the producer, which needs no opening."""
        return self

    async def close(self) -> None:
        """Return at once: no event waits."""

    def clear(self) -> None:
        """Forget the events and the lines; positions go on."""
        self.events.clear()
        self.lines.clear()

    def statistics(self) -> ProducerStatistics:
        """Return the counters; a repeated event counts once."""
        return replace(super().statistics(), published=len(self._ids))

    def _keep(self, item: Item) -> None:
        # decisions/0020: a repeated publish is the same event, which tests expect to see once.
        if item.attempt.id not in self._ids:
            self._ids.add(item.attempt.id)
            self.events.append(item.event)

    def _check_open(self, *, from_anywhere: bool = False) -> None:
        """Allow any call, from any event loop, or from none."""

    def _emit(self, item: Item) -> bool:
        is_taken = self._outbox.put(item)
        self._sender.wake()
        return is_taken

    def _after_fork(self) -> None:
        """Go on in the child with a copy of the captured events: no connection is shared."""
        self._at_once.renew()
        self._sender.open()


class BlockingCapturingProducer(BlockingProducer):
    """Stands in for ``producers.blocking.Producer`` in tests; the first call opens the producer.

    Attributes:
        events: as of ``CapturingProducer``.
        lines: as of ``CapturingProducer``.

    """

    def __init__(self, *, limit_bytes: int = LINE_LIMIT_BYTES) -> None:
        super().__init__(_URL, name=_NAME, limit_bytes=limit_bytes)
        self._producer = captured = CapturingProducer(limit_bytes=limit_bytes)
        self.events, self.lines, self.clear = captured.events, captured.lines, captured.clear

    def open(self) -> Self:
        """Return the producer; the first call that needs the thread starts it."""
        return self

    def emit(self, event: Event, *, traceparent: str | None = None, trace: bool = False) -> bool:
        """Keep ``event``; needs no thread."""
        return self._producer.emit(event, traceparent=traceparent, trace=trace)

    def _check_open(self) -> Background:
        with self._lock:
            if self._background is None:
                super().open()
            return super()._check_open()


class _SenderAtOnce(Sender):
    """Sends to a log in memory: all waiting events, before ``wake`` returns."""

    def __init__(self, outbox: Outbox, log: MemoryLog, keep: Callable[[Item], None]) -> None:
        super().__init__(_URL, name=_NAME, outbox=outbox, replicas=0)
        self._publisher = _KeepingPublisher(outbox, keep)
        self._memory = log
        self.renew()

    def renew(self) -> None:
        """Be unlocked again: the holder of the lock stayed behind in the parent."""
        self._lock, self._is_sending = threading.RLock(), False

    def wake(self) -> None:
        """Send; a call from a signal handler leaves the event to the interrupted call."""
        # decisions/0061: reentrant, since a plain lock would have the handler wait for the call it interrupted.
        with self._lock:
            if self._is_sending:
                return
            self._is_sending = True
            try:
                while not self._outbox.is_empty:
                    _run(self._attempt(self._memory))
            finally:
                self._is_sending = False


class _KeepingPublisher(Publisher[Item]):
    def __init__(self, outbox: Outbox, keep: Callable[[Item], None]) -> None:
        super().__init__(outbox, name=_NAME, replicas=0, logger=LOGGER, now=time.monotonic)
        self._keep = keep

    def answer(self, item: Item) -> None:
        """Keep a published event, before the caller knows."""
        if not item.failed:
            self._keep(item)
        super().answer(item)


def _run(coroutine: Coroutine[Any, Any, object]) -> None:
    """Run a coroutine without waits, inside an event loop or outside."""
    # `asyncio.run` refuses inside of a loop, where `emit` is called as well.
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("a log in memory has nothing to wait for")

"""The inside of a producer: calls on their way to the sender, checked, validated, timed and traced.

Knows neither the producer's opening nor its words for users: ``producers.producer`` has both.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from bus.errors import BusError
from bus.event import Event, check_events
from bus.log.publication import Published
from bus.log.publisher import outcomes_of
from producers.batch import Outcomes, in_slices, whole
from producers.composer import Composer
from producers.outbox import FORKED, Item, Outbox, OutboxSettings
from producers.sender import Sender
from producers.tracing import NO_TRACE, Tracing, traced

if TYPE_CHECKING:
    from producers.metrics import ProducerMetrics

__all__ = ["Calls"]

_UNTIMED: Final = contextlib.nullcontext()


class Calls:
    """Calls of an open producer.

    Args:
        composer: makes events items.
        outbox: holds items that cannot leave at once, within the bounds of ``settings``.
        sender: sends.
        deadline_s: for how long a publish is tried unless the call says otherwise.

    """

    def __init__(
        self, composer: Composer, outbox: Outbox, settings: OutboxSettings, sender: Sender, deadline_s: float
    ) -> None:
        self._composer, self._outbox, self._settings = composer, outbox, settings
        self._sender, self._deadline_s = sender, deadline_s
        self._metrics: ProducerMetrics | None = None
        self._closing = self._is_noticed = False
        self._task: asyncio.Task[None] | None = None
        self._thread = 0
        self._loop: asyncio.AbstractEventLoop

    def _check_never_waits(self) -> None:
        # decisions/0021: refused always, not only when the outbox is full, so that the first test finds the mistake and
        # not the first outage.
        if self._settings.policy == "block":
            raise BusError("emit never waits, and the policy is block: use `await producer.emit_wait(event)`")

    def _check_open(self, *, from_anywhere: bool = False) -> None:
        if self._outbox.is_forked:
            raise BusError(FORKED)
        if self._task is None or self._closing:
            raise BusError("the producer is not open: use it as `async with Producer(...) as producer`")
        if self._task.done():
            raise BusError("the producer has failed; closing it raises the reason")
        if not from_anywhere and self._loop is not asyncio.get_running_loop():
            raise BusError("the producer is open in another event loop: open one in each, and after a fork a new one")

    async def _publish(self, items: Sequence[Item], deadline_s: float | None) -> Outcomes:
        self._check_open()
        limit_s = self._deadline_s if deadline_s is None else deadline_s
        with self._timed():
            return await in_slices(items, lambda part: self._publish_slice(part, limit_s))

    def _timed(self) -> contextlib.AbstractContextManager[object]:
        return _UNTIMED if self._metrics is None else self._metrics.duration.time()

    async def _publish_slice(self, items: Sequence[Item], deadline_s: float) -> Outcomes:
        """Return each item's outcome: at the deadline at the latest, and at once when cancelled."""
        return await outcomes_of(items, deadline_s, put=self._put, expire=self._sender.expire)

    def _put(self, items: Sequence[Item]) -> None:
        self._outbox.add(items)
        self._sender.wake()

    def _emit(self, item: Item) -> bool:
        is_taken = self._outbox.put(item)
        if self._is_noticed:  # the outbox is looked into soon; events of one turn of the loop leave together
            return is_taken
        self._is_noticed = True
        # decisions/0061: a signal handler or a finalizer may have interrupted the loop itself, just before the loop
        # waits. No task is under way then, and the loop is to be woken as from another thread.
        if threading.get_ident() == self._thread and asyncio.current_task(self._loop) is not None:
            self._loop.call_soon(self._notice)
        else:
            self._loop.call_soon_threadsafe(self._notice)
        return is_taken

    def _notice(self) -> None:
        """Wake the sender, and tell of drops from outside of ``emit``."""
        self._is_noticed = False
        self._sender.wake()
        if self._outbox.drops.has_untold:  # decisions/0021: `on_drop` may emit
            self._loop.call_soon(self._sender.tell)

    def _publishing(
        self, event: Event, deadline_s: float | None, tracing: Tracing, *, repeated: bool
    ) -> "asyncio.Future[Published]":
        """Begin to publish; return what is to be awaited."""
        self._check_open()
        item = self._composer.item(event, repeated=repeated, tracing=tracing)
        return self._sender.publish(item, self._deadline_s if deadline_s is None else deadline_s)

    def publish_across(
        self,
        event: Event,
        hand: Callable[[Callable[[Item, float], None], Item, float], Published],
        *,
        deadline_s: float | None,
        repeated: bool,
        traceparent: str | None,
        trace: bool,
    ) -> Published:
        """Publish from another thread than the loop's: ``hand`` has a call made in the loop, and returns the outcome.

        The event is validated in the caller's thread, and its trace is the caller's.
        """
        with traced(traceparent, trace=trace) as tracing, self._timed():
            item = self._composer.item(event, repeated=repeated, tracing=tracing)
            published = hand(self._take_over, item, self._deadline_s if deadline_s is None else deadline_s)
            tracing.end((published,))
            return published

    def _take_over(self, item: Item, deadline_s: float) -> None:
        """Send an item of another thread, which waits for ``item.done``: every error goes there."""
        try:
            self._check_open()
            self._sender.send(item, deadline_s)
        except BusError as error:
            if item.done is not None:
                item.done.set_exception(error)

    async def _publish_all(
        self, events: Sequence[Event], deadline_s: float | None, tracing: Tracing, *, repeated: bool
    ) -> list[Published]:
        self._check_open()
        check_events(events)
        items = await self._composer.items(events, repeated=repeated, tracing=tracing)
        outcomes = await self._publish(items, deadline_s)
        tracing.end(outcomes)
        return whole(outcomes)

    def _item(self, event: Event, traceparent: str | None, *, trace: bool) -> Item:
        """Return an emitted event's item; its span ends here, since the caller does not wait for Redis."""
        with_trace = traced(traceparent, trace=trace)
        if with_trace is NO_TRACE:  # the common case
            return self._composer.item(event, tracing=with_trace)
        with with_trace as tracing:
            item = self._composer.item(event, tracing=tracing)
            tracing.end([None])
        return item

"""The SDK for services: publish an event, and know that Redis has it; or emit it, and go on.

Publishes that are under way at the same time share round trips: one task owns the connection, takes what waits, and
sends it as one pipeline.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from bus.envelope import LINE_LIMIT_BYTES, compose
from bus.errors import BusError, BusUnavailable, OutboxFull
from bus.event import Event, attempt, check_events, remember
from bus.log.publication import Published
from bus.log.publisher import outcomes_of
from bus.redis.address import check_url, default_url
from producers.batch import Batch, Outcomes, slices, whole
from producers.leaving import close, keep_until_done
from producers.outbox import FORKED, DropReason, Item, OnDrop, Outbox, OutboxSettings
from producers.sender import LOGGER, Sender
from producers.statistics import ProducerStatistics

__all__ = ["DEADLINE_S", "Batch", "DropReason", "OutboxSettings", "Producer", "ProducerStatistics", "Published"]

DEADLINE_S: Final = 10.0
"""For how long a publish is tried: a Redis that restarts is back by then, and one that is gone is told."""
_TURN_S: Final = 0.005
_TURN_EVENTS: Final = 100
"""How many events are validated, and for how long at least, before others have their turn."""


class Producer:
    """Publishes events to Redis over one connection.

    ``async with Producer() as producer`` connects at the first publish. Calls may come from any number of tasks of the
    event loop it was opened in; events of one task keep their order, also while attempts are repeated. Once closed it
    may be opened again. One that its owner lets go of without closing it sends what it holds, and then closes.

    Args:
        url: of Redis; None takes ``EDGEBUS_REDIS_URL``, else ``redis://127.0.0.1:6390``.
        name: of the service, for ``CLIENT LIST``: the connection is called ``edgebus-producer-<name>``, with what Redis
            takes in no name (a space) as %XX.
        limit_bytes: the largest line that is sent.
        deadline_s: for how long a publish is tried unless the call says otherwise; 0 makes one attempt.
        wait_replicas: how many replicas are to confirm each event (Redis' ``WAIT``, a round trip to them); 0 asks none.
        outbox: bounds and policy for what is emitted.
        on_drop: called in the event loop with each emitted event that is given up, and why. An error in it is logged.
        logger: is told when Redis goes and comes back, and at the close how many emitted events were lost.

    Raises:
        AddressError: the URL cannot be used.

    """

    def __init__(  # noqa: PLR0913 (what one may want to choose)
        self,
        url: str | None = None,
        *,
        name: str = "unnamed",
        limit_bytes: int = LINE_LIMIT_BYTES,
        deadline_s: float = DEADLINE_S,
        wait_replicas: int = 0,
        outbox: OutboxSettings = OutboxSettings(),  # noqa: B008 (it is frozen)
        on_drop: OnDrop | None = None,
        logger: logging.Logger = LOGGER,
    ) -> None:
        url = url or default_url()
        check_url(url)
        if deadline_s < 0 or wait_replicas < 0:
            raise ValueError("deadline_s and wait_replicas are at least 0")
        self._name, self._limit_bytes, self._deadline_s = f"edgebus-producer-{name}", limit_bytes, deadline_s
        self._settings = outbox
        self._outbox = Outbox(outbox, on_drop)
        self._sender = Sender(url, name=self._name, outbox=self._outbox, replicas=wait_replicas, logger=logger)
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._thread = 0
        self._loop: asyncio.AbstractEventLoop

    async def __aenter__(self) -> Self:
        """Start the sender; Redis is not asked for anything yet."""
        if self._is_open:
            raise BusError("the producer is open already: use one `async with` at a time, or another producer")
        self._closing, self._thread = False, threading.get_ident()
        self._sender.open()
        self._task = asyncio.create_task(self._sender.run(), name=self._name)
        self._loop = asyncio.get_running_loop()
        keep_until_done(self, self._sender, self._task, self._settings.close_s)
        return self

    @property
    def _is_open(self) -> bool:
        return self._task is not None and not self._task.done() and not self._outbox.is_forked

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send what waits, then close the connection; see ``close``."""
        await self.close()

    async def close(self) -> None:
        """Send what waits for at most ``outbox.close_s``, then close the connection; calling it twice is harmless.

        What is not with Redis by then is lost: emitted events are counted, told to ``on_drop`` as ``closed``, and all
        that were dropped since the start are told in one warning; callers of ``publish`` get a ``BusError``. If this
        is cancelled, that is so at once.

        Raises:
            Exception: what ended the sender, if that was an error of ours.

        """
        self._closing = True
        if self._task is None or self._outbox.is_forked:
            return
        await close(self._sender, self._task, self._settings.close_s)
        if not self._task.cancelled():
            await self._task

    async def publish(self, event: Event, *, deadline_s: float | None = None, repeated: bool = False) -> Published:
        """Publish ``event`` on every channel it lists, and return when Redis has it on all of them.

        An attempt whose answer is lost, or that Redis refuses for the moment, is repeated with full jitter until the
        deadline; it stores and sends the event once all the same (on a ``live`` channel it may be seen twice). If the
        caller is cancelled the event may still be published; other calls are not disturbed.

        Args:
            event: is frozen, and remembers what became of its attempts.
            deadline_s: None takes the producer's; 0 makes one attempt.
            repeated: the same object was published before and its caller does not know what came of it: complete
                that, and do not publish another event. Use the same producer, or one opened later.

        Raises:
            TypeError: it is no event.
            pydantic.ValidationError: the event was changed or built past validation; nothing was sent.
            EventError: it holds what JSON cannot carry, or its line is too large; nothing was sent.
            BusUnavailable: past the deadline no channel is known to have it; whether one has is not known.
            PublishError: Redis refused the event on every channel.
            PublishIncomplete: some channels have it, others refused it or have not answered; the error names both.
            PublishUncertain: the answer was lost, and the log no longer tells.
            PublishUnreplicated: stored, but fewer replicas than ``wait_replicas`` confirmed it.
            BusError: the producer is not open, or not in this event loop.

        """
        return (await self.publish_all([event], deadline_s=deadline_s, repeated=repeated))[0]

    async def publish_all(
        self, events: Sequence[Event], *, deadline_s: float | None = None, repeated: bool = False
    ) -> list[Published]:
        """Publish several events in order, in one pipeline where they fit; all are validated before the first is sent.

        Many are sent in slices (1,000 events, 4 MiB), each with the deadline for its own; the event loop goes on.

        Raises:
            Exception: as ``publish`` does, for the first event that failed. Later ones were tried all the same, but
                not the slices behind one that Redis did not answer. The error's ``results`` has what came of each.

        """
        self._check_open()
        check_events(events)
        return whole(await self._publish(await self._items(events, repeated=repeated), deadline_s))

    async def publish_every(self, interval_s: float, make: Callable[[], Sequence[Event]]) -> None:
        """Publish what ``make`` returns every ``interval_s`` seconds, from start to start.

        Ends only with an exception: when cancelled, or that of a publish or of ``make``.
        """
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self.publish_all(make())
            due = max(due + interval_s, loop.time())
            await asyncio.sleep(due - loop.time())

    def batch(self, *, deadline_s: float | None = None) -> Batch:
        """Return a batch: ``async with producer.batch() as batch: batch.add(event)`` publishes when the block ends."""
        return Batch(self._item, lambda items: self._publish(items, deadline_s))

    def emit(self, event: Event) -> bool:
        """Put ``event`` into the outbox and return at once; it is sent in the background, in order, until Redis has it.

        May be called from any thread. Returns whether the outbox took it; it did not when it was full and the policy
        is ``drop_new``.

        Raises:
            TypeError: it is no event.
            pydantic.ValidationError: the event was changed or built past validation.
            EventError: it holds what JSON cannot carry, or its line is too large.
            OutboxFull: there is no room, and the policy is ``error``.
            BusError: the producer is not open; or the policy is ``block``, which needs ``await emit_wait(event)``.

        """
        if self._settings.policy == "block":
            raise BusError("emit never waits, and the policy is block: use `await producer.emit_wait(event)`")
        self._check_open(from_anywhere=True)
        return self._emit(self._item(event))

    async def emit_wait(self, event: Event, *, timeout_s: float | None = None) -> bool:
        """Do as ``emit``, but under the policy ``block`` wait for room.

        Raises:
            Exception: as ``emit`` does.
            OutboxFull: there was no room within ``timeout_s``; None waits for ever.

        """
        self._check_open()
        item = self._item(event)
        if self._settings.policy != "block":
            return self._emit(item)
        try:
            async with asyncio.timeout(timeout_s):
                while not self._emit(item):
                    await self._sender.progress()
                    self._check_open()
        except TimeoutError:
            raise OutboxFull(f"the outbox had no room within {timeout_s:g} s") from None
        return True

    async def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until all that was emitted before is with Redis or dropped; return False if ``timeout_s`` was too short.

        None waits for as long as it takes.
        """
        self._check_open()
        number = self._outbox.last_number
        try:
            async with asyncio.timeout(timeout_s):
                while not self._outbox.is_past(number):
                    await self._sender.progress()
        except TimeoutError:
            return False
        return True

    def statistics(self) -> ProducerStatistics:
        """Return the counters; may be called from any thread, open or closed."""
        return self._sender.statistics()

    def _check_open(self, *, from_anywhere: bool = False) -> None:
        if self._outbox.is_forked:
            raise BusError(FORKED)
        if self._task is None or self._closing:
            raise BusError("the producer is not open: use it as `async with Producer(...) as producer`")
        if self._task.done():
            raise BusError("the producer has failed; closing it raises the reason")
        if not from_anywhere and self._task.get_loop() is not asyncio.get_running_loop():
            raise BusError("the producer is open in another event loop: open one in each, and after a fork a new one")

    def _item(self, event: Event, *, repeated: bool = False) -> Item:
        made = attempt(event, repeated=repeated)
        message = compose(event, limit_bytes=self._limit_bytes, made=made)
        remember(event, made)
        return Item(message, made, event=event)

    async def _items(self, events: Sequence[Event], *, repeated: bool) -> list[Item]:
        """Validate all; of very many, others have their turn between. A few go at once, in the calls' order."""
        items: list[Item] = []
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for event in events:
            items.append(self._item(event, repeated=repeated))
            if len(items) % _TURN_EVENTS == 0 and loop.time() - began_s > _TURN_S:
                await asyncio.sleep(0)
                began_s = loop.time()
        return items

    async def _publish(self, items: Sequence[Item], deadline_s: float | None) -> Outcomes:
        """Return what came of each item, slice by slice; once Redis did not answer, no further slice is tried."""
        self._check_open()
        outcomes: Outcomes = []
        failed: BusError | None = None
        for part in slices(items):
            outcomes += await self._publish_slice(part, self._deadline_s if deadline_s is None else deadline_s)
            failed = next((it for it in outcomes[-len(part) :] if isinstance(it, BusUnavailable)), None)
            if failed is not None:
                break
        untried = len(items) - len(outcomes)
        return outcomes + [BusUnavailable(f"not tried, after: {failed}") for _ in range(untried)]

    async def _publish_slice(self, items: Sequence[Item], deadline_s: float) -> Outcomes:
        """Return what came of each item: at the deadline at the latest, and at once when cancelled."""
        return await outcomes_of(items, deadline_s, put=self._put, expire=self._sender.expire)

    def _put(self, items: Sequence[Item]) -> None:
        self._outbox.add(items)
        self._sender.wake()

    def _emit(self, item: Item) -> bool:
        is_taken = self._outbox.put(item)
        # A signal handler or a finalizer may have interrupted the loop itself, just before it waits: no task is under
        # way then, and the loop is to be woken as from another thread.
        if threading.get_ident() == self._thread and asyncio.current_task(self._loop) is not None:
            self._notice()
        else:
            self._loop.call_soon_threadsafe(self._notice)
        return is_taken

    def _notice(self) -> None:
        """Wake the sender; and tell of drops, but not from inside ``emit``: ``on_drop`` may emit."""
        self._sender.wake()
        if self._outbox.has_untold:
            asyncio.get_running_loop().call_soon(self._sender.tell)

"""Events that wait to be sent: published by callers that wait, or emitted; one queue for the sender.

The outbox knows neither Redis nor a task: ``producers.sender`` takes from the outbox.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from bus.errors import BusError
from bus.log.pipelines import PIPELINE_BYTES, PIPELINE_EVENTS
from producers.drops import DropReason, Drops, OnDrop
from producers.emitted import Emitted, Item, OutboxSettings, Policy
from producers.guard import Guard, renew_after_fork

__all__ = [
    "FORKED",
    "Item",
    "Outbox",
    "OutboxSettings",
    "Policy",
]

FORKED: Final = "the producer was opened before this process was forked: open another one here"


class Outbox:
    """Items in the order of ``add`` and ``put``. Emitted items alone have a bound: callers wait for all others.

    ``put``, ``size`` and ``drops`` may be used from any thread, and from a signal handler or a finalizer that
    interrupts any line of this class. All other methods belong to the event loop's thread.
    """

    # decisions/0061: a signal handler or a finalizer must not wait for the thread it interrupted. An item that is put
    # while the outbox is entered joins the arrivals, and the holder takes the arrivals in on leaving. `RLock` was
    # rejected: the interrupted holder would be found half done.

    def __init__(self, settings: OutboxSettings, on_drop: OnDrop | None) -> None:
        self.drops = Drops(on_drop)
        self._guard = Guard()
        self._arrivals: deque[Item] = deque()
        self._calls: deque[Item] = deque()
        self._emitted = Emitted(settings, self.drops)
        self._is_open = False
        self._numbers = 0
        self.is_forked = False
        """Whether this is the copy of a producer that was open when this process was forked."""
        renew_after_fork(self, Outbox.after_fork)

    @property
    def is_empty(self) -> bool:
        """Whether no item waits to be taken."""
        return not self._calls and not self._emitted.waiting and not self._arrivals

    @property
    def size(self) -> tuple[int, int]:
        """The emitted events that wait or are being sent, and their bytes."""
        return self._emitted.size

    @property
    def last_number(self) -> int:
        """The number of the last item that was put."""
        with self:
            return self._numbers

    def open(self) -> None:
        """Take items from now on."""
        with self:
            self._is_open, self.is_forked = True, False

    def after_fork(self) -> None:
        """Leave all events to the parent, so that none is sent twice; an emit here is told that the parent has them."""
        self._guard.renew()
        self.is_forked = self.is_forked or self._is_open
        self._is_open = False
        self.drops.forget_untold()
        self._arrivals.clear()
        self._calls.clear()
        self._emitted.forget()

    def is_past(self, number: int) -> bool:
        """Tell whether no emitted event up to ``number`` waits or is being sent."""
        with self:
            return self._emitted.is_past(number)

    def add(self, items: Iterable[Item]) -> None:
        """Put items with waiting callers. There is no bound: each caller waits, and so the callers are the bound."""
        with self:
            self._check_open()
            for item in items:
                self._calls.append(self._numbered(item))

    def put(self, item: Item) -> bool:
        """Put an emitted event; return whether the event was taken. Older events may have been dropped for room.

        An arrival counts as taken. An arrival without room is dropped and told, under every policy.

        Raises:
            OutboxFull: the policy is ``error``, or ``block`` and the event is larger than the whole outbox.

        """
        if not self._guard.try_enter():
            self._check_open()
            self._arrivals.append(item)
            self._settle()
            return True
        try:
            if self._arrivals:
                self._take_in()
            self._check_open()
            return self._admit(item)
        finally:
            self._guard.leave()
            if self._arrivals:
                self._settle()

    def _admit(self, item: Item) -> bool:
        if self._emitted.makes_room(item.size_bytes):
            self._emitted.append(self._numbered(item))
            return True
        self._emitted.refuse(item)
        return False

    def _take_in(self) -> None:
        """Take the arrivals in, in their order; new arrivals may come meanwhile."""
        while self._arrivals:
            item = self._arrivals.popleft()
            if not self._is_open:
                self._emitted.drop(item, DropReason.CLOSED)
            elif self._emitted.makes_room(item.size_bytes):
                self._emitted.append(self._numbered(item))
            else:
                self._emitted.drop(item, DropReason.FULL)

    def _settle(self) -> None:
        """Take the arrivals in, unless the outbox is entered: the holder looks for arrivals after leaving."""
        while self._arrivals and self._guard.try_enter(0):
            try:
                self._take_in()
            finally:
                self._guard.leave()

    def __enter__(self) -> None:
        """Enter alone, with all arrivals taken in: for the event loop's thread."""
        self._guard.enter()
        self._take_in()

    def __exit__(self, *exc_info: object) -> None:
        self._guard.leave()
        self._settle()

    def take(self, limit: int = PIPELINE_EVENTS, limit_bytes: int = PIPELINE_BYTES) -> Sequence[Item]:
        """Take the items of one pipeline, at least one and at most ``limit``, without items given up by callers."""
        batch: list[Item] = []
        size_bytes = 0
        with self:
            while len(batch) < limit and size_bytes < limit_bytes and (queue := self._first()):
                is_mixed = bool(self._calls and self._emitted.waiting)  # each item may be of the other queue then
                while queue and len(batch) < limit and size_bytes < limit_bytes:
                    item = queue.popleft()
                    if item.done is None or not item.done.done():
                        batch.append(item)
                        size_bytes += item.size_bytes
                    if is_mixed:
                        break
            self._emitted.send(batch)
        return batch

    def give_back(self, batch: Sequence[Item]) -> None:
        """Put the unfinished items of a pipeline back to the front; without room for all, the oldest give way."""
        with self:
            self._calls.extendleft(it for it in reversed(batch) if it.done is not None and not it.is_given_up)
            self._emitted.give_back()

    def discharge(self, items: Sequence[Item], error: BusError | None = None) -> None:
        """Let emitted events of a pipeline go: Redis has the events, or they are dropped for ``error``."""
        with self:
            for item in items:
                self._emitted.discharge(item, error)

    def calls(self) -> list[Item]:
        """Return items with a waiting caller, without those being sent."""
        with self:
            return list(self._calls)

    def clear(self) -> list[Item]:
        """Close, and give all items up: emitted events are dropped, items with a waiting caller are returned."""
        with self:
            self._is_open = False
            calls = list(self._calls)
            self._calls.clear()
            for item in self._emitted.forget():
                self._emitted.drop(item, DropReason.CLOSED)
        return calls

    def _check_open(self) -> None:
        if self.is_forked:
            raise BusError(FORKED)
        if not self._is_open:
            raise BusError("the producer is not open any more")

    def _first(self) -> deque[Item] | None:
        """Return the queue with the oldest item: a publish comes behind earlier emits of its task (decisions/0021)."""
        calls, emitted = self._calls, self._emitted.waiting
        if not calls or not emitted:
            return calls or emitted or None
        return calls if calls[0].number < emitted[0].number else emitted

    def _numbered(self, item: Item) -> Item:
        self._numbers += 1
        item.number = self._numbers
        return item

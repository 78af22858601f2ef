"""Events that wait to be sent: a queue with a bound for emitted events, and the policy for a full queue.

The outbox knows neither Redis nor a task: ``producers.sender`` takes from the outbox.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from bus.errors import BusError, OutboxFull
from bus.event import Event
from bus.log.pipelines import PIPELINE_BYTES, PIPELINE_EVENTS
from bus.log.publication import Publication
from producers.drops import DropReason, Drops, OnDrop, reason_of
from producers.guard import Guard, renew_after_fork

__all__ = [
    "FORKED",
    "Item",
    "Outbox",
    "OutboxSettings",
    "Policy",
]

FORKED: Final = "the producer was opened before this process was forked: open another one here"

Policy: TypeAlias = Literal["block", "drop_oldest", "drop_new", "error"]


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """The bounds of an outbox, and the policy for an event without room.

    Attributes:
        max_events: how many emitted events the outbox holds. Events being sent count, but not under ``drop_oldest``:
            there one pipeline (200 events, 4 MiB) comes on top. If the attempt fails, these events are the oldest, and
            give way first.
        max_bytes: how many bytes of lines; an event has one line per channel.
        policy: ``drop_oldest`` gives up the oldest, ``drop_new`` the new one, ``error`` raises ``OutboxFull``;
            ``block`` lets ``emit_wait`` wait for room, and ``emit``, which never waits, is refused.
        close_s: for how long ``close`` goes on sending.

    """

    max_events: int = 10_000
    max_bytes: int = 16 * 1024 * 1024
    policy: Policy = "drop_oldest"
    close_s: float = 5.0

    def __post_init__(self) -> None:
        """Refuse bounds without room for an event, and an unknown policy."""
        if self.max_events < 1 or self.max_bytes < 1 or self.close_s < 0:
            raise ValueError("max_events and max_bytes are at least 1, close_s at least 0")
        if self.policy not in ("block", "drop_oldest", "drop_new", "error"):
            raise ValueError(f"{self.policy!r} is no policy: block, drop_oldest, drop_new or error")


@dataclass(slots=True, eq=False)
class Item(Publication):
    """One event in the outbox, and the number of its place there. ``done`` is None for an emitted event."""

    event: Event = field(kw_only=True)
    number: int = 0


class Outbox:
    """Items in the order of ``add`` and ``put``. Emitted items alone have a bound: callers wait for all others.

    ``put``, ``size`` and ``drops`` may be used from any thread, and from a signal handler or a finalizer that
    interrupts any line of this class. All other methods belong to the event loop's thread.
    """

    # decisions/0061: a signal handler or a finalizer must not wait for the thread it interrupted. An item that is put
    # while the outbox is entered joins the arrivals, and the holder takes the arrivals in on leaving. `RLock` was
    # rejected: the interrupted holder would be found half done.

    def __init__(self, settings: OutboxSettings, on_drop: OnDrop | None) -> None:
        self._settings = settings
        self.drops = Drops(on_drop)
        self._guard = Guard()
        self._arrivals: deque[Item] = deque()
        self._calls: deque[Item] = deque()
        self._emitted: deque[Item] = deque()
        self._in_flight: dict[int, Item] = {}
        self._is_open = False
        self._numbers = 0
        self._events = self._bytes = 0
        self._sent_bytes = 0
        self.is_forked = False
        """Whether this is the copy of a producer that was open when this process was forked."""
        renew_after_fork(self, Outbox.after_fork)

    @property
    def is_empty(self) -> bool:
        """Whether no item waits to be taken."""
        return not self._calls and not self._emitted and not self._arrivals

    @property
    def size(self) -> tuple[int, int]:
        """The emitted events that wait or are being sent, and their bytes."""
        return self._events, self._bytes

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
        for queue in (self._arrivals, self._calls, self._emitted):
            queue.clear()
        self._in_flight, self._events, self._bytes, self._sent_bytes = {}, 0, 0, 0

    def is_past(self, number: int) -> bool:
        """Tell whether no emitted event up to ``number`` waits or is being sent."""
        with self:
            # An item in flight is older than all that wait: given back, it goes to the front.
            first = next((it for it in (*self._in_flight.values(), *self._emitted)), None)
            return first is None or first.number > number

    def add(self, items: Iterable[Item]) -> None:
        """Put items with waiting callers. There is no bound: each caller waits, and so the callers are the bound."""
        with self:
            self._check_open()
            for item in items:
                self._append(self._calls, item)

    def put(self, item: Item) -> bool:
        """Put an emitted event; return whether the event was taken. Older events may have been dropped for room.

        An arrival counts as taken. An arrival without room is dropped and told, under every policy.

        Raises:
            OutboxFull: the policy is ``error``, or ``block`` and the event is larger than the whole outbox.

        """
        self._check_open()
        if not self._guard.try_enter():
            self._arrivals.append(item)
            self._settle()
            return True
        try:
            self._take_in()
            self._check_open()
            return self._admit(item)
        finally:
            self._leave()

    def _admit(self, item: Item) -> bool:
        # decisions/0021: `emit` never waits, under no policy. Under `block` a False is for `emit_wait`, which waits.
        policy, size = self._settings.policy, item.size_bytes
        if self._finds_room(size):
            self._append(self._emitted, item)
            self._count(1, size)
            return True
        if policy == "error" or (policy == "block" and size > self._settings.max_bytes):
            raise OutboxFull(f"the outbox holds {self._events} events, {self._bytes} bytes; this one has {size}")
        if policy != "block":
            self._drop(item, DropReason.FULL)
        return False

    def _finds_room(self, size: int) -> bool:
        return self._has_room(size) or (self._settings.policy == "drop_oldest" and self._make_room(size))

    def _take_in(self) -> None:
        """Take the arrivals in, in their order; new arrivals may come meanwhile."""
        while self._arrivals:
            item = self._arrivals.popleft()
            if not self._is_open:
                self._drop(item, DropReason.CLOSED)
            elif self._finds_room(item.size_bytes):
                self._append(self._emitted, item)
                self._count(1, item.size_bytes)
            else:
                self._drop(item, DropReason.FULL)

    def _settle(self) -> None:
        """Take the arrivals in, unless the outbox is entered: the holder looks for arrivals after leaving."""
        while self._arrivals and self._guard.try_enter(0):
            try:
                self._take_in()
            finally:
                self._guard.leave()

    def _leave(self) -> None:
        self._guard.leave()
        self._settle()

    def __enter__(self) -> None:
        """Enter alone, with all arrivals taken in: for the event loop's thread."""
        self._guard.enter()
        self._take_in()

    def __exit__(self, *exc_info: object) -> None:
        self._leave()

    def take(self, limit: int = PIPELINE_EVENTS, limit_bytes: int = PIPELINE_BYTES) -> Sequence[Item]:
        """Take the items of one pipeline, at least one and at most ``limit``, without items given up by callers."""
        batch: list[Item] = []
        size_bytes = 0
        with self:
            while len(batch) < limit and size_bytes < limit_bytes and (queue := self._first()):
                item = queue.popleft()
                if not item.is_given_up:
                    batch.append(item)
                    size_bytes += item.size_bytes
            self._in_flight = {item.number: item for item in batch if item.done is None}
            self._sent_bytes = sum(item.size_bytes for item in self._in_flight.values())
        return batch

    def give_back(self, batch: Sequence[Item]) -> None:
        """Put the unfinished items of a pipeline back to the front; without room for all, the oldest give way."""
        with self:
            # From the back, each to the front: the items stand before all later ones, in their order (decisions/0063).
            for item in reversed(batch):
                if item.number in self._in_flight:
                    self._emitted.appendleft(item)
                elif item.done is not None and not item.is_given_up:
                    self._calls.appendleft(item)
            self._in_flight, self._sent_bytes = {}, 0
            # decisions/0021: under `drop_oldest` a pipeline being sent comes on top of the bound; now its events count.
            if self._settings.policy == "drop_oldest":
                self._make_room(0)

    def discharge(self, item: Item, error: BusError | None = None) -> None:
        """Let an emitted event of a pipeline go: Redis has the event, or the event is dropped for ``error``."""
        with self:
            if self._in_flight.pop(item.number, None) is not None:
                self._sent_bytes -= item.size_bytes
            self._count(-1, -item.size_bytes)
            if error is not None:
                self._drop(item, reason_of(error))

    def calls(self) -> list[Item]:
        """Return items with a waiting caller, without those being sent."""
        with self:
            return list(self._calls)

    def clear(self) -> list[Item]:
        """Close, and give all items up: emitted events are dropped, items with a waiting caller are returned."""
        with self:
            self._is_open = False
            emitted, calls = [*self._in_flight.values(), *self._emitted], list(self._calls)
            self._calls.clear()
            self._emitted.clear()
            self._in_flight, self._events, self._bytes, self._sent_bytes = {}, 0, 0, 0
            for item in emitted:
                self._drop(item, DropReason.CLOSED)
        return calls

    def _check_open(self) -> None:
        if self.is_forked:
            raise BusError(FORKED)
        if not self._is_open:
            raise BusError("the producer is not open any more")

    def _first(self) -> deque[Item] | None:
        """Return the queue with the oldest item: a publish comes behind earlier emits of its task (decisions/0021)."""
        if not self._calls or not self._emitted:
            return self._calls or self._emitted or None
        return self._calls if self._calls[0].number < self._emitted[0].number else self._emitted

    def _append(self, queue: deque[Item], item: Item) -> None:
        self._numbers += 1
        item.number = self._numbers
        queue.append(item)

    def _has_room(self, size: int) -> bool:
        """Tell whether ``size`` more bytes fit; under ``drop_oldest`` the pipeline being sent is not counted."""
        # decisions/0021: a pipeline under way cannot be recalled. Counting it would have the newest events give way.
        limits, events, size_bytes = self._settings, self._events, self._bytes
        if limits.policy == "drop_oldest":
            events, size_bytes = len(self._emitted), size_bytes - self._sent_bytes
        return events + (size > 0) <= limits.max_events and size_bytes + size <= limits.max_bytes

    def _make_room(self, size: int) -> bool:
        """Drop the oldest waiting items until ``size`` fits; return False when the whole outbox is too small."""
        if size > self._settings.max_bytes:
            return False
        while not self._has_room(size):
            item = self._emitted.popleft()
            self._count(-1, -item.size_bytes)
            self._drop(item, DropReason.FULL)
        return True

    # Kept by hand and not summed: `emit` asks for the size each time, with ten thousand events waiting.
    def _count(self, events: int, size: int) -> None:
        self._events += events
        self._bytes += size

    def _drop(self, item: Item, reason: DropReason) -> None:
        self.drops.add(item.event, reason)

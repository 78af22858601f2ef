"""What waits to be sent: a queue with a bound for what is emitted, the policy when it is full, and what was dropped.

Knows neither Redis nor a task: ``producers.sender`` takes from it.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from bus.errors import BusError, OutboxFull, PublishIncomplete, PublishUncertain
from bus.event import Event
from bus.log.pipelines import PIPELINE_BYTES, PIPELINE_EVENTS
from bus.log.publication import Publication
from producers.guard import Guard, renew_after_fork

__all__ = [
    "FORKED",
    "DropReason",
    "Item",
    "OnDrop",
    "Outbox",
    "OutboxSettings",
    "Policy",
]

FORKED: Final = "the producer was opened before this process was forked: open another one here"

_logger = logging.getLogger("edgebus.producers")

Policy: TypeAlias = Literal["block", "drop_oldest", "drop_new", "error"]


class DropReason(StrEnum):
    """Why an emitted event was given up."""

    FULL = "full"
    """The outbox had no room, and this event gave way."""
    REFUSED = "refused"
    """Redis answered with an error that does not pass by itself."""
    UNCERTAIN = "uncertain"
    """An answer was lost, and whether the event is there cannot be told any more."""
    INCOMPLETE = "incomplete"
    """Some of its channels have it, others refused it."""
    CLOSED = "closed"
    """The producer ended first."""


OnDrop: TypeAlias = Callable[[Event, DropReason], None]


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """The bounds of an outbox, and what happens to an event that it has no room for.

    Attributes:
        max_events: how many emitted events it holds. What is being sent counts, but not under ``drop_oldest``: there it
            comes on top, as one pipeline (200 events, 4 MiB), and if the attempt fails, it is the oldest and gives way.
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
        """Refuse bounds that could hold nothing, and a policy that there is not."""
        if self.max_events < 1 or self.max_bytes < 1 or self.close_s < 0:
            raise ValueError("max_events and max_bytes are at least 1, close_s at least 0")
        if self.policy not in ("block", "drop_oldest", "drop_new", "error"):
            raise ValueError(f"{self.policy!r} is no policy: block, drop_oldest, drop_new or error")


@dataclass(slots=True, eq=False)
class Item(Publication):
    """One event in the outbox, and the number of its place there. ``done`` is None for an emitted one."""

    event: Event = field(kw_only=True)
    number: int = 0


class Outbox:
    """Items in the order in which they were put, whoever waits for them. Only what is emitted has a bound.

    ``put``, ``size``, ``dropped`` and ``statistics`` may be called from any thread, and from a signal handler or a
    finalizer that interrupts any of this; everything else belongs to the event loop's thread. What is put while
    somebody is inside, and cannot be waited for, is among the arrivals until that one leaves.
    """

    def __init__(self, settings: OutboxSettings, on_drop: OnDrop | None) -> None:
        self._settings, self._on_drop = settings, on_drop
        self._guard = Guard()
        self._arrivals: deque[Item] = deque()
        self._calls: deque[Item] = deque()
        self._emitted: deque[Item] = deque()
        self._in_flight: dict[int, Item] = {}
        self._is_open = False
        self._numbers = 0
        self._events = self._bytes = 0
        self._sent_bytes = 0
        self._dropped = dict.fromkeys(sorted(DropReason), 0)
        self._untold: deque[tuple[Event, DropReason]] = deque()
        self.is_forked = False
        """Whether this is the copy of a producer that was open when this process was forked."""
        renew_after_fork(self, Outbox.after_fork)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be taken."""
        return not self._calls and not self._emitted and not self._arrivals

    @property
    def size(self) -> tuple[int, int]:
        """The emitted events that wait or are being sent, and their bytes."""
        return self._events, self._bytes

    @property
    def dropped(self) -> dict[str, int]:
        """How many events were given up, by reason."""
        return {reason.value: count for reason, count in self._dropped.items() if count}

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
        """Leave to the parent what is the parent's: whoever emits here is told, and nothing is sent twice."""
        self._guard.renew()
        self.is_forked = self.is_forked or self._is_open
        self._is_open = False
        for queue in (self._arrivals, self._calls, self._emitted, self._untold):
            queue.clear()
        self._in_flight, self._events, self._bytes, self._sent_bytes = {}, 0, 0, 0

    def is_past(self, number: int) -> bool:
        """Tell whether no emitted event up to ``number`` waits or is being sent."""
        with self:
            first = next((it for it in (*self._in_flight.values(), *self._emitted)), None)
            return first is None or first.number > number

    def add(self, items: Iterable[Item]) -> None:
        """Put what somebody waits for; it has no bound, because its callers are its bound."""
        with self:
            self._check_open()
            for item in items:
                self._append(self._calls, item)

    def put(self, item: Item) -> bool:
        """Put an emitted event; return whether it was taken. Others may have been dropped for it.

        One of the arrivals counts as taken: if there is no room for it, it is dropped and told, whatever the policy.

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
        """Put the arrivals where they belong, in their order; new ones may come while that is done."""
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
        """Take the arrivals in, unless somebody is inside: who leaves looks for arrivals after that."""
        while self._arrivals and self._guard.try_enter(0):
            try:
                self._take_in()
            finally:
                self._guard.leave()

    def _leave(self) -> None:
        self._guard.leave()
        self._settle()

    def __enter__(self) -> None:
        """Be the only one inside, with no arrivals waiting: for the event loop's thread."""
        self._guard.enter()
        self._take_in()

    def __exit__(self, *exc_info: object) -> None:
        self._leave()

    def take(self, limit: int = PIPELINE_EVENTS, limit_bytes: int = PIPELINE_BYTES) -> Sequence[Item]:
        """Take what one pipeline carries, at least one item and at most ``limit``, leaving out what was given up."""
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
        """Put what was taken and is not done back where it was; if that is too much now, the oldest give way."""
        with self:
            for item in reversed(batch):
                if item.number in self._in_flight:
                    self._emitted.appendleft(item)
                elif item.done is not None and not item.is_given_up:
                    self._calls.appendleft(item)
            self._in_flight, self._sent_bytes = {}, 0
            if self._settings.policy == "drop_oldest":
                self._make_room(0)

    def discharge(self, item: Item, error: BusError | None = None) -> None:
        """Let an emitted event go that was taken: it is with Redis, or dropped for an error."""
        with self:
            if self._in_flight.pop(item.number, None) is not None:
                self._sent_bytes -= item.size_bytes
            self._count(-1, -item.size_bytes)
            if error is not None:
                self._drop(item, _reason(error))

    def calls(self) -> list[Item]:
        """Return what somebody waits for and is not being sent."""
        with self:
            return list(self._calls)

    def clear(self) -> list[Item]:
        """Close, and give everything up: emitted events are dropped, what somebody waits for is returned."""
        with self:
            self._is_open = False
            emitted, calls = [*self._in_flight.values(), *self._emitted], list(self._calls)
            self._calls.clear()
            self._emitted.clear()
            self._in_flight, self._events, self._bytes, self._sent_bytes = {}, 0, 0, 0
            for item in emitted:
                self._drop(item, DropReason.CLOSED)
        return calls

    def tell(self) -> None:
        """Tell ``on_drop`` of what was dropped since the last time. No lock is held, and its errors end here."""
        while self._untold and self._on_drop is not None:
            event, reason = self._untold.popleft()
            try:
                self._on_drop(event, reason)
            except Exception:  # whatever it is, it is theirs, and the events behind it are to be sent
                _logger.exception("on_drop raised", extra={"event_name": event.event_name, "reason": reason.value})

    @property
    def has_untold(self) -> bool:
        """Whether ``tell`` has anything to tell."""
        return bool(self._untold)

    def _check_open(self) -> None:
        if self.is_forked:
            raise BusError(FORKED)
        if not self._is_open:
            raise BusError("the producer is not open any more")

    def _first(self) -> deque[Item] | None:
        """Return the queue whose first item was put first."""
        if not self._calls or not self._emitted:
            return self._calls or self._emitted or None
        return self._calls if self._calls[0].number < self._emitted[0].number else self._emitted

    def _append(self, queue: deque[Item], item: Item) -> None:
        self._numbers += 1
        item.number = self._numbers
        queue.append(item)

    def _has_room(self, size: int) -> bool:
        """Tell whether ``size`` more bytes fit; under ``drop_oldest`` what is being sent comes on top of the bound."""
        limits, events, size_bytes = self._settings, self._events, self._bytes
        if limits.policy == "drop_oldest":
            events, size_bytes = len(self._emitted), size_bytes - self._sent_bytes
        return events + (size > 0) <= limits.max_events and size_bytes + size <= limits.max_bytes

    def _make_room(self, size: int) -> bool:
        """Drop the oldest that wait until ``size`` fits; return False if it never will."""
        if size > self._settings.max_bytes:
            return False
        while not self._has_room(size):
            item = self._emitted.popleft()
            self._count(-1, -item.size_bytes)
            self._drop(item, DropReason.FULL)
        return True

    def _count(self, events: int, size: int) -> None:
        self._events += events
        self._bytes += size

    def _drop(self, item: Item, reason: DropReason) -> None:
        self._dropped[reason] += 1
        if self._on_drop is not None:
            self._untold.append((item.event, reason))


def _reason(error: BusError) -> DropReason:
    match error:
        case PublishIncomplete():
            return DropReason.INCOMPLETE
        case PublishUncertain():
            return DropReason.UNCERTAIN
        case _:
            return DropReason.REFUSED

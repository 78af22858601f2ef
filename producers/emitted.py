"""The emitted events of an outbox: those that wait and those being sent, within bounds, and the policy at the bounds.

The class knows no threads: ``producers.outbox`` lets one caller in at a time.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from bus.errors import BusError, OutboxFull
from bus.event import Event
from bus.log.publication import Publication
from bus.values import frozen
from producers.drops import DropReason, Drops, reason_of

__all__ = ["Emitted", "Item", "OutboxSettings", "Policy"]

Policy: TypeAlias = Literal["block", "drop_oldest", "drop_new", "error"]


@frozen
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


class Emitted:
    """Emitted items in order; ``drops`` hears of every item that is given up."""

    def __init__(self, settings: OutboxSettings, drops: Drops) -> None:
        self._settings, self._drops = settings, drops
        self.waiting: deque[Item] = deque()
        """Items to be sent, oldest first; the sender takes from the left."""
        self._in_flight: dict[int, Item] = {}
        self._events = self._bytes = 0
        self._sent_bytes = 0

    @property
    def size(self) -> tuple[int, int]:
        """The items that wait or are being sent, and their bytes."""
        return self._events, self._bytes

    def is_past(self, number: int) -> bool:
        """Tell whether no item up to ``number`` waits or is being sent."""
        # An item in flight is older than all that wait: given back, it goes to the front.
        first = next((it for it in (*self._in_flight.values(), *self.waiting)), None)
        return first is None or first.number > number

    # Items come in.

    def append(self, item: Item) -> None:
        """Have ``item`` wait; the caller has made room."""
        self.waiting.append(item)
        self._count(1, item.size_bytes)

    def makes_room(self, size: int) -> bool:
        """Tell whether ``size`` more bytes fit; under ``drop_oldest``, drop the oldest items until they do."""
        return self._has_room(size) or (self._settings.policy == "drop_oldest" and self._drop_oldest(size))

    def refuse(self, item: Item) -> None:
        """Do with an item without room as the policy says: drop it, or under ``block`` leave it to its caller.

        Raises:
            OutboxFull: the policy is ``error``, or ``block`` and the item is larger than the whole outbox.

        """
        # decisions/0021: `emit` never waits, under no policy. Under `block`, `emit_wait` waits and comes again.
        policy, size = self._settings.policy, item.size_bytes
        if policy == "error" or (policy == "block" and size > self._settings.max_bytes):
            raise OutboxFull(f"the outbox holds {self._events} events, {self._bytes} bytes; this one has {size}")
        if policy != "block":
            self.drop(item, DropReason.FULL)

    def drop(self, item: Item, reason: DropReason) -> None:
        """Give up an item that does not wait here."""
        self._drops.add(item.event, reason)

    def _has_room(self, size: int) -> bool:
        """Tell whether ``size`` more bytes fit; under ``drop_oldest`` the pipeline being sent is not counted."""
        # decisions/0021: a pipeline under way cannot be recalled. Counting it would have the newest events give way.
        limits, events, size_bytes = self._settings, self._events, self._bytes
        if limits.policy == "drop_oldest":
            events, size_bytes = len(self.waiting), size_bytes - self._sent_bytes
        return events + (size > 0) <= limits.max_events and size_bytes + size <= limits.max_bytes

    def _drop_oldest(self, size: int) -> bool:
        """Drop the oldest waiting items until ``size`` fits; return False when the whole outbox is too small."""
        if size > self._settings.max_bytes:
            return False
        while not self._has_room(size):
            item = self.waiting.popleft()
            self._count(-1, -item.size_bytes)
            self.drop(item, DropReason.FULL)
        return True

    # Kept by hand and not summed: `emit` asks for the size each time, with ten thousand events waiting.
    def _count(self, events: int, size: int) -> None:
        self._events += events
        self._bytes += size

    # Items go out.

    def send(self, batch: Sequence[Item]) -> None:
        """Take note of a pipeline: its emitted items, taken from ``waiting``, are being sent."""
        self._in_flight = {item.number: item for item in batch if item.done is None}
        self._sent_bytes = sum([item.size_bytes for item in self._in_flight.values()])

    def discharge(self, item: Item, error: BusError | None = None) -> None:
        """Let an item of the pipeline go: Redis has the event, or the event is dropped for ``error``."""
        if self._in_flight.pop(item.number, None) is not None:
            self._sent_bytes -= item.size_bytes
        self._count(-1, -item.size_bytes)
        if error is not None:
            self.drop(item, reason_of(error))

    def give_back(self) -> None:
        """Put the pipeline's unfinished items back to the front; without room for all, the oldest give way."""
        # From the back, each to the front: the items stand before all later ones, in their order (decisions/0063).
        self.waiting.extendleft(reversed(self._in_flight.values()))
        self._in_flight, self._sent_bytes = {}, 0
        # decisions/0021: under `drop_oldest` a pipeline being sent comes on top of the bound; now its events count.
        if self._settings.policy == "drop_oldest":
            self._drop_oldest(0)

    def forget(self) -> list[Item]:
        """Hold no item any more; return those that waited or were being sent."""
        items = [*self._in_flight.values(), *self.waiting]
        self.waiting.clear()
        self._in_flight, self._events, self._bytes, self._sent_bytes = {}, 0, 0, 0
        return items

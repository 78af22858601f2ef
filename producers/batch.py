"""Several events of one call: cut into slices, and each event's outcome told."""

import copy
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from bus.errors import BusError, BusUnavailable
from bus.event import Event
from bus.log.pipelines import PIPELINE_BYTES
from bus.log.publication import Published
from producers.outbox import Item

__all__ = ["Batch", "Outcomes", "in_slices", "whole"]

# decisions/0063: a slice has the whole deadline, and validating or sending one leaves the loop its turn in between.
_SLICE_EVENTS: Final = 1_000

Outcomes = list[Published | BusError]


async def in_slices(items: Sequence[Item], publish: Callable[[Sequence[Item]], Awaitable[Outcomes]]) -> Outcomes:
    """Publish ``items`` slice by slice; return each item's outcome, in order.

    Behind a slice without an answer of Redis, no further slice is tried: each would wait for its own deadline.
    """
    # decisions/0063: one deadline for 150,000 events was rejected, since no number fits all.
    outcomes: Outcomes = []
    failed: BusError | None = None
    for part in _slices(items):
        outcomes += await publish(part)
        failed = next((it for it in outcomes[-len(part) :] if isinstance(it, BusUnavailable)), None)
        if failed is not None:
            break
    untried = len(items) - len(outcomes)
    return outcomes + [BusUnavailable(f"not tried, after: {failed}") for _ in range(untried)]


def _slices(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Cut ``items`` into slices that meet a deadline, and that leave the event loop its turn in between."""
    begin = size_bytes = 0
    for end, item in enumerate(items, start=1):
        size_bytes += item.size_bytes
        if end - begin >= _SLICE_EVENTS or size_bytes >= PIPELINE_BYTES:
            yield items[begin:end]
            begin, size_bytes = end, 0
    if begin < len(items):
        yield items[begin:]


def whole(outcomes: Outcomes) -> list[Published]:
    """Return the outcomes when all events were published.

    Raises:
        BusError: the first event's that failed. Of several events, the error's text has the number published, and
            ``results`` every outcome.

    """
    # decisions/0063: no exception class of its own for several events. `except BusUnavailable` around a publish would
    # miss such a class.
    number, first = next(((n, it) for n, it in enumerate(outcomes, 1) if isinstance(it, BusError)), (0, None))
    published = [it for it in outcomes if isinstance(it, Published)]
    if first is None:
        return published
    if len(outcomes) == 1:
        raise first
    # A copy: in `results` the error stays the outcome of its one event.
    error, counts = copy.copy(first), f"{len(published)} of {len(outcomes)} events were published"
    error.args = (f"{first} ({counts}; the first that was not is number {number}, and `results` has them all)",)
    error.results = outcomes
    raise error from first.__cause__


class _Make(Protocol):
    def __call__(self, event: Event, *, repeated: bool = False) -> Item: ...


class Batch:
    """Events that are published together, in order: one pipeline up to 200 events and 4 MiB.

    No event is sent if the block ends with an exception. After the block, ``results`` has each event's outcome, in
    order.
    """

    def __init__(self, make: _Make, publish: Callable[[Sequence[Item]], Awaitable[Outcomes]]) -> None:
        self._make, self._publish = make, publish
        self._items: list[Item] = []
        self.results: Outcomes = []

    def add(self, event: Event, *, repeated: bool = False) -> None:
        """Add ``event``, and validate the event now. An event with an error is no part of the batch.

        Raises:
            TypeError: ``event`` is no event.
            pydantic.ValidationError: the event was changed or built past validation.
            EventError: JSON cannot carry a value of the event, or a line is too large.

        """
        self._items.append(self._make(event, repeated=repeated))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Publish; the first error of an event is raised when all were tried."""
        if error is None:
            await self.publish()

    async def publish(self) -> Outcomes:
        """Publish the events added since the last time, and return ``results``; leaving the block does the same.

        Raises:
            Exception: as ``Producer.publish_all`` does, for the first event that failed.

        """
        items, self._items = self._items, []
        self.results = await self._publish(items)
        whole(self.results)
        return self.results

"""Several events of one call: how they are cut into slices, and how what came of each is told."""

import copy
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from bus.errors import BusError
from bus.event import Event
from bus.log.pipelines import PIPELINE_BYTES
from bus.log.publication import Published
from producers.outbox import Item

__all__ = ["Batch", "Outcomes", "slices", "whole"]

_SLICE_EVENTS: Final = 1_000

Outcomes = list[Published | BusError]


def slices(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Cut ``items`` such that each slice has a deadline that it can meet, and the loop its turn in between."""
    begin = size_bytes = 0
    for end, item in enumerate(items, start=1):
        size_bytes += item.size_bytes
        if end - begin >= _SLICE_EVENTS or size_bytes >= PIPELINE_BYTES:
            yield items[begin:end]
            begin, size_bytes = end, 0
    if begin < len(items):
        yield items[begin:]


def whole(outcomes: Outcomes) -> list[Published]:
    """Return what came of the events when all were published.

    Raises:
        BusError: the first that failed; of several events it says how many were published, and ``results`` which.

    """
    number, first = next(((n, it) for n, it in enumerate(outcomes, 1) if isinstance(it, BusError)), (0, None))
    published = [it for it in outcomes if isinstance(it, Published)]
    if first is None:
        return published
    if len(outcomes) == 1:
        raise first
    error, counts = copy.copy(first), f"{len(published)} of {len(outcomes)} events were published"
    error.args = (f"{first} ({counts}; the first that was not is number {number}, and `results` has them all)",)
    error.results = outcomes
    raise error from first.__cause__


class _Make(Protocol):
    def __call__(self, event: Event, *, repeated: bool = False) -> Item: ...


class Batch:
    """Events that are published together, in order: one pipeline where they fit (200 events, 4 MiB).

    Nothing is sent if the block ends with an exception. ``results`` has, after it, what came of each event, in order.
    """

    def __init__(self, make: _Make, publish: Callable[[Sequence[Item]], Awaitable[Outcomes]]) -> None:
        self._make, self._publish = make, publish
        self._items: list[Item] = []
        self.results: Outcomes = []

    def add(self, event: Event, *, repeated: bool = False) -> None:
        """Add ``event``; it is validated here.

        Raises:
            TypeError: it is no event.
            pydantic.ValidationError: the event was changed or built past validation; it is no part of the batch.
            EventError: it holds what JSON cannot carry, or its line is too large; the same.

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
        """Publish what was added since the last time, and return ``results``; what leaving the block does.

        Raises:
            Exception: as ``Producer.publish_all`` does, for the first event that failed.

        """
        items, self._items = self._items, []
        self.results = await self._publish(items)
        whole(self.results)
        return self.results

"""Long work on the event loop, in slices: between two slices other tasks have their turn, for as long as a slice."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

__all__ = ["Slices", "batches"]

ThingT = TypeVar("ThingT")

_SLICE_S: Final = 0.002


class Slices:
    """The slices of a piece of work. Between two slices passes as much time as in a slice: half of the loop is used."""

    # decisions/0044: rejected: a thread. Each write of the event loop would wait up to 5 ms for the interpreter's lock.
    __slots__ = ("_began",)

    def __init__(self) -> None:
        self._began = time.perf_counter()

    async def give_way(self) -> None:
        """Let other tasks go on, if a slice has lasted 2 ms; to be called between two short steps."""
        spent = time.perf_counter() - self._began
        if spent >= _SLICE_S:
            await self.rest(spent)

    async def rest(self, spent_s: float | None = None) -> None:
        """Let other tasks go on for as long as the slice took, or for ``spent_s``."""
        spent = time.perf_counter() - self._began if spent_s is None else spent_s
        await asyncio.sleep(spent)
        self._began = time.perf_counter()


def batches(things: Iterable[ThingT], size: int) -> Iterator[list[ThingT]]:
    """Yield ``things`` in lists of ``size``: for steps so short that a look at the clock would be most of the work."""
    iterator = iter(things)
    while batch := list(islice(iterator, size)):
        yield batch

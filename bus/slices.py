"""Long work on the event loop, in slices: between two of them others have their turn, for as long as a slice took."""

import asyncio
import time
from typing import Final

__all__ = ["Slices"]

_SLICE_S: Final = 0.002


class Slices:
    """The slices of one piece of work: between two passes as much time as in one, so it takes half of the loop."""

    __slots__ = ("_began",)

    def __init__(self) -> None:
        self._began = time.perf_counter()

    async def give_way(self) -> None:
        """Let others go on, if a slice has lasted long enough; to be called between two steps that are short."""
        spent = time.perf_counter() - self._began
        if spent >= _SLICE_S:
            await self.rest(spent)

    async def rest(self, spent_s: float | None = None) -> None:
        """Let others go on for as long as the slice took, or as ``spent_s``."""
        spent = time.perf_counter() - self._began if spent_s is None else spent_s
        await asyncio.sleep(spent)
        self._began = time.perf_counter()

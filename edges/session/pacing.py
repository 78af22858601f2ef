"""Long answers of the edge, at the client's pace."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from edges.limits.replay_slots import Slot, Slots
from edges.session.transport import Transport

__all__ = ["Pacing"]

_LOOK_S: Final = 0.25
_LONGEST_S: Final = 3.0


class Pacing:
    """Says a large message when little waits for the client.

    A message, once begun, cannot be taken back, and is kept whole until read. So a message larger than the bound of
    waiting bytes counts among the replays, and a client slow to read such a message is closed when other clients wait
    for the slot.

    Args:
        transport: of the client.
        slots: of replays.
        at_once_bytes: the largest message without a slot.
        network: the client's, as slots count networks.

    """

    __slots__ = ("_at_once_bytes", "_network", "_slots", "_transport")

    def __init__(self, transport: Transport, slots: Slots, *, at_once_bytes: int, network: str) -> None:
        self._transport, self._slots = transport, slots
        self._at_once_bytes, self._network = at_once_bytes, network

    @contextlib.asynccontextmanager
    async def room_for(self, size: int) -> AsyncIterator[None]:
        """Wait until a message of ``size`` bytes may be said, by the body; behind a large message, wait until read.

        Raises:
            LimitReached: other clients hold all slots.

        """
        # decisions/0045: a long answer is the edge's own doing. Written to a client with little to read, the answer is
        # not judged as bytes that the client lets wait.
        if size <= self._at_once_bytes:
            await self._transport.drained()
            yield
            return
        async with self._slots.slot(self._network) as slot:
            await self._transport.drained()
            yield
            await self._until_read(slot)

    async def _until_read(self, slot: Slot) -> None:
        began = asyncio.get_running_loop().time()
        while not self._transport.takes_more:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._transport.drained()
                    return
            # Without a queue a slow reader holds a slot that no other client wants, and may stay.
            if slot.is_over and asyncio.get_running_loop().time() - began >= _LONGEST_S:
                self._transport.close_slow()
                return

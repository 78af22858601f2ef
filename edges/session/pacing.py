"""What the edge has to say to a client at length, said at the client's pace."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from edges.limits.replay_slots import Turn, Turns
from edges.session.transport import Transport

__all__ = ["Pacing"]

_LOOK_S: Final = 0.25
_LONGEST_S: Final = 3.0


class Pacing:
    """Says what is large when little waits for the client.

    A message cannot be taken back once it was begun, and all of it is kept until the client has read it. So one that is
    larger than what may wait anyway counts among the replays, and a client that takes seconds for it is closed when
    others wait for its turn.

    Args:
        transport: the client's.
        turns: those of replays.
        at_once_bytes: what is said without a turn.
        network: whose turns the client takes.

    """

    __slots__ = ("_at_once_bytes", "_network", "_transport", "_turns")

    def __init__(self, transport: Transport, turns: Turns, *, at_once_bytes: int, network: str) -> None:
        self._transport, self._turns = transport, turns
        self._at_once_bytes, self._network = at_once_bytes, network

    @contextlib.asynccontextmanager
    async def room_for(self, size: int) -> AsyncIterator[None]:
        """Wait until a message of ``size`` bytes may be said, which the body does; then, if large, until it is read.

        Raises:
            LimitReached: too much is being said, or replayed, to others.

        """
        if size <= self._at_once_bytes:
            await self._transport.drained()
            yield
            return
        async with self._turns.turn(self._network) as turn:
            await self._transport.drained()
            yield
            await self._until_read(turn)

    async def _until_read(self, turn: Turn) -> None:
        began = asyncio.get_running_loop().time()
        while not self._transport.takes_more:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._transport.drained()
                    return
            if turn.is_over and asyncio.get_running_loop().time() - began >= _LONGEST_S:
                self._transport.close_slow()
                return

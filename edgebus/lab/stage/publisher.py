"""Publishing on the record: every call, and the outcome."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Literal

from bus.errors import BusError, BusUnavailable, PublishError
from bus.event import Event
from bus.tasks import end
from edgebus.lab.judge.records import Attempt
from edgebus.lab.stage.service import BriefEvent, LabEvent
from producers import Producer, Published

__all__ = ["Publisher"]

_TICK_S: Final = 0.02


class Publisher:
    """Numbers events per room and publishes them through one producer.

    Args:
        url: of Redis.
        attempts: the record of calls; shared by all publishers of a run, as ``numbers`` are.

    """

    def __init__(self, url: str, attempts: list[Attempt], numbers: dict[str, int]) -> None:
        self._producer = Producer(url, name="lab")
        self._attempts, self._numbers = attempts, numbers
        self._loop = asyncio.get_running_loop()
        self.is_resting = False

    async def __aenter__(self) -> "Publisher":
        """Open the producer."""
        await self._producer.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the producer."""
        await self._producer.close()

    async def publish(self, room: str, count: int = 1, *, padding: int = 0) -> list[Attempt]:
        """Publish ``count`` events on a channel, in order, under way together; refusals are recorded, not raised."""
        events = [self._next(room, "x" * padding) for _ in range(count)]
        return list(await asyncio.gather(*(self._publish(room, n, event) for n, event in events)))

    def _next(self, room: str, padding: str) -> tuple[int, Event]:
        n = self._numbers.get(room, 0)
        self._numbers[room] = n + 1
        family, _, name = room.partition(":")
        kind = BriefEvent if family == "brief" else LabEvent
        return n, kind(room=name, n=n, padding=padding)

    async def _publish(self, room: str, n: int, event: Event) -> Attempt:
        began_s = self._loop.time()
        outcome: Published | BusError
        try:
            outcome = await self._producer.publish(event)
        except BusError as error:
            outcome = error
        attempt = _attempt(room, n, began_s, self._loop.time(), outcome)
        self._attempts.append(attempt)
        return attempt

    @asynccontextmanager
    async def steadily(self, rooms: Sequence[str], rate: int) -> AsyncIterator[None]:
        """Publish ``rate`` events a second over ``rooms`` while the block lasts; each tick waits for the one before."""
        task = asyncio.create_task(self._flow(rooms, rate), name="lab flow")
        try:
            yield
        finally:
            self.is_resting = True
            await asyncio.wait([task])
            self.is_resting = False
            await end([task])
            task.result()

    async def _flow(self, rooms: Sequence[str], rate: int) -> None:
        owed, last_s = 0.0, self._loop.time()
        turn = 0
        while not self.is_resting:
            await asyncio.sleep(_TICK_S)
            now = self._loop.time()
            # No more than a fifth of a second is made up for: a flood after an outage would be a fault of its own.
            owed, last_s = min(owed + (now - last_s) * rate, rate * 0.2), now
            count = int(owed)
            owed -= count
            chosen = [rooms[(turn + index) % len(rooms)] for index in range(count)]
            turn += count
            await asyncio.gather(*(self.publish(room) for room in chosen))


def _attempt(room: str, n: int, began_s: float, ended_s: float, outcome: Published | BusError) -> Attempt:
    if isinstance(outcome, Published):
        return Attempt(room, n, began_s, ended_s, "acknowledged", outcome.id, outcome.positions[room])
    kind: Literal["refused", "unknown"] = (
        "refused" if isinstance(outcome, PublishError) and not isinstance(outcome, BusUnavailable) else "unknown"
    )
    if type(outcome).__name__ == "PublishUncertain":  # "says so instead of guessing": neither stored nor refused
        kind = "unknown"
    return Attempt(room, n, began_s, ended_s, kind, error=f"{type(outcome).__name__}: {outcome}")

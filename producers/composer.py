"""Events to items of the outbox: validated, composed to lines, and known by their attempts."""

import asyncio
from collections.abc import Sequence
from typing import Final

from bus.envelope import compose
from bus.event import Event, attempt, remember
from producers.outbox import Item
from producers.tracing import NO_TRACE, Tracing, note_trace

__all__ = ["Composer"]

_TURN_S: Final = 0.005
_TURN_EVENTS: Final = 100
"""How many events are validated, and for how long at least, before other tasks have their turn."""


class Composer:
    """Composes events of one producer; ``limit_bytes`` bounds a line."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes

    def item(self, event: Event, *, repeated: bool = False, tracing: Tracing | None = None) -> Item:
        """Return ``event`` as an item; with ``repeated``, of the attempt that the object remembers.

        ``tracing`` None: the event belongs to the active span, if any.

        Raises:
            TypeError: ``event`` is no event.
            pydantic.ValidationError: the event was changed or built past validation.
            EventError: JSON cannot carry a value of the event, or a line is too large.

        """
        made = attempt(event, repeated=repeated)
        if tracing is not NO_TRACE:
            note_trace(event, made, tracing)
        message = compose(event, limit_bytes=self._limit_bytes, made=made)
        # decisions/0020: the object remembers its attempt for a repetition. An event refused above has had no attempt.
        remember(event, made)
        return Item(message, made, event=event)

    async def items(self, events: Sequence[Event], *, repeated: bool, tracing: Tracing | None = None) -> list[Item]:
        """Return all of ``events`` as items, or raise as ``item`` does. Few events do not wait at all.

        Of very many events, other tasks have their turn in between.
        """
        # Without a wait for the first hundred, so that publishes of several tasks keep the order of the calls.
        items: list[Item] = []
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for event in events:
            items.append(self.item(event, repeated=repeated, tracing=tracing))
            if len(items) % _TURN_EVENTS == 0 and loop.time() - began_s > _TURN_S:
                await asyncio.sleep(0)
                began_s = loop.time()
        return items

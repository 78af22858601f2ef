"""A subscription in the caller's hands: an async iterator over one channel's values."""

import asyncio
from typing import Protocol, Self

from clients.state import SubscriptionState
from clients.values import Value

__all__ = ["Subscription"]


class _Owner(Protocol):
    """The client, as far as a subscription knows the client."""

    def taken(self, state: SubscriptionState) -> None:
        """Take note that the caller took a value."""

    def leave(self, state: SubscriptionState) -> None:
        """Leave the room and end the subscription."""


class Subscription:
    """An async iterator over one channel's values (``clients.values``), in the order of the channel's log.

    Two subscriptions of a client have no order between them; an event on both channels comes by both, with one ``id``.

    Subscribed from the call of ``client.subscribe`` on, across all reconnects. A subscription ends when ``aclose`` is
    called, an ``async with`` around the subscription ends, the client is closed, or the caller lets go of the object:
    ``async for value in client.subscribe(…)`` unsubscribes on ``break``. A subscription kept in a variable can be
    iterated again.

    Cancelling a wait loses nothing: a value is taken and handed over in one step.
    """

    # The client holds `state` and not this object, so that a caller's last reference is the last one of all: `__del__`.

    def __init__(self, state: SubscriptionState, owner: _Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._state, self._queue, self._owner, self._loop = state, state.queue, owner, loop

    @property
    def channel(self) -> str:
        """The channel's name."""
        return self._state.channel

    @property
    def position(self) -> str | None:
        """The position of the last event handed over, None before the first. Pass it as ``since`` to go on later."""
        return self._queue.position

    async def joined(self) -> None:
        """Wait until the edge has confirmed the subscription for the first time.

        Raises:
            ClientError: the subscription ended before that.

        """
        while not self._state.has_joined and not self._queue.is_over:
            await self._change()
        if self._queue.is_over and self._queue.error is not None:
            raise self._queue.error

    def __aiter__(self) -> Self:
        """Return the subscription."""
        return self

    async def __anext__(self) -> Value:
        """Return the next value.

        Raises:
            Refused: the edge will not have this client in the room.
            Dismissed: the edge sent the client away for good.
            ClientError: any other error that ended the client.

        """
        while True:
            value = self._take()
            if value is not None:
                return value
            await self._change()

    def _take(self) -> Value | None:
        """Return the next value if there is one; raise if there never will be."""
        queue = self._queue
        if queue.is_over and queue.error is None:
            raise StopAsyncIteration
        value = self._state.take()
        if value is not None:
            self._owner.taken(self._state)
        elif queue.error is not None:
            raise queue.error
        return value

    async def _change(self) -> None:
        self._queue.changed.clear()
        await self._queue.changed.wait()

    async def aclose(self) -> None:
        """Unsubscribe; iterating ends. Values that wait are not handed over any more."""
        self._owner.leave(self._state)

    async def __aenter__(self) -> Self:
        """Wait until the edge has confirmed the subscription."""
        is_in = False
        try:
            await self.joined()
            is_in = True
        finally:
            if not is_in:
                self._owner.leave(self._state)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Unsubscribe."""
        await self.aclose()

    def __del__(self) -> None:
        """Unsubscribe when the caller has let go of the subscription; garbage may be collected in any thread."""
        if self._queue.is_over or self._loop.is_closed():
            return
        if _running_loop() is self._loop:
            self._owner.leave(self._state)
        else:
            self._loop.call_soon_threadsafe(self._owner.leave, self._state)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None

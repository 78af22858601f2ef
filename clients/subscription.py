"""A subscription in the caller's hands: an async iterator over what a follower has for it."""

import asyncio
from typing import Protocol, Self

from clients.follower import Follower
from clients.values import Value

__all__ = ["Mailbox", "Subscription"]


class Mailbox:
    """What the client and one subscription share: the follower, and how the one wakes the other.

    The client holds this and not the subscription, so that it notices when its caller lets go of that.
    """

    def __init__(self, follower: Follower, loop: asyncio.AbstractEventLoop) -> None:
        self.follower, self.loop = follower, loop
        self.changed = asyncio.Event()
        self.is_over = False
        self.error: Exception | None = None

    def wake(self) -> None:
        """Have the caller look again."""
        self.changed.set()

    def end(self, error: Exception | None) -> None:
        """End the subscription: with None at once, with an error after all that waits."""
        if not self.is_over:
            self.is_over, self.error = True, error
            self.wake()


class _Owner(Protocol):
    """The client, as far as a subscription knows it."""

    def taken(self, mailbox: Mailbox) -> None:
        """Take note that the caller took a value."""

    def leave(self, mailbox: Mailbox) -> None:
        """Leave the room and end the subscription."""


class Subscription:
    """An async iterator over one channel's values (``clients.values``), in the order of the log.

    It is subscribed from the call of ``client.subscribe`` on, across all reconnects. It ends when ``aclose`` is called,
    an ``async with`` around it ends, the client is closed, or the caller lets go of it: ``async for value in
    client.subscribe(…)`` unsubscribes on ``break``. One that is kept in a variable can be iterated again.

    Cancelling a wait loses nothing: a value is taken and handed over in one step.
    """

    def __init__(self, mailbox: Mailbox, owner: _Owner) -> None:
        self._mailbox, self._owner = mailbox, owner

    @property
    def channel(self) -> str:
        """The channel's name."""
        return self._mailbox.follower.channel

    @property
    def position(self) -> str | None:
        """Where the caller stands: the position of the last event handed over. Pass it as ``since`` to go on later."""
        return self._mailbox.follower.position

    async def joined(self) -> None:
        """Wait until the edge has confirmed the subscription for the first time.

        Raises:
            ClientError: the subscription ended before that.

        """
        mailbox = self._mailbox
        while not mailbox.follower.has_joined and not mailbox.is_over:
            await self._change()
        if mailbox.is_over and mailbox.error is not None:
            raise mailbox.error

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> Value:
        """Return the next value.

        Raises:
            Refused: the edge will not have this client in the room.
            Dismissed: the edge sent the client away for good.
            ClientError: anything else that ended the client.

        """
        while True:
            value = self._take()
            if value is not None:
                return value
            await self._change()

    def _take(self) -> Value | None:
        """Return the next value if there is one; raise if there never will be."""
        mailbox = self._mailbox
        if mailbox.is_over and mailbox.error is None:
            raise StopAsyncIteration
        value = mailbox.follower.take()
        if value is not None:
            self._owner.taken(mailbox)
        elif mailbox.error is not None:
            raise mailbox.error
        return value

    async def _change(self) -> None:
        self._mailbox.changed.clear()
        await self._mailbox.changed.wait()

    async def aclose(self) -> None:
        """Unsubscribe; iterating ends. Values that wait are not handed over any more."""
        self._owner.leave(self._mailbox)

    async def __aenter__(self) -> Self:
        """Wait until the edge has confirmed it."""
        is_in = False
        try:
            await self.joined()
            is_in = True
        finally:
            if not is_in:
                self._owner.leave(self._mailbox)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Unsubscribe."""
        await self.aclose()

    def __del__(self) -> None:
        """Unsubscribe when the caller has let go of it without a word; garbage may be collected in any thread."""
        mailbox, loop = self._mailbox, self._mailbox.loop
        if mailbox.is_over or loop.is_closed():
            return
        if _running_loop() is loop:
            self._owner.leave(mailbox)
        else:
            loop.call_soon_threadsafe(self._owner.leave, mailbox)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None

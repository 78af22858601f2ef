"""The tap: all channels of Redis by one pattern, on a connection of its own, while a page is open."""

import asyncio
from collections.abc import Callable
from typing import Final

from bus.errors import BusError
from bus.redis import address
from bus.redis.failures import converted

__all__ = ["Tap"]

_LOOK_S: Final = 1.0
_AGAIN_S: Final = 0.5


class Tap:
    """Hears every channel, and hands lines on.

    Args:
        url: of Redis; the user needs every channel, by pattern.
        take: is given the channel's name in Redis and the line; neither waits nor raises.

    Attributes:
        trouble: why nothing is heard; empty while all is.

    """

    # decisions/0136: one pattern, and no subscription per channel: the page shows what goes through Redis, also on
    # channels that no edge watches, of services whose code is not at hand.

    def __init__(self, url: str, take: Callable[[str, bytes], None]) -> None:
        self._url, self._take = url, take
        self.trouble = "not begun"

    async def run(self) -> None:
        """Hear until cancelled, through outages of Redis."""
        while True:
            try:
                await self._hear()
            except BusError as error:
                self.trouble = str(error)
            await asyncio.sleep(_AGAIN_S)

    async def _hear(self) -> None:
        with converted(self._url):
            async with address.client(self._url, "edgebus-dashboard-tap") as redis, redis.pubsub() as heard:  # type: ignore[no-untyped-call, unused-ignore]
                # The client library's reader does for a page: an edge's own link takes ten times as many lines.
                await heard.psubscribe("*")
                while True:
                    match await heard.get_message(timeout=_LOOK_S):
                        case {"type": "pmessage", "channel": bytes(channel), "data": bytes(line)}:
                            self._take(channel.decode(errors="replace"), line)
                        case {"type": "psubscribe"}:
                            self.trouble = ""

"""Whether the edge is there: any bytes that arrive are life, not only answers to pings.

A pong comes behind the edge's earlier messages. On a line of 5 KB/s an event of 250 KB takes fifty seconds. Bytes
arrive all the while, and the library's own keepalive would give the connection up after twenty seconds.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any

from websockets.asyncio.client import ClientConnection

from bus.words import CloseCode

__all__ = ["HearingConnection"]


class HearingConnection(ClientConnection):
    """A connection that fails when no byte has come for ``ping_timeout`` seconds after a ping."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._heard = self.loop.time()

    def data_received(self, data: bytes) -> None:
        """Take bytes, and note the time."""
        self._heard = self.loop.time()
        super().data_received(data)

    async def keepalive(self) -> None:
        """Ping at every interval; the library starts this task after the handshake, and ends it with the connection."""
        while self.ping_interval is not None:
            await asyncio.sleep(self.ping_interval)
            pong = await self.ping()
            if self.ping_timeout is not None and not await self._is_heard(pong, self.ping_timeout):
                async with self.send_context():
                    self.protocol.fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
                return

    async def _is_heard(self, pong: Awaitable[float], timeout_s: float) -> bool:
        """Wait for ``pong`` for as long as bytes come; tell whether the pong came."""
        since = self.loop.time()
        while True:
            try:
                async with asyncio.timeout_at(since + timeout_s):
                    await asyncio.shield(asyncio.ensure_future(pong))
                    return True
            except TimeoutError:
                # Bytes came after the deadline's beginning: the deadline begins anew at the last of them.
                if self._heard <= since:
                    return False
                since = self._heard

"""Whether a link hears: a token published through Redis must come back by the link itself.

An open connection proves nothing: a path that swallows what is sent stays open, and deaf.
"""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress

from bus.errors import BusError
from bus.log import Log

__all__ = ["Probe"]


class Probe:
    """Sends tokens on an edge's own channel, and knows when the last one came back.

    Args:
        log: the connection to publish through; another one than the link.
        interval_s: between two tokens. A link that brought none back for two intervals is deaf.

    """

    def __init__(self, log: Log, *, interval_s: float) -> None:
        self._log, self._interval_s = log, interval_s
        self.channel = ""
        self._token = ""
        self._heard_s: float | None = None
        self._began_s = 0.0

    @property
    def is_heard(self) -> bool:
        """Whether a token came back within the last two intervals, on the link that is watched now."""
        return self._heard_s is not None and _now() - self._heard_s < 2 * self._interval_s

    def take(self, token: bytes) -> None:
        """Take what came on the probe's channel."""
        if token.decode(errors="replace") == self._token:
            self._heard_s = _now()

    async def watch(self, give_up: Callable[[], None]) -> None:
        """Probe one link from its beginning until it is found deaf, and call ``give_up`` then."""
        self._heard_s, self._began_s = None, _now()
        while not self._is_overdue():
            self._token, next_s = secrets.token_hex(8), _now() + self._interval_s
            with suppress(BusError, TimeoutError):
                async with asyncio.timeout_at(next_s):
                    await self._log.send_probe(self.channel, self._token)
            await asyncio.sleep(next_s - _now())
        give_up()

    def _is_overdue(self) -> bool:
        return _now() - (self._heard_s or self._began_s) >= 2 * self._interval_s


def _now() -> float:
    return asyncio.get_running_loop().time()

"""The pasts of channels, for the requests that are answered from them: read once, and read on where more has come.

A past is kept for the next question as long as there is place; which ones, how often they are asked for decides.
"""

import asyncio
from collections import OrderedDict
from typing import Final

from bus.channel import Channel
from bus.log.history import HISTORY_BYTES, History
from bus.log.log import Log

__all__ = ["Pasts"]

_KEPT: Final = 256
_KEPT_BYTES: Final = 8 * HISTORY_BYTES
"""Of lines and values; the objects that those become are several times as large."""


class Pasts:
    """Reads pasts; questions about one channel at one moment share the read.

    Args:
        log: reads them.
        limit: how many are kept.
        limit_bytes: how much.

    """

    def __init__(self, log: Log, *, limit: int = _KEPT, limit_bytes: int = _KEPT_BYTES) -> None:
        self._log, self._limit, self._limit_bytes = log, limit, limit_bytes
        self._kept: OrderedDict[str, History] = OrderedDict()
        self._reads: dict[str, asyncio.Task[History]] = {}
        self.kept_bytes = 0

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._kept)

    @property
    def reads(self) -> "list[asyncio.Task[History]]":
        """The reads under way, for whoever ends them."""
        return list(self._reads.values())

    async def of(self, channel: Channel) -> History:
        """Return the past of a channel; the same one as before where nothing came since.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        task = self._reads.get(channel.redis)
        if task is None:
            task = asyncio.create_task(self._read(channel), name=f"history of {channel.redis}")
            self._reads[channel.redis] = task
            task.add_done_callback(lambda _: self._reads.pop(channel.redis))
        return await asyncio.shield(task)

    async def _read(self, channel: Channel) -> History:
        known = self._kept.get(channel.redis)
        history = await (self._log.history(channel) if known is None else self._log.history(channel, known))
        if history is known:
            self._kept.move_to_end(channel.redis)
        else:
            self._keep(channel.redis, history)
        return history

    def _keep(self, name: str, history: History) -> None:
        before = self._kept.pop(name, None)
        self.kept_bytes -= 0 if before is None else before.size
        if history.known is None:
            return
        self._kept[name] = history
        self.kept_bytes += history.size
        while len(self._kept) > self._limit or self.kept_bytes > self._limit_bytes:
            _, oldest = self._kept.popitem(last=False)
            self.kept_bytes -= oldest.size

"""The past events of channels that requests were answered from, kept for the next question. Waits for nothing."""

from collections import OrderedDict
from typing import Final

from bus.channel import Channel
from bus.log.history import HISTORY_BYTES, History

__all__ = ["Histories"]

_KEPT: Final = 256
_KEPT_BYTES: Final = 8 * HISTORY_BYTES
"""Of lines and values; the objects that those become are several times as large."""


class Histories:
    """Histories by channel, as long as there is place; the channels asked for last stay.

    Args:
        limit: how many are kept.
        limit_bytes: how much.

    """

    def __init__(self, *, limit: int = _KEPT, limit_bytes: int = _KEPT_BYTES) -> None:
        self._limit, self._limit_bytes = limit, limit_bytes
        self._kept: OrderedDict[str, History] = OrderedDict()
        self.kept_bytes = 0

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._kept)

    def of(self, channel: Channel) -> History | None:
        """Return the kept history of a channel."""
        return self._kept.get(channel.redis)

    def keep(self, channel: Channel, history: History) -> None:
        """Keep the newest history of a channel, and let the oldest histories go where place is short.

        A history from which no read can go on is not kept.
        """
        before = self._kept.pop(channel.redis, None)
        self.kept_bytes -= 0 if before is None else before.size
        if history.known is None:
            return
        self._kept[channel.redis] = history
        self.kept_bytes += history.size
        # decisions/0044: whoever asks about ever new channels would else decide how much memory an edge has.
        while len(self._kept) > self._limit or self.kept_bytes > self._limit_bytes:
            _, oldest = self._kept.popitem(last=False)
            self.kept_bytes -= oldest.size

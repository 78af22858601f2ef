"""Reading channels' logs for a page, by the names in Redis, and bounded: a page needs no service's code."""

from bus.channel import Channel
from bus.log.log import Log
from edgebus.dashboard.names import is_channel

__all__ = ["Reads"]


class Reads:
    """A reader of logs.

    Args:
        url: of Redis.

    """

    def __init__(self, url: str) -> None:
        self._log = Log(url, name="edgebus-dashboard-logs", appends=False)

    async def close(self) -> None:
        """Close the connection."""
        await self._log.close()

    async def line(self, channel: str, position: str) -> str | None:
        """Return the line at a position; None where the log has none."""
        if not is_channel(channel):
            return None
        line = await self._log.line_at(Channel(channel, channel), position)
        return None if line is None else line.decode(errors="replace")

"""Reading channels' logs for a page, by the names in Redis, and bounded: a page needs no service's code."""

from collections.abc import Sequence
from typing import Any, Final

from bus.channel import Channel
from bus.log.entries import published
from bus.log.log import Log
from edgebus.dashboard.names import is_channel

__all__ = ["Reads"]

_SCANNED: Final = 1_000
_SCANS: Final = 100
_CHANNELS: Final = 20_000
_BATCH: Final = 1_000
_PAGE: Final = 50


class Reads:
    """A reader of logs.

    Args:
        url: of Redis.

    """

    def __init__(self, url: str) -> None:
        self._log = Log(url, name="edgebus-dashboard-logs")

    @property
    def log(self) -> Log:
        """The connection."""
        return self._log

    async def close(self) -> None:
        """Close the connection."""
        await self._log.close()

    async def line(self, channel: str, position: str) -> str | None:
        """Return the line at a position; None where the log has none."""
        if not is_channel(channel):
            return None
        line = await self._log.line_at(Channel(channel, channel), position)
        return None if line is None else line.decode(errors="replace")

    async def lengths(self) -> tuple[dict[str, int], bool]:
        """Return the lengths of logs by channel, of bounded number, and whether there may be more."""
        names, cursor = dict[str, None](), 0
        async with self._log.connected() as redis:
            for _ in range(_SCANS):
                cursor, keys = await redis.scan(cursor, match="bus:log:{*}", count=_SCANNED)
                names |= dict.fromkeys(name for key in keys if is_channel(name := _channel_of(key)))
                if not cursor or len(names) >= _CHANNELS:
                    break
            wanted, lengths = list(names)[:_CHANNELS], dict[str, int]()
            for start in range(0, len(wanted), _BATCH):
                batch = wanted[start : start + _BATCH]
                found = await self._pipelined(redis, "xlen", batch)
                lengths |= {name: it for name, it in zip(batch, found, strict=True) if isinstance(it, int)}
        return lengths, bool(cursor)

    async def heads(self, channels: Sequence[str]) -> dict[str, str]:
        """Return the newest positions of logs."""
        if not channels:
            return {}
        heads = dict[str, str]()
        async with self._log.connected() as redis:
            for start in range(0, len(channels), _BATCH):
                batch = channels[start : start + _BATCH]
                found = await self._pipelined(redis, "xrevrange", batch, "+", "-", 1)
                entries = zip(batch, found, strict=True)
                heads |= {name: it[0][0].decode() for name, it in entries if isinstance(it, list) and it}
        return heads

    @staticmethod
    async def _pipelined(redis: Any, command: str, channels: Sequence[str], *arguments: Any) -> list[Any]:
        pipeline = redis.pipeline(transaction=False)
        for name in channels:
            getattr(pipeline, command)(Channel(name, name).log_key, *arguments)
        found: list[Any] = await pipeline.execute(raise_on_error=False)  # a key of another type is no log
        return found

    async def entries(self, channel: str, *, after: str = "-", before: str = "+", newest: bool) -> list[bytes]:
        """Return lines between two positions, in order; of many the newest, or the oldest."""
        if not is_channel(channel):
            return []
        key = Channel(channel, channel).log_key
        found: Any
        async with self._log.connected() as redis:
            if newest:
                found = await redis.xrevrange(key, before, after, count=_PAGE)
            else:
                found = await redis.xrange(key, after, before, count=_PAGE)
        lines = [published(at, fields) for at, fields in found if b"line" in fields and b"previous" in fields]
        return lines[::-1] if newest else lines

    async def ends(self, channel: str) -> tuple[str | None, str | None]:
        """Return the oldest and the newest position of a log."""
        key = Channel(channel, channel).log_key
        async with self._log.connected() as redis:
            first: Any = await redis.xrange(key, count=1)
            last: Any = await redis.xrevrange(key, count=1)
        return (first[0][0].decode(), last[0][0].decode()) if first and last else (None, None)


def _channel_of(key: Any) -> str:
    return str(key, errors="replace").removeprefix("bus:log:{").removesuffix("}")

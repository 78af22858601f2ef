"""Events of a channel for an agent: the coming events of some seconds, and the past in Redis.

Read from Redis, not by an edge: an operator sees every channel, of any service and without a token (decisions/0129).
"""

import asyncio
from typing import Any, Final

import orjson

from bus.channel import Channel
from bus.errors import BusError, BusTimeout
from bus.log.log import Log
from bus.redis.link import Batch
from bus.redis.subscriber import Subscriber
from edgebus.agents.bounds import ANSWER_BYTES, Answer, fitting

__all__ = ["Listening", "past"]

_CONNECT_S: Final = 5.0
_AT_ONCE: Final = 16


class Listening:
    """Listens on channels of the Redis at ``url``, for a few agents at a time."""

    def __init__(self, url: str) -> None:
        self._url, self._running = url, 0

    async def listen(self, channel: Channel, *, seconds: float, events: int) -> Answer:
        """Return the events of ``seconds`` from now on, but no more than ``events`` or an answer's bytes.

        Raises:
            BusUnavailable: Redis cannot be reached.
            BusError: too many agents listen.

        """
        # Each call is a connection to Redis for up to a minute, and an agent may make calls without end.
        if self._running >= _AT_ONCE:
            raise BusError(f"{_AT_ONCE} calls of listen are under way; try again when one has ended")
        self._running += 1
        try:
            return await self._listen(channel, seconds, events)
        finally:
            self._running -= 1

    async def _listen(self, channel: Channel, seconds: float, events: int) -> Answer:
        heard = _Heard(channel.redis.encode(), events)
        is_up = asyncio.Event()
        name = "edgebus-mcp-listen"
        async with Subscriber(self._url, name=name, deliver=heard.take, on_up=is_up.set) as link:
            try:
                async with asyncio.timeout(_CONNECT_S):
                    await is_up.wait()
            except TimeoutError:
                raise BusTimeout(link.trouble) from None
            await link.subscribe(channel.redis)
            try:
                async with asyncio.timeout(seconds):
                    await heard.is_full.wait()
                ended = "events"
            except TimeoutError:
                ended = "seconds"
        return {"channel": channel.name, "events": heard.messages, "ended_by": ended, "unreadable": heard.unreadable}


class _Heard:
    """The lines heard so far, up to the bounds."""

    def __init__(self, channel: bytes, events: int) -> None:
        self._channel, self._events, self._left = channel, events, ANSWER_BYTES
        self.messages: list[dict[str, Any]] = []
        self.unreadable = 0
        self.is_full = asyncio.Event()

    def take(self, batch: Batch) -> None:
        for name, line in batch:
            if name == self._channel and not self.is_full.is_set():
                self._take(line)

    def _take(self, line: bytes) -> None:
        message = _message(line)
        if message is None:
            self.unreadable += 1
            return
        self.messages.append(message)
        self._left -= len(line)
        if len(self.messages) >= self._events or self._left <= 0:
            self.is_full.set()


async def past(log: Log, channel: Channel, *, count: int) -> Answer:
    """Return the newest ``count`` events of ``channel`` in Redis, oldest first; the oldest go to fit an answer.

    Raises:
        BusUnavailable: Redis cannot be reached.

    """
    if channel.retention.kind == "live":
        return {"channel": channel.name, "events": [], "message": "a live channel: nothing of it is kept"}
    lines = await log.lines(channel, count=count)
    messages = [message for line in lines if (message := _message(line)) is not None]
    events = fitting(reversed(messages))[::-1]
    return {
        "channel": channel.name,
        "events": events,
        "left_out": len(messages) - len(events),
        "unreadable": len(lines) - len(messages),
    }


def _message(line: bytes) -> dict[str, Any] | None:
    """Return the message in a line; None for no object, or for one nested too deep to be sent on."""
    try:
        value = orjson.loads(line)
        orjson.dumps(value)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    return value if isinstance(value, dict) else None

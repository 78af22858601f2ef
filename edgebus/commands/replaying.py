"""``edgebus replay``: a channel's past as JSON lines, at the pace of the past or at a multiple."""

import asyncio
from typing import Any, Final

from bus.channel import Channel
from bus.envelope import Arrived
from bus.errors import ChannelError, EventError
from bus.log.log import Log
from bus.log.replay import Since, SinceTime, parse_since
from bus.position import Reason, milliseconds, order
from edgebus.commands.events import read_line, tell_unreadable
from edgebus.terminal import note, show_json

__all__ = ["replay"]

_EVENTS: Final = 100_000
_BYTES: Final = 256 * 1024 * 1024


async def replay(
    url: str,
    channel: Channel,
    *,
    since: str,
    until: str | None,
    speed: float | None,
    stranger: ChannelError | None = None,
) -> None:
    """Print the events of ``channel`` from ``since`` on, and no later than ``until``.

    Args:
        url: of Redis.
        channel: a live channel has no past.
        since: a position (the events after), an ISO time with an offset, or a span such as ``-15m``.
        until: the same forms, inclusive; None for the whole rest.
        speed: how many times faster than the past; None does not wait at all.
        stranger: the error for a channel that no service at hand has, where Redis has no log of it either.

    Raises:
        ChannelError: ``stranger``.
        EventError: ``since`` or ``until`` has none of the forms.
        BusUnavailable: Redis cannot be reached.

    """
    start, end = _parsed("--since", since), _parsed("--until", until) if until is not None else None
    async with Log(url, name="edgebus-cli") as log:
        # More than one replay of an edge (1,000 events, 4 MiB): here one reader waits, and the memory is the person's.
        tail = await log.tail(channel, limit_events=_EVENTS, limit_bytes=_BYTES)
    if stranger is not None and not tail.lines:
        raise stranger
    found = tail.replay(start)
    if found.reason is not None:
        why = (
            "unknown: what this Redis holds began later than --since"
            if found.reason is Reason.UNKNOWN
            else found.reason
        )
        note(f"{channel.name}: the log may lack events before the first one shown ({why})")
    elif found.began is not None:
        note(f"{channel.name}: this Redis began at {found.began}; no event from before is known")
    lines = [line for line in found.lines if end is None or _is_before(line, end, tail.now_ms)]
    readable = [(line, message) for line in lines if (message := read_line(line.line)) is not None]
    tell_unreadable(len(lines) - len(readable) + log.unreadable)
    await _show(readable, speed)


def _parsed(flag: str, text: str) -> Since | SinceTime:
    try:
        return parse_since(text)
    except ValueError as error:
        raise EventError(f"{flag}: {error}") from None


def _is_before(line: Arrived, end: Since | SinceTime, now_ms: int) -> bool:
    position = line.position or "0-0"
    match end:
        case Since(last):
            return order(position) <= order(last)
        case SinceTime(ms, is_span):
            return milliseconds(position) <= (now_ms - ms if is_span else ms)


async def _show(lines: list[tuple[Arrived, dict[str, Any]]], speed: float | None) -> None:
    loop = asyncio.get_running_loop()
    began, first_ms = loop.time(), milliseconds(lines[0][0].position or "0-0") if lines else 0
    for line, message in lines:
        if speed is not None:
            # From the beginning of all, not from the last event: waits that came out too long do not add up.
            due = began + (milliseconds(line.position or "0-0") - first_ms) / 1000 / speed
            await asyncio.sleep(due - loop.time())
        show_json(message)

"""``edgebus top``: the dashboard on a terminal, else a second as text; as JSON, a line a second."""

import os
import sys
import time
from contextlib import aclosing

from bus.admin.operator import Operator
from bus.errors import BusUnavailable
from bus.redis.address import without_password
from edgebus.terminal import show_json
from edgebus.top.snapshot import as_data, first_whole, show_frame
from edgebus.top.source import OperatorSource

__all__ = ["show_top"]


async def show_top(url: str, service: str | None, *, once: bool, as_json: bool) -> None:
    """Show the edges of ``service``, or all.

    Raises:
        BusUnavailable: Redis cannot be reached, and a single second was asked for.

    """
    async with Operator(url) as operator:
        source, address = OperatorSource(operator, service), without_password(url)
        if once or not (as_json or _can_draw()):
            await _show_once(source, address, as_json=as_json)
        elif as_json:
            await _follow(source)
        else:
            from edgebus.top.app import Top

            await Top(source, address).run_async()


def _can_draw() -> bool:
    # Textual draws on standard error: with either stream in a file there is no terminal to draw on.
    return all(it.isatty() for it in (sys.stdin, sys.stdout, sys.stderr)) and os.environ.get("TERM") != "dumb"


async def _show_once(source: OperatorSource, address: str, *, as_json: bool) -> None:
    async with aclosing(source.frames()) as frames:  # type: ignore[type-var]
        frame = await first_whole(frames)
    if frame.away_s is not None:
        raise BusUnavailable(frame.why)
    if as_json:
        show_json(as_data(frame, time.time() * 1000))
    else:
        show_frame(frame, address, time.time() * 1000)


async def _follow(source: OperatorSource) -> None:
    async with aclosing(source.frames()) as frames:  # type: ignore[type-var]
        async for frame in frames:
            show_json(as_data(frame, time.time() * 1000))

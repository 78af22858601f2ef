"""Running a coroutine as the whole program: the fast event loop, and signals that end it in order."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import uvloop

__all__ = ["Asked", "run", "signalled"]

ResultT = TypeVar("ResultT")

_logger = logging.getLogger("edgebus")


def run(main: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run ``main`` to the end on uvloop; SIGINT ends the program."""
    # A shell without job control starts `command &` with SIGINT ignored (POSIX), and Python keeps that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return uvloop.run(main)


class Asked(asyncio.Event):
    """Set when the process is asked to end. ``may_take_time`` is False for a person at the terminal (SIGINT)."""

    # decisions/0027: no balancer waits for a person at a terminal.

    may_take_time = True


@asynccontextmanager
async def signalled() -> AsyncIterator[Asked]:
    """Give an event that is set by the first SIGINT or SIGTERM; the second signal ends the process at once."""
    asked = Asked()
    loop = asyncio.get_running_loop()

    def take(number: int) -> None:
        if asked.is_set():
            _logger.info("asked to end twice, ended at once", extra={"signal": signal.Signals(number).name})
            # decisions/0027: there and then, without closing handshakes; `sys.exit` would wait for threads and tasks.
            os._exit(128 + number)
        asked.may_take_time = number == signal.SIGTERM
        asked.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, take, number)
    try:
        yield asked
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)

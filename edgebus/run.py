"""Running a coroutine as the whole program: the fast event loop, and signals that end it in order."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import uvloop

__all__ = ["run", "signalled"]

ResultT = TypeVar("ResultT")


def run(main: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run ``main`` to its end on uvloop."""
    return uvloop.run(main)


@asynccontextmanager
async def signalled() -> AsyncIterator[asyncio.Event]:
    """Give an event that is set by the first SIGINT or SIGTERM; the second one ends the process at once."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def take(number: int) -> None:
        if asked.is_set():
            os._exit(128 + number)
        asked.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, take, number)
    try:
        yield asked
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)

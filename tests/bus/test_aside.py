"""Blocking work beside the event loop."""

import asyncio
import threading

import pytest

from bus.aside import aside


async def test_work_aside_gives_back_what_it_has_and_raises() -> None:
    """The thread's value or error is that of the wait; a wait that is cancelled leaves the thread alone."""
    assert await aside(threading.get_ident, "who") != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await aside(lambda: 1 // 0, "wrong")
    begun, goes_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        goes_on.wait()
        ended.set()

    waiting = asyncio.create_task(aside(work, "long"))
    await asyncio.to_thread(begun.wait)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    goes_on.set()
    assert await asyncio.to_thread(ended.wait, 5)

"""Blocking work in a thread of its own, which ends with the work."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["aside"]

ResultT = TypeVar("ResultT")


async def aside(work: Callable[[], ResultT], name: str) -> ResultT:
    """Run blocking ``work`` in a thread that the end of the process does not wait for. May be cancelled.

    Raises:
        RuntimeError: there is no thread to be had, see ``bus.shortage``.
        Exception: the error of ``work``.

    """
    # Not `asyncio.to_thread`: the loop's end waits for those threads, for a resolver that hangs as well; and such a
    # thread stays, idle, for which the kernel makes each `send` dearer (bus.redis.connecting).
    future = Future[ResultT]()
    future.set_running_or_notify_cancel()  # from now on a cancelled wait leaves it to the thread

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 (raised again where it is waited for)
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(future)

"""A thread with an event loop, in which a producer or responder is open, until a call or the interpreter's exit."""

import asyncio
import atexit
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final, Generic, Protocol, TypeVar, cast

from producers.guard import renew_after_fork

__all__ = ["Answer", "Background", "Opened"]

ResultT = TypeVar("ResultT")

_GRACE_S: Final = 2.0
"""Beyond ``close_s``, for a thread to end when the interpreter exits."""


class Answer(Generic[ResultT]):
    """The outcome of a call for a thread that waits; to the loop's thread the same as a future. Set once."""

    # decisions/0158: a lock, and no future of `concurrent.futures`, whose condition takes three locks and a list.

    __slots__ = ("_error", "_lock", "_result")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._result: ResultT | None = None
        self._error: Exception | None = None

    def done(self) -> bool:
        """Tell whether there is an outcome."""
        return not self._lock.locked()

    def set_result(self, result: ResultT) -> None:
        """Let the caller go on."""
        self._result = result
        self._lock.release()

    def set_exception(self, error: Exception) -> None:
        """Let the caller go on with an error."""
        self._error = error
        self._lock.release()

    def wait(self) -> ResultT:
        """Return the result, or raise the error; Ctrl-C leaves this wait."""
        with self._lock:
            if self._error is not None:
                raise self._error
            return cast(ResultT, self._result)


class Opened(Protocol):
    """A producer, or a responder."""

    async def open(self) -> object:
        """Begin."""

    async def close(self) -> None:
        """End."""


class Background:
    """Runs ``producer`` from ``start`` on. Every method may be called from any thread."""

    def __init__(self, producer: Opened, *, close_s: float) -> None:
        self._producer, self._close_s = producer, close_s
        self._loop = asyncio.new_event_loop()
        self._loop.set_debug(False)  # PYTHONASYNCIODEBUG is meant for the loops of the program
        self._ending: asyncio.Task[None] | None = None
        self._error: Exception | None = None
        # decisions/0062: a daemon. The exit waits below for as long as events may be sent; for other threads the
        # interpreter waits before a handler could tell them to end.
        self._thread = threading.Thread(target=self._serve, name="edgebus-producer", daemon=True)

    def start(self) -> None:
        """Start the thread, and open the producer in it."""
        _threads.open.add(self)
        self._thread.start()
        self.run(self._producer.open()).result()

    def run(self, coroutine: Coroutine[Any, Any, ResultT]) -> "Future[ResultT]":
        """Run ``coroutine`` in the event loop. Not to be called after ``end_soon``."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def hand(self, call: Callable[..., object], *arguments: Any) -> None:
        """Make a call that does not wait in the event loop. Not to be called after ``end_soon``."""
        self._loop.call_soon_threadsafe(call, *arguments)

    def end_soon(self) -> None:
        """Begin to close the producer and then the thread, and do not wait; calling ``end_soon`` twice is harmless."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._begin_end)

    def join(self, timeout_s: float | None = None) -> None:
        """Wait until the thread has ended; raise the error that ended the producer, if there was one."""
        self._thread.join(timeout_s)
        error, self._error = self._error, None
        if error is not None:
            raise error

    def join_at_exit(self) -> None:
        """Wait for as long as the producer may go on sending, and a little longer."""
        self._thread.join(self._close_s + _GRACE_S)

    def _serve(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()
            _threads.open.discard(self)

    def _begin_end(self) -> None:
        if self._ending is None:
            self._ending = self._loop.create_task(self._end())

    async def _end(self) -> None:
        """Close the producer, and wait until every caller in another thread has its answer."""
        try:
            await self._producer.close()
        except Exception as error:  # noqa: BLE001 -- not lost: join raises it
            self._error = error
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)
        self._loop.stop()


class _Threads:
    """The running threads of this process."""

    def __init__(self) -> None:
        self.open: set[Background] = set()
        self._of_the_parent: list[object] = []

    def after_fork(self) -> None:
        """Keep the parent's threads alive as objects, and leave them alone."""
        # A loop that was running when the process was forked cannot be closed, and collecting it would warn.
        self._of_the_parent.append(self.open)
        self.open = set()


_threads: Final = _Threads()
renew_after_fork(_threads, _Threads.after_fork)


def _end_all() -> None:
    """Send the emitted events of producers that were never closed, all producers at the same time."""
    ending = list(_threads.open)
    for background in ending:
        background.end_soon()
    for background in ending:
        background.join_at_exit()


atexit.register(_end_all)

"""The producer for code without asyncio: the same calls, each returning its result.

One background thread runs an event loop with a ``producers.Producer`` in it, so there is one implementation.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Self, TypeVar

from bus.envelope import LINE_LIMIT_BYTES
from bus.errors import BusError
from bus.event import Event
from producers.producer import Producer as AsyncProducer
from producers.producer import Published

__all__ = ["Producer", "Published"]

ResultT = TypeVar("ResultT")


class Producer:
    """Publishes events to Redis and blocks until it has them. Safe to call from several threads.

    Arguments and errors are those of ``producers.Producer``. Not for use inside an event loop, which it would block.
    """

    def __init__(self, url: str | None = None, *, name: str = "unnamed", limit_bytes: int = LINE_LIMIT_BYTES) -> None:
        self._producer = AsyncProducer(url, name=name, limit_bytes=limit_bytes)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Start the background thread; Redis is not asked for anything yet."""
        loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=_serve, args=(loop,), name="edgebus-producer", daemon=True)
        self._thread.start()
        self._loop = loop
        self._call(self._producer.__aenter__())
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Let publishes that are under way end, then close the connection and the thread."""
        self.close()

    def close(self) -> None:
        """Let publishes that are under way end, then close the connection and the thread; twice is harmless."""
        with self._lock:
            if self._loop is None or self._thread is None:
                return
            self._call(self._producer.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop = self._thread = None

    def publish(self, event: Event) -> Published:
        """Publish ``event`` and return when Redis has it; see ``producers.Producer.publish``."""
        return self._call(self._producer.publish(event))

    def publish_all(self, events: Sequence[Event]) -> list[Published]:
        """Publish several events in order; see ``producers.Producer.publish_all``."""
        return self._call(self._producer.publish_all(events))

    def publish_every(self, interval_s: float, make: Callable[[], Sequence[Event]]) -> None:
        """Publish what ``make`` returns every ``interval_s`` seconds, in this thread, until an exception ends it."""
        due = time.monotonic()
        while True:
            self.publish_all(make())
            due = max(due + interval_s, time.monotonic())
            time.sleep(due - time.monotonic())

    def _call(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        if self._loop is None:
            coroutine.close()
            raise BusError("the producer is not open: use it as `with Producer(...) as producer`")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()

"""The responder for code without asyncio: functions run in threads, beside whatever the program does."""

import logging
import threading
from collections.abc import Callable
from typing import Any, Self

from pydantic import BaseModel

from bus.errors import BusError
from bus.service import Request, Service
from producers.answers import LOGGER
from producers.background import Background
from producers.responder import FunctionT, ResponderStatistics
from producers.responder import Responder as AsyncResponder

__all__ = ["Responder"]


class Responder:
    """Answers live requests of a service in threads, for as long as the block runs; ``wait`` waits for ever.

    Arguments and errors are those of ``producers.Responder``. Safe to call from several threads.
    """

    def __init__(
        self,
        url: str | None,
        service: Service,
        *,
        max_at_once: int = 16,
        max_answer_bytes: int = 4_000_000,
        close_s: float = 5.0,
        logger: logging.Logger = LOGGER,
    ) -> None:
        self._responder = AsyncResponder(
            url,
            service,
            max_at_once=max_at_once,
            max_answer_bytes=max_answer_bytes,
            close_s=close_s,
            logger=logger,
        )
        self._close_s = close_s
        self._background: Background | None = None
        self._lock = threading.RLock()

    def answers(self, what: type[BaseModel] | Request[Any, Any]) -> Callable[[FunctionT], FunctionT]:
        """Register the decorated function; see ``producers.Responder.answers``."""
        return self._responder.answers(what)

    def open(self) -> Self:
        """Start the background thread, and return the responder; see ``producers.Responder.open``."""
        with self._lock:
            if self._background is not None:
                raise BusError("the responder is open already: use one `with` at a time")
            background = Background(self._responder, close_s=self._close_s)
            background.start()
            self._background = background
        return self

    def close(self) -> None:
        """Finish what is under way within ``close_s``, and end the thread; twice is harmless."""
        with self._lock:
            background, self._background = self._background, None
        if background is not None:
            background.end_soon()
            background.join()

    def __enter__(self) -> Self:
        """Do as ``open``."""
        return self.open()

    def __exit__(self, *exc_info: object) -> None:
        """Do as ``close``."""
        self.close()

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait while the responder answers: for ever, or for ``timeout_s``; Ctrl-C leaves the wait.

        Raises:
            BusError: the responder is not open.
            Exception: a bug of ours that ended the responder.

        """
        background = self._background
        if background is None:
            raise BusError("the responder is not open: use it as `with Responder(...) as responder`")
        waiting = background.run(self._responder.wait())
        try:
            waiting.result(timeout_s)
        except TimeoutError:
            if not waiting.cancel():
                raise

    def statistics(self) -> ResponderStatistics:
        """Return the counters."""
        return self._responder.statistics()

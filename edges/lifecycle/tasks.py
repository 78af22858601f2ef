"""Tasks that begin while an edge runs, such as a client's command, and end with the edge."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

__all__ = ["Tasks"]

_logger = logging.getLogger("edgebus.edges")


class Tasks:
    """Owns tasks: a running task is kept, and a failure is logged."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> "list[asyncio.Task[None]]":
        """The tasks under way, to be ended by the edge."""
        return list(self._running)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Run ``work`` in a task called ``name``."""
        task = asyncio.create_task(work, name=name)
        self._running.add(task)  # an event loop keeps no task
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _logger.error("a task of the edge failed", exc_info=error, extra={"task": task.get_name()})

"""Work shared by all callers that want the same result, for as long as the work is under way."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, TypeVar

__all__ = ["SingleFlight"]

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


class SingleFlight(Generic[KeyT, ValueT]):
    """One task per key at a time, however many callers wait for the result.

    No caller owns the task: a caller that gives up takes the result from no other caller. A failure is raised to every
    caller, and not remembered.
    """

    def __init__(self) -> None:
        self._newest: dict[KeyT, asyncio.Task[ValueT]] = {}
        self._running: set[asyncio.Task[ValueT]] = set()

    @property
    def tasks(self) -> "list[asyncio.Task[ValueT]]":
        """The tasks under way, for the owner to end."""
        return list(self._running)

    def under_way(self, key: KeyT) -> "asyncio.Task[ValueT] | None":
        """Return the newest task of a key, None when no task is under way."""
        return self._newest.get(key)

    async def share(
        self,
        key: KeyT,
        work: Callable[[], Coroutine[Any, Any, ValueT]],
        name: str,
        *,
        after: "asyncio.Task[ValueT] | None" = None,
    ) -> ValueT:
        """Return the result of the task under way for ``key``, or begin ``work``.

        The result of the task ``after`` is too old for the caller; a task that began later is shared.

        Raises:
            Exception: the error that ``work`` raises.

        """
        task = self._newest.get(key)
        if task is None or task is after:
            task = asyncio.create_task(work(), name=name)
            self._newest[key] = task
            self._running.add(task)
            task.add_done_callback(partial(self._ended, key))
        # Shielded: the first caller may be a client that leaves, and a thousand others wait for the same read.
        return await asyncio.shield(task)

    def _ended(self, key: KeyT, task: "asyncio.Task[ValueT]") -> None:
        self._running.discard(task)
        if self._newest.get(key) is task:
            del self._newest[key]
        if not task.cancelled():
            task.exception()  # looked at: every caller may have given up, and asyncio would complain of it

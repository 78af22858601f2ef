"""What a client said, one command at a time and in order: while one of them waits, so do those behind it.

A token overtakes everything: it has a lane of its own, in which the order is kept likewise. So does what else must be
answered soon, once something long is under way. Nothing begins while a token is looked at; what comes behind it finds
that done.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from bus.tasks import Spawn
from edges.protocol.messages import Refusal
from edges.session.command import Command

__all__ = ["Inbox", "Item", "Pausable"]

_SMALL_BYTES: Final = 256
"""What a command that is no longer text is taken for: its texts are bounded."""

Item: TypeAlias = bytes | Command | Refusal
"""A message as it came, for what waits costs no more than it did the client; or what is small anyway."""


class Pausable(Protocol):
    """Where commands come from."""

    def pause_reading(self) -> None:
        """Take no more bytes for now."""

    def resume_reading(self) -> None:
        """Take bytes again."""


class _Waiting(NamedTuple):
    item: Item
    topic: str | None
    overtakes: bool

    @property
    def size(self) -> int:
        return (len(self.item) if isinstance(self.item, bytes) else _SMALL_BYTES) + len(self.topic or "")


class Inbox:
    """The commands of one client, and the tasks of those under way, if they must wait.

    Args:
        source: is paused while as much waits as may; what it has read by then may still be put in.
        limit: the most commands that wait before that.
        limit_bytes: the most bytes of theirs.
        carry_out: takes the next command; calls ``run`` or ``run_ahead`` with what must wait for something.
        spawn: runs a task, and owns it.

    Attributes:
        is_busy: whether a command is under way.

    """

    __slots__ = (
        "_ahead",
        "_bytes",
        "_carry_out",
        "_is_long",
        "_is_paused",
        "_limit",
        "_limit_bytes",
        "_queue",
        "_source",
        "_spawn",
        "_task",
        "_task_ahead",
        "is_busy",
    )

    def __init__(
        self, source: Pausable, limit: int, limit_bytes: int, carry_out: Callable[[Item], None], spawn: Spawn
    ) -> None:
        self._source, self._limit, self._limit_bytes = source, limit, limit_bytes
        self._carry_out, self._spawn = carry_out, spawn
        self._queue: deque[_Waiting] = deque()
        self._ahead: deque[_Waiting] = deque()
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._task_ahead: asyncio.Task[None] | None = None
        self._is_paused = self._is_long = self.is_busy = False

    def __len__(self) -> int:
        """How many commands wait."""
        return len(self._queue) + len(self._ahead)

    @property
    def is_busy_ahead(self) -> bool:
        """Whether one is that has overtaken, or would."""
        return self._task_ahead is not None

    # Each of these three returns the name of the setting for which the source was paused, None where it was not.

    def put(self, item: Item, topic: str | None = None) -> str | None:
        """Take a command, and have it carried out in its turn; ``topic`` is what it is about, for ``overtake``."""
        if not self.is_busy:
            self._carry_out(item)
            return None
        return self._wait(self._queue, _Waiting(item, topic, overtakes=False))

    def put_ahead(self, item: Item) -> str | None:
        """Take a command that overtakes all but those ahead already."""
        if self._task_ahead is None:
            self._carry_out(item)
            return None
        return self._wait(self._ahead, _Waiting(item, None, overtakes=True))

    def overtake(self, item: Item, topic: str | None = None) -> str | None:
        """Take a command that overtakes once what is under way takes long: all others but those of its topic."""
        if not self.is_busy:
            self._carry_out(item)
            return None
        waiting = _Waiting(item, topic, overtakes=True)
        if self._is_long and self._may_pass(waiting, self._queue):
            return self.put_ahead(item)
        return self._wait(self._queue, waiting)

    def let_pass(self) -> None:
        """Take note that what is under way takes long; carry out what waits and may overtake it."""
        self._is_long = True
        queue, self._queue = self._queue, deque()
        passing = list[Item]()
        for waiting in queue:
            if waiting.overtakes and self._may_pass(waiting, self._queue):
                self._bytes -= waiting.size
                passing.append(waiting.item)
            else:
                self._queue.append(waiting)
        for item in passing:
            self.put_ahead(item)
        self._ease()

    @staticmethod
    def _may_pass(waiting: _Waiting, others: Iterable[_Waiting]) -> bool:
        return waiting.topic is None or all(it.topic != waiting.topic for it in others)

    def _wait(self, queue: deque[_Waiting], waiting: _Waiting) -> str | None:
        queue.append(waiting)
        self._bytes += waiting.size
        limit = self._limit_reached()
        if limit is None or self._is_paused:
            return None
        self._is_paused = True
        self._source.pause_reading()
        return limit

    def _limit_reached(self) -> str | None:
        if len(self) >= self._limit:
            return "max_waiting_commands"
        return "max_waiting_command_bytes" if self._bytes >= self._limit_bytes else None

    def put_first(self, item: Item) -> None:
        """Take a command that comes before those that wait in order; to be called by one under way."""
        self._queue.appendleft(_Waiting(item, None, overtakes=False))
        self._bytes += self._queue[0].size

    def run(self, work: Coroutine[Any, Any, None], name: str, *, is_long: bool = False) -> None:
        """Run what must wait, in a task of this name; the commands behind it wait for it. It must not raise.

        Args:
            work: the command.
            name: of the task.
            is_long: whether it takes long from the start, as for ``let_pass``.

        """
        self._task = self._spawn(self._until_done(work), name)
        self.is_busy = True
        if is_long:
            self.let_pass()

    def run_ahead(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run likewise what overtakes; it goes on beside what is under way, and whatever comes waits for it."""
        self._task_ahead = self._spawn(self._until_done_ahead(work), name)
        self.is_busy = True

    async def _until_done(self, work: Coroutine[Any, Any, None]) -> None:
        await work
        self._task, self._is_long = None, False
        self.is_busy = self._task_ahead is not None
        self._carry_on()

    async def _until_done_ahead(self, work: Coroutine[Any, Any, None]) -> None:
        await work
        self._task_ahead = None
        self.is_busy = self._task is not None
        self._carry_on()

    def _carry_on(self) -> None:
        while self._ahead and self._task_ahead is None:
            self._carry_out(self._take(self._ahead))
        while self._queue and not self.is_busy:
            self._carry_out(self._take(self._queue))
        self._ease()

    def _ease(self) -> None:
        if self._is_paused and self._limit_reached() is None:
            self._is_paused = False
            self._source.resume_reading()

    def _take(self, queue: deque[_Waiting]) -> Item:
        waiting = queue.popleft()
        self._bytes -= waiting.size
        return waiting.item

    def clear(self) -> None:
        """Let no command wait any more; those under way are let go on."""
        self._queue.clear()
        self._ahead.clear()
        self._bytes = 0

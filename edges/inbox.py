"""What a client said, one command at a time and in order: while one of them waits, so do those behind it."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from bus.tasks import Spawn
from edges.protocol import Command, Refusal

__all__ = ["Inbox", "Source"]


class Source(Protocol):
    """Where commands come from."""

    def pause_reading(self) -> None:
        """Take no more bytes for now."""

    def resume_reading(self) -> None:
        """Take bytes again."""


class Inbox:
    """The commands of one client, and the task of the one under way, if that must wait.

    Args:
        source: is paused while ``limit`` commands wait; what it has read by then may still be put in.
        limit: the most that wait before that.
        carry_out: takes the next command; calls ``run`` with what must wait for something.
        spawn: runs a task, and owns it.

    """

    __slots__ = ("_carry_out", "_commands", "_limit", "_source", "_spawn", "_task")

    def __init__(
        self, source: Source, limit: int, carry_out: Callable[[Command | Refusal], None], spawn: Spawn
    ) -> None:
        self._source, self._limit, self._carry_out, self._spawn = source, limit, carry_out, spawn
        self._commands: deque[Command | Refusal] = deque()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many commands wait."""
        return len(self._commands)

    @property
    def is_busy(self) -> bool:
        """Whether a command is under way."""
        return self._task is not None

    def put(self, command: Command | Refusal) -> bool:
        """Take a command, and have it carried out in its turn; tell whether the source was paused for it."""
        if self._task is None:
            self._carry_out(command)
            return False
        self._commands.append(command)
        if len(self._commands) != self._limit:
            return False
        self._source.pause_reading()
        return True

    def put_first(self, command: Command | Refusal) -> None:
        """Take a command that comes before those that wait; to be called by the one under way."""
        self._commands.appendleft(command)

    def run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run what must wait, in a task of this name; the commands behind it wait for it. It must not raise."""
        self._task = self._spawn(self._until_done(work), name)

    async def _until_done(self, work: Coroutine[Any, Any, None]) -> None:
        await work
        self._task = None
        self._carry_on()

    def _carry_on(self) -> None:
        was_full = len(self._commands) >= self._limit
        while self._commands and self._task is None:
            self._carry_out(self._commands.popleft())
        if was_full and len(self._commands) < self._limit:
            self._source.resume_reading()

    def clear(self) -> None:
        """Let no command wait any more; the one under way is let go on."""
        self._commands.clear()

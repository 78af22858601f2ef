"""The commands of a client, in order: while a command is under way, the commands behind wait.

A token overtakes all other commands, in an ordered lane ahead. Pings and unsubscriptions overtake once a long command
is under way. No command begins while a token is looked at, so a command behind a token finds the token judged.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from bus.tasks import Spawn
from edges.protocol.messages import Refusal
from edges.session.command import Command

__all__ = ["Inbox", "Item", "Pausable", "drop"]

_SMALL_BYTES: Final = 256
"""The size of a command that waits as an object: all texts in such a command are bounded."""

# decisions/0041: parsed, 64 requests of 64 KB were 100 MB of dicts; as text, waiting commands cost 4 MB.
Item: TypeAlias = bytes | Command | Refusal
"""A message as text, or a small command."""


class Pausable(Protocol):
    """The source of commands."""

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


def drop(_: Item) -> None:
    """Take a command of a client that is gone."""


class Inbox:
    """The commands of a client, and the tasks of the commands under way.

    Args:
        source: paused at the limits; messages read by then may still be put in.
        limit: the most waiting commands.
        limit_bytes: the most bytes of waiting commands.
        carry_out: takes the next command; calls ``run`` or ``run_ahead`` for a command of several steps.
        spawn: starts and owns a task.

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
        # Lists: an empty deque is 624 bytes, nearly every client has two empty ones, and `limit` keeps both short.
        self._queue: list[_Waiting] = []
        self._ahead: list[_Waiting] = []
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._task_ahead: asyncio.Task[None] | None = None
        self._is_paused = self._is_long = self.is_busy = False

    def __len__(self) -> int:
        """Return the number of waiting commands."""
        return len(self._queue) + len(self._ahead)

    @property
    def is_busy_ahead(self) -> bool:
        """Whether a command of the lane ahead is under way."""
        return self._task_ahead is not None

    # Each of the three returns the setting for which the source was paused, None where reading goes on: once per pause,
    # not once per command behind, so figures say how often clients were held back.

    def put(self, item: Item, topic: str | None = None) -> str | None:
        """Take a command for its turn; ``topic`` is the subject of the command, for ``overtake``."""
        if not self.is_busy:
            self._carry_out(item)
            return None
        return self._wait(self._queue, _Waiting(item, topic, overtakes=False))

    def put_ahead(self, item: Item) -> str | None:
        """Take a command that overtakes all commands but the ones ahead already."""
        # decisions/0042: beside the command under way, which may be a replay of minutes: a renewal must not come late.
        if self._task_ahead is None:
            self._carry_out(item)
            return None
        return self._wait(self._ahead, _Waiting(item, None, overtakes=True))

    def overtake(self, item: Item, topic: str | None = None) -> str | None:
        """Take a command that overtakes commands of other topics, once a long command is under way."""
        if not self.is_busy:
            self._carry_out(item)
            return None
        waiting = _Waiting(item, topic, overtakes=True)
        # decisions/0042: behind a subscription being opened a ping keeps its place, as in a flush of NATS' clients: the
        # pong tells that all subscriptions sent before are made.
        if self._is_long and self._may_pass(waiting, self._queue):
            return self.put_ahead(item)
        return self._wait(self._queue, waiting)

    def let_pass(self) -> None:
        """Take note that the command under way takes long; carry out the waiting commands that may overtake."""
        self._is_long = True
        queue, self._queue = self._queue, []
        passing: list[Item] = []
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
        # Ahead of a waiting subscribe to the same room, an unsubscribe would leave the client in a room it has left.
        return waiting.topic is None or all(it.topic != waiting.topic for it in others)

    def _wait(self, queue: list[_Waiting], waiting: _Waiting) -> str | None:
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
        """Take a command ahead of the waiting ones in order; for a caller under way."""
        self._queue.insert(0, _Waiting(item, None, overtakes=False))
        self._bytes += self._queue[0].size

    def run(self, work: Coroutine[Any, Any, None], name: str, *, is_long: bool = False) -> None:
        """Run a command in a task; the commands behind wait.

        Args:
            work: the command; must not raise.
            name: of the task.
            is_long: whether the command takes long from the start, as for ``let_pass``.

        """
        self._task = self._spawn(self._until_done(work), name)
        self.is_busy = True
        if is_long:
            self.let_pass()

    def run_ahead(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run likewise a command of the lane ahead, beside the command under way; all later commands wait."""
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
            # Not at the first command taken: each pause and each resume of a socket is a system call.
            self._source.resume_reading()

    def _take(self, queue: list[_Waiting]) -> Item:
        waiting = queue.pop(0)
        self._bytes -= waiting.size
        return waiting.item

    def let_go(self) -> bool:
        """Call nobody any more; False while a command is under way, whose end is still told."""
        if self.is_busy or self._task_ahead is not None:
            return False
        self._carry_out = drop
        return True

    def clear(self) -> None:
        """Drop all waiting commands; a command under way goes on."""
        self._queue.clear()
        self._ahead.clear()
        self._bytes = 0

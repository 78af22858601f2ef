"""How a producer's sender ends: closed, let go of by the owner, or left when the interpreter exits.

The sender's task is kept here until the task ends: an owner that goes out of scope takes no events along.
"""

import asyncio
import atexit
import weakref
from contextlib import suppress
from typing import Any

from bus.tasks import end
from producers.guard import renew_after_fork
from producers.sender import Sender

__all__ = ["close", "keep_until_done"]


class _Senders:
    """The running senders of this process, and the tasks that end senders."""

    def __init__(self) -> None:
        self.running: dict[asyncio.Task[None], Sender] = {}
        self.ending: set[asyncio.Task[None]] = set()
        self._of_the_parent: list[Any] = []

    def after_fork(self) -> None:
        """Keep the parent's senders and tasks, and leave them alone: a pending task complains when collected."""
        self._of_the_parent += [self.running, self.ending]
        self.running, self.ending = {}, set()


_senders = _Senders()
renew_after_fork(_senders, _Senders.after_fork)


def keep_until_done(owner: object, sender: Sender, task: "asyncio.Task[None]", close_s: float) -> None:
    """Keep ``task``, which runs ``sender``; begin the task's end when ``owner`` is collected."""
    # decisions/0062: a producer's end hung on the caller's reference before. A local of a function was collected with
    # its queue.
    _senders.running[task] = sender
    abandoned = weakref.finalize(owner, _abandon, sender, task, close_s)
    abandoned.atexit = False
    task.add_done_callback(lambda _: _senders.running.pop(task, None) and abandoned.detach())


async def close(sender: Sender, task: "asyncio.Task[None]", close_s: float) -> None:
    """Let ``sender`` send waiting events for at most ``close_s``, then end ``task``; when cancelled, end at once."""
    sender.close()
    try:
        await asyncio.wait([task], timeout=close_s)
    finally:
        if not task.done():
            await end([task])
        sender.give_up()  # a task that was cancelled before its first step has not given up


def _abandon(sender: Sender, task: "asyncio.Task[None]", close_s: float) -> None:
    """Begin to close; called where the owner is collected, in any thread and between any two steps."""
    # decisions/0062: so the finalizer only wakes the loop.
    if task.done() or sender.is_forked:
        return
    try:
        task.get_loop().call_soon_threadsafe(_begin_end, sender, task, close_s)
    except RuntimeError:  # the loop was closed before the producer
        _senders.running.pop(task, None)
        sender.tell_losses()


def _begin_end(sender: Sender, task: "asyncio.Task[None]", close_s: float) -> None:
    ending = asyncio.ensure_future(close(sender, task, close_s))
    _senders.ending.add(ending)
    ending.add_done_callback(_senders.ending.discard)


def _tell_at_exit() -> None:
    """Tell of events that will not be sent any more: the loop does not run, and the producer was not closed."""
    for task, sender in list(_senders.running.items()):
        with suppress(RuntimeError):
            if not task.get_loop().is_running():
                sender.tell_losses()


atexit.register(_tell_at_exit)

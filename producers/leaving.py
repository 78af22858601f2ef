"""How a producer's sender ends: closed, let go of by its owner, or left when the interpreter exits.

Nobody else has to keep the task of a sender: an owner that goes out of scope takes no events with it.
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
    """The senders of this process that run, and tasks that end some of them."""

    def __init__(self) -> None:
        self.running: dict[asyncio.Task[None], Sender] = {}
        self.ending: set[asyncio.Task[None]] = set()
        self._of_the_parent: list[Any] = []

    def after_fork(self) -> None:
        """Keep the parent's, or they would complain when they are collected; and leave them alone."""
        self._of_the_parent += [self.running, self.ending]
        self.running, self.ending = {}, set()


_senders = _Senders()
renew_after_fork(_senders, _Senders.after_fork)


def keep_until_done(owner: object, sender: Sender, task: "asyncio.Task[None]", close_s: float) -> None:
    """Keep ``task``, which runs ``sender``; let it end by itself when ``owner`` is collected."""
    _senders.running[task] = sender
    abandoned = weakref.finalize(owner, _abandon, sender, task, close_s)
    abandoned.atexit = False
    task.add_done_callback(lambda _: _senders.running.pop(task, None) and abandoned.detach())


async def close(sender: Sender, task: "asyncio.Task[None]", close_s: float) -> None:
    """Let ``sender`` send what waits for at most ``close_s``, then end ``task``; at once if this is cancelled."""
    sender.close()
    try:
        await asyncio.wait([task], timeout=close_s)
    finally:
        if not task.done():
            await end([task])
        sender.give_up()  # it has, but where it was cancelled before it began


def _abandon(sender: Sender, task: "asyncio.Task[None]", close_s: float) -> None:
    """Runs wherever the owner is collected: in any thread, in the middle of anything."""
    if task.done() or sender.is_forked:
        return
    try:
        task.get_loop().call_soon_threadsafe(_begin_end, sender, task, close_s)
    except RuntimeError:  # the loop was closed over it
        _senders.running.pop(task, None)
        sender.tell_losses()


def _begin_end(sender: Sender, task: "asyncio.Task[None]", close_s: float) -> None:
    ending = asyncio.ensure_future(close(sender, task, close_s))
    _senders.ending.add(ending)
    ending.add_done_callback(_senders.ending.discard)


def _tell_at_exit() -> None:
    """Tell of events that nobody will send any more: their loop does not run, and nobody closed the producer."""
    for task, sender in list(_senders.running.items()):
        with suppress(RuntimeError):
            if not task.get_loop().is_running():
                sender.tell_losses()


atexit.register(_tell_at_exit)

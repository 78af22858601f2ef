"""A lock for short work that the holder's own thread may interrupt: by a signal handler, a finalizer, or a fork.

A plain lock hangs there: the interrupting code waits for a holder that waits for the interrupting code.
"""

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final, TypeVar

__all__ = ["Guard", "renew_after_fork"]

OwnerT = TypeVar("OwnerT")

_PATIENCE_S: Final = 0.05
"""The work takes microseconds. A longer holder may be in a finalizer that waits for a lock of the caller's."""
_LEAK_S: Final = 1.0


class Guard:
    """Has one holder at a time. A caller that interrupts the holder, or meets a holder that hangs, does not wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder = 0

    def renew(self) -> None:
        """Be free again: the holder stayed behind in another process."""
        self._lock, self._holder = threading.Lock(), 0

    def try_enter(self, patience_s: float = _PATIENCE_S) -> bool:
        """Return whether the caller is the holder now, and must ``leave``."""
        is_in = False
        try:
            is_in = self._lock.acquire(blocking=False)
            # decisions/0061: between threads a wait is short. Of its own thread a wait would have no end.
            if not is_in and patience_s > 0 and self._holder != threading.get_ident():
                is_in = self._lock.acquire(timeout=patience_s)
        finally:
            if is_in:
                self._holder = threading.get_ident()
        return is_in

    def enter(self) -> None:
        """Wait, and be the holder; not for a signal handler, nor for a finalizer."""
        # A lock that is neither free nor held was left by Ctrl-C, which strikes between any two steps.
        while not self.try_enter(_LEAK_S):
            if self._holder == 0:
                self._holder = threading.get_ident()
                return

    def leave(self) -> None:
        """Let the next caller in."""
        self._holder = 0
        self._lock.release()


_begin: "Final[weakref.WeakKeyDictionary[Any, Callable[[Any], None]]]" = weakref.WeakKeyDictionary()


def renew_after_fork(owner: OwnerT, begin: Callable[[OwnerT], None]) -> None:
    """Have ``begin(owner)`` called in every child that this process forks, for as long as ``owner`` is used.

    A child has no other thread, and no holder of a lock: ``begin`` makes locks anew, and leaves events to the parent.
    """
    _begin[owner] = begin


def _renew() -> None:
    for owner, begin in list(_begin.items()):
        begin(owner)


os.register_at_fork(after_in_child=_renew)

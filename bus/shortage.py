"""Shortages of a process: descriptors, memory, threads, and the error that shows each. A shortage is no bug."""

import errno
from typing import Final

__all__ = ["is_closed_handle", "shortage"]

_DESCRIPTORS: Final = "no more descriptors: raise the limit of open files (ulimit -n, LimitNOFILE)"
_MEMORY: Final = "no more memory"
_THREADS: Final = "no more threads: raise the limit of processes (ulimit -u, TasksMax)"
_BY_NUMBER: Final = {
    errno.EMFILE: _DESCRIPTORS,
    errno.ENFILE: "no more descriptors: this machine has as many files open as it may (fs.file-max)",
    errno.ENOBUFS: _MEMORY,
    errno.ENOMEM: _MEMORY,
}
_NO_THREAD: Final = "can't start new thread"
_CLOSED: Final = "the handler is closed"


def shortage(error: BaseException | None) -> str | None:
    """Return the shortage behind ``error``, or behind one of its causes; None for any other error."""
    # Causes are looked through, since libraries raise errors of their own in place of the system's.
    while error is not None:
        match error:
            case OSError(errno=int(number)) if number in _BY_NUMBER:
                return _BY_NUMBER[number]
            case MemoryError():
                return _MEMORY
            case RuntimeError() if _NO_THREAD in str(error):
                return _THREADS
        error = error.__cause__ or error.__context__
    return None


def is_closed_handle(error: RuntimeError) -> bool:
    """Tell whether uvloop raised ``error`` because the connection was reset meanwhile; asyncio raises no error then."""
    return _CLOSED in str(error)

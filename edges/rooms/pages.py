"""Frames for many sockets as pages of memory that all of these share, where each socket would keep a copy of its own.

Knows sockets; knows no rooms and no lines.
"""

import os
import socket
import weakref
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Final

__all__ = ["LEAST_BYTES", "LEAST_SOCKETS", "Pages"]

LEAST_BYTES: Final = 24 * 1024
"""Less is copied: up to 16 KB a copy costs no more than to lend the pages."""
LEAST_SOCKETS: Final = 16
_FILE_BYTES: Final = 8 * 1024 * 1024


class Pages:
    """A file in memory that sockets send from, without a copy (sendfile(2)).

    What was written stays as it is, so that pages on their way to a slow client do: the file is written behind its end
    alone, and given up for another when it is long. The kernel frees pages that no socket needs any more.
    """

    # At 8,000 events a second into a room of 1,000, to copy 4 GB into sockets was a third of the edge's time, and each
    # client read a copy that no cache had.
    __slots__ = ("__weakref__", "_close", "_end", "_file", "_is_refused")

    def __init__(self) -> None:
        self._file, self._end = -1, 0
        self._close: Callable[[], object] = lambda: None
        self._is_refused = False

    def take(self, frames: bytes, sockets: int) -> bool:
        """Tell whether to send these frames to so many sockets this way."""
        return sockets >= LEAST_SOCKETS and len(frames) >= LEAST_BYTES and not self._is_refused and self._put(frames)

    def send_each(self, sockets: Sequence[socket.socket], size: int) -> list[int]:
        """Send the frames taken last, of ``size`` bytes; return how many bytes the kernel took of each socket's."""
        taken: list[int] = []
        files = map(socket.socket.fileno, sockets)
        each = map(os.sendfile, files, repeat(self._file), repeat(self._end - size), repeat(size))
        while len(taken) < len(sockets):
            try:
                taken.extend(each)
            except OSError:  # the kernel takes no byte now, or the client is gone: the transport sees to either
                taken.append(0)
        return taken

    def _put(self, frames: bytes) -> bool:
        try:
            if self._file < 0 or self._end > _FILE_BYTES:
                self._begin()
            written = os.pwrite(self._file, frames, self._end)
        except (AttributeError, OSError):  # a system without such files, or without room for one more
            written = 0
        self._is_refused = written != len(frames)
        self._end += written
        return not self._is_refused

    def _begin(self) -> None:
        self._close()
        self._file, self._end = os.memfd_create("frames"), 0
        self._close = weakref.finalize(self, os.close, self._file)

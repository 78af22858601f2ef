"""Frames for many sockets as pages of memory that all of these share, where each socket would keep a copy of its own.

Knows sockets; knows no rooms and no lines.
"""

import os
import socket
import weakref
from collections.abc import Callable, Iterator, Sequence
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
    __slots__ = ("__weakref__", "_close", "_end", "_file")

    def __init__(self) -> None:
        self._file, self._end = -1, 0
        self._close: Callable[[], object] = lambda: None

    def take(self, frames: bytes, sockets: int) -> bool:
        """Tell whether to send these frames to so many sockets this way, which also wants a system that can."""
        return sockets >= LEAST_SOCKETS and len(frames) >= LEAST_BYTES and self._put(frames)

    def sends(self, sockets: Sequence[socket.socket], size: int) -> Iterator[int]:
        """Send the frames taken last, of ``size`` bytes, to one socket after another, as a ``map`` of ``send`` does."""
        files = map(socket.socket.fileno, sockets)
        return map(os.sendfile, files, repeat(self._file), repeat(self._end - size), repeat(size))

    def _put(self, frames: bytes) -> bool:
        try:
            if self._file < 0 or self._end > _FILE_BYTES:
                self._begin()
            written = os.pwrite(self._file, frames, self._end)
        except (AttributeError, OSError):  # a system without such files, or short of memory or descriptors for now
            written = 0
        self._end += written
        if written != len(frames):
            self._end_file()
        return written == len(frames)

    def _begin(self) -> None:
        self._end_file()
        self._file = os.memfd_create("frames")
        self._close = weakref.finalize(self, os.close, self._file)

    def _end_file(self) -> None:
        self._close()
        self._file, self._end = -1, 0

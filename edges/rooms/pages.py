"""Frames for many sockets as pages of memory that all of these share, where each socket would keep a copy of its own.

Knows sockets; knows no rooms and no lines.
"""

import os
import socket
import weakref
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Final

__all__ = ["LEAST_BYTES", "LEAST_SOCKETS", "Lent", "Pages"]

LEAST_BYTES: Final = 24 * 1024
"""Less is copied: up to 16 KB a copy costs no more than to lend the pages."""
LEAST_SOCKETS: Final = 16
_FILE_BYTES: Final = 8 * 1024 * 1024
_MORE: Final[int] = getattr(socket, "MSG_MORE", 0)


class _File:
    """A file in memory; closed with its last owner."""

    __slots__ = ("__weakref__", "end", "number")

    def __init__(self) -> None:
        self.number, self.end = os.memfd_create("frames"), 0
        weakref.finalize(self, os.close, self.number)


class Lent(bytes):
    """Frames that are pages of a file, too: sockets can be sent these without a copy (sendfile(2))."""

    _file: _File
    _at: int

    @classmethod
    def of(cls, frames: bytes, file: _File) -> "Lent":
        """Return the frames that ``file`` ends with."""
        lent = cls(frames)
        lent._file, lent._at = file, file.end - len(frames)
        return lent

    def sends(self, sockets: Sequence[socket.socket]) -> Iterator[int]:
        """Send these frames to one socket after another, as a ``map`` of ``send`` does."""
        files = map(socket.socket.fileno, sockets)
        return map(os.sendfile, files, repeat(self._file.number), repeat(self._at), repeat(len(self)))

    def send(self, plain: socket.socket, head: bytes) -> int:
        """Send ``head`` and these frames in one go; return how many bytes of both the kernel took."""
        sent = 0
        try:
            sent = plain.send(head, _MORE) if head else 0
            if sent == len(head):
                sent += os.sendfile(plain.fileno(), self._file.number, self._at, len(self))
        except OSError:  # the kernel takes no byte now, or the client is gone: the transport sees to either
            pass
        return sent


class Pages:
    """A file in memory for frames that many sockets are sent.

    What was written stays as it is, so that pages on their way to a slow client do: the file is written behind its end
    alone, and given up for another when it is long. The kernel frees pages that no socket needs any more.
    """

    # At 8,000 events a second into a room of 1,000, to copy 4 GB into sockets was a third of the edge's time, and each
    # client read a copy that no cache had.
    __slots__ = ("_file",)

    def __init__(self) -> None:
        self._file: _File | None = None

    def lend(self, frames: bytes) -> bytes:
        """Return the frames as pages where that is cheaper for many sockets, and the system can; else as they are."""
        if len(frames) < LEAST_BYTES:
            return frames
        try:
            if self._file is None or self._file.end > _FILE_BYTES:
                self._file = _File()
            written = os.pwrite(self._file.number, frames, self._file.end)
        except (AttributeError, OSError):  # a system without such files, or short of memory or descriptors for now
            written = 0
        if self._file is None or written != len(frames):
            self._file = None
            return frames
        self._file.end += written
        return Lent.of(frames, self._file)

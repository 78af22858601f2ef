"""Frames for many sockets in one call of the kernel (io_uring(7)), where each socket would cost a call of its own.

Knows sockets; knows no rooms and no lines.
"""

import ctypes
import errno
import mmap
import os
import socket
import sys
import weakref
from array import array
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import accumulate
from typing import Final

__all__ = ["LEAST_SENDS", "Ring", "ring_at_hand"]

LEAST_SENDS: Final = 64
"""Fewer cost as much as a call for each."""
_ENTRIES: Final = 1_024
"""The most sends of one call of the kernel; a power of two."""
_JOINED_BYTES: Final = 256 * 1024

# linux/io_uring.h; the numbers of calls are the same on every architecture but alpha.
_SETUP: Final = 425
_ENTER: Final = 426
_SUBMIT_ALL: Final = 1 << 7
_NO_SQARRAY: Final = 1 << 16
_GETEVENTS: Final = 1
_OP_SEND: Final = 26
_AT_ENTRIES: Final = 0x10000000
_ENTRY_BYTES: Final = 64
_COMPLETION_BYTES: Final = 16
_PARAMS: Final = 30
"""Words of struct io_uring_params."""
_PARAM_FLAGS: Final = 2
_PARAM_COMPLETIONS: Final = 1
_PARAM_AT_TAIL: Final = 11
_PARAM_AT_HEAD_OF_COMPLETIONS: Final = 20
_PARAM_AT_COMPLETIONS: Final = 25
_WORD: Final = 4
_WORDS: Final = 1 << 32
_FLAGS: Final[int] = getattr(socket, "MSG_DONTWAIT", 0) | getattr(socket, "MSG_NOSIGNAL", 0)

_number: Final = socket.socket.fileno


class Ring:
    """Entries shared with the kernel: which bytes for which socket, and what became of each.

    Each call returns behind the last send, and no send waits: as ``send`` on a socket that does not block, the kernel
    takes what it can now.

    Raises:
        OSError: no system but Linux has it, nor one before 6.6; ``kernel.io_uring_disabled``, or the filter of a
            container, keeps it from this process.

    """

    # decisions/0174: a column for each field of the entries, written and read whole; no bytecode is run for a send.
    __slots__ = (
        "__weakref__",
        "_addresses",
        "_call",
        "_completed",
        "_files",
        "_heads",
        "_numbers",
        "_results",
        "_ring",
        "_sizes",
        "_tails",
        "_used",
    )

    def __init__(self) -> None:
        if sys.platform != "linux":
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        self._call = _system_call()
        params = array("I", bytes(_PARAMS * _WORD))
        params[_PARAM_FLAGS] = _SUBMIT_ALL | _NO_SQARRAY
        self._ring = self._call(_SETUP, _ENTRIES, params.buffer_info()[0], 0, 0, 0, 0)
        if self._ring < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        weakref.finalize(self, os.close, self._ring)
        at, count = params[_PARAM_AT_COMPLETIONS], params[_PARAM_COMPLETIONS]
        shared = memoryview(mmap.mmap(self._ring, at + count * _COMPLETION_BYTES))
        self._tails = shared.cast("I")[params[_PARAM_AT_TAIL] // _WORD :][:1]
        self._heads = shared.cast("I")[params[_PARAM_AT_HEAD_OF_COMPLETIONS] // _WORD :][:1]
        self._completed = shared[at:].cast("Q")[::2]
        self._results = shared[at:].cast("i")[2::4]
        entries = memoryview(mmap.mmap(self._ring, _ENTRIES * _ENTRY_BYTES, offset=_AT_ENTRIES))
        words, longs = entries.cast("i"), entries.cast("Q")
        words[0::16] = array("i", [_OP_SEND]) * _ENTRIES
        words[7::16] = array("i", [_FLAGS]) * _ENTRIES
        longs[4::8] = self._numbers = memoryview(array("Q", range(_ENTRIES)))
        self._files, self._sizes, self._addresses = words[1::16], words[6::16], longs[2::8]
        self._used = 0

    def send_each(self, sockets: Collection[socket.socket], pieces: Collection[bytes]) -> list[int]:
        """Send each socket's piece; return how many bytes the kernel took of each."""
        # Many clients get the same piece. Small ones are copied, to ask for one address (0.4 us) in place of many.
        distinct = {id(it): it for it in pieces}
        begins: Iterable[int] = map(_address, distinct.values())
        if sum(map(len, distinct.values())) <= _JOINED_BYTES:
            joined = b"".join(distinct.values())
            begins = accumulate(map(len, distinct.values()), initial=_address(joined))
        begin_of = dict(zip(distinct, begins, strict=False))
        addresses = array("Q", map(begin_of.__getitem__, map(id, pieces)))
        return self._send(array("i", map(_number, sockets)), addresses, array("i", map(len, pieces)))

    def send(self, groups: Sequence[tuple[Collection[socket.socket], bytes]]) -> list[int]:
        """Send each group's frames to all sockets of the group; return how many bytes the kernel took of each."""
        files, addresses, sizes = array("i"), array("Q"), array("i")
        for sockets, frames in groups:
            files.extend(map(_number, sockets))
            addresses += array("Q", (_address(frames),)) * len(sockets)
            sizes += array("i", (len(frames),)) * len(sockets)
        return self._send(files, addresses, sizes)

    def _send(self, files: "array[int]", addresses: "array[int]", sizes: "array[int]") -> list[int]:
        taken: list[int] = []
        while len(taken) < len(files):
            some = slice(len(taken), len(taken) + _ENTRIES - self._used % _ENTRIES)
            count = len(files[some])
            to = slice(self._used % _ENTRIES, self._used % _ENTRIES + count)
            self._files[to], self._addresses[to], self._sizes[to] = files[some], addresses[some], sizes[some]
            self._tails[0] = (self._used + count) % _WORDS
            done = self._enter(count)
            taken += self._taken(done) + [0] * (count - done)
            self._used += done
            self._tails[0] = self._heads[0] = self._used % _WORDS
        return taken

    def _enter(self, count: int) -> int:
        """Have the kernel do so many entries; return how many it did."""
        done = 0
        while done < count:
            more = self._call(_ENTER, self._ring, count - done, count, _GETEVENTS, 0, 0)
            if more < 0 and ctypes.get_errno() != errno.EINTR:
                break
            done += max(0, more)
        return done

    def _taken(self, count: int) -> list[int]:
        """Return what the kernel took by the last so many entries, 0 where it took none or the client is gone."""
        at, entry = self._used % len(self._results), self._used % _ENTRIES
        found = self._results[at : at + count].tolist()
        numbers = self._completed[at : at + count]
        if numbers != self._numbers[entry : entry + count]:  # they need not end in their order
            found = [one for _, one in sorted(zip(numbers, found, strict=True))]
        return found if min(found, default=0) >= 0 else [max(0, one) for one in found]


def ring_at_hand() -> Ring | None:
    """Return a ring; None where the system has none for this process."""
    try:
        return Ring()
    except OSError:
        return None


def _address(frames: bytes) -> int:
    return ctypes.cast(ctypes.c_char_p(frames), ctypes.c_void_p).value or 0


def _system_call() -> Callable[..., int]:
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.argtypes, call.restype = [ctypes.c_long] * 7, ctypes.c_long
    return call

"""The frames of one tick for sockets, put together first and sent in one go behind the last line.

Knows no rooms and no lines. decisions/0164 and 0169 have the figures.
"""

import socket
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Generic

from edges.rooms.pages import Pages
from edges.rooms.ways import ReachableT, Rests, Sockets, rests_of, send_each, send_one

__all__ = ["Tick"]


class Tick(Generic[ReachableT]):
    """Frames for sockets.

    A subscriber of one room has at most one piece in a tick (``add``, ``add_each``, ``add_all``). A subscriber of
    several rooms may have many (``join``), which are sent in one write, in their order.

    Attributes:
        is_used: whether there are any frames.

    """

    # decisions/0169: a send in between takes the caches from the interpreter, and the interpreter from the kernel.
    __slots__ = ("_at_once", "_joined", "_owners", "_pieces", "_plain", "is_used")

    def __init__(self) -> None:
        self.is_used = False
        # Annotated, since `list[Thing]()` costs ten times as much as `[]`, and each read has a tick of its own.
        self._plain: list[socket.socket] = []
        self._pieces: list[bytes] = []
        self._owners: list[ReachableT] = []
        self._at_once: list[tuple[Sockets[ReachableT], bytes]] = []
        self._joined: list[tuple[Sockets[ReachableT], bytes]] = []

    def __iter__(self) -> Iterator[tuple[ReachableT, bytes]]:
        """All subscribers with their frames, a subscriber of several rooms once for each room."""
        yield from zip(self._owners, self._pieces, strict=False)
        for sockets, frames in (*self._at_once, *self._joined):
            yield from zip(sockets.owners, repeat(frames))

    def add(self, plain: socket.socket, piece: bytes, owner: ReachableT) -> None:
        """Put a piece for a subscriber of one room to the others."""
        self.is_used = True
        self._plain.append(plain)
        self._pieces.append(piece)
        self._owners.append(owner)

    def add_each(self, sockets: Iterable[socket.socket], pieces: Iterable[bytes], owners: Iterable[ReachableT]) -> None:
        """Put a piece for each of some subscribers of one room to the others."""
        self.is_used = True
        self._plain += sockets
        self._pieces += pieces
        self._owners += owners

    def add_all(self, sockets: Sockets[ReachableT], frames: bytes) -> None:
        """Put frames for subscribers of one room to the others."""
        self.is_used = True
        self._at_once.append((sockets, frames))

    def join(self, sockets: Sockets[ReachableT], frames: bytes) -> None:
        """Put frames for subscribers of several rooms to the others."""
        self.is_used = True
        self._joined.append((sockets, frames))

    def send(self, pages: Pages | None = None) -> tuple[int, Rests[ReachableT]]:
        """Send all frames, those of a room from ``pages`` where that is cheaper.

        Returns:
            How many writes were spared by joining, and what is left to do.

        """
        rests: Rests[ReachableT] = []
        if len(self._plain) == 1:
            rests += send_one(self._plain[0], self._pieces[0], self._owners[0])
        elif self._plain:
            rests += rests_of(self._owners, self._pieces, send_each(self._plain, self._pieces))
        for sockets, frames in self._at_once:
            rests += sockets.send(frames, pages)
        if not self._joined:
            return 0, rests
        # decisions/0164: of many rooms few have lines in one tick, so mostly no socket is named twice. To know that
        # costs 27 ns per socket; a list for each, and to join lists of mostly one, 290.
        if len(self._joined) == 1:
            ((sockets, frames),) = self._joined
            return 0, rests + sockets.send(frames, pages)
        size = sum(len(sockets.plain) for sockets, _ in self._joined)
        met: set[socket.socket] = set()
        if len(met.union(*(sockets.plain for sockets, _ in self._joined))) == size:
            for sockets, frames in self._joined:
                rests += sockets.send(frames, pages)
            return 0, rests
        writes, more = self._send_joined()
        return size - writes, rests + more

    def _send_joined(self) -> tuple[int, Rests[ReachableT]]:
        """Return the number of writes, and what is left to do."""
        frames_of: defaultdict[socket.socket, list[bytes]] = defaultdict(list)
        for sockets, frames in self._joined:
            lists = map(frames_of.__getitem__, sockets.plain)
            deque(map(list.append, lists, repeat(frames)), maxlen=0)  # no bytecode is run for a delivery
        pieces = list(map(b"".join, frames_of.values()))
        taken = send_each(frames_of, pieces)
        if taken == list(map(len, pieces)):
            return len(pieces), []
        owners = {one: owner for it, _ in self._joined for one, owner in zip(it.plain, it.owners, strict=True)}
        return len(pieces), rests_of(map(owners.__getitem__, frames_of), pieces, taken)

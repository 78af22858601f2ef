"""The frames of one tick for sockets, put together first and sent in one go behind the last line.

Knows no rooms and no lines. decisions/0164 and 0169 have the figures.
"""

import socket
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator
from itertools import repeat
from typing import Generic, TypeAlias

from edges.rooms.pages import LEAST_BYTES, LEAST_SOCKETS, Pages
from edges.rooms.ring import LEAST_SENDS, Ring
from edges.rooms.ways import ReachableT, Rests, Sockets, rests_of, send_each, send_one

__all__ = ["Tick"]

_Groups: TypeAlias = list[tuple[Sockets[ReachableT], bytes]]
"""Frames with the sockets that all get these."""


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
        self._at_once: _Groups[ReachableT] = []
        self._joined: _Groups[ReachableT] = []

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

    def send(self, pages: Pages | None = None, ring: Ring | None = None) -> tuple[int, Rests[ReachableT]]:
        """Send all frames, those of a room from ``pages`` and many by ``ring``, where that is cheaper.

        Returns:
            How many writes were spared by joining, and what is left to do.

        """
        rests: Rests[ReachableT] = []
        if len(self._plain) == 1:
            rests += send_one(self._plain[0], self._pieces[0], self._owners[0])
        elif self._plain:
            rests += rests_of(self._owners, self._pieces, _send_each(self._plain, self._pieces, ring))
        if not self._joined:
            return 0, rests + _send_groups(self._at_once, pages, ring)
        if self._is_apart():
            return 0, rests + _send_groups([*self._at_once, *self._joined], pages, ring)
        rests += _send_groups(self._at_once, pages, ring)
        spared, more = self._send_joined(ring)
        return spared, rests + more

    def _is_apart(self) -> bool:
        """Tell whether no subscriber of several rooms has frames of two."""
        # decisions/0164: of many rooms few have lines in one tick, so mostly no socket is named twice. To know that
        # costs 27 ns per socket; a list for each, and to join lists of mostly one, 290.
        if len(self._joined) == 1:
            return True
        met: set[socket.socket] = set()
        return len(met.union(*(sockets.plain for sockets, _ in self._joined))) == _count(self._joined)

    def _send_joined(self, ring: Ring | None) -> tuple[int, Rests[ReachableT]]:
        """Return the number of writes that were spared, and what is left to do."""
        frames_of: defaultdict[socket.socket, list[bytes]] = defaultdict(list)
        for sockets, frames in self._joined:
            lists = map(frames_of.__getitem__, sockets.plain)
            deque(map(list.append, lists, repeat(frames)), maxlen=0)  # no bytecode is run for a delivery
        pieces = list(map(b"".join, frames_of.values()))
        spared = _count(self._joined) - len(pieces)
        taken = _send_each(frames_of, pieces, ring)
        if taken == list(map(len, pieces)):
            return spared, []
        owners = {one: owner for it, _ in self._joined for one, owner in zip(it.plain, it.owners, strict=True)}
        return spared, rests_of(map(owners.__getitem__, frames_of), pieces, taken)


def _count(groups: _Groups[ReachableT]) -> int:
    return sum(len(sockets.plain) for sockets, _ in groups)


def _send_each(sockets: Collection[socket.socket], pieces: Collection[bytes], ring: Ring | None) -> list[int]:
    if ring is None or len(sockets) < LEAST_SENDS:
        return send_each(sockets, pieces)
    return ring.send_each(sockets, pieces)


def _send_groups(groups: _Groups[ReachableT], pages: Pages | None, ring: Ring | None) -> Rests[ReachableT]:
    """Send each group's frames to its sockets; return what is left to do."""
    rests: Rests[ReachableT] = []
    if ring is None or _count(groups) < LEAST_SENDS:
        for sockets, frames in groups:
            rests += sockets.send(frames, pages)
        return rests
    small: _Groups[ReachableT] = []
    for sockets, frames in groups:
        if len(frames) < LEAST_BYTES or len(sockets.plain) < LEAST_SOCKETS:
            small.append((sockets, frames))
        else:
            rests += sockets.send(frames, pages)
    taken = ring.send([(sockets.plain, frames) for sockets, frames in small])
    at = 0
    for sockets, frames in small:
        some = taken[at : at + len(sockets.plain)]
        at += len(some)
        if some.count(len(frames)) < len(some):
            rests += rests_of(sockets.owners, repeat(frames), some)
    return rests

"""The ways of frames to subscribers: to the sockets themselves, all of a room in one go, or by ``deliver``.

Knows no rooms and no lines. decisions/0150 has the figures.
"""

import socket
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Final, Generic, Protocol, TypeVar

__all__ = ["Pieces", "Reachable", "Ways", "send_some"]

_send: Final = socket.socket.send


class Reachable(Protocol):
    """A subscriber, as far as the way matters."""

    @property
    def direct(self) -> socket.socket | None:
        """The socket to send frames to; what the kernel does not take goes to ``deliver``, before anything else.

        None where ``deliver`` is the way: bytes wait in front, or the socket is not open, or not the subscriber's.
        """

    @property
    def direct_alone(self) -> socket.socket | None:
        """The same in a tick without frames of other rooms, which would be joined with these."""


ReachableT = TypeVar("ReachableT", bound=Reachable)


class Ways(Generic[ReachableT]):
    """The ways to some subscribers at a moment; a subscriber who changes the way makes all of this void.

    Args:
        subscribers: without the same one twice.
        moment: any number that is another after each change.

    Attributes:
        moment: as given.
        others: the subscribers without a socket, in order.

    """

    __slots__ = ("_owners", "_sockets", "moment", "others")

    def __init__(self, subscribers: Iterable[ReachableT], moment: int) -> None:
        self.moment, self.others = moment, list[ReachableT]()
        self._sockets, self._owners = list[socket.socket](), list[ReachableT]()
        for subscriber in subscribers:
            if (plain := subscriber.direct) is None:
                self.others.append(subscriber)
            else:
                self._sockets.append(plain)
                self._owners.append(subscriber)

    def send(self, frames: bytes) -> list[tuple[ReachableT, bytes]]:
        """Send frames to all sockets; return the subscribers of which the kernel did not take all, with the rest."""
        taken, size = _send_each(self._sockets, repeat(frames)), len(frames)
        if taken.count(size) == len(taken):
            return []
        return _rests(self._owners, repeat(frames), taken)


class Pieces(Generic[ReachableT]):
    """Pieces for some sockets, put together first and sent in one go."""

    # decisions/0169: a send in between takes the caches from the interpreter, and the interpreter from the kernel.
    __slots__ = ("_owners", "_pieces", "_sockets")

    def __init__(self) -> None:
        self._sockets, self._pieces, self._owners = list[socket.socket](), list[bytes](), list[ReachableT]()

    def add(self, plain: socket.socket, piece: bytes, owner: ReachableT) -> None:
        """Put a piece to the others; a socket has one at most."""
        self._sockets.append(plain)
        self._pieces.append(piece)
        self._owners.append(owner)

    def send(self) -> list[tuple[ReachableT, bytes]]:
        """Send all pieces; return the subscribers of which the kernel did not take all, with the rest."""
        if not self._sockets:
            return []
        sockets, pieces, owners = self._sockets, self._pieces, self._owners
        self._sockets, self._pieces, self._owners = [], [], []
        return _rests(owners, pieces, _send_each(sockets, pieces))


def _send_each(sockets: Sequence[socket.socket], pieces: Iterable[bytes]) -> list[int]:
    """Send each socket's piece; return how many bytes the kernel took of each."""
    # One object is touched for a delivery, the socket, and no bytecode is run: with a thousand connections each object
    # is a cache miss. A list keeps what an iterator gave before it raised.
    taken: list[int] = []
    each = map(_send, sockets, pieces)
    while len(taken) < len(sockets):
        try:
            taken.extend(each)
        except OSError:  # the kernel takes no byte now, or the client is gone: the transport sees to either
            taken.append(0)
    return taken


def _rests(
    owners: Iterable[ReachableT], pieces: Iterable[bytes], taken: Iterable[int]
) -> list[tuple[ReachableT, bytes]]:
    return [
        (owner, piece[some:]) for owner, piece, some in zip(owners, pieces, taken, strict=False) if some != len(piece)
    ]


def send_some(plain: socket.socket, frames: bytes) -> int:
    """Send as much as the kernel takes; return how many bytes that was, 0 also where the client is gone."""
    try:
        return _send(plain, frames)
    except OSError:
        return 0

"""The ways of frames to subscribers: to the sockets themselves, all of a room in one go, or by ``deliver``.

Knows no rooms and no lines. decisions/0150 has the figures.
"""

import socket
from collections.abc import Collection, Iterable, Iterator
from itertools import repeat
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

from edges.rooms.pages import LEAST_SOCKETS, Lent, Pages

__all__ = ["Reachable", "ReachableT", "Rests", "Sockets", "Ways", "rests_of", "send_each", "send_one", "send_some"]

_send: Final = socket.socket.send


class Reachable(Protocol):
    """A subscriber, as far as the way matters."""

    @property
    def direct(self) -> socket.socket | None:
        """The socket to send frames to; what the kernel does not take goes to ``deliver``, before anything else.

        None where ``deliver`` is the way: bytes wait in front, or the socket is not open, or not the subscriber's; and
        for a subscriber of several rooms.
        """

    @property
    def direct_joined(self) -> socket.socket | None:
        """The same for all frames of a tick in one piece, and so for a subscriber of several rooms, too."""


ReachableT = TypeVar("ReachableT", bound=Reachable)
Rests: TypeAlias = list[tuple[ReachableT, bytes]]
"""Subscribers of which the kernel did not take all, with the rest of the frames."""


class Sockets(Generic[ReachableT]):
    """Sockets of subscribers, without the same one twice."""

    __slots__ = ("owners", "plain")

    def __init__(self) -> None:
        self.plain: list[socket.socket] = []
        self.owners: list[ReachableT] = []

    def add(self, plain: socket.socket, owner: ReachableT) -> None:
        """Add the socket of a subscriber."""
        self.plain.append(plain)
        self.owners.append(owner)

    def send(self, frames: bytes, pages: Pages | None = None) -> "Rests[ReachableT]":
        """Send frames to all sockets, from ``pages`` where that is cheaper; return what is left to do."""
        size, count = len(frames), len(self.plain)
        if count == 1:
            return send_one(self.plain[0], frames, self.owners[0])
        lent = frames if pages is None or count < LEAST_SOCKETS else pages.lend(frames)
        if isinstance(lent, Lent):
            taken = _taken(lent.sends(self.plain), count)
        else:
            taken = send_each(self.plain, repeat(frames))
        if taken.count(size) == len(taken):
            return []
        return rests_of(self.owners, repeat(frames), taken)


class Ways(Generic[ReachableT]):
    """The ways to some subscribers at a moment; a subscriber who changes the way makes all of this void.

    Args:
        subscribers: without the same one twice.
        moment: any number that is another after each change.

    Attributes:
        moment: as given.
        at_once: the sockets of subscribers of one room.
        joined: the sockets of subscribers of several rooms, whose frames of a tick go in one piece.
        others: the subscribers without a socket, in order.

    """

    __slots__ = ("at_once", "joined", "moment", "others")

    def __init__(self, subscribers: Iterable[ReachableT], moment: int) -> None:
        self.moment = moment
        self.others: list[ReachableT] = []
        self.at_once: Sockets[ReachableT] = Sockets()
        self.joined: Sockets[ReachableT] = Sockets()
        for subscriber in subscribers:
            if (plain := subscriber.direct) is not None:
                self.at_once.add(plain, subscriber)
            elif (plain := subscriber.direct_joined) is not None:
                self.joined.add(plain, subscriber)
            else:
                self.others.append(subscriber)


def send_each(sockets: Collection[socket.socket], pieces: Iterable[bytes]) -> list[int]:
    """Send each socket's piece; return how many bytes the kernel took of each."""
    # One object is touched for a delivery, the socket, and no bytecode is run: with a thousand connections each object
    # is a cache miss.
    return _taken(map(_send, sockets, pieces), len(sockets))


def _taken(sends: Iterator[int], count: int) -> list[int]:
    # A list keeps what an iterator gave before it raised.
    taken: list[int] = []
    while len(taken) < count:
        try:
            taken.extend(sends)
        except OSError:  # the kernel takes no byte now, or the client is gone: the transport sees to either
            taken.append(0)
    return taken


def send_one(plain: socket.socket, piece: bytes, owner: ReachableT) -> "Rests[ReachableT]":
    """Send a piece; return what is left to do."""
    # Most ticks have one line, and many rooms one member: an iterator and a list take three times as long.
    taken = send_some(plain, piece)
    return [] if taken == len(piece) else [(owner, piece[taken:])]


def rests_of(owners: Iterable[ReachableT], pieces: Iterable[bytes], taken: Iterable[int]) -> "Rests[ReachableT]":
    """Return the owners of which the kernel did not take all, with the rest."""
    return [
        (owner, piece[some:]) for owner, piece, some in zip(owners, pieces, taken, strict=False) if some != len(piece)
    ]


def send_some(plain: socket.socket, frames: bytes) -> int:
    """Send as much as the kernel takes; return how many bytes that was, 0 also where the client is gone."""
    try:
        return _send(plain, frames)
    except OSError:
        return 0

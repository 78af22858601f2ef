"""The ways of frames to subscribers: to the sockets themselves, all of a room in one go, or by ``deliver``.

Knows no rooms and no lines. decisions/0150 has the figures.
"""

import socket
from collections.abc import Iterable
from itertools import repeat
from typing import Final, Generic, Protocol, TypeVar

__all__ = ["Reachable", "Ways", "send_some"]

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
        # One object is touched for a delivery, the socket, and no bytecode is run: with a thousand connections each
        # object is a cache miss. A list keeps what an iterator gave before it raised.
        taken: list[int] = []
        sockets = iter(self._sockets)
        while len(taken) < len(self._sockets):
            try:
                taken.extend(map(_send, sockets, repeat(frames)))
            except OSError:  # the kernel takes no byte now, or the client is gone: the transport sees to either
                taken.append(0)
        size = len(frames)
        if taken.count(size) == len(taken):
            return []
        return [(self._owners[at], frames[some:]) for at, some in enumerate(taken) if some != size]


def send_some(plain: socket.socket, frames: bytes) -> int:
    """Send as much as the kernel takes; return how many bytes that was, 0 also where the client is gone."""
    try:
        return _send(plain, frames)
    except OSError:
        return 0

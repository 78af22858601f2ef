"""Members with a real socket each."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

from edges.rooms.ways import Sockets, send_some

SMALL = b"x" * 100
LARGE = b"".join(b"%07d\n" % number for number in range(500_000))
"""More than any kernel takes at once."""


@dataclass(eq=False)
class Member:
    """A subscriber with a socket, and the client at the other end."""

    direct: socket.socket | None
    client: socket.socket

    @property
    def direct_joined(self) -> socket.socket | None:
        return self.direct

    def fill(self) -> None:
        """Write until the kernel takes no byte more."""
        assert self.direct is not None
        while send_some(self.direct, SMALL):
            pass

    def received(self, size: int) -> bytes:
        """Read so many bytes."""
        found = b""
        while len(found) < size:
            found += self.client.recv(size - len(found))
        return found


def members_with_sockets(count: int) -> Iterator[list[Member]]:
    """So many members; the sockets are closed at the end."""
    pairs = [socket.socketpair() for _ in range(count)]
    for ours, theirs in pairs:
        ours.setblocking(False)
        theirs.settimeout(10)
    yield [Member(ours, theirs) for ours, theirs in pairs]
    for pair in pairs:
        for end in pair:
            end.close()


def sockets_of(members: list[Member]) -> Sockets[Member]:
    """Return members with their sockets, as a room has them."""
    sockets: Sockets[Member] = Sockets()
    for member in members:
        assert member.direct is not None
        sockets.add(member.direct, member)
    return sockets

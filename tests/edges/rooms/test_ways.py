"""The ways of frames to subscribers, over real sockets: what the kernel does not take is handed back, in order."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from edges.rooms.ways import Pieces, Ways, send_some

SMALL = b"x" * 100
LARGE = b"".join(b"%07d\n" % number for number in range(500_000))
"""More than any kernel takes at once."""


@dataclass(eq=False)
class Member:
    """A subscriber with a socket, and the client at the other end."""

    direct: socket.socket | None
    client: socket.socket

    @property
    def direct_alone(self) -> socket.socket | None:
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


@pytest.fixture
def members() -> Iterator[list[Member]]:
    """Five members."""
    pairs = [socket.socketpair() for _ in range(5)]
    for ours, theirs in pairs:
        ours.setblocking(False)
        theirs.settimeout(10)
    yield [Member(ours, theirs) for ours, theirs in pairs]
    for pair in pairs:
        for end in pair:
            end.close()


def test_all_is_taken(members: list[Member]) -> None:
    """Where every kernel takes all, nothing is left to do."""
    assert Ways(members, 0).send(SMALL) == []
    assert [it.received(len(SMALL)) for it in members] == [SMALL] * 5


def test_part_is_taken(members: list[Member]) -> None:
    """What a kernel did not take is handed back: the frames' end, exactly."""
    rests = Ways(members, 0).send(LARGE)
    assert [member for member, _ in rests] == members
    for member, rest in rests:
        assert 0 < len(rest) < len(LARGE)
        assert member.received(len(LARGE) - len(rest)) + rest == LARGE


def test_full_and_closed_sockets_hold_up_no_other(members: list[Member]) -> None:
    """A full socket, a client that is gone and a descriptor that is closed: the whole frames are handed back."""
    members[0].fill()
    members[2].client.close()
    members[4].direct.close()  # type: ignore[union-attr]
    assert Ways(members, 0).send(SMALL) == [(members[it], SMALL) for it in (0, 2, 4)]
    assert members[1].received(len(SMALL)) == members[3].received(len(SMALL)) == SMALL


def test_subscribers_without_a_socket_are_others(members: list[Member]) -> None:
    """Nothing is sent to a subscriber without a socket, who is left to ``deliver``."""
    members[1].direct = None
    ways = Ways(members, 7)
    assert (ways.moment, ways.others) == (7, [members[1]])
    assert ways.send(SMALL) == []
    members[1].client.setblocking(False)
    with pytest.raises(BlockingIOError):
        members[1].client.recv(1)


def test_nobody_at_all() -> None:
    """No subscribers: nothing to send, nothing left."""
    assert Ways(list[Member](), 0).send(SMALL) == []


def test_pieces_go_when_all_are_put_together(members: list[Member]) -> None:
    """Nothing is sent before, each piece once, and of a full or broken socket the piece is handed back."""
    pieces = Pieces[Member]()
    wanted = [b"a", LARGE, b"bc", b"def", b"ghij"]
    for member, piece in zip(members, wanted, strict=True):
        assert member.direct is not None
        pieces.add(member.direct, piece, member)
    members[2].fill()
    members[3].direct.close()  # type: ignore[union-attr]
    members[0].client.setblocking(False)
    with pytest.raises(BlockingIOError):
        members[0].client.recv(1)
    (first, rest), *others = pieces.send()
    assert (first, others) == (members[1], [(members[2], b"bc"), (members[3], b"def")])
    assert members[1].received(len(LARGE) - len(rest)) + rest == LARGE
    assert (members[0].client.recv(9), members[4].client.recv(9)) == (b"a", b"ghij")
    assert pieces.send() == []

"""The ways of frames to subscribers, over real sockets: what the kernel does not take is handed back, in order."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from edges.rooms.ways import Part, Pieces, Sockets, Ways, send_parts, send_some

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
    assert Ways(members, 0).at_once.send(SMALL) == []
    assert [it.received(len(SMALL)) for it in members] == [SMALL] * 5


def test_part_is_taken(members: list[Member]) -> None:
    """What a kernel did not take is handed back: the frames' end, exactly."""
    rests = Ways(members, 0).at_once.send(LARGE)
    assert [member for member, _ in rests] == members
    for member, rest in rests:
        assert 0 < len(rest) < len(LARGE)
        assert member.received(len(LARGE) - len(rest)) + rest == LARGE


def test_full_and_closed_sockets_hold_up_no_other(members: list[Member]) -> None:
    """A full socket, a client that is gone and a descriptor that is closed: the whole frames are handed back."""
    members[0].fill()
    members[2].client.close()
    members[4].direct.close()  # type: ignore[union-attr]
    assert Ways(members, 0).at_once.send(SMALL) == [(members[it], SMALL) for it in (0, 2, 4)]
    assert members[1].received(len(SMALL)) == members[3].received(len(SMALL)) == SMALL


def test_subscribers_without_a_socket_are_others(members: list[Member]) -> None:
    """Nothing is sent to a subscriber without a socket, who is left to ``deliver``."""
    members[1].direct = None
    ways = Ways(members, 7)
    assert (ways.moment, ways.others) == (7, [members[1]])
    assert ways.at_once.send(SMALL) == []
    members[1].client.setblocking(False)
    with pytest.raises(BlockingIOError):
        members[1].client.recv(1)


def test_nobody_at_all() -> None:
    """No subscribers: nothing to send, nothing left."""
    assert Ways(list[Member](), 0).at_once.send(SMALL) == []


def part(members: list[Member], frames: bytes) -> Part[Member]:
    """Return frames for members, as a room has them."""
    sockets = Sockets[Member]()
    for member in members:
        assert member.direct is not None
        sockets.add(member.direct, member)
    return sockets, frames


def test_parts_of_rooms_without_a_common_member(members: list[Member]) -> None:
    """Each part goes to its own members, and a rest is handed back with the member."""
    members[1].fill()
    parts = [part(members[:2], b"a" * 9), part(members[2:], b"b" * 9)]
    assert send_parts(parts) == (5, [(members[1], b"a" * 9)])
    assert [it.received(9) for it in members[::2]] == [b"a" * 9, b"b" * 9, b"b" * 9]


def test_parts_for_one_member_go_in_one_piece(members: list[Member]) -> None:
    """A member of several rooms gets all parts in their order; what a kernel did not take is the end of its piece."""
    members[1].fill()
    members[2].client.close()
    pieces, rests = send_parts([part(members[:3], b"a"), part(members[1:4], LARGE), part(members[:1], b"c")])
    assert (pieces, members[0].received(2)) == (4, b"ac")
    owner, rest = rests.pop()
    assert (owner, members[3].received(len(LARGE) - len(rest)) + rest) == (members[3], LARGE)
    assert rests == [(members[1], b"a" + LARGE), (members[2], b"a" + LARGE)]


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

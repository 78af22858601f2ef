"""Frames of one tick over real sockets: one write for each member, in order, and what is left is handed back."""

import socket
from collections.abc import Iterable
from typing import cast

import pytest

from edges.rooms.pages import LEAST_BYTES, LEAST_SOCKETS, Pages
from edges.rooms.ring import LEAST_SENDS, Ring, ring_at_hand
from edges.rooms.tick import Tick
from tests.edges.rooms.socket_members import LARGE, Member, members_with_sockets, sockets_of


@pytest.fixture(params=["a call for each", "a ring"])
def ring(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Ring | None:
    """Each test runs with a call for each socket, and with a ring for however few."""
    if request.param != "a ring":
        return None
    monkeypatch.setattr("edges.rooms.tick.LEAST_SENDS", 1)
    ring = ring_at_hand()
    return ring or pytest.skip("the system keeps io_uring from this process")


def test_frames_of_rooms_without_a_common_member(members: list[Member], ring: Ring | None) -> None:
    """Each goes to its own members, and a rest is handed back with the member."""
    members[1].fill()
    tick = Tick[Member]()
    tick.add_all(sockets_of(members[:2]), b"a")
    tick.join(sockets_of(members[2:4]), b"b")
    tick.join(sockets_of(members[4:]), b"c")
    assert tick.send(None, ring) == (0, [(members[1], b"a")])
    assert [it.received(1) for it in (members[0], *members[2:])] == [b"a", b"b", b"b", b"c"]


def test_frames_for_one_member_go_in_one_piece(members: list[Member], ring: Ring | None) -> None:
    """A member of several rooms gets all in their order; what a kernel did not take is the end of its piece."""
    members[1].fill()
    members[2].client.close()
    tick = Tick[Member]()
    for some, frames in ((members[:3], b"a"), (members[1:4], LARGE), (members[:1], b"c")):
        tick.join(sockets_of(some), frames)
    spared, rests = tick.send(None, ring)
    assert (spared, members[0].received(2)) == (3, b"ac")
    owner, rest = rests.pop()
    assert (owner, members[3].received(len(LARGE) - len(rest)) + rest) == (members[3], LARGE)
    assert rests == [(members[1], b"a" + LARGE), (members[2], b"a" + LARGE)]


def test_pieces_go_when_all_are_put_together(members: list[Member], ring: Ring | None) -> None:
    """Nothing is sent before, each piece once, and of a full or broken socket the piece is handed back."""
    tick = Tick[Member]()
    wanted = [b"a", LARGE, b"bc", b"def", b"ghij"]
    for member, piece in zip(members, wanted, strict=True):
        assert member.direct is not None
        tick.add(member.direct, piece, member)
    members[2].fill()
    members[3].direct.close()  # type: ignore[union-attr]
    members[0].client.setblocking(False)
    with pytest.raises(BlockingIOError):
        members[0].client.recv(1)
    _, ((first, rest), *others) = tick.send(None, ring)
    assert (first, others) == (members[1], [(members[2], b"bc"), (members[3], b"def")])
    assert members[1].received(len(LARGE) - len(rest)) + rest == LARGE
    assert (members[0].client.recv(9), members[4].client.recv(9)) == (b"a", b"ghij")


def test_members_of_a_tick(members: list[Member]) -> None:
    """All are named with their frames, in the order in which one member is given them; an empty tick is false."""
    tick = Tick[Member]()
    assert not tick.is_used
    tick.join(sockets_of(members[3:]), b"a")
    tick.join(sockets_of(members[4:]), b"b")
    assert tick.is_used
    tick.add_all(sockets_of(members[1:2]), b"c")
    tick.add(members[0].client, b"d", members[0])
    assert list(tick) == [
        (members[at], frames) for at, frames in ((0, b"d"), (1, b"c"), (3, b"a"), (4, b"a"), (4, b"b"))
    ]


def test_many_go_by_the_ring_and_large_frames_as_pages() -> None:
    """From as many sends as are worth it on, of all rooms together; but what is cheaper lent goes as pages."""
    sent: list[int] = []

    class Counting:
        """Takes all, and writes nothing."""

        def send(self, groups: Iterable[tuple[list[socket.socket], bytes]]) -> list[int]:
            taken = [len(frames) for sockets, frames in groups for _ in sockets]
            sent.append(len(taken))
            return taken

    ring = cast(Ring, Counting())
    for crowd in members_with_sockets(LEAST_SENDS):
        few, more = sockets_of(crowd[:LEAST_SOCKETS]), sockets_of(crowd[LEAST_SOCKETS:])
        for groups, by_ring in (
            ([(more, b"a")], []),
            ([(few, b"a"), (more, b"b")], [LEAST_SENDS]),
            ([(few, LARGE[:LEAST_BYTES]), (more, b"b")], [LEAST_SENDS - LEAST_SOCKETS]),
        ):
            tick = Tick[Member]()
            for sockets, frames in groups:
                tick.add_all(sockets, frames)
            assert tick.send(Pages(), ring) == (0, [])
            assert sent == by_ring
            sent.clear()
        assert crowd[0].received(LEAST_BYTES) == LARGE[:LEAST_BYTES]

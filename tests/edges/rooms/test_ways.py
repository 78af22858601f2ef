"""The ways of frames to subscribers, over real sockets: what the kernel does not take is handed back, in order."""

import pytest

from edges.rooms.ways import Ways
from tests.edges.rooms.socket_members import LARGE, SMALL, Member


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

"""Frames sent from pages of memory, over real sockets: the same as copies would be, byte for byte."""

import os
import socket
from collections.abc import Iterator

import pytest

from edges.rooms.pages import LEAST_BYTES, LEAST_SOCKETS, Lent, Pages
from tests.edges.rooms.socket_members import LARGE, SMALL, Member, members_with_sockets, sockets_of

FRAMES = LARGE[:LEAST_BYTES]


@pytest.fixture
def crowd() -> Iterator[list[Member]]:
    """As many members as are worth it."""
    yield from members_with_sockets(LEAST_SOCKETS)


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of pieces that were sent as copies."""
    seen: list[int] = []

    def send_each(sockets: list[socket.socket], pieces: Iterator[bytes]) -> list[int]:
        sent = [one.send(piece) for one, piece in zip(sockets, pieces, strict=False)]
        seen.extend(sent)
        return sent

    monkeypatch.setattr("edges.rooms.ways.send_each", send_each)
    return seen


def test_all_is_taken(crowd: list[Member], copies: list[int]) -> None:
    """Every member gets the frames, and nothing is copied."""
    assert sockets_of(crowd).send(FRAMES, Pages()) == []
    assert [it.received(len(FRAMES)) for it in crowd] == [FRAMES] * LEAST_SOCKETS
    assert copies == []


@pytest.mark.parametrize(("frames", "count"), [(FRAMES[:-1], LEAST_SOCKETS), (FRAMES, LEAST_SOCKETS - 1)])
def test_little_is_copied(crowd: list[Member], copies: list[int], frames: bytes, count: int) -> None:
    """To lend pages costs more than a copy of some KB."""
    assert sockets_of(crowd[:count]).send(frames, Pages()) == []
    assert copies == [len(frames)] * count


def test_part_is_taken(crowd: list[Member]) -> None:
    """What a kernel did not take is handed back: the frames' end, exactly; of a full or closed socket everything."""
    crowd[0].fill()
    crowd[1].direct.close()  # type: ignore[union-attr]
    rests = sockets_of(crowd).send(LARGE, Pages())
    assert [member for member, _ in rests] == crowd
    assert [rest for _, rest in rests[:2]] == [LARGE, LARGE]
    for member, rest in rests[2:]:
        assert 0 < len(rest) < len(LARGE)
        assert member.received(len(LARGE) - len(rest)) + rest == LARGE


def test_pages_on_their_way_stay_as_they_are(crowd: list[Member], monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that reads late gets what was sent, whatever went to others meanwhile, and from another file, too."""
    monkeypatch.setattr("edges.rooms.pages._FILE_BYTES", 2 * LEAST_BYTES)
    pages, sockets = Pages(), sockets_of(crowd)
    several = [bytes([number]) * LEAST_BYTES for number in range(6)]
    for frames in several:
        assert sockets.send(frames, pages) == []
        for member in crowd[1:]:
            assert member.received(LEAST_BYTES) == frames
    assert crowd[0].received(6 * LEAST_BYTES) == b"".join(several)


@pytest.mark.parametrize("refused", ["memfd_create", "pwrite"])
def test_system_that_refuses_gets_copies(crowd: list[Member], copies: list[int], refused: str) -> None:
    """No descriptor or no memory for a file: copies are sent; and pages again, once the system gives."""

    def refuse(*_: object) -> int:
        raise OSError

    before = len(os.listdir("/proc/self/fd"))
    pages, sockets = Pages(), sockets_of(crowd)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, refused, refuse)
        for _ in range(2):
            assert sockets.send(FRAMES, pages) == []
    assert len(copies) == 2 * LEAST_SOCKETS
    assert len(os.listdir("/proc/self/fd")) == before
    assert sockets.send(FRAMES, pages) == []
    assert len(copies) == 2 * LEAST_SOCKETS
    assert [it.received(3 * len(FRAMES)) for it in crowd] == [3 * FRAMES] * LEAST_SOCKETS


def test_file_is_closed_with_its_owner(crowd: list[Member]) -> None:
    """No descriptor is left behind."""
    before = len(os.listdir("/proc/self/fd"))
    pages = Pages()
    sockets_of(crowd).send(SMALL * 1_000, pages)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del pages
    assert len(os.listdir("/proc/self/fd")) == before


# One socket after another comes for the same frames.


def lent(frames: bytes) -> Lent:
    found = Pages().lend(frames)
    assert isinstance(found, Lent)
    return found


@pytest.mark.parametrize("head", [b"", b"head "])
def test_frames_are_lent_to_one_after_another(crowd: list[Member], head: bytes) -> None:
    """Each gets the head that is its own, and the frames; the pages outlive whoever made them."""
    frames = lent(FRAMES)
    assert frames == FRAMES
    for member in crowd:
        assert frames.send(plain_of(member), head) == len(head) + len(FRAMES)
    assert [it.received(len(head) + len(FRAMES)) for it in crowd] == [head + FRAMES] * LEAST_SOCKETS


def test_head_without_all_of_the_frames(crowd: list[Member], monkeypatch: pytest.MonkeyPatch) -> None:
    """A full or closed socket takes nothing, another a part; what it took is told, so that the rest may follow."""
    head, frames = b"head ", lent(LARGE)
    full, closed, slow, other = crowd[:4]
    full.fill()
    plain_of(closed).close()
    assert [frames.send(plain_of(it), head) for it in (full, closed)] == [0, 0]
    taken = frames.send(plain_of(slow), head)
    assert len(head) < taken < len(LARGE)
    assert slow.received(taken) == (head + LARGE)[:taken]

    def refuse(*_: object) -> int:
        raise OSError

    monkeypatch.setattr(os, "sendfile", refuse)
    assert frames.send(plain_of(other), head) == len(head)
    assert other.received(len(head)) == head


def plain_of(member: Member) -> socket.socket:
    assert member.direct is not None
    return member.direct

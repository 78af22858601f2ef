"""Many sends by one call of the kernel, over real sockets: what each socket takes is told, as ``send`` tells it."""

import ctypes
import errno
import os
import select
import socket
from collections.abc import Callable, Iterator

import pytest

from edges.rooms import ring as rings
from edges.rooms.ring import Ring, ring_at_hand
from tests.edges.rooms.socket_members import LARGE, SMALL, Member, members_with_sockets

Call = Callable[..., int]


@pytest.fixture
def ring() -> Ring:
    """A ring."""
    try:
        return Ring()
    except OSError as error:
        pytest.skip(f"the system keeps io_uring from this process: {error}")


@pytest.fixture
def pair() -> Iterator[Member]:
    """One member alone."""
    for members in members_with_sockets(1):
        yield members[0]


def sockets_of(members: list[Member]) -> list[socket.socket]:
    return [it.direct for it in members if it.direct is not None]


def interrupted(ring: Ring, *answers: int) -> None:
    """Have the kernel answer the next calls so: take so many entries; below 0, none for that reason."""
    call: Call = ring._call  # noqa: SLF001 (no kernel does this when asked to)
    ahead = list(answers)

    def limited(number: int, file: int, count: int, _least: int, *more: int) -> int:
        answer = ahead.pop(0) if ahead else count
        if answer < 0:
            ctypes.set_errno(-answer)
            return -1
        return call(number, file, min(answer, count), 0, *more)

    ring._call = limited  # noqa: SLF001


def test_each_socket_gets_its_piece(ring: Ring, members: list[Member]) -> None:
    """Pieces of several lengths go to several sockets, an empty one and none at all included."""
    pieces = [b"a", b"bc", b"", SMALL, b"d" * 1_000]
    assert ring.send_each(sockets_of(members), pieces) == [1, 2, 0, 100, 1_000]
    assert [it.received(len(piece)) for it, piece in zip(members, pieces, strict=True)] == pieces
    assert ring.send_each([], []) == []


@pytest.mark.parametrize("joined_bytes", [0, 256 * 1024], ids=["each where it is", "copied"])
def test_pieces_that_several_get(
    ring: Ring, members: list[Member], monkeypatch: pytest.MonkeyPatch, joined_bytes: int
) -> None:
    """The same piece for several, and another of the same bytes; whether pieces are copied or not."""
    monkeypatch.setattr(rings, "_JOINED_BYTES", joined_bytes)
    pieces = [SMALL, b"a" * 1_000, SMALL, bytes(bytearray(SMALL)), b"a" * 1_000]
    assert ring.send_each(sockets_of(members), pieces) == [100, 1_000, 100, 100, 1_000]
    assert [it.received(len(piece)) for it, piece in zip(members, pieces, strict=True)] == pieces


def test_each_group_gets_its_frames(ring: Ring, members: list[Member]) -> None:
    """All sockets of a group get the same; of a socket in two groups those of the first come first."""
    groups = [(sockets_of(members[:3]), b"abc"), (sockets_of(members[2:]), SMALL)]
    assert ring.send(groups) == [3, 3, 3, 100, 100, 100]
    assert [it.received(3) for it in members[:3]] == [b"abc"] * 3
    assert [it.received(100) for it in members[2:]] == [SMALL] * 3


@pytest.mark.parametrize("count", [1_023, 1_024, 1_025, 5_000])
def test_more_sends_than_entries(ring: Ring, pair: Member, count: int) -> None:
    """Any number of sends goes in order, wherever in the ring the call before ended."""
    one = sockets_of([pair])
    for begin in (0, count):
        pieces = [b"%06d," % number for number in range(begin, begin + count)]
        for at in range(0, count, 200):  # a socket holds no more
            some = pieces[at : at + 200]
            assert ring.send_each(one * len(some), some) == [7] * len(some)
            assert pair.received(7 * len(some)) == b"".join(some)


def test_call_that_is_longer_than_the_ring(ring: Ring, members: list[Member]) -> None:
    """One call of more sends than there are entries."""
    groups = [(sockets_of(members) * 100, b"a"), (sockets_of(members) * 150, b"b")]
    assert ring.send(groups) == [1] * 1_250
    assert [it.received(250) for it in members] == [b"a" * 100 + b"b" * 150] * 5


def test_part_is_taken(ring: Ring, members: list[Member]) -> None:
    """A kernel takes as much of large frames as it has room for, waits for nothing, and tells how much."""
    taken = ring.send([(sockets_of(members), LARGE)])
    for member, some in zip(members, taken, strict=True):
        assert 0 < some < len(LARGE)
        assert member.received(some) == LARGE[:some]


def test_full_and_closed_sockets_hold_up_no_other(ring: Ring, members: list[Member]) -> None:
    """A full socket, a client that is gone and a descriptor that is closed take nothing."""
    members[0].fill()
    members[2].client.close()
    members[4].direct.close()  # type: ignore[union-attr]
    sockets = [it.direct for it in members if it.direct is not None]
    assert ring.send([(sockets, SMALL)]) == [0, 100, 0, 100, 0]
    assert ring.send_each(sockets, [SMALL] * 5) == [0, 100, 0, 100, 0]
    assert members[1].received(200) == members[3].received(200) == SMALL * 2


def test_descriptor_of_another_gets_nothing(ring: Ring, members: list[Member]) -> None:
    """A socket that was closed is no other's, though its number was given to another file."""
    closed = members[0].direct
    assert closed is not None
    number = closed.fileno()
    closed.close()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert number in (ours.fileno(), theirs.fileno())
        assert ring.send([([closed], SMALL)]) == [0]
        assert not can_read(Member(ours, theirs))


def test_kernel_that_takes_some(ring: Ring, members: list[Member]) -> None:
    """Entries taken in several calls, and signals in between: each is done once."""
    interrupted(ring, 2, -errno.EINTR, 1, -errno.EINTR)
    assert ring.send([(sockets_of(members), SMALL)]) == [100] * 5
    assert [it.received(100) for it in members] == [SMALL] * 5
    assert not any(map(can_read, members))


def test_kernel_that_takes_no_more(ring: Ring, members: list[Member]) -> None:
    """What was not taken counts as not sent, and is not sent later: the caller writes it by another way."""
    interrupted(ring, 2, -errno.EAGAIN)
    assert ring.send([(sockets_of(members), b"a")]) == [1, 1, 0, 0, 0]
    assert ring.send([(sockets_of(members), b"b")]) == [1] * 5
    assert [it.received(2) for it in members[:2]] == [b"ab"] * 2
    assert [it.received(1) for it in members[2:]] == [b"b"] * 3
    assert not any(map(can_read, members))


def test_sends_that_end_in_another_order(ring: Ring, members: list[Member], monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may tell of sends in any order: each is told of with its number."""
    members[1].fill()
    call: Call = ring._call  # noqa: SLF001 (no kernel does this when asked to)

    def turned(*words: int) -> int:
        done = call(*words)
        for column in (ring._completed, ring._results):  # noqa: SLF001
            for at, value in enumerate(column[:5].tolist()[::-1]):
                column[at] = value
        return done

    monkeypatch.setattr(ring, "_call", turned)
    assert ring.send_each(sockets_of(members), [b"a", b"b", b"cc", b"ddd", b"eeee"]) == [1, 0, 2, 3, 4]


def test_system_without_a_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept from this process: there is none, and no file is left open. A real one is closed with its owner."""

    def refuse(*_: int) -> int:
        ctypes.set_errno(errno.EPERM)
        return -1

    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patched:
        patched.setattr(rings, "_system_call", lambda: refuse)
        assert ring_at_hand() is None
        with pytest.raises(PermissionError):
            Ring()
    with monkeypatch.context() as patched:
        patched.setattr("sys.platform", "darwin")
        assert ring_at_hand() is None
    assert len(os.listdir("/proc/self/fd")) == before


def test_files_are_closed_with_the_owner(ring: Ring) -> None:
    """No descriptor is left behind."""
    before = len(os.listdir("/proc/self/fd"))
    another = Ring()
    assert len(os.listdir("/proc/self/fd")) > before
    del another
    assert len(os.listdir("/proc/self/fd")) == before


def can_read(member: Member) -> bool:
    return bool(select.select([member.client], [], [], 0)[0])

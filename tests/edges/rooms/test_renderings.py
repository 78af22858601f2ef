"""Frames of replays, made once for a crowd."""

import os
from collections.abc import Sequence

import pytest

from bus.channel import Channel
from bus.envelope import Arrived
from edges.protocol.envelope import ENVELOPE, Dialect
from edges.protocol.session_buddy import FLAT
from edges.rooms import renderings
from edges.rooms.pages import LEAST_BYTES, Lent
from edges.rooms.renderings import Piece, Renderings

X, Y = Channel("workflow:x", "workflow:x"), Channel("workflow:y", "workflow:y")


class Maker:
    """Makes pieces of one line, and counts them."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, dialect: Dialect, lines: Sequence[Arrived]) -> Piece:
        self.made += 1
        return Piece(lines[0].line, 1)


def lines(*numbers: int) -> list[Arrived]:
    return [Arrived(b"%d" % n, f"{n}-{n}", f"{n - 1}-{n - 1}") for n in numbers]


def test_same_lines_are_made_once() -> None:
    """For one channel, dialect and span of the log; a line that was deleted in between is another span."""
    shared, maker = Renderings(), Maker()
    for _ in range(3):
        assert shared.piece(X, ENVELOPE, lines(1, 2, 3), maker) == Piece(b"1", 1)
    assert maker.made == 1
    others = [(Y, ENVELOPE, lines(1, 2, 3)), (X, FLAT, lines(1, 2, 3)), (X, ENVELOPE, lines(1, 3))]
    for channel, dialect, some in others:
        shared.piece(channel, dialect, some, maker)
    assert maker.made == 4


def test_frames_that_are_wanted_again_are_lent() -> None:
    """From the third time on large frames are pages, too; the file goes with the crowd."""
    before = len(os.listdir("/proc/self/fd"))
    shared, large = Renderings(), Arrived(b"x" * LEAST_BYTES, "9-9", "8-8")
    for some in ([large], lines(1)):
        pieces = [shared.piece(X, ENVELOPE, some, Maker()) for _ in range(4)]
        assert [it == pieces[0] for it in pieces] == [True] * 4
        assert [isinstance(it.frames, Lent) for it in pieces] == [False, False, *[some[0] is large] * 2]
    del pieces
    assert len(os.listdir("/proc/self/fd")) == before + 1
    for _ in range(3):
        shared.forget_stale()
    assert len(os.listdir("/proc/self/fd")) == before


def test_lines_without_positions_are_made_for_each() -> None:
    """Typed lines have no name that another client could mean."""
    shared, maker = Renderings(), Maker()
    for line in (b"a", b"b"):
        assert shared.piece(X, ENVELOPE, [Arrived(line, None, None)], maker).frames == line


def test_pieces_are_forgotten_unless_wanted() -> None:
    """One look after the last use they are still there, two looks after not."""
    shared, maker = Renderings(), Maker()
    for _ in range(3):
        shared.piece(X, ENVELOPE, lines(1), maker)
        shared.forget_stale()
    assert maker.made == 1
    shared.forget_stale()
    shared.piece(X, ENVELOPE, lines(1), maker)
    assert maker.made == 2


def test_pieces_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the bound the pieces so far are let go of; the newest is kept."""
    monkeypatch.setattr(renderings, "_LIMIT_BYTES", 2)
    shared, maker = Renderings(), Maker()
    for number in (1, 2, 3, 3, 1):
        shared.piece(X, ENVELOPE, lines(number), maker)
    assert maker.made == 4

"""The frames of replays, made once for all clients that are given the same lines of a log in one crowd."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from bus.channel import Channel
from bus.envelope import Arrived
from edges.protocol.envelope import Dialect
from edges.rooms.pages import LEAST_BYTES, Lent, Pages

__all__ = ["Piece", "Renderings"]

_LIMIT_BYTES: Final = 8 * 1024 * 1024

_Key: TypeAlias = tuple[str, Dialect, int, str | None, str | None]


class Piece(NamedTuple):
    """The frames of the first lines of a replay, in one piece; ``given``: of how many lines."""

    frames: bytes
    given: int


class Renderings:
    """Pieces that more clients may want in a moment; bounded in bytes, and let go of now and then.

    What is wanted a third time is wanted by a crowd, for one client may ask twice: such frames are lent to sockets,
    where that is cheaper. A piece that is lent counts twice, as bytes and as pages.

    A position names one line for ever, so the lines between two positions are the same for every client; where some of
    them were deleted by hand, their number tells.
    """

    __slots__ = ("_again", "_before", "_bytes", "_pages", "_pieces")

    def __init__(self) -> None:
        self._before: dict[_Key, Piece] = {}
        self._pages = Pages()
        self._begin()

    def _begin(self) -> None:
        self._pieces: dict[_Key, Piece] = {}
        self._again: set[_Key] = set()
        self._bytes = 0

    def piece(
        self,
        channel: Channel,
        dialect: Dialect,
        lines: Sequence[Arrived],
        make: Callable[[Dialect, Sequence[Arrived]], Piece],
    ) -> Piece:
        """Return the first piece of ``lines`` of a log, as ``make`` makes it of these lines for any client."""
        key = (channel.redis, dialect, len(lines), lines[0].position, lines[-1].position)
        piece = self._pieces.get(key)
        if piece is None:
            piece = self._before.get(key) or make(dialect, lines)
            if None not in key:  # typed lines have no position
                self._keep(key, piece)
        elif len(piece.frames) >= LEAST_BYTES and not isinstance(piece.frames, Lent):
            piece = self._perhaps_lent(key, piece)
        return piece

    def _perhaps_lent(self, key: _Key, piece: Piece) -> Piece:
        if key in self._again:
            piece = self._pieces[key] = Piece(self._pages.lend(piece.frames), piece.given)
            self._bytes += len(piece.frames)
        self._again.add(key)
        return piece

    def _keep(self, key: _Key, piece: Piece) -> None:
        if self._bytes + len(piece.frames) > _LIMIT_BYTES:
            self._begin()
        self._pieces[key] = piece
        self._bytes += len(piece.frames)

    def forget_stale(self) -> None:
        """Let go of the pieces that nobody wanted since the last call."""
        if not self._pieces:
            self._pages = Pages()
        self._before = self._pieces
        self._begin()

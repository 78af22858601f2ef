"""The positions that a subscription was given: the newest by name, all older ones by the ends of their runs. Pure."""

from collections.abc import Collection, Iterable, Sequence
from itertools import takewhile

from bus.envelope import Arrived
from bus.position import BEGINNING, order

__all__ = ["Given"]


class Given:
    """Positions in the order in which lines were given.

    A run is what was given without a gap, and so of one log: there ids only grow.

    Args:
        limit: how many positions are remembered by name.

    """

    # A dictionary keeps their order and takes half of a set's memory: 13 KB in place of 28 for 256 that come and go.
    __slots__ = ("_ends", "_forgotten", "_limit", "_names")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._names: dict[str, None] = {}
        self._ends: set[str] = set()
        self._forgotten = order(BEGINNING)

    @property
    def names(self) -> Collection[str]:
        """The positions remembered by name, the oldest first."""
        return self._names

    def add(self, position: str) -> None:
        """Remember a position."""
        if position in self._names:
            return
        self._names[position] = None
        if len(self._names) > self._limit:
            del self._names[next(iter(self._names))]

    def extend(self, positions: Iterable[str | None]) -> None:
        """Remember the positions of lines; typed lines have none."""
        for position in positions:
            if position is not None:
                self.add(position)

    def end_run(self, position: str) -> None:
        """Take note of a gap behind ``position``."""
        # Here and not with each line: the highest id of a run is its last, and lines are the hot path.
        self._ends.add(position)
        self._forget_ends()

    def _forget_ends(self) -> None:
        gone = self._ends - self._names.keys()
        self._ends -= gone
        self._forgotten = max([self._forgotten, *map(order, gone)])

    def up_to(self, position: str) -> "Given":
        """Return what a subscriber was given that stands at ``position``; later positions are still to come."""
        given = Given(self._limit)
        given._ends, given._forgotten = set(self._ends), self._forgotten
        if position in self._names:
            for name in takewhile(lambda name: name != position, self._names):
                given.add(name)
            given.add(position)
        else:
            given.end_run(position)
        return given

    def unseen(self, lines: Sequence[Arrived], *, follow: bool) -> Sequence[Arrived]:
        """Return those of a log's ``lines`` that were certainly not given.

        ``follow``: the log says that the lines come behind the newest position. Behind a line remembered by name all
        lines are new. Where no such line is left, a line may be older than all names, and only an id above all that is
        forgotten tells that the line is new.
        """
        for index in range(len(lines) - 1, -1, -1):
            if (lines[index].position or BEGINNING) in self._names:
                return lines[index + 1 :]
        # decisions/0072: given twice or left out, the line is in doubt; P2 has no exception, and P3 has a gap to tell.
        return lines if follow else [line for line in lines if order(line.position or BEGINNING) > self._highest()]

    def is_in_doubt(self, lines: Sequence[Arrived], unseen: Sequence[Arrived]) -> bool:
        """Tell whether some of ``lines`` are left out of ``unseen`` that were perhaps not given."""
        left_out = lines[: len(lines) - len(unseen)]
        return bool(left_out) and left_out[-1].position not in self._names

    def _highest(self) -> tuple[int, int]:
        self._forget_ends()
        oldest = next(iter(self._names), BEGINNING)
        return self._forgotten if oldest.endswith("-0") else max(self._forgotten, order(oldest))

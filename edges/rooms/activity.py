"""Which rooms have events while an operator looks: nothing is kept otherwise, and no idle room is looked at."""

from collections.abc import Iterable

from edges.rooms.room import Room

__all__ = ["Activity"]


class Activity:
    """The rooms with lines since the last look.

    Attributes:
        is_watched: whether an operator looks.

    """

    __slots__ = ("_before", "is_watched")

    def __init__(self) -> None:
        self.is_watched = False
        self._before: dict[Room, int] = {}

    def watch(self, *, is_watched: bool) -> None:
        """Begin, or end, to note rooms."""
        self.is_watched = is_watched
        self._before = {}

    def note(self, touched: Iterable[Room]) -> None:
        """Note rooms whose lines are about to be written."""
        for room in touched:
            self._before.setdefault(room, room.written)

    def take(self) -> dict[Room, int]:
        """Return how many lines each room wrote since the last call; rooms without lines are not among these."""
        before, self._before = self._before, {}
        return {room: lines for room, was in before.items() if (lines := room.written - was) > 0}

"""Every line from Redis, handed to the subscribers of the line's room. Handing on never waits.

Knows rooms by their names in Redis alone; who opens and closes rooms is ``edges/rooms/hub.py``'s.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from bus.envelope import UNTRACED, read_front
from bus.errors import EventError
from edges.rooms.activity import Activity
from edges.rooms.drops import Drops, TooLarge
from edges.rooms.fanout import Fanout
from edges.rooms.room import Room
from edges.rooms.sampler import Sampler
from edges.rooms.traced import TracedLines

__all__ = ["Arrivals"]


class Arrivals:
    """The lines of reads from Redis, on their way to rooms.

    Args:
        rooms: by the channel's name in Redis; the hub's own.
        fanout: writes to subscribers.
        recover: has the lines that a room misses read from the log.
        line_limit_bytes: longer lines are dropped.
        traced: reads lines without the plain front.
        sampler: measures the lateness of some lines; None: of no line.

    Attributes:
        activity: the rooms with events, while an operator looks.
        drops: the lines that reach no client.
        lines: how many came.
        gaps: how often a line came that did not follow.

    """

    def __init__(
        self,
        rooms: Mapping[bytes, Room],
        fanout: Fanout,
        recover: Callable[[Room], object],
        line_limit_bytes: int,
        traced: TracedLines,
        sampler: Sampler | None,
    ) -> None:
        self._rooms, self._fanout, self._recover = rooms, fanout, recover
        self._line_limit_bytes, self.traced, self._sampler = line_limit_bytes, traced, sampler
        self.activity, self.drops = Activity(), Drops()
        self.lines = self.gaps = 0

    def deliver(self, batch: Sequence[tuple[bytes, bytes]]) -> None:
        """Hand the lines of one read from Redis to the subscribers of their rooms; one write for each and read."""
        # decisions/0048: a line of the bus's own is known by its two ends, and handed on unread; others are parsed.
        self.lines += len(batch)
        touched: dict[Room, None] = {}
        for name, line in batch:
            room = self._rooms.get(name)
            if room is None:
                self.drops.homeless()
                continue
            try:
                arrived = read_front(line, UNTRACED) if len(line) <= self._line_limit_bytes else self._refuse(line)
                if arrived is None or not line.endswith(room.end) or (arrived.position is None) is room.has_log:
                    arrived = self.traced.read(line, room)
                gaps = room.sequencer.gaps
                if room.sequencer.accept(arrived):
                    touched[room] = None
                elif room.sequencer.gaps != gaps:
                    self.gaps += 1
                    self._recover(room)
            except (EventError, UnicodeDecodeError) as error:
                self.drops.unreadable(room, error)
            except Exception as error:  # noqa: BLE001 (one line's fault must not be that of all rooms)
                self._give_up(room, error)
        if self.activity.is_watched:
            self.activity.note(touched)
        for room in touched:
            self._fanout.flush(room, is_alone=len(touched) == 1)
        self._fanout.uncork()
        if self.traced.seen:
            self.traced.written(touched)
        if touched and self._sampler is not None:
            self._sampler.take(batch)

    def _refuse(self, line: bytes) -> NoReturn:
        raise TooLarge(f"the line has {len(line)} bytes; the limit is {self._line_limit_bytes}")

    def _give_up(self, room: Room, error: Exception) -> None:
        """Go on after a line that raised an unforeseen error; the log says where the room stands now."""
        self.drops.failed(room, error)
        self._fanout.tell(error, room)
        if room.has_log:
            room.sequencer.lose_sync()
            self._recover(room)

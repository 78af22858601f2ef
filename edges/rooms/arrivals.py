"""Every line from Redis, handed to the subscribers of the line's room. Handing on never waits.

Knows rooms by their names in Redis alone; who opens and closes rooms is ``edges/rooms/hub.py``'s.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

from bus.envelope import UNTRACED, read_front
from bus.errors import EventError
from edges.rooms.activity import Activity
from edges.rooms.drops import Drops, TooLarge
from edges.rooms.fanout import Fanout
from edges.rooms.flow import FLOWING_BYTES
from edges.rooms.room import Room
from edges.rooms.sampler import Sampler
from edges.rooms.traced import TracedLines

__all__ = ["Arrivals"]

_SEVERAL: Final = 16
"""With fewer lines in a read, to look at each costs less than to set all side by side."""
_positions: Final = re.Match[bytes].groups


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
        self.traced, self._sampler = traced, sampler
        self._line_limit_bytes, self._flowing_bytes = line_limit_bytes, min(line_limit_bytes, FLOWING_BYTES)
        self.activity, self.drops = Activity(), Drops()
        self.lines = self.gaps = 0

    def deliver(self, batch: Sequence[tuple[bytes, bytes]]) -> None:
        """Hand the lines of one read from Redis to the subscribers of their rooms; one write for each and read."""
        self.lines += len(batch)
        newest = dict(batch)
        if self.activity.is_watched:
            self.activity.note(room for name in newest if (room := self._rooms.get(name)) is not None)
        touched: dict[Room, None] = {}
        has_flowed = self._pass_on(batch, rooms=len(newest)) or self._hand_on(batch, newest, touched)
        for room in touched:
            if room.sequencer.waiting:  # the newest line could not be read
                self._fanout.flush(room)
        self._fanout.uncork()
        if self.traced.seen:
            self.traced.written(touched)
        if (touched or has_flowed) and self._sampler is not None:
            self._sampler.take(batch)

    def _hand_on(
        self, batch: Sequence[tuple[bytes, bytes]], newest: Mapping[bytes, bytes], touched: dict[Room, None]
    ) -> bool:
        """Write the lines that flow, and note rooms with lines that wait; tell whether a line flowed."""
        # decisions/0147: the usual line in one function, as each call costs a line 0.1 us. It follows, no other line of
        # the read is the room's, and all subscribers may have it now. Other lines go a way that is three times as long.
        # decisions/0048: a line of the bus's own is known by its two ends, and handed on unread; others are parsed.
        find, pass_on, flowing_bytes = self._rooms.get, self._fanout.pass_on, self._flowing_bytes
        is_alone, has_flowed = len(batch) == 1, False
        for name, line in batch:
            room = find(name)
            if room is None:
                self.drops.homeless()
                continue
            try:
                if newest[name] is line and (front := UNTRACED(line)) is not None:
                    position, previous = front.groups()
                    flow = room.flow
                    if (
                        previous == flow.at
                        and line.endswith(room.end)
                        and len(line) <= flowing_bytes
                        and (line.isascii() or line.decode())
                        and not (room.passes or room.slow)
                    ):
                        flow.at = position
                        flow.count += 1
                        if position is not None:
                            flow.lines.append(line)
                        pass_on(room, line, is_alone=is_alone)
                        has_flowed = True
                        continue
                if self._take(room, line):
                    touched[room] = None
                if newest[name] is line and room in touched:
                    # In the line's turn, so that a client of several rooms is given their lines as they came.
                    self._fanout.flush(room)
            except (EventError, UnicodeDecodeError) as error:
                self.drops.unreadable(room, error)
            except Exception as error:  # noqa: BLE001 (one line's fault must not be that of all rooms)
                self._give_up(room, error)
        return has_flowed

    def _pass_on(self, batch: Sequence[tuple[bytes, bytes]], rooms: int) -> bool:
        """Write all lines of a read if they flow, and a way for them as a whole is known; else tell of nothing done."""
        if rooms == 1:
            return len(batch) > 1 and self._pass_on_together(batch)
        return rooms == len(batch) >= _SEVERAL and self._pass_on_apart(batch)

    def _pass_on_apart(self, batch: Sequence[tuple[bytes, bytes]]) -> bool:
        """Write the lines of a read if each is for another room of one, and flows; else tell that nothing was done."""
        # decisions/0171: what `_hand_on` asks of one line after the other, each question here to all lines at once.
        names, lines = zip(*batch, strict=True)
        soles = [room.sole for room in map(self._rooms.get, names) if room is not None and room.sole is not None]
        if len(soles) < len(lines):
            return False
        fronts = [front for front in map(UNTRACED, lines) if front is not None]
        if len(fronts) < len(lines):
            return False
        dialects, subscribers, flows, ends = zip(*soles, strict=True)
        positions, previous = zip(*map(_positions, fronts), strict=True)
        if [flow.at for flow in flows] != list(previous) or not all(map(bytes.endswith, lines, ends)):
            return False
        if max(map(len, lines)) > self._flowing_bytes or not _are_texts(lines):
            return False
        if not self._fanout.pass_on_apart(dialects, subscribers, lines):
            return False
        for flow, position, line in zip(flows, positions, lines, strict=True):
            flow.at = position
            flow.count += 1
            if position is not None:
                flow.lines.append(line)
        return True

    def _pass_on_together(self, batch: Sequence[tuple[bytes, bytes]]) -> bool:
        """Write the lines of a read in one piece if all are of one room, and flow; else tell that nothing was done."""
        # As in `_hand_on`, in half of the time that the sequencer's look at each line takes (1.9 of 3.8 us).
        room = self._rooms.get(batch[0][0])
        if room is None or room.passes or room.slow:
            return False
        flow, end, flowing_bytes = room.flow, room.end, self._flowing_bytes
        at = flow.at
        lines: list[bytes] = []
        try:
            for _, line in batch:
                front = UNTRACED(line)
                if front is None or not line.endswith(end) or len(line) > flowing_bytes:
                    return False
                position, previous = front.groups()
                if previous != at or not (line.isascii() or line.decode()):
                    return False
                at = position
                lines.append(line)
        except UnicodeDecodeError:  # told of where each line is looked at
            return False
        flow.at = at
        flow.count += len(lines)
        if at is not None:
            flow.lines.extend(lines)
        self._fanout.pass_on_together(room, lines)
        return True

    def _take(self, room: Room, line: bytes) -> bool:
        """Have a room's sequencer look at a line; tell whether the line waits to be written now."""
        arrived = read_front(line, UNTRACED) if len(line) <= self._line_limit_bytes else self._refuse(line)
        if arrived is None or not line.endswith(room.end) or (arrived.position is None) is room.has_log:
            arrived = self.traced.read(line, room)
        gaps = room.sequencer.gaps
        waits = room.sequencer.accept(arrived)
        if not waits and room.sequencer.gaps != gaps:
            self.gaps += 1
            self._recover(room)
        return waits

    def _refuse(self, line: bytes) -> NoReturn:
        raise TooLarge(f"the line has {len(line)} bytes; the limit is {self._line_limit_bytes}")

    def _give_up(self, room: Room, error: Exception) -> None:
        """Go on after a line that raised an unforeseen error; the log says where the room stands now."""
        self.drops.failed(room, error)
        self._fanout.tell(error, room)
        if room.has_log:
            room.sequencer.lose_sync()
            self._recover(room)


def _are_texts(lines: Sequence[bytes]) -> bool:
    """Tell whether all lines are UTF-8."""
    if all(map(bytes.isascii, lines)):
        return True
    try:
        return all(map(bytes.decode, lines))
    except UnicodeDecodeError:
        return False

"""Replays: the answers of a log's newest part to readers that begin somewhere. Pure: ``bus.log.tails`` reads.

A tail, read once, answers every reader of the channel: no reader is given more than the tail holds.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, TypeAlias

from bus.envelope import Arrived
from bus.log.forks import Fork, passed, passed_since
from bus.position import BEGINNING, Past, Reason, is_position, judge, judge_time, no_log, order
from bus.values import frozen

__all__ = [
    "REPLAY_BYTES",
    "REPLAY_EVENTS",
    "FromState",
    "Last",
    "Replay",
    "Since",
    "SinceTime",
    "Start",
    "State",
    "Tail",
    "parse_since",
]

# decisions/0017: one size for all. Where a reader begins decides only which lines of a tail are given, so readers of
# one moment share a read, and thousands that come back at once cost Redis one read per room.
REPLAY_EVENTS: Final = 1_000
REPLAY_BYTES: Final = 4 * 1024 * 1024
"""The most of a single replay; past either the oldest lines are left out, and the reader is told."""

_SPAN: Final = re.compile(r"-([0-9]{1,9})(ms|s|m|h|d)")
_LAST_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999, as far as a time can be written."""
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@frozen
class Since:
    """After the event at a position; ``has_stayed``: for a subscriber that never left, and was told of every fork."""

    position: str
    has_stayed: bool = False


@frozen
class SinceTime:
    """From a time on: milliseconds since 1970, or before now when ``is_span``."""

    ms: int
    is_span: bool = False


@frozen
class Last:
    """The newest ``count`` events."""

    count: int


@frozen
class FromState:
    """From the state of the channel; ``anew``: as of now, and not as another reader is just being given it."""

    anew: bool = False


Start: TypeAlias = Since | SinceTime | Last | FromState


@frozen
class Replay:
    """The lines for a reader, and the reader's gaps.

    Attributes:
        lines: oldest first, each chained to the next.
        reason: why events may be missing before the first line; None when no event is.
        position: where the reader stands after the last line.
        forks: the positions of lines behind which events are lost, in order.
        gap_after: the first of ``forks``, where no event is missing before; else None.
        forks_elsewhere: as ``forks``, for a reader that stood where this log never was; None for any other. Only a
            subscriber that stayed is told of them: a reader that comes back is told so, and has all there is replayed.
        forks_behind: the places of forks before the reader's own, in order: the reader may not have been told of these.
        began: when this Redis began, as an ISO time, for a reader that asked for an earlier time; else None.
        is_state: whether the lines are the state of the channel at ``position``, and no part of the log.
        truncated: whether keys of the state may be missing.

    """

    lines: tuple[Arrived, ...]
    reason: Reason | None
    position: str
    forks: tuple[str, ...] = ()
    gap_after: str | None = None
    forks_elsewhere: tuple[str, ...] | None = None
    forks_behind: tuple[str, ...] = ()
    began: str | None = None
    is_state: bool = False
    truncated: bool = False

    def passing(self, places: Sequence[str], at: str | None = None) -> "Replay":
        """Return the replay for a reader that passes forks at ``places``, before the lines or among the lines.

        ``at``: where the reader stands, at an event; None for nowhere. The reader may have passed some places already.
        """
        found = {*places, *self.forks, *(self.forks_elsewhere or ())}
        if not found and self.forks_elsewhere is None:
            return self
        inside = tuple(line.position for line in self.lines if line.position is not None and line.position in found)
        # A reader that stood where this log never was is told so; of other places if it stayed all the time.
        if self.forks_elsewhere is not None:
            return replace(self, forks_elsewhere=inside)
        # decisions/0055: a fork among the lines is told in its place, as a gap; a fork before all is the reason.
        is_whole_before = len(inside) == len(found) and (self.reason is None or self.gap_after is not None)
        reason = self.reason or (Reason.DIVERGED if found else None)
        gap_after = inside[0] if inside and is_whole_before else None
        stands = BEGINNING if at is None or at.endswith("-0") else at
        behind = {*self.forks_behind, *(it for it in places if order(it) < order(stands))}
        return replace(
            self, reason=reason, forks=inside, gap_after=gap_after, forks_behind=tuple(sorted(behind, key=order))
        )

    def followed(self, lines: Sequence[Arrived], *, is_in_doubt: bool) -> "Replay":
        """Return the replay for a subscriber that stayed and lacks ``lines`` alone: no line twice, and every fork."""
        reason = self.reason or (Reason.UNKNOWN if is_in_doubt else None)
        return replace(self, lines=tuple(lines), reason=reason, forks=self.forks or self.forks_elsewhere or ())


@frozen
class State:
    """The newest event of each key of a channel (``bus.keyed``), as of the end of the tail beside.

    Attributes:
        lines: by position, oldest first; tombstones among them.
        truncated: whether keys may be missing.

    """

    lines: tuple[Arrived, ...]
    truncated: bool = False


@frozen
class Tail:
    """The newest part of a log, at a single moment.

    Attributes:
        now_ms: Redis' clock then.
        epoch_ms: when this Redis began.
        lines: oldest first.
        first: id of the log's first entry, None for a log without entries.
        first_previous: the id that the first entry names as its predecessor.
        last: the last id the log ever generated; ``BEGINNING`` when there is no log.
        is_cut: whether the log holds more, before the first of ``lines``.
        life_ms: how long the log lives after its last event; None: for ever.
        forks: where the log lost events that an edge had.
        state: the channel's state at the same moment; None where the reader asked for none.

    """

    now_ms: int
    epoch_ms: int
    lines: tuple[Arrived, ...]
    first: str | None
    first_previous: str | None
    last: str
    is_cut: bool
    life_ms: int | None = None
    forks: tuple[Fork, ...] = ()
    state: State | None = None

    @property
    def position(self) -> str:
        """Where a reader of all lines stands."""
        return no_log(self.now_ms) if self.last == BEGINNING else self.last

    def replay(self, start: Start) -> Replay:
        """Return the replay for a reader that begins at ``start``; after a gap, with all lines of the tail."""
        # decisions/0017: all lines, since a reader that is told of a gap usually builds its state anew.
        match start:
            case FromState():
                state = self.state or State(())
                return Replay(state.lines, None, self.position, is_state=True, truncated=state.truncated)
            case Last(count):
                lines = self.lines[-count:] if count else ()
                is_short = len(lines) < count and self.is_cut
                replay = Replay(lines, Reason.LIMIT if is_short else None, self.position)
                return replay.passing(passed(self.forks, None, lines, self.position, has_stayed=False))
            case SinceTime(ms, is_span):
                since_ms = max(0, self.now_ms - ms if is_span else ms)
                return self._since_time(since_ms, is_span=is_span).passing(passed_since(self.forks, since_ms))
            case Since(position, has_stayed):
                replay = self._since(position)
                places = passed(self.forks, position, replay.lines, self.position, has_stayed=has_stayed)
                return replay.passing(places, position)

    def without_forks(self) -> "Tail":
        """Return the same tail for a reader that knows of forks by other means, such as an edge's room."""
        return replace(self, forks=())

    def _since_time(self, ms: int, *, is_span: bool) -> Replay:
        # decisions/0098: a span is a window for a first look, and no place where a reader stood. So a window is judged
        # from the epoch on, and the epoch told; a time may be the reader's last one, and what was before is missing.
        reason = judge_time(max(ms, self.epoch_ms) if is_span else ms, self._past())
        index = self._index(f"{ms}-0")
        if reason is None and index == 0 and self.is_cut:
            reason = Reason.LIMIT
        began = _iso(self.epoch_ms) if ms < self.epoch_ms else None
        return Replay(self.lines if reason else self.lines[index:], reason, self.position, began=began)

    def _since(self, position: str) -> Replay:
        index = self._index(position)
        holds = index < len(self.lines) and self.lines[index].position == position
        following = self.lines[index + holds :]
        next_previous = following[0].previous if following else None
        reason = judge(position, self._past(holds=holds, next_previous=next_previous))
        if position.endswith("-0"):  # there was no log then: all of this log came later, whatever its clock said
            index, following = 0, self.lines
        if self.is_cut and index == 0 and not holds and next_previous != position and reason is not Reason.UNKNOWN:
            reason = Reason.LIMIT
        is_elsewhere = reason is Reason.DIVERGED
        return Replay(
            self.lines if reason else following, reason, self.position, forks_elsewhere=() if is_elsewhere else None
        )

    def _past(self, *, holds: bool = False, next_previous: str | None = None) -> Past:
        known = (self.epoch_ms, self.first, self.first_previous, self.last)
        return Past(*known, holds, next_previous, self.now_ms, self.life_ms)

    def _index(self, position: str) -> int:
        """Return the index of the first line not before ``position`` in this log's order."""
        return bisect_left(self.lines, order(position), key=lambda line: order(line.position or BEGINNING))


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(min(ms, _LAST_MS) / 1000, UTC).isoformat(timespec="milliseconds")


def parse_since(text: str) -> Since | SinceTime:
    """Return the meaning of ``since``: a position, an ISO 8601 time with its offset, or a span back (``-15m``).

    Raises:
        ValueError: the text has another form; the message shows all forms.

    """
    if is_position(text):
        return Since(text)
    span = _SPAN.fullmatch(text)
    if span is not None:
        return SinceTime(int(span[1]) * _UNIT_MS[span[2]], is_span=True)
    try:
        time = datetime.fromisoformat(text)
        return SinceTime(max(0, int(time.timestamp() * 1000))) if time.tzinfo else _no_since()
    except (ValueError, OverflowError):
        return _no_since()


def _no_since() -> SinceTime:
    raise ValueError("expected a position, an ISO time with its offset, or a span such as '-15m' (ms, s, m, h, d)")

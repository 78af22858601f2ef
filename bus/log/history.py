"""The past of one channel, as requests are answered from it, and how one that is known goes on. Pure.

Nobody reads twice what is known: a past goes on from where the log ended when it was read, for as long as the chain
does. What the log lost at its beginning is gone from the past, too, so that every edge answers alike, whenever it read.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, NamedTuple

from bus.errors import ShapeError
from bus.log.entries import Ends, past_event
from bus.position import BEGINNING, order
from bus.service import PastEvent
from bus.shape import LINE_DEPTH, LINE_VALUES, check_shape

__all__ = ["HISTORY_BYTES", "History", "Known", "Weighed", "advanced", "deleted", "made", "weighed", "within"]

HISTORY_BYTES: Final = 4 * 1024 * 1024
"""The most of a log that a request is answered from: its newest lines, where each value counts some bytes more."""
_VALUE_BYTES: Final = 8
"""What a value weighs beside its text: some are two bytes of that, and sixty of memory."""


class Weighed(NamedTuple):
    """An entry of the bus's own: its event, None where it is none that may be read, and what it costs to keep."""

    position: str
    previous: str
    event: PastEvent | None
    size: int


class Known(NamedTuple):
    """What tells whether a log goes on from where it was read.

    Attributes:
        last: the last id that the log had generated.
        deleted: the greatest id that somebody deleted; trimming is no deletion.
        entries: those that were read, oldest first.
        size: what they cost to keep.
        is_cut: whether the log had more before them.

    """

    last: str
    deleted: str
    entries: tuple[Weighed, ...]
    size: int
    is_cut: bool


@dataclass(frozen=True, slots=True)
class History:
    """Past events of one channel, oldest first.

    Attributes:
        events: the events.
        truncated: whether the log no longer holds its beginning, or holds more than is read.
        known: what it goes on from; None where it does not.

    """

    events: list[PastEvent]
    truncated: bool
    known: Known | None = None

    @property
    def size(self) -> int:
        """What it costs to keep; nothing where it is not."""
        return 0 if self.known is None else self.known.size


def weighed(position: str, fields: Mapping[bytes, bytes]) -> Weighed:
    """Read an entry of the bus's own.

    How much an event holds is counted in its bytes first: one that is wider or deeper than what is taken from
    ``redis-cli`` is none that may be read.
    """
    line = fields[b"line"]
    values = line.count(b",") + line.count(b"[") + line.count(b"{")
    try:
        check_shape(line, values=LINE_VALUES, depth=LINE_DEPTH)
        event = past_event(position, line)
    except ShapeError:
        event = None
    return Weighed(position, fields[b"previous"].decode(), event, len(line) + _VALUE_BYTES * (values if event else 0))


def deleted(info: Any) -> str:
    """Return the greatest id that was deleted from a log, as ``XINFO STREAM`` said."""
    found = info.get("max-deleted-entry-id", b"0-0") if isinstance(info, dict) else b"0-0"
    return found.decode() if isinstance(found, bytes) else str(found)


def within(entries: Sequence[Weighed], limit_bytes: int) -> Sequence[Weighed]:
    """Return the newest of ``entries`` that are within the limit; one always is."""
    sizes = accumulate(entry.size for entry in reversed(entries))
    count = sum(1 for size in sizes if size <= limit_bytes)
    return entries[len(entries) - max(count, 1) :] if count < len(entries) else entries


def made(entries: Sequence[Weighed], last: str, deleted_id: str, *, is_cut: bool) -> History:
    """Return the history of ``entries``, oldest first."""
    truncated = is_cut or bool(entries and entries[0].previous != BEGINNING)
    events = [entry.event for entry in entries if entry.event is not None]
    return History(events, truncated, Known(last, deleted_id, tuple(entries), sum(it.size for it in entries), is_cut))


def advanced(
    history: History, end: Ends, deleted_id: str, entries: Sequence[Weighed], *, last: str, limit_bytes: int
) -> History | None:
    """Return ``history`` with what came since; itself, where nothing did; None where the log did not go on from it.

    Args:
        history: what is known.
        end: where the log begins and ends now.
        deleted_id: the greatest id that was deleted by now.
        entries: those of the bus's own that follow what is known, oldest first.
        last: the id of the last of all that follow.
        limit_bytes: the most that it may hold.

    """
    known = history.known
    if known is None or deleted_id != known.deleted or last != end.last:
        return None
    kept = _not_before(known.entries, end.first)
    if last == known.last and len(kept) == len(known.entries):
        return history
    if last != known.last and (not entries or entries[0].previous != known.last):
        return None
    every = [*kept, *entries]
    some = within(every, limit_bytes)
    return made(some, last, deleted_id, is_cut=len(some) < len(every) or (known.is_cut and len(kept) > 0))


def _not_before(entries: Sequence[Weighed], first: str | None) -> Sequence[Weighed]:
    """Return the entries that are not trimmed: in a log that goes on, ids are in order."""
    if first is None:
        return ()
    return entries[bisect_left(entries, order(first), key=lambda entry: order(entry.position)) :]

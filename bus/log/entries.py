"""Entries of a log in Redis' form, and their meaning. Pure: ``bus.log.pages`` reads.

A typed entry (``XADD``) is passed over, for want of an event. The chain is broken all the same, because the next event
names the typed entry; so a reader that stood before is told of a gap.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import orjson

from bus.envelope import splice
from bus.log.forks import Fork
from bus.position import BEGINNING, FORM, is_position
from bus.redis.refusals import is_wrong_type
from bus.service import PastEvent
from bus.values import frozen

__all__ = ["Ends", "StreamEntry", "ends", "forks", "is_own", "past_event", "published"]

StreamEntry: TypeAlias = tuple[bytes, dict[bytes, bytes]]

_PREVIOUS: Final = re.compile(FORM.encode())
_CLOCK_LIMIT_MS: Final = 2**53
"""A score is a double: from here on no whole milliseconds can be counted."""


@frozen
class Ends:
    """Where a log begins and ends.

    Attributes:
        first: the id of the first entry, None for a log without entries.
        first_previous: the id that the first entry names; None for a typed entry.
        last: the last id the log ever generated; ``BEGINNING`` when there is no log.
        newest: the newest entry.

    """

    first: str | None = None
    first_previous: str | None = None
    last: str = BEGINNING
    newest: StreamEntry | None = None


def is_own(fields: Mapping[bytes, bytes]) -> bool:
    """Tell whether the bus wrote an entry: a predecessor is named, and the line is text that clients can read."""
    # decisions/0019: told by form. A log has no signature, and a person who types all fields right has published.
    line, previous = fields.get(b"line"), fields.get(b"previous")
    if line is None or previous is None or _PREVIOUS.fullmatch(previous) is None:
        return False
    return line[:2] == b'{"' and line[-1:] == b"}" and (line.isascii() or _is_text(line))


def _is_text(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def published(entry_id: bytes, fields: Mapping[bytes, bytes]) -> bytes:
    """Return an entry's line as published."""
    return splice(fields[b"line"], entry_id.decode(), fields[b"previous"].decode())


def ends(info: Any) -> Ends:
    """Return the ends of a log from the answer to ``XINFO STREAM``; a key without a stream is no log.

    Raises:
        Exception: Redis refused for another reason.

    """
    # decisions/0019: a key of another type, typed by hand, closes no room; publishing into it fails, and says so.
    if isinstance(info, Exception):
        if not is_wrong_type(info) and "no such key" not in str(info).lower():
            raise info
        return Ends()
    last = info["last-generated-id"].decode()
    if info["first-entry"] is None:
        return Ends(last=last)
    entry_id, fields = info["first-entry"]
    previous = fields[b"previous"].decode() if is_own(fields) else None
    return Ends(entry_id.decode(), previous, last, info["last-entry"])


def past_event(position: str, line: bytes) -> PastEvent | None:
    """Return the event in an entry's line, None for a line without an event."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    match value:
        case {"event": str(event), "data": dict(data), "timestamp": str(timestamp)}:
            return PastEvent(event, data, timestamp, position)
    return None


def forks(answer: Any) -> tuple[tuple[Fork, ...], int]:
    """Return the marks in the answer to ``ZRANGE … WITHSCORES``, and how many members were passed over.

    A mark is a position, and a time that a clock can show. A key of another type counts as a member passed over.

    Raises:
        Exception: Redis refused for another reason.

    """
    # decisions/0049: a mark without a position or with an impossible time says nothing, and must not cost the others.
    if is_wrong_type(answer):
        return (), 1
    if isinstance(answer, Exception):
        raise answer
    pairs = [(member.decode(errors="replace"), score) for member, score in answer]
    marks = tuple(Fork(at, int(score)) for at, score in pairs if is_position(at) and 0 <= score < _CLOCK_LIMIT_MS)
    return marks, len(pairs) - len(marks)

"""Entries of a log as Redis gives them, and what they say. Pure: reading them is ``bus.log``'s.

An entry that somebody typed (``XADD``) is passed over: it holds no event. It breaks the chain all the same, because the
next event names it; so a reader that stood before it is told that something lies between.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson
from redis.exceptions import ResponseError

from bus.envelope import splice
from bus.forks import Fork
from bus.position import BEGINNING, is_position
from bus.service import PastEvent

__all__ = ["Ends", "StreamEntry", "ends", "forks", "is_own", "is_wrong_type", "past_event", "published"]

StreamEntry: TypeAlias = tuple[bytes, dict[bytes, bytes]]

_PREVIOUS: Final = re.compile(rb"[0-9]{1,20}-[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Ends:
    """Where a log begins and ends: its first entry and what that names, the last id it ever generated, its newest."""

    first: str | None = None
    first_previous: str | None = None
    last: str = BEGINNING
    newest: StreamEntry | None = None


def is_own(fields: Mapping[bytes, bytes]) -> bool:
    """Tell whether the bus wrote an entry: it names the one before it, and its line is one that clients can read."""
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


def is_wrong_type(answer: Any) -> bool:
    """Tell whether Redis answered that the key holds something else than a log: somebody wrote it by hand."""
    return isinstance(answer, ResponseError) and str(answer).startswith("WRONGTYPE")


def published(entry_id: bytes, fields: Mapping[bytes, bytes]) -> bytes:
    """Return an entry's line as it was published."""
    return splice(fields[b"line"], entry_id.decode(), fields[b"previous"].decode())


def ends(info: Any) -> Ends:
    """Return what ``XINFO STREAM`` said, or failed to; a key that holds no stream is no log."""
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
    """Return an entry's event, None when it is none."""
    try:
        value = orjson.loads(line)
        return PastEvent(value["event"], value["data"], value["timestamp"], position)
    except (orjson.JSONDecodeError, KeyError):
        return None


def forks(answer: Any) -> tuple[Fork, ...]:
    """Return the marks that ``ZRANGE`` gave with their scores; a member that is no position is passed over."""
    if is_wrong_type(answer):
        return ()
    if isinstance(answer, Exception):
        raise answer
    pairs = ((member.decode(errors="replace"), score) for member, score in answer)
    return tuple(Fork(position, int(score)) for position, score in pairs if is_position(position))

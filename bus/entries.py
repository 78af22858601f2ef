"""Entries of a log as Redis gives them, and what they say. Pure: reading them is ``bus.log``'s."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import orjson
from redis.exceptions import ResponseError

from bus.envelope import splice
from bus.position import BEGINNING
from bus.service import PastEvent

__all__ = ["StreamEntry", "ends", "past_event", "published"]

StreamEntry: TypeAlias = tuple[bytes, dict[bytes, bytes]]


def published(entry_id: bytes, fields: Mapping[bytes, bytes]) -> bytes:
    """Return an entry's line as it was published."""
    return splice(fields[b"line"], entry_id.decode(), fields[b"previous"].decode())


def ends(info: Any) -> tuple[str | None, str | None, str]:
    """Return the first entry's id and predecessor, and the last id, of what ``XINFO STREAM`` said, or failed to."""
    if isinstance(info, ResponseError):
        if "no such key" not in str(info).lower():
            raise info
        return None, None, BEGINNING
    last = info["last-generated-id"].decode()
    if info["first-entry"] is None:
        return None, None, last
    entry_id, fields = info["first-entry"]
    return entry_id.decode(), fields[b"previous"].decode(), last


def past_event(position: str, line: bytes) -> PastEvent:
    """Return an entry's event."""
    value = orjson.loads(line)
    return PastEvent(value["event"], value["data"], value["timestamp"], position)

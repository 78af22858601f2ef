"""A client's recorded frames as the story of each room, in order. Part of the checker, without the bus."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from edgebus.lab.judge.records import ClientLog

__all__ = ["Closed", "Got", "Item", "Joined", "Told", "read", "read_line"]


@dataclass(frozen=True, slots=True)
class Joined:
    """An edge confirmed a subscription; ``recovered`` is None where the client asked without a position."""

    at_s: float
    position: str | None
    recovered: bool | None


@dataclass(frozen=True, slots=True)
class Got:
    """An event came."""

    at_s: float
    position: str | None
    id: str | None
    n: int | None


@dataclass(frozen=True, slots=True)
class Told:
    """The edge reported that events between two positions are missing."""

    at_s: float
    start: str | None
    end: str | None


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection ended."""

    at_s: float


Item: TypeAlias = Joined | Got | Told | Closed


def read(log: ClientLog) -> dict[str, list[Item]]:
    """Return a client's record by room, for every room that was asked for; the end of a connection stands in all."""
    rooms: dict[str, list[Item]] = {}
    for mark in log.marks:
        if mark.kind == "closed":
            for items in rooms.values():
                items.append(Closed(mark.at_s))
        elif mark.kind == "sent":
            # From the request on: a client whose room was never confirmed must be found to lack everything.
            rooms.setdefault(_parsed(mark.text)["data"]["channel"], [])
        elif mark.kind == "frame":
            for room, item in _items(mark.at_s, _parsed(mark.text)):
                rooms.setdefault(room, []).append(item)
    return rooms


@lru_cache(maxsize=4096)  # one event's frame is the same bytes for every client of its room
def _parsed(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _items(at_s: float, frame: dict[str, Any]) -> Iterator[tuple[str, Item]]:
    data, room = frame.get("data") or {}, frame.get("room")
    match frame.get("type"), frame.get("event"):
        case "response", "subscribe" if data.get("status") == "subscribed":
            yield data["channel"], Joined(at_s, data.get("position"), data.get("recovered"))
        case "event", "room.gap" if room:
            yield room, Told(at_s, data.get("from"), data.get("to"))
        case "event", _ if room:
            yield room, Got(at_s, frame.get("position"), frame.get("id"), data.get("n"))


def read_line(line: bytes) -> int | None:
    """Return the number of the event in a line of Redis; None: no event of the laboratory."""
    number = (_parsed(line).get("data") or {}).get("n")
    return number if isinstance(number, int) else None

"""The stages of an event, as values and as the fields of a hash, to be read by a person with ``HGETALL``."""

from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from bus.traces.lines import Marked
from bus.values import frozen

__all__ = ["Handover", "Stages", "fields_of", "iso", "stages_of"]

_APPENDED: Final = "appended "
_EDGE: Final = "edge "
_MOST_BYTES: Final = 4_096
"""The most of a value that is read: a person may have typed the value."""


@frozen
class Handover:
    """An event in an edge. Times are ISO 8601, by Redis' clock as far as the edge knows the difference.

    Attributes:
        read: when the edge read the line.
        written: when the line was handed to the connections of the room's clients.
        clients: the number of these.
        is_held: lines before were missing, and the line was written later, behind these.

    """

    edge: str
    channel: str
    read: str
    written: str
    clients: int
    is_held: bool = False


@frozen
class Stages:
    """The known stages of an event.

    Attributes:
        made: by the publisher's clock.
        appended: channel to position; the position begins with Redis' milliseconds.
        handovers: by edge and channel, the earliest read first.

    """

    id: str
    event: str = ""
    made: str = ""
    traceparent: str | None = None
    appended: Mapping[str, str] = field(default_factory=dict)
    handovers: tuple[Handover, ...] = ()


def iso(time_ns: float) -> str:
    """Return nanoseconds since 1970 in the form of an event's timestamp."""
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="microseconds")


def fields_of(marked: Marked, handover: Handover) -> dict[str, str]:
    """Return the fields for an event in an edge; fields of other edges and channels stand beside."""
    told: dict[str, Any] = {"read": handover.read, "written": handover.written, "clients": handover.clients}
    if handover.is_held:
        told["held"] = True
    fields = {"event": marked.event, f"{_EDGE}{handover.edge} {handover.channel}": orjson.dumps(told).decode()}
    if marked.made:
        fields["made"] = marked.made
    if marked.traceparent is not None:
        fields["traceparent"] = marked.traceparent
    if marked.position is not None:
        fields[f"{_APPENDED}{handover.channel}"] = marked.position
    return fields


def stages_of(event_id: str, fields: Mapping[bytes, bytes]) -> Stages:
    """Return the stages in a hash; a field of another form, as typed by a person, is passed over."""
    texts = {
        name.decode(errors="replace"): value[:_MOST_BYTES].decode(errors="replace") for name, value in fields.items()
    }
    appended = {name.removeprefix(_APPENDED): it for name, it in texts.items() if name.startswith(_APPENDED)}
    found = [it for name, text in texts.items() if (it := _handover(name, text)) is not None]
    return Stages(
        event_id,
        texts.get("event", ""),
        texts.get("made", ""),
        texts.get("traceparent"),
        appended,
        tuple(sorted(found, key=lambda it: (it.read, it.edge, it.channel))),
    )


def _handover(name: str, text: str) -> Handover | None:
    edge, _, channel = name.removeprefix(_EDGE).partition(" ")
    if not name.startswith(_EDGE) or not channel:
        return None
    try:
        told = orjson.loads(text)
        read, written, clients = told["read"], told["written"], told["clients"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    if not (isinstance(read, str) and isinstance(written, str) and isinstance(clients, int)):
        return None
    return Handover(edge, channel, read, written, clients, told.get("held") is True)

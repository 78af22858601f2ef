"""From an event to the JSON line that travels, and back.

A line is a channel's copy of an event: the envelope's nine keys. Redis publishes, and clients read, the same line with
``position`` and ``previous`` spliced in at the front (``publish.lua``). A line of the bus's own is never parsed on its
way; only front and end are compared.
"""

import json
import re
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from bus.channel import Channel
from bus.encoding import encode, revalidate
from bus.errors import EventError, ShapeError
from bus.event import (
    INTEGER_LIMIT,
    LEAST_INTEGER,
    RESERVED,
    RESERVED_SENTENCE,
    Attempt,
    Event,
    attempt,
    now,
)
from bus.keyed import NOWHERE, Place
from bus.position import FORM
from bus.shape import LINE_DEPTH, LINE_VALUES, check_shape

__all__ = [
    "OWN",
    "UNTRACED",
    "Arrived",
    "Front",
    "Message",
    "compose",
    "end_of",
    "envelope",
    "foreign",
    "is_sound",
    "place_of",
    "read_front",
    "splice",
]

_SPLICED_BYTES: Final = 112
"""The most that two positions add to a line."""
LINE_LIMIT_BYTES: Final = 256 * 1024
"""The most bytes of a line, unless a setting says otherwise (delivery.md)."""

_ID: Final = b'"(%b)"' % FORM.encode()
_FRONT: Final = re.compile(rb'\{"position":(?:%b,"previous":%b|null,"previous":null),"' % (_ID, _ID))
Front: TypeAlias = Callable[[bytes], "re.Match[bytes] | None"]
OWN: Final[Front] = _FRONT.match
"""Matches the front of any line of the bus's own. A bound method, without a look-up of an attribute per event."""
UNTRACED: Final[Front] = re.compile(
    rb'\{"position":(?:"(%b)(?<!000)","previous":%b|null,"previous":null),"(?!traceparent")' % (FORM.encode(), _ID)
).match
"""Likewise, but not of a line that carries a ``traceparent``, nor of one event in 1,000 (decisions/0130)."""
_PERHAPS_INEXACT: Final = re.compile(rb"[0-9.]{16}|[eE][-+]?[0-9]{3}")
"""The digits of a number that a double may not hold; a text may have such digits, too, hence a closer look then."""
_NUMBER_LIMIT: Final = 400
"""Digits, for a closer look at the number."""


class Message(NamedTuple):
    """An event ready to be stored: one line per channel, all with the same id."""

    id: str
    event: str
    lines: tuple[tuple[Channel, bytes], ...]


class Arrived(NamedTuple):
    """A line from Redis. ``position`` and ``previous`` are None on a channel without a log."""

    # A tuple: made once per event, and a frozen dataclass takes twice as long.

    line: bytes
    position: str | None
    previous: str | None


def compose(event: Event, *, limit_bytes: int = LINE_LIMIT_BYTES, made: Attempt | None = None) -> Message:
    """Encode the data of ``event`` once, as the caller holds the event, and return a line for each channel.

    Id, timestamp and ``traceparent`` come from the attempt ``made``, or are new; most events have no ``traceparent``.

    Raises:
        pydantic.ValidationError: the event, or a value in the event, was changed or built past validation.
        EventError: the event names no channel, JSON cannot carry a value, or a line would be longer than
            ``limit_bytes``.

    """
    if made is None:
        made = attempt(event)  # refuses what is no event
    channels = _channels(event)
    name = event.event_name
    if not name or not channels:
        raise EventError(f"{type(event).__name__} names no event or no channel, so nobody could receive it")
    # In front, so that a reader of fronts knows an event with a trace from all others without a look at the rest.
    trace = f'"traceparent":"{made.traceparent}",' if made.traceparent else ""
    front = f'{{{trace}"id":"{made.id}","correlation_id":null,"type":"event","event":"{name}","data":'
    back = f',"timestamp":"{made.timestamp}","room":"'
    head = front.encode() + encode(event, made.timestamp)
    lines = tuple([(channel, head + f"{back}{channel.name}{_TEXT_TAIL}".encode()) for channel in channels])
    for channel, line in lines:
        if len(line) > limit_bytes:
            longest = max(len(line) for _, line in lines)
            raise EventError(f"{name} makes a line of {longest} bytes; the limit is {limit_bytes}")
        if channel.keyed is not None:
            place_of(channel, name, line)  # refused here, where the caller learns of the mistake
    return Message(made.id, name, lines)


def _channels(event: Event) -> tuple[Channel, ...]:
    """Return each channel of an event once: two fields may fill the same, and a second line would come twice."""
    try:
        channels = event.channels()
    except (AttributeError, TypeError, ValueError):
        revalidate(event)
        raise
    if len(channels) == 1:
        return channels
    names = {it.name for it in channels}
    if len(names) == len(channels):
        return channels
    channels = tuple(dict.fromkeys(channels))
    if len(names) < len(channels):
        doubled = next(name for name in names if sum(it.name == name for it in channels) > 1)
        raise EventError(f"{type(event).__name__} goes on two channels that are called {doubled}")
    return channels


_TEXT_TAIL: Final = '","error_code":null,"error_message":null}'
_TAIL: Final = _TEXT_TAIL.encode()


def place_of(channel: Channel, event: str, line: bytes) -> Place:
    """Return where a line stands in the state of ``channel``; of a channel without a state at no cost.

    Raises:
        EventError: the event has too many keys, a key is too long, or the state could not hold the event.

    """
    if channel.keyed is None or event not in channel.keyed.templates:
        return NOWHERE
    # From the line, which all ways of publishing have in common; some microseconds, and of keyed events alone.
    place = channel.keyed.place(event, orjson.loads(line)["data"])
    size = sum(len(line) + _SPLICED_BYTES + len(key) for key in place.keys)
    if size > channel.keyed.max_bytes:
        limit = channel.keyed.max_bytes
        raise EventError(
            f"{event} takes {size} bytes of the state of {channel.name}; the limit of the state is {limit}"
        )
    return place


def splice(line: bytes, position: str | None, previous: str | None) -> bytes:
    """Return ``line`` with its position at the front, in the very bytes that ``publish.lua`` publishes."""
    if position is None or previous is None:
        return b'{"position":null,"previous":null,' + line[1:]
    return b'{"position":"%b","previous":"%b",%b' % (position.encode(), previous.encode(), line[1:])


def read_front(line: bytes, front: Front = OWN) -> Arrived | None:
    """Return a published line with the positions at its front, or None for another front than ``front`` wants.

    Raises:
        UnicodeDecodeError: the line is not UTF-8, so no client could read the line.

    """
    match = front(line)
    if match is None:
        return None
    if not line.isascii():
        line.decode()
    position, previous = match.groups()
    if position is None:
        return Arrived(line, None, None)
    return Arrived(line, position.decode(), previous.decode())


def end_of(channel_name: str) -> bytes:
    """Return the end of each of the bus's own lines on a channel: keys of the envelope, not of the data."""
    # decisions/0048: in any JSON object these keys stand at the top, and the last of two equal keys counts, so no text
    # before can name another room. A comparison of bytes; to parse each line would cost more than all the rest.
    return b'"room":"' + channel_name.encode() + _TAIL


def is_sound(line: bytes, channel_name: str) -> bool:
    """Tell whether a line with the bus's own front may be read on this channel; a typed line is parsed for that."""
    if line.endswith(end_of(channel_name)):
        return True
    try:
        _check_room(_event_in(line), channel_name)
    except EventError:
        return False
    return True


def foreign(line: bytes, channel_name: str, *, has_log: bool = True) -> Arrived:
    """Read a line of other writers, such as a line typed with ``redis-cli PUBLISH``, and complete the line.

    A JSON object with a text ``event`` and an object ``data`` gets the nine keys, and no position. The values of the
    line are counted in its bytes; no step is made per value. A line with the bus's own front must be of its channel;
    on a channel with a log, such a line with positions stays unchanged.

    Raises:
        EventError: the line is no such object; the message says what is missing.

    """
    value = _event_in(line)
    if (front := _FRONT.match(line)) is not None:
        _check_room(value, channel_name)
        if has_log and front[1] is not None:
            return Arrived(line, front[1].decode(), front[2].decode())
    # decisions/0048: completed, so its data are written anew: numbers that would change on the way are refused before.
    _check_numbers(line)
    given_id, given_time = value.get("id"), value.get("timestamp")
    whole = envelope(
        "event",
        event=value["event"],
        data=value["data"],
        room=channel_name,
        message_id=given_id if isinstance(given_id, str) else None,
        timestamp=given_time if isinstance(given_time, str) else None,
    )
    return Arrived(splice(orjson.dumps(whole), None, None), None, None)


def _event_in(line: bytes) -> dict[str, Any]:
    try:
        check_shape(line, values=LINE_VALUES, depth=LINE_DEPTH)
        value = orjson.loads(line)
    except ShapeError as error:
        raise EventError(f"the line {error}") from None
    except orjson.JSONDecodeError as error:
        raise EventError(f"the line is not JSON: {error}") from None
    if not isinstance(value, dict) or not isinstance(value.get("event"), str):
        raise EventError("the line is no JSON object with a text 'event'")
    if not isinstance(value.get("data"), dict):
        raise EventError("the line's 'data' is no JSON object")
    # decisions/0048: a typed line must not pass for an edge's own notice, which clients act upon.
    if value["event"].startswith(RESERVED):
        raise EventError(RESERVED_SENTENCE)
    return value


def _check_room(value: Mapping[str, Any], channel_name: str) -> None:
    if value.get("room", channel_name) != channel_name:
        raise EventError("the line's 'room' is another channel's")


def _check_numbers(line: bytes) -> None:
    """Refuse a number that would be rewritten as another: an integer beyond 64 bits, digits beyond a double's."""
    if _PERHAPS_INEXACT.search(line) is not None:
        json.loads(line, parse_int=_check_integer, parse_float=_check_double)


def _check_integer(digits: str) -> None:
    if len(digits) > _NUMBER_LIMIT or not LEAST_INTEGER <= int(digits) < INTEGER_LIMIT:
        raise EventError(_INEXACT)


def _check_double(digits: str) -> None:
    if len(digits) > _NUMBER_LIMIT or Decimal(digits) != Decimal(repr(float(digits))):
        raise EventError(_INEXACT)


_INEXACT: Final = "the line holds a number that would be another one once it is passed on"


def envelope(  # noqa: PLR0913 (the nine keys of the envelope)
    message_type: str,
    *,
    event: str | None = None,
    data: Mapping[str, Any] | None = None,
    room: str | None = None,
    correlation_id: str | None = None,
    error_code: str | None = None,
    error_message: str | None = None,
    message_id: str | None = None,
    timestamp: str | None = None,
) -> dict[str, Any]:
    """Return the nine keys of a message; ``id`` and ``timestamp`` are made where not given."""
    return {
        "id": message_id or str(uuid.uuid4()),
        "correlation_id": correlation_id,
        "type": message_type,
        "event": event,
        "data": data if data is not None else {},
        "timestamp": timestamp or now(),
        "room": room,
        "error_code": error_code,
        "error_message": error_message,
    }

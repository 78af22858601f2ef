"""From an event to the JSON line that travels, and back.

One line is one channel's copy of an event: the envelope's nine keys. What Redis publishes, and a client reads, is the
same line with ``position`` and ``previous`` spliced in at its front (``publish.lua``). A line of the bus's own is never
parsed on its way; only its front and its end are looked at.
"""

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

import orjson

from bus.channel import Channel
from bus.encoding import encode, revalidate
from bus.errors import EventError, ShapeError
from bus.event import RESERVED, RESERVED_SENTENCE, Attempt, Event, attempt, check_event, now
from bus.shape import LINE_DEPTH, LINE_VALUES, check_shape

__all__ = ["Arrived", "Message", "compose", "end_of", "envelope", "foreign", "is_sound", "read_front", "splice"]

LINE_LIMIT_BYTES: Final = 256 * 1024
"""The most bytes that a line may have, unless a setting says otherwise (delivery.md)."""

_ID: Final = rb'"([0-9]{1,20}-[0-9]{1,20})"'
_FRONT: Final = re.compile(rb'\{"position":(?:%b,"previous":%b|null,"previous":null),"' % (_ID, _ID))
_front: Final = _FRONT.match
"""By a name of its own, as a line is read per event."""
_PERHAPS_INEXACT: Final = re.compile(rb"[0-9.]{16}|[eE][-+]?[0-9]{3}")
"""What a number has that may be another one as a double; so may a text, hence a closer look where this is found."""
_NUMBER_LIMIT: Final = 400
"""Digits, for a closer look at the number."""


@dataclass(frozen=True, slots=True)
class Message:
    """An event ready to be stored: one line per channel, all with the same id."""

    id: str
    event: str
    lines: tuple[tuple[Channel, bytes], ...]


class Arrived(NamedTuple):
    """A line as it came from Redis, as a tuple: one is made per event, and a frozen dataclass takes twice as long.

    ``position`` and ``previous`` are None on a channel without a log.
    """

    line: bytes
    position: str | None
    previous: str | None


def compose(event: Event, *, limit_bytes: int = LINE_LIMIT_BYTES, made: Attempt | None = None) -> Message:
    """Encode the data of ``event`` once, as its caller holds it, and return one line for each of its channels.

    Id and timestamp are those of the attempt ``made``, or new ones.

    Raises:
        pydantic.ValidationError: the event, or something it holds, was changed or built past validation.
        EventError: the event names no channel, holds what JSON cannot carry, or a line would be longer than
            ``limit_bytes``.

    """
    check_event(event)
    channels = _channels(event)
    if not event.event_name or not channels:
        raise EventError(f"{type(event).__name__} names no event or no channel, so nobody could receive it")
    made = made or attempt(event)
    message_id, timestamp = made.id, made.timestamp
    data = encode(event, timestamp)
    head = b'{"id":"%b","correlation_id":null,"type":"event","event":"%b","data":%b,"timestamp":"%b","room":"' % (
        message_id.encode(),
        event.event_name.encode(),
        data,
        timestamp.encode(),
    )
    lines = tuple((channel, head + channel.name.encode() + _TAIL) for channel in channels)
    longest = max(len(line) for _, line in lines)
    if longest > limit_bytes:
        raise EventError(f"{event.event_name} makes a line of {longest} bytes; the limit is {limit_bytes}")
    return Message(message_id, event.event_name, lines)


def _channels(event: Event) -> tuple[Channel, ...]:
    try:
        return event.channels()
    except (AttributeError, TypeError, ValueError):
        revalidate(event)
        raise


_TAIL: Final = b'","error_code":null,"error_message":null}'


def splice(line: bytes, position: str | None, previous: str | None) -> bytes:
    """Return ``line`` with its position at the front, the very bytes that ``publish.lua`` publishes."""
    if position is None or previous is None:
        return b'{"position":null,"previous":null,' + line[1:]
    return b'{"position":"%b","previous":"%b",%b' % (position.encode(), previous.encode(), line[1:])


def read_front(line: bytes) -> Arrived | None:
    """Return what the front of a published line says, or None when the bus did not write it.

    Raises:
        UnicodeDecodeError: the line is not UTF-8, so no client could read it.

    """
    match = _front(line)
    if match is None:
        return None
    if not line.isascii():
        line.decode()
    position, previous = match.groups()
    if position is None:
        return Arrived(line, None, None)
    return Arrived(line, position.decode(), previous.decode())


def end_of(channel_name: str) -> bytes:
    """Return what each of the bus's own lines on a channel ends with: keys of its envelope, not of its data."""
    return b'"room":"' + channel_name.encode() + _TAIL


def is_sound(line: bytes, channel_name: str) -> bool:
    """Tell whether a line that looks like the bus's own may be read on this channel; of a typed one it is read."""
    if line.endswith(end_of(channel_name)):
        return True
    try:
        _check_room(_event_in(line), channel_name)
    except EventError:
        return False
    return True


def foreign(line: bytes, channel_name: str, *, has_log: bool = True) -> Arrived:
    """Read a line that the bus did not write, such as one typed with ``redis-cli PUBLISH``, and complete it.

    A JSON object with a text ``event`` and an object ``data`` gets the nine keys, and no position. How much the line
    holds is counted in its bytes; nothing walks through its values. One that begins as the bus's own do must be of its
    channel; where that has a log, and the line says its place there, the line stays as it is.

    Raises:
        EventError: it is anything else; the message says what is missing.

    """
    value = _event_in(line)
    if (front := _FRONT.match(line)) is not None:
        _check_room(value, channel_name)
        if has_log and front[1] is not None:
            return Arrived(line, front[1].decode(), front[2].decode())
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
    if value["event"].startswith(RESERVED):
        raise EventError(RESERVED_SENTENCE)
    return value


def _check_room(value: Mapping[str, Any], channel_name: str) -> None:
    if value.get("room", channel_name) != channel_name:
        raise EventError("the line's 'room' is another channel's")


def _check_numbers(line: bytes) -> None:
    """Refuse a number that would come out as another one: an integer beyond 64 bits, more digits than a double has."""
    if _PERHAPS_INEXACT.search(line) is not None:
        json.loads(line, parse_int=_check_integer, parse_float=_check_double)


def _check_integer(digits: str) -> None:
    if len(digits) > _NUMBER_LIMIT or not -(2**63) <= int(digits) < 2**64:
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
    """Return the nine keys of a message; ``id`` and ``timestamp`` are made where they are not given."""
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

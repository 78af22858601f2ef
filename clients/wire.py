"""Messages of the connection as values: requests to text, text to messages. Pure."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import orjson

from bus.values import frozen
from bus.words import ABOUT_THE_TOKEN, PASSING, Code, NoticeName
from clients.errors import Unsendable
from clients.values import Received

__all__ = [
    "CONNECTION_NOTICES",
    "ROOM_NOTICES",
    "Answer",
    "Message",
    "Notice",
    "Refusal",
    "decode",
    "encode",
    "milliseconds",
    "whole",
]

ROOM_NOTICES: Final = frozenset(name for name in NoticeName if name.is_of_a_room)
CONNECTION_NOTICES: Final = frozenset(NoticeName) - ROOM_NOTICES
"""Notices of the connection, and of rooms. Neither kind ever has a position; a line of the log has."""


@frozen
class Answer:
    """The reply to the request with the id ``asked``."""

    asked: str
    data: Mapping[str, Any]


@frozen
class Refusal:
    """An error; ``asked`` is the request's id, None where the edge could not read the id."""

    asked: str | None
    code: str
    sentence: str
    retry_after_ms: int | None = None

    @property
    def is_passing(self) -> bool:
        """Whether the same request may go well later."""
        return self.code in PASSING or self.retry_after_ms is not None

    @property
    def is_about_the_token(self) -> bool:
        """Whether the edge wants a token, or another token; the edge closes after such a refusal."""
        return self.code in ABOUT_THE_TOKEN


@frozen
class Notice:
    """The edge's word of itself or of a room, unasked; ``channel`` is None for a notice of the connection."""

    event: str
    channel: str | None
    data: Mapping[str, Any]


Message: TypeAlias = Answer | Refusal | Notice | Received


def encode(verb: str, data: Mapping[str, Any], asked: str) -> str:
    """Return the text of a request.

    Raises:
        Unsendable: JSON cannot carry ``data``, such as half of a surrogate pair.

    """
    try:
        return orjson.dumps({"type": "request", "event": verb, "data": data, "id": asked}).decode()
    except (TypeError, UnicodeError, RecursionError) as error:  # the encoder's own error is a TypeError
        raise Unsendable(f"{_shown(verb)}: {error}") from None


def _shown(verb: str) -> str:
    # The verb may be the caller's mistake itself, of any type and length. `str`: a verb of the table would show as its
    # member.
    return ascii(str(verb))[1:-1][:40]


def decode(text: str | bytes) -> Message | None:
    """Return a message, None when the text is no message to a client: unknown, malformed, of another dialect."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("data", {}), dict):
        return None
    # decisions/0048: a line of a channel may be typed by hand, with any type and any id. Only a message without a room
    # and without a position can answer a request; else `redis-cli PUBLISH` could forge a reply.
    is_line = "position" in value or value.get("room") is not None
    match value.get("type"):
        case "event":
            return _event(value)
        case "response" | "pong" if not is_line:
            return _answer(value)
        case "error" if not is_line:
            return _refusal(value)
    return None


def _answer(value: dict[str, Any]) -> Answer | None:
    asked = _text(value, "correlation_id")
    return None if asked is None else Answer(asked, value.get("data", {}))


def _refusal(value: dict[str, Any]) -> Refusal:
    return Refusal(
        _text(value, "correlation_id"),
        _text(value, "error_code") or Code.INTERNAL_ERROR,
        _text(value, "error_message") or "",
        milliseconds(value.get("data", {}), "retry_after_ms"),
    )


def _event(value: dict[str, Any]) -> Notice | Received | None:
    """Tell the edge's notices from lines of a channel: a line may be typed by hand with ``redis-cli PUBLISH``."""
    # decisions/0048: the edge vouches for a line's room, so a notice of the connection is one without a room.
    event, room, position = _text(value, "event"), _text(value, "room"), _text(value, "position")
    if event is None:
        return None
    data = value.get("data", {})
    if room is None:
        return Notice(event, None, data) if event in CONNECTION_NOTICES and position is None else None
    if event in ROOM_NOTICES and position is None:
        return Notice(event, room, data)
    return Received(
        channel=room,
        id=_text(value, "id") or "",
        event=event,
        data=data,
        timestamp=_text(value, "timestamp") or "",
        position=position,
        previous=_text(value, "previous"),
        traceparent=_text(value, "traceparent"),
    )


def milliseconds(data: Mapping[str, Any], key: str) -> int | None:
    """Return a time span out of an edge's data, None without a sensible number."""
    return whole(data.get(key))


def whole(value: Any) -> int | None:
    """Return a number that counts, such as milliseconds; None for any other value."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _text(value: Mapping[str, Any], key: str) -> str | None:
    found = value.get(key)
    return found if isinstance(found, str) else None

"""Server-sent events and JSON lines: the envelope in an answer of HTTP that has no end. Pure.

A line from Redis is encoded once for all clients of a dialect. What channels have goes without a name, so that a page's
``onmessage`` hears all events; whatever the edge itself says has a name (decisions/0134).
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

import orjson

from bus.envelope import OWN
from bus.words import NoticeName
from edges.protocol.envelope import ENVELOPE, Dialect
from edges.protocol.messages import NO_TOKEN, Closing, CommandT_co, Message, Notice, Parser, Pong, Refusal, Reply

__all__ = ["EVENT_STREAM", "GAP", "JSON_LINES", "RECOVERED", "SUBSCRIBED", "StreamDialect"]

GAP: Final = "gap"
RECOVERED: Final = "recovered"
SUBSCRIBED: Final = "subscribed"
_NAMES: Final[Mapping[str, str]] = {
    NoticeName.ROOM_GAP: GAP,
    NoticeName.BUS_DEGRADED: "interrupted",
    NoticeName.BUS_RESTORED: RECOVERED,
    NoticeName.ROOM_STATE: "state",
}
"""As the JavaScript client names its values; other notices keep their names."""
_CLOSED: Final = "edge.closed"
_ONE_LINE: Final = bytes.maketrans(b"\r\n", b"  ")


class StreamDialect(Dialect, Protocol):
    """A dialect of an answer without an end."""

    @property
    def content_type(self) -> str:
        """The media type."""

    @property
    def keepalive(self) -> bytes:
        """Bytes that say nothing, for proxies that end silent connections."""

    def opening(self, retry_ms: int) -> bytes:
        """Return the first bytes: how long a client waits before it comes back."""

    def told(self, name: str, message: Message, room: str, position: str | None) -> bytes:
        """Return an answer about ``room``; the client stands at ``position`` behind it, None: where it stood."""

    def last(self, closing: Closing) -> bytes:
        """Return the last bytes: why the edge ends the stream, and whether to come back."""


class _EventStream:
    """Server-sent events (HTML, section 9.2), each with the position as its id."""

    name: Final = "event-stream"
    content_type: Final = "text/event-stream"
    keepalive: Final = b":\n\n"
    first_room: Final = None
    no_token: Final = NO_TOKEN

    def parse(self, value: dict[str, Any], verbs: Mapping[str, Parser[CommandT_co]]) -> CommandT_co:
        return ENVELOPE.parse(value, verbs)

    def write(self, message: Message) -> bytes:
        return ENVELOPE.write(message)

    def say(self, message: Message) -> bytes:
        return b"event: %b\ndata: %b\n\n" % (_name_of(message).encode(), ENVELOPE.write(message))

    def frame(self, line: bytes) -> bytes | None:
        front = OWN(line)
        position = None if front is None else front[1]
        # Between the values of JSON a typed line may have line breaks, and here a line break ends the data.
        if b"\n" in line or b"\r" in line:
            line = line.translate(_ONE_LINE)
        return b"data: %b\n\n" % line if position is None else b"id: %b\ndata: %b\n\n" % (position, line)

    def opening(self, retry_ms: int) -> bytes:
        return b"retry: %d\n\n" % retry_ms

    def told(self, name: str, message: Message, room: str, position: str | None) -> bytes:
        place = b"" if position is None else b"id: %b\n" % position.encode()
        return b"%bevent: %b\ndata: %b\n\n" % (place, name.encode(), _in_room(message, room))

    def last(self, closing: Closing) -> bytes:
        return b"event: closed\ndata: %b\n\n" % ENVELOPE.write(_closed(closing))


class _JsonLines:
    """A message in each line."""

    name: Final = "json-lines"
    content_type: Final = "application/x-ndjson"
    first_room: Final = None
    no_token: Final = NO_TOKEN

    @property
    def keepalive(self) -> bytes:
        return self.say(Pong())

    def parse(self, value: dict[str, Any], verbs: Mapping[str, Parser[CommandT_co]]) -> CommandT_co:
        return ENVELOPE.parse(value, verbs)

    def write(self, message: Message) -> bytes:
        return ENVELOPE.write(message)

    def say(self, message: Message) -> bytes:
        return ENVELOPE.write(message) + b"\n"

    def frame(self, line: bytes) -> bytes | None:
        return (line.translate(_ONE_LINE) if b"\n" in line or b"\r" in line else line) + b"\n"

    def opening(self, retry_ms: int) -> bytes:
        return b""

    def told(self, name: str, message: Message, room: str, position: str | None) -> bytes:
        return _in_room(message, room) + b"\n"

    def last(self, closing: Closing) -> bytes:
        return self.say(_closed(closing))


def _name_of(message: Message) -> str:
    match message:
        case Notice(event):
            return _NAMES.get(event, event)
        case Refusal():
            return "refused"  # not "error": a page's `onerror` hears events of that name, and of a lost connection
        case Reply():
            return "response"
        case Pong():
            return "pong"
        case _:
            return NoticeName.SESSION_CREATED


def _in_room(message: Message, room: str) -> bytes:
    return orjson.dumps({**orjson.loads(ENVELOPE.write(message)), "room": room})


def _closed(closing: Closing) -> Notice:
    data = {"code": int(closing.code), "reason": closing.reason, "come_back": closing.code.come_back}
    return Notice(_CLOSED, data)


EVENT_STREAM: Final[StreamDialect] = _EventStream()
JSON_LINES: Final[StreamDialect] = _JsonLines()

"""The ecosystem's envelope of nine keys: reading and writing of messages, down to the frame. Pure.

A dialect turns a message's bytes into commands, and values into the text of a message. Lines from Redis are envelope
messages already, and are passed on unchanged. Session-buddy's flat dialect has another file.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, Protocol

import orjson

from bus.envelope import envelope
from bus.errors import ShapeError
from bus.event import now
from bus.ids import new_id
from bus.shape import MESSAGE_VALUES, check_shape
from bus.words import NoticeName, Verb
from edges.protocol.messages import (
    NO_TOKEN,
    Closing,
    Code,
    CommandT_co,
    Message,
    Notice,
    Parser,
    Pong,
    Refusal,
    Refused,
    Reply,
    Said,
    Welcome,
)

__all__ = ["ENVELOPE", "Dialect", "decode", "heard", "parse", "text_frame"]

NESTING_LIMIT: Final = 32
ID_LIMIT: Final = 128
TYPE_VERBS: Final = (Verb.SUBSCRIBE, Verb.UNSUBSCRIBE, Verb.PING)
"""Verbs that may also be a message's type, or an event's name in a message of type ``event``: a later verb may not.

Any other name in such a message is of an event for ``publish``, where clients may publish.
"""
_RIGHT_FORM: Final = (
    '; write {"type": "request", "event": "subscribe", "data": {"channel": "component:home"}, "id": "1"}'
)
"""For forms of old guides and runbooks: ``{"action": "subscribe"}``, ``{"component_id": …}``."""
CLIENT_TYPES: Final = ("request", *TYPE_VERBS, "event")


class Dialect(Protocol):
    """The way a kind of client reads and writes."""

    @property
    def first_room(self) -> str | None:
        """The channel of a client from the start, None for no channel."""

    @property
    def no_token(self) -> Closing:
        """The closing of a client with a missing or refused token."""

    def parse(self, value: dict[str, Any], verbs: Mapping[str, Parser[CommandT_co]]) -> CommandT_co:
        """Return the command in a decoded message, read by the row of ``verbs``, or raise ``Refused``."""

    @property
    def name(self) -> str:
        """The dialect's name, for operators."""

    def write(self, message: Message) -> bytes:
        """Return the text of a message to a client."""

    def say(self, message: Message) -> bytes:
        """Return a message to a client as finished bytes, down to the frame."""

    def frame(self, line: bytes) -> bytes | None:
        """Return the finished bytes for a line from Redis, None where the dialect has no word for the line."""


# Reading.


def decode(text: bytes, *, values: int = MESSAGE_VALUES) -> dict[str, Any]:
    """Return the JSON object in ``text``; the values are counted in the bytes, before a parser (decisions/0041).

    Raises:
        Refused: the text is no JSON (NaN and infinities are none), no object, holds more than ``values`` values, or
            nests deeper than 32.

    """
    try:
        # No byte begins two values, so a short text with few brackets needs no closer look. Most messages are such.
        if len(text) > values or text.count(b"[") + text.count(b"{") > NESTING_LIMIT:
            check_shape(text, values=values, depth=NESTING_LIMIT)
        value = orjson.loads(text)
    except ShapeError as error:
        raise _too_much(error) from None
    except orjson.JSONDecodeError as error:
        raise Refused(Refusal(Code.DECODE_ERROR, f"the message is not JSON: {error}")) from None
    if not isinstance(value, dict):
        raise Refused(Refusal(Code.DECODE_ERROR, "the message is not a JSON object"))
    return value


def _too_much(error: ShapeError) -> Refused:
    name = "max_message_values" if error.limit == "values" else None
    sentence = f"the message {error}"
    return Refused(Refusal(Code.DECODE_ERROR, f"{name}: {sentence}" if name else sentence), name)


def parse(value: dict[str, Any], verbs: Mapping[str, Parser[CommandT_co]]) -> CommandT_co:
    """Return the command in an envelope, read by the row of ``verbs``.

    Raises:
        Refused: with the code of protocol.md, and a sentence with the field's name.

    """
    message_type, said = heard(value)
    verb = said.verb
    row = verbs.get(verb) if message_type == "request" or verb in TYPE_VERBS else None
    if message_type == "event" and row is None and (publish := verbs.get(Verb.PUBLISH)) is not None:
        return publish.parse(Said(Verb.PUBLISH, {"event": verb, "data": said.data}, said.reply_to))
    if row is None:
        known = verbs if message_type == "request" else TYPE_VERBS
        sentence = f"event: no such request; there are {', '.join(known)}"
        raise Refused(Refusal(Code.UNKNOWN_REQUEST, sentence, _short(verb), said.reply_to))
    return row.parse(said)


def heard(value: dict[str, Any]) -> tuple[str, Said]:
    """Return the type of an envelope and the request in the envelope, whoever knows the verb.

    Raises:
        Refused: with the code of protocol.md, and a sentence with the field's name.

    """
    reply_to = _reply_to(value)
    message_type = value.get("type")
    if message_type not in CLIENT_TYPES:
        right = _RIGHT_FORM if "action" in value or "component_id" in value else ""
        sentence = f"type: expected one of {', '.join(CLIENT_TYPES)}{right}"
        raise Refused(Refusal(Code.DECODE_ERROR, sentence, reply_to=reply_to))
    verb = message_type if message_type in TYPE_VERBS else value.get("event")
    if not isinstance(verb, str) or not verb:
        raise Refused(Refusal(Code.INVALID_REQUEST, "event: expected the name of a request", reply_to=reply_to))
    data = value.get("data")
    if data is not None and not isinstance(data, dict):
        raise Refused(Refusal(Code.INVALID_REQUEST, "data: expected an object", _short(verb), reply_to))
    return str(message_type), Said(verb, data or {}, reply_to)


def _reply_to(value: Mapping[str, Any]) -> str | None:
    # Some clients of the ecosystem send no id, and match replies by a correlation id of their own.
    for key in ("id", "correlation_id"):
        given = value.get(key)
        if given is None:
            continue
        if not isinstance(given, str) or len(given) > ID_LIMIT or not given.isprintable():
            sentence = f"{key}: expected a text of at most {ID_LIMIT} printable characters"
            raise Refused(Refusal(Code.INVALID_REQUEST, sentence))
        return given
    return None


def _short(text: str) -> str:
    # A refusal quotes the verb, and may wait: 64 KB of a made-up verb are neither kept nor sent back.
    return text if len(text) <= ID_LIMIT and text.isprintable() else f"{text[:ID_LIMIT]!a}…"


# Writing.


class _Envelope:
    """The dialect of nine keys."""

    name: Final = "envelope"
    first_room: Final = None
    no_token: Final = NO_TOKEN
    parse = staticmethod(parse)

    def write(self, message: Message) -> bytes:
        if isinstance(message, Reply):
            return orjson.dumps(_reply(message))
        if isinstance(message, Welcome):
            return _welcome_form(*message[1:]).text(message.connection_id)
        return orjson.dumps(self._value(message))

    def say(self, message: Message) -> bytes:
        return text_frame(orjson.dumps(_reply(message)) if isinstance(message, Reply) else self.write(message))

    def _value(self, message: Pong | Refusal | Notice) -> dict[str, Any]:
        match message:
            case Pong(reply_to):
                return envelope("pong", event=Verb.PING, correlation_id=reply_to)
            case Refusal(code, sentence, verb, reply_to, retry_after_ms):
                return envelope(
                    "error",
                    event=verb,
                    data={} if retry_after_ms is None else {"retry_after_ms": retry_after_ms},
                    correlation_id=reply_to,
                    error_code=code,
                    error_message=sentence,
                )
            case Notice(event, data, room):
                return {**envelope("event", event=event, data=data, room=room), **_NO_POSITION}

    def frame(self, line: bytes) -> bytes | None:
        # As `text_frame` of a usual line, without a call.
        size = len(line)
        return b"\x81\x7e" + size.to_bytes(2) + line if 126 <= size < 65536 else text_frame(line)


def _reply(reply: Reply) -> dict[str, Any]:
    """Return the keys of `envelope`, in its order: most messages are replies."""
    verb, data, reply_to = reply
    return {
        "id": new_id(),
        "correlation_id": reply_to,
        "type": "response",
        "event": verb,
        "data": data,
        "timestamp": now(),
        "room": None,
        "error_code": None,
        "error_message": None,
    }


_NO_POSITION: Final = {"position": None, "previous": None}


def _welcome_data(welcome: Welcome) -> dict[str, Any]:
    return NoticeName.SESSION_CREATED.data(
        welcome.connection_id,
        welcome.server,
        welcome.sentence,
        welcome.authenticated,
        welcome.secure,
        welcome.rate_limit,
        welcome.publish_rate_limit,
    )


class _WelcomeForm:
    """The welcomes that differ in ids and time alone: an edge has a few.

    Args:
        welcome: any of them.

    """

    __slots__ = ("_ahead", "_behind", "_between", "_end")

    def __init__(self, welcome: Welcome) -> None:
        made, connection, at = "\x00id\x00", "\x00connection\x00", "\x00time\x00"
        data = _welcome_data(welcome._replace(connection_id=connection))
        value = envelope("event", event=NoticeName.SESSION_CREATED, data=data, message_id=made, timestamp=at)
        text = orjson.dumps(value | _NO_POSITION).decode()
        self._ahead, _, rest = text.partition(_inside(made))
        self._between, _, rest = rest.partition(_inside(connection))
        self._behind, _, self._end = rest.rpartition(_inside(at))

    def text(self, connection_id: str) -> bytes:
        """Return the text of a welcome."""
        return f"{self._ahead}{new_id()}{self._between}{connection_id}{self._behind}{now()}{self._end}".encode()


@lru_cache(64)
def _welcome_form(*known: Any) -> _WelcomeForm:
    return _WelcomeForm(Welcome("", *known))


def _inside(text: str) -> str:
    return orjson.dumps(text)[1:-1].decode()


def text_frame(payload: bytes) -> bytes:
    """Return ``payload`` as an unmasked text frame (RFC 6455, section 5.2), ready to be written to any client."""
    # By hand: made once per event and dialect, and the library's frame is an object with a dozen checks.
    size = len(payload)
    if size < 126:
        return b"\x81" + size.to_bytes(1) + payload
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2) + payload
    return b"\x81\x7f" + size.to_bytes(8) + payload


ENVELOPE: Final[Dialect] = _Envelope()

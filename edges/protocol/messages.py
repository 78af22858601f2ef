"""What is said over a WebSocket, as values: commands from a client, messages to it. Pure: bytes in, values out.

How a value is written down is a dialect's matter (``envelope``); this module knows what the values mean.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Self, TypeAlias

import orjson
from orjson import Fragment

from bus.errors import Portable, ShapeError
from bus.log.replay import Last, Start, parse_since
from bus.position import Reason
from bus.shape import MESSAGE_VALUES, check_shape
from bus.words import CloseCode, Code, NoticeName, Verb

__all__ = [
    "Ask",
    "Authenticate",
    "Closing",
    "Code",
    "Command",
    "Leave",
    "Message",
    "Notice",
    "Ping",
    "Pong",
    "Refusal",
    "Refused",
    "Reply",
    "Subscribe",
    "Switch",
    "Welcome",
    "decode",
    "gap",
    "parse",
    "text_frame",
]

NESTING_LIMIT: Final = 32
ID_LIMIT: Final = 128
TYPE_VERBS: Final = (Verb.SUBSCRIBE, Verb.UNSUBSCRIBE, Verb.PING)
"""Verbs that may also be a message's type, or an event's name in a message of type ``event``."""
CLIENT_TYPES: Final = ("request", *TYPE_VERBS, "event")


@dataclass(frozen=True, slots=True)
class Closing:
    """Why a connection is closed: the code that its client reads the advice of, and a sentence."""

    code: CloseCode
    reason: str


GOING_AWAY: Final = Closing(CloseCode.GOING_AWAY, "the edge goes away")
INVALID_TEXT: Final = Closing(CloseCode.INVALID_DATA, "a text message is not UTF-8")
NO_TOKEN: Final = Closing(CloseCode.POLICY_VIOLATION, "authentication failed")
NO_TOKEN_FLAT: Final = Closing(CloseCode.UNAUTHENTICATED, "authentication failed")
ABUSE: Final = Closing(CloseCode.POLICY_VIOLATION, "message_rate_limit exceeded again and again")
CONTROL_FLOOD: Final = Closing(CloseCode.POLICY_VIOLATION, "control_rate_limit exceeded")
TOO_BIG: Final = Closing(CloseCode.MESSAGE_TOO_BIG, "a message has more than max_message_bytes")
TOO_BIG_YET: Final = Closing(CloseCode.MESSAGE_TOO_BIG, "before a token, a message has auth_max_token_bytes and 1 KiB")
TOO_MANY_PARTS: Final = Closing(CloseCode.MESSAGE_TOO_BIG, "a message has more than max_fragments")
RESTARTING: Final = Closing(CloseCode.SERVICE_RESTART, "the edge restarts")
OUR_BUG: Final = Closing(CloseCode.INTERNAL_ERROR, "internal error")
KEEPALIVE: Final = Closing(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
AT_CAPACITY: Final = Closing(CloseCode.TRY_AGAIN_LATER, "the edge is at capacity: max_connections")
SLOW: Final = Closing(CloseCode.SLOW_CONSUMER, "slow consumer: over max_waiting_bytes")
STUCK: Final = Closing(CloseCode.SLOW_CONSUMER, "slow consumer: nothing read within slow_deadline_s")


# From a client. `reply_to` becomes the reply's correlation_id; None where the client named nothing.


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Join the room of a channel."""

    channel: str
    reply_to: str | None = None
    start: Start | None = None
    verb: ClassVar = Verb.SUBSCRIBE


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave the room of a channel."""

    channel: str
    reply_to: str | None = None
    verb: ClassVar = Verb.UNSUBSCRIBE


@dataclass(frozen=True, slots=True)
class Switch:
    """Leave every room and join this one: what a subscription means in the session-buddy dialect."""

    channel: str
    skill: str | None
    verb: ClassVar = Verb.SUBSCRIBE


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Show a token; ``then`` is what the same message asks for beside, in the session-buddy dialect."""

    token: str = field(repr=False)
    reply_to: str | None = None
    then: "Switch | Ping | Refusal | None" = None
    verb: ClassVar = Verb.AUTH


@dataclass(frozen=True, slots=True)
class Ping:
    """Ask for a pong."""

    reply_to: str | None = None
    verb: ClassVar = Verb.PING


@dataclass(frozen=True, slots=True)
class Ask:
    """A request of the service."""

    name: str
    data: Mapping[str, Any]
    reply_to: str | None = None

    @property
    def verb(self) -> str:
        """The request's name."""
        return self.name


@dataclass(frozen=True, slots=True)
class Recover:
    """Catch up with what rooms lacked: the edge's own, in its turn among the client's."""

    verb: ClassVar = "recover"
    reply_to: ClassVar = None


Command: TypeAlias = Subscribe | Leave | Switch | Authenticate | Ping | Ask | Recover


# To a client.


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a command that went well; its data may be JSON already."""

    verb: str
    data: Mapping[str, Any] | Fragment
    reply_to: str | None = None


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping."""

    reply_to: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to what cannot be done, with a sentence that names the field and the remedy."""

    code: Code
    sentence: str
    verb: str | None = None
    reply_to: str | None = None
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Welcome:
    """Said once on every connection."""

    connection_id: str
    server: str
    sentence: str
    rate_limit: int
    authenticated: bool = False
    secure: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that concerns the connection and was not asked for."""

    event: str
    data: Mapping[str, Any] = field(default_factory=dict)
    room: str | None = None

    @classmethod
    def of(cls, name: NoticeName, *values: Any, room: str | None = None) -> Self:
        """Return the notice ``name`` with ``values`` in the order of its keys."""
        return cls(name, name.data(*values), room)


def gap(room: str, start: str | None, end: str | None, reason: Reason) -> Notice:
    """Return the notice of what is missing in ``room`` between two positions."""
    return Notice.of(NoticeName.ROOM_GAP, start, end, reason, room=room)


Message: TypeAlias = Reply | Pong | Refusal | Welcome | Notice


class Refused(Portable):
    """Raised inside the parser; carries the refusal to answer with, and the setting that bounds what was refused."""

    def __init__(self, refusal: Refusal, limit: str | None = None) -> None:
        super().__init__(refusal.sentence)
        self.refusal, self.limit = refusal, limit


def decode(text: bytes, *, values: int = MESSAGE_VALUES) -> dict[str, Any]:
    """Return the JSON object in ``text``. How much the text holds is counted in its bytes before a reader sees it.

    Raises:
        Refused: it is no JSON (NaN and infinities are none), no object, holds more than ``values`` values, or nests
            deeper than 32.

    """
    try:
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


def parse(value: dict[str, Any], requests: tuple[str, ...]) -> Command:
    """Return the command in an envelope; ``requests`` are the names that the service answers.

    Raises:
        Refused: with the code of protocol.md, and a sentence that names the field.

    """
    reply_to = _reply_to(value)
    message_type = value.get("type")
    if message_type not in CLIENT_TYPES:
        raise Refused(Refusal(Code.DECODE_ERROR, f"type: expected one of {', '.join(CLIENT_TYPES)}", reply_to=reply_to))
    verb = _verb(value, message_type, reply_to)
    data = value.get("data")
    if data is not None and not isinstance(data, dict):
        raise Refused(Refusal(Code.INVALID_REQUEST, "data: expected an object", _short(verb), reply_to))
    return _command(verb, data or {}, requests, reply_to, may_ask=message_type == "request")


def _reply_to(value: Mapping[str, Any]) -> str | None:
    for key in ("id", "correlation_id"):
        given = value.get(key)
        if given is None:
            continue
        if not isinstance(given, str) or len(given) > ID_LIMIT or not given.isprintable():
            sentence = f"{key}: expected a text of at most {ID_LIMIT} printable characters"
            raise Refused(Refusal(Code.INVALID_REQUEST, sentence))
        return given
    return None


def _verb(value: Mapping[str, Any], message_type: str, reply_to: str | None) -> str:
    if message_type in TYPE_VERBS:
        return message_type
    verb = value.get("event")
    if not isinstance(verb, str) or not verb:
        raise Refused(Refusal(Code.INVALID_REQUEST, "event: expected the name of a request", reply_to=reply_to))
    return verb


def _command(
    verb: str, data: Mapping[str, Any], requests: tuple[str, ...], reply_to: str | None, *, may_ask: bool
) -> Command:
    match verb:
        case Verb.SUBSCRIBE:
            return Subscribe(_channel(data, verb, reply_to), reply_to, _start(data, reply_to))
        case Verb.UNSUBSCRIBE:
            return Leave(_channel(data, verb, reply_to), reply_to)
        case Verb.PING:
            return Ping(reply_to)
        case Verb.AUTH if may_ask:
            token = data.get("token")
            if not isinstance(token, str):
                raise Refused(Refusal(Code.INVALID_REQUEST, "token: expected a text", verb, reply_to))
            return Authenticate(token, reply_to)
        case name if may_ask and name in requests:
            return Ask(name, data, reply_to)
    known = (*Verb, *requests) if may_ask else TYPE_VERBS
    raise Refused(
        Refusal(Code.UNKNOWN_REQUEST, f"event: no such request; there are {', '.join(known)}", _short(verb), reply_to)
    )


def _channel(data: Mapping[str, Any], verb: str, reply_to: str | None) -> str:
    channel = data.get("channel", data.get("room"))
    if not isinstance(channel, str):
        raise Refused(Refusal(Code.INVALID_REQUEST, "channel: expected a text such as 'global'", verb, reply_to))
    return channel


def _start(data: Mapping[str, Any], reply_to: str | None) -> Start | None:
    since, last = data.get("since"), data.get("last")
    if since is not None and last is not None:
        raise Refused(Refusal(Code.INVALID_REQUEST, "since, last: give one of them", Verb.SUBSCRIBE, reply_to))
    if last is not None:
        if not isinstance(last, int) or isinstance(last, bool) or last < 0:
            raise Refused(Refusal(Code.INVALID_REQUEST, "last: expected a number, 0 or more", Verb.SUBSCRIBE, reply_to))
        return Last(last)
    try:
        return None if since is None else parse_since(since if isinstance(since, str) else "")
    except ValueError as error:
        raise Refused(Refusal(Code.INVALID_REQUEST, f"since: {error}", Verb.SUBSCRIBE, reply_to)) from None


def _short(text: str) -> str:
    return text if len(text) <= ID_LIMIT and text.isprintable() else f"{text[:ID_LIMIT]!a}…"


def text_frame(payload: bytes) -> bytes:
    """Return ``payload`` as one unmasked text frame (RFC 6455, section 5.2), ready to be written to any client."""
    size = len(payload)
    if size < 126:
        return b"\x81" + size.to_bytes(1) + payload
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2) + payload
    return b"\x81\x7f" + size.to_bytes(8) + payload

"""How messages are written and read: the envelope, and session-buddy's flat messages. Pure.

A dialect turns commands' bytes into values and values into the text of one message. Lines from Redis are envelope
messages already, so for the envelope they are passed on as they are; the flat dialect takes them apart once per event.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

import orjson

from bus.channel import LATEST, Family
from bus.envelope import envelope
from bus.errors import ChannelError, ShapeError
from bus.event import now
from bus.shape import LINE_VALUES, check_shape
from bus.words import NoticeName, Verb
from edges.protocol.messages import (
    NESTING_LIMIT,
    NO_TOKEN,
    NO_TOKEN_FLAT,
    Authenticate,
    Closing,
    Code,
    Command,
    Message,
    Notice,
    Ping,
    Pong,
    Refusal,
    Refused,
    Reply,
    Switch,
    Welcome,
    parse,
    text_frame,
)

__all__ = ["ENVELOPE", "FLAT", "Dialect", "decides"]

_SKILL: Final = Family("skill:{skill_name}", LATEST)
ALL_SKILLS: Final = "skills"


class Dialect(Protocol):
    """How one kind of client reads and writes."""

    @property
    def first_room(self) -> str | None:
        """The channel that a client is in from the start, None for none."""

    @property
    def no_token(self) -> Closing:
        """How a client whose token is missing or refused is closed."""

    def parse(self, value: dict[str, Any], requests: tuple[str, ...]) -> Command:
        """Return the command in a decoded message, or raise ``Refused``."""

    def write(self, message: Message) -> bytes:
        """Return the text of a message to a client."""

    def frame(self, line: bytes) -> bytes | None:
        """Return the WebSocket frame for a line from Redis, None when this dialect has no word for it."""


class _Envelope:
    """The ecosystem's envelope of nine keys."""

    first_room: Final = None
    no_token: Final = NO_TOKEN

    def parse(self, value: dict[str, Any], requests: tuple[str, ...]) -> Command:
        return parse(value, requests)

    def write(self, message: Message) -> bytes:
        return orjson.dumps(self._value(message))

    def _value(self, message: Message) -> dict[str, Any]:
        match message:
            case Reply(verb, data, reply_to):
                return {**envelope("response", event=verb, correlation_id=reply_to), "data": data}
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
            case Welcome():
                return {
                    **envelope("event", event=NoticeName.SESSION_CREATED, data=_welcome_data(message)),
                    **_NO_POSITION,
                }
            case Notice(event, data, room):
                return {**envelope("event", event=event, data=data, room=room), **_NO_POSITION}

    def frame(self, line: bytes) -> bytes | None:
        return text_frame(line)


_NO_POSITION: Final = {"position": None, "previous": None}


def _welcome_data(welcome: Welcome) -> dict[str, Any]:
    return NoticeName.SESSION_CREATED.data(
        welcome.connection_id,
        welcome.server,
        welcome.sentence,
        welcome.authenticated,
        welcome.secure,
        welcome.rate_limit,
    )


class _Flat:
    """session-buddy's flat messages, keyed by ``type`` (protocol.md, "The session-buddy dialect")."""

    first_room: Final = ALL_SKILLS
    no_token: Final = NO_TOKEN_FLAT

    def parse(self, value: dict[str, Any], requests: tuple[str, ...]) -> Command:
        if "token" in value:
            return self._authenticate(value)
        return self._command(value)

    def _authenticate(self, value: dict[str, Any]) -> Authenticate:
        """Read the token that a message of any type may carry, and what else the message asks for."""
        token = value["token"]
        if not isinstance(token, str):
            raise Refused(Refusal(Code.INVALID_REQUEST, "token: expected a text", Verb.AUTH))
        if value.get("type") in (None, Verb.AUTH):
            return Authenticate(token)
        try:
            return Authenticate(token, then=self._command(value))
        except Refused as refused:
            return Authenticate(token, then=refused.refusal)

    def _command(self, value: dict[str, Any]) -> Switch | Ping:
        match value.get("type"):
            case Verb.PING:
                return Ping()
            case Verb.SUBSCRIBE:
                return self._subscribe(value.get("skill"))
            case Verb.UNSUBSCRIBE:
                return Switch(ALL_SKILLS, None)
            case _:
                raise Refused(Refusal(Code.DECODE_ERROR, "type: expected one of subscribe, unsubscribe, ping, auth"))

    def _subscribe(self, skill: Any) -> Switch:
        if skill is None:
            return Switch(ALL_SKILLS, None)
        if not isinstance(skill, str):
            raise Refused(Refusal(Code.INVALID_REQUEST, "skill: expected a text, or null for all skills"))
        try:
            return Switch(_SKILL.fill(skill).name, skill)
        except ChannelError as error:
            raise Refused(Refusal(Code.INVALID_CHANNEL, f"skill: {error}")) from None

    def write(self, message: Message) -> bytes:
        return orjson.dumps(self._value(message))

    def _value(self, message: Message) -> dict[str, Any]:
        match message:
            case Reply(Verb.AUTH, dict(data)):
                return {"type": data["status"], **_without(data, "status"), "timestamp": now()}
            case Reply(_, data):
                skill = data.get("skill") if isinstance(data, Mapping) else None
                return {"type": "subscription_confirmed", "skill": skill, "timestamp": now()}
            case Pong():
                return {"type": "pong"}
            case Refusal(code, sentence, _, _, retry_after_ms):
                advice = {} if retry_after_ms is None else {"retry_after_ms": retry_after_ms}
                return {"type": "error", "error_code": code, "message": sentence, "timestamp": now(), **advice}
            case Welcome(sentence=sentence, authenticated=authenticated):
                return {
                    "type": "connected",
                    "message": sentence,
                    "authenticated": authenticated,
                    "timestamp": now(),
                }
            case Notice(event, data):
                return {"type": "notice", "event": event, "data": data, "timestamp": now()}

    def frame(self, line: bytes) -> bytes | None:
        try:
            check_shape(line, values=LINE_VALUES, depth=NESTING_LIMIT)
            return self._metrics(orjson.loads(line))
        except (ShapeError, orjson.JSONDecodeError):
            return None

    def _metrics(self, value: dict[str, Any]) -> bytes | None:
        data, timestamp = value.get("data"), value.get("timestamp")
        if value.get("event") != "metrics_update" or not isinstance(data, dict):
            return None
        metrics = {"top_skills": data.get("top_skills", []), "anomalies": data.get("anomalies", [])}
        return text_frame(orjson.dumps({"type": "metrics_update", "timestamp": timestamp, "data": metrics}))


def _without(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name != key}


ENVELOPE: Final[Dialect] = _Envelope()
FLAT: Final[Dialect] = _Flat()


def decides(value: dict[str, Any]) -> Dialect | None:
    """Return the dialect that a first message shows on a session-buddy port, None when it shows neither."""
    if "event" in value or "data" in value or "id" in value or value.get("type") == "request":
        return ENVELOPE
    return None if value == {"type": Verb.PING} else FLAT

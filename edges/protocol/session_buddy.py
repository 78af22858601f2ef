"""Session-buddy's flat messages, keyed by ``type`` (protocol.md, "The session-buddy dialect"). Pure.

A line from Redis is an envelope message; flat clients get another text, made once per event.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from bus.channel import LATEST, Family
from bus.errors import ChannelError, ShapeError
from bus.event import now
from bus.shape import LINE_VALUES, check_shape
from bus.words import Verb
from edges.protocol.envelope import ENVELOPE, NESTING_LIMIT, Dialect, text_frame
from edges.protocol.messages import (
    NO_TOKEN_FLAT,
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

__all__ = ["FLAT", "decides"]

_SKILL: Final = Family("skill:{skill_name}", LATEST)
ALL_SKILLS: Final = "skills"


class _Flat:
    """The flat dialect, with the verbs subscribe, unsubscribe, ping and auth."""

    name: Final = "session-buddy"
    first_room: Final = ALL_SKILLS
    no_token: Final = NO_TOKEN_FLAT

    def parse(self, value: dict[str, Any], verbs: Mapping[str, Parser[CommandT_co]]) -> CommandT_co:
        if "token" in value:
            return verbs[Verb.AUTH].parse(Said(Verb.AUTH, {"token": value["token"]}, then=_beside_token(value, verbs)))
        return _command(value, verbs)

    def write(self, message: Message) -> bytes:
        return orjson.dumps(self._value(message))

    def say(self, message: Message) -> bytes:
        return text_frame(self.write(message))

    def _value(self, message: Message) -> dict[str, Any]:
        match message:
            case Reply(Verb.AUTH, dict(data)):
                rest = {name: value for name, value in data.items() if name != "status"}
                return {"type": data["status"], **rest, "timestamp": now()}
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
        # Measured before a parser looks: a line typed into Redis may hold more values than the loop has time for.
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


def _beside_token(value: Mapping[str, Any], verbs: Mapping[str, Parser[CommandT_co]]) -> CommandT_co | Refusal | None:
    """Return the command beside the token of a message, or the refusal; None where the message has no command."""
    if value.get("type") in (None, Verb.AUTH):
        return None
    try:
        return _command(value, verbs)
    except Refused as refused:
        return refused.refusal


def _command(value: Mapping[str, Any], verbs: Mapping[str, Parser[CommandT_co]]) -> CommandT_co:
    match value.get("type"):
        case Verb.PING:
            return verbs[Verb.PING].parse(Said(Verb.PING, {}))
        case Verb.SUBSCRIBE:
            return verbs[Verb.SUBSCRIBE].parse(_skill(value.get("skill")))
        case Verb.UNSUBSCRIBE:
            return verbs[Verb.UNSUBSCRIBE].parse(_skill(None))
        case _:
            raise Refused(Refusal(Code.DECODE_ERROR, "type: expected one of subscribe, unsubscribe, ping, auth"))


def _skill(skill: Any) -> Said:
    if skill is None:
        return Said(Verb.SUBSCRIBE, {"channel": ALL_SKILLS, "skill": None})
    if not isinstance(skill, str):
        raise Refused(Refusal(Code.INVALID_REQUEST, "skill: expected a text, or null for all skills"))
    try:
        return Said(Verb.SUBSCRIBE, {"channel": _SKILL.fill(skill).name, "skill": skill})
    except ChannelError as error:
        raise Refused(Refusal(Code.INVALID_CHANNEL, f"skill: {error}")) from None


FLAT: Final[Dialect] = _Flat()


def decides(value: Mapping[str, Any]) -> Dialect | None:
    """Return the dialect of a first message on a session-buddy port, None for a message of both (decisions/0009)."""
    # By keys, not by the type: flat clients and clients of the envelope both send subscribe and ping as types.
    if "event" in value or "data" in value or "id" in value or value.get("type") == "request":
        return ENVELOPE
    return None if value == {"type": Verb.PING} else FLAT

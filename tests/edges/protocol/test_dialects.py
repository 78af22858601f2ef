from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

from edges.protocol.envelope import ENVELOPE
from edges.protocol.messages import Code, Message, Notice, Pong, Refusal, Refused, Reply, Welcome
from edges.protocol.session_buddy import FLAT, decides
from edges.session.verbs.ping import Ping
from edges.session.verbs.switch import Switch
from edges.session.verbs.table import FLAT_VERBS
from tests.edges.peers import EVENT_KEYS, NINE_KEYS

MESSAGES: list[Message] = [
    Reply("subscribe", {"status": "subscribed"}, "r"),
    Pong("r"),
    Refusal(Code.UNAVAILABLE, "later", "subscribe", "r", 1000),
    Refusal(Code.DECODE_ERROR, "no"),
    Welcome("c", "mahavishnu", "Connected", 100),
    Notice("edge.draining", {"reconnect_after_ms": 5}),
]
NULLABLE = ("correlation_id", "event", "room", "error_code", "error_message")


def written(message: Message) -> dict[str, Any]:
    """Return what the envelope makes of a message."""
    value = orjson.loads(ENVELOPE.write(message))
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("message", MESSAGES, ids=["reply", "pong", "refusal", "bare refusal", "welcome", "notice"])
def test_envelope_keys_and_types(message: Message) -> None:
    """Nine keys, always all of them, two more on events and nowhere else, each of its type."""
    value = written(message)
    assert value.keys() == (EVENT_KEYS if value["type"] == "event" else NINE_KEYS)
    assert isinstance(value["id"], str)
    assert isinstance(value["data"], dict)
    assert value["type"] in {"response", "event", "error", "pong"}
    assert all(value[key] is None or isinstance(value[key], str) for key in NULLABLE)
    assert datetime.fromisoformat(value["timestamp"]).utcoffset() == timedelta(0)


def test_envelope_ids_are_new() -> None:
    """Every message that an edge sends has an id of its own."""
    assert written(Pong())["id"] != written(Pong())["id"]


def test_envelope_reply() -> None:
    """A reply has the verb of its request and answers to its id."""
    value = written(Reply("subscribe", {"status": "subscribed"}, "r"))
    assert (value["type"], value["event"], value["correlation_id"]) == ("response", "subscribe", "r")
    assert value["data"] == {"status": "subscribed"}


def test_envelope_error() -> None:
    """An error sets both error keys, and says in data when to come back if that is known."""
    value = written(Refusal(Code.UNAVAILABLE, "later", "subscribe", "r", 1000))
    assert (value["type"], value["error_code"], value["error_message"]) == ("error", "UNAVAILABLE", "later")
    assert (value["event"], value["correlation_id"], value["data"]) == ("subscribe", "r", {"retry_after_ms": 1000})


def test_envelope_welcome() -> None:
    """The welcome is the event session.created with six facts, and stands at no position."""
    value = written(Welcome("c", "mahavishnu", "Connected to Mahavishnu orchestration", 100))
    assert (value["type"], value["event"], value["correlation_id"]) == ("event", "session.created", None)
    assert (value["position"], value["previous"], value["room"]) == (None, None, None)
    assert value["data"] == {
        "connection_id": "c",
        "server": "mahavishnu",
        "message": "Connected to Mahavishnu orchestration",
        "authenticated": False,
        "secure": False,
        "publish_rate_limit": None,
        "rate_limit": 100,
    }


def test_envelope_line_travels_as_it_is() -> None:
    """A line from Redis is one text frame of the very same bytes."""
    line = b'{"position":"1-1","previous":"0-0",   "anything": "\xc3\xa4"}'
    frame = ENVELOPE.frame(line)
    assert frame is not None
    assert frame[0] == 0x81
    assert frame[2:] == line


def test_flat_welcome() -> None:
    """The flat welcome is `connected` with the old server's sentence."""
    value = orjson.loads(FLAT.write(Welcome("c", "session-buddy", "Connected to Session-Buddy", 100)))
    stamp = value.pop("timestamp")
    assert value == {"type": "connected", "message": "Connected to Session-Buddy", "authenticated": False}
    assert datetime.fromisoformat(stamp).utcoffset() == timedelta(0)


def test_flat_pong_has_one_key() -> None:
    """The flat pong is the old server's, and nothing more."""
    assert orjson.loads(FLAT.write(Pong())) == {"type": "pong"}


def test_flat_error() -> None:
    """A flat error says code, sentence and time."""
    value = orjson.loads(FLAT.write(Refusal(Code.DECODE_ERROR, "no")))
    assert value.keys() == {"type", "error_code", "message", "timestamp"}
    assert (value["type"], value["error_code"], value["message"]) == ("error", "DECODE_ERROR", "no")


def test_flat_notice() -> None:
    """What has no flat form of its own is a notice with its event and data."""
    value = orjson.loads(FLAT.write(Notice("room.gap", {"a": 1})))
    assert value.keys() == {"type", "event", "data", "timestamp"}
    assert (value["type"], value["event"], value["data"]) == ("notice", "room.gap", {"a": 1})


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"type": "ping"}, Ping()),
        ({"type": "subscribe", "skill": "pytest-run"}, Switch("skill:pytest-run", "pytest-run")),
        ({"type": "subscribe", "skill": "with space"}, Switch("skill:with%20space", "with space")),
        ({"type": "subscribe", "skill": None}, Switch("skills", None)),
        ({"type": "subscribe"}, Switch("skills", None)),
        ({"type": "unsubscribe"}, Switch("skills", None)),
        ({"type": "unsubscribe", "skill": "pytest-run"}, Switch("skills", None)),
    ],
)
def test_flat_commands(message: dict[str, Any], expected: object) -> None:
    """A flat client subscribes to one skill or to all, and can always go back to all."""
    assert FLAT.parse(message, FLAT_VERBS) == expected


@pytest.mark.parametrize("skill", [5, [], {}, True, "", "x" * 200])
def test_flat_skill_wrong(skill: Any) -> None:
    """A skill that is no text, or no channel, is refused with the field's name."""
    with pytest.raises(Refused) as caught:
        FLAT.parse({"type": "subscribe", "skill": skill}, FLAT_VERBS)
    assert caught.value.refusal.sentence.startswith("skill")


@pytest.mark.parametrize("message", [{}, {"type": "dance"}, {"type": 5}, {"type": None}])
def test_flat_type_unknown_is_answered(message: dict[str, Any]) -> None:
    """Where the old server was silent, an error comes."""
    with pytest.raises(Refused):
        FLAT.parse(message, FLAT_VERBS)


def line(event: str = "metrics_update", **data: Any) -> bytes:
    """Return a line as Redis publishes it."""
    value = {
        "position": "2-2",
        "previous": "1-1",
        "id": "i",
        "event": event,
        "data": data,
        "timestamp": "T",
        "room": "r",
    }
    return orjson.dumps(value)


def test_flat_metrics() -> None:
    """The flat form of metrics has three keys, the event's own timestamp, and only the two lists in data."""
    frame = FLAT.frame(line(top_skills=[{"skill_name": "a"}], anomalies=[], timestamp="T"))
    assert frame is not None
    assert orjson.loads(frame[2:]) == {
        "type": "metrics_update",
        "timestamp": "T",
        "data": {"top_skills": [{"skill_name": "a"}], "anomalies": []},
    }


def test_flat_line_is_measured_before_it_is_read() -> None:
    """An event of the right name that holds too much for a reader gives no frame, and costs none."""
    assert FLAT.frame(line(top_skills=[0] * 9_000, anomalies=[])) is not None
    assert FLAT.frame(line(top_skills=[0] * 11_000, anomalies=[])) is None


@pytest.mark.parametrize(
    "odd",
    [
        line("session.created", session_id="s"),
        b'{"position":null,"previous":null,broken',
        b'{"position":null,"previous":null,"event":"metrics_update","data":5}',
        b'{"position":null,"previous":null,"event":"metrics_update"}',
        b'{"position":null,"previous":null,"event":"metrics_update","data":{"top_skills":'
        + b"[" * 400
        + b"]" * 400
        + b"}}",
    ],
    ids=["other event", "broken", "data no object", "no data", "deep"],
)
def test_flat_line_without_a_word_for_it(odd: bytes) -> None:
    """A line for which the dialect has no word gives no frame, and never an exception: others wait behind it."""
    assert FLAT.frame(odd) is None


@pytest.mark.parametrize("key", ["event", "data", "id"])
def test_decides_envelope_by_key(key: str) -> None:
    """A first message with an event, data or id key shows the envelope, whatever its type."""
    assert decides({"type": "ping", key: None}) is ENVELOPE
    assert decides({key: 1}) is ENVELOPE


def test_decides_envelope_by_type_request() -> None:
    """A first message of type request shows the envelope."""
    assert decides({"type": "request"}) is ENVELOPE


def test_decides_ping_nothing() -> None:
    """A bare ping is a word of both dialects."""
    assert decides({"type": "ping"}) is None


@pytest.mark.parametrize("message", [{"type": "subscribe", "skill": "x"}, {"type": "unsubscribe"}, {}, {"type": "x"}])
def test_decides_flat_by_anything_else(message: dict[str, Any]) -> None:
    """Anything else makes the client a flat one."""
    assert decides(message) is FLAT

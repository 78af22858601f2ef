from typing import Any

import pytest

from edges.protocol.envelope import decode, parse, text_frame
from edges.protocol.messages import Code, Refused
from edges.session.command import Command
from edges.session.verbs.auth import Authenticate
from edges.session.verbs.ping import Ping
from edges.session.verbs.request import Request
from edges.session.verbs.subscribe import Subscribe
from edges.session.verbs.table import VERBS
from edges.session.verbs.unsubscribe import Unsubscribe

REQUESTS: dict[str, type[Command]] = {**VERBS, "get_workflow_status": Request}
FORMS = [
    {"type": "request", "event": "VERB"},
    {"type": "VERB"},
    {"type": "event", "event": "VERB"},
]


def in_form(form: dict[str, Any], verb: str, **rest: Any) -> dict[str, Any]:
    """Return a message of that form with the verb in its place."""
    return {**{key: verb if value == "VERB" else value for key, value in form.items()}, **rest}


def refused(message: dict[str, Any]) -> tuple[Code, str]:
    """Return the code and the sentence with which ``message`` is refused."""
    with pytest.raises(Refused) as caught:
        parse(message, REQUESTS)
    return caught.value.refusal.code, caught.value.refusal.sentence


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", ["channel", "room"])
def test_subscribe_in_every_form(form: dict[str, Any], key: str) -> None:
    """A subscription is a request, a type of its own or an event, and names its `channel` or its `room`."""
    message = in_form(form, "subscribe", data={key: "workflow:x"}, id="s1")
    assert parse(message, REQUESTS) == Subscribe("workflow:x", "s1")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", ["channel", "room"])
def test_unsubscribe_in_every_form(form: dict[str, Any], key: str) -> None:
    """Unsubscribing is accepted likewise."""
    message = in_form(form, "unsubscribe", data={key: "workflow:x"}, id="s1")
    assert parse(message, REQUESTS) == Unsubscribe("workflow:x", "s1")


@pytest.mark.parametrize("form", FORMS[:2])
def test_ping_in_every_form(form: dict[str, Any]) -> None:
    """A ping is a request or a type of its own, and needs no data."""
    assert parse(in_form(form, "ping", id="p"), REQUESTS) == Ping("p")


def test_auth_is_a_request_with_a_token() -> None:
    """A token is shown with the verb auth."""
    message = {"type": "request", "event": "auth", "data": {"token": "t"}, "id": "a"}
    assert parse(message, REQUESTS) == Authenticate("t", "a")


def test_request_of_the_service_carries_its_data() -> None:
    """A verb of the service is handed on with its data."""
    message = {"type": "request", "event": "get_workflow_status", "data": {"workflow_id": "w"}, "id": "q"}
    assert parse(message, REQUESTS) == Request("get_workflow_status", {"workflow_id": "w"}, "q")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"id": "a", "correlation_id": "b"}, "a"),
        ({"correlation_id": "b"}, "b"),
        ({"id": None, "correlation_id": "b"}, "b"),
        ({}, None),
        ({"id": "x" * 128}, "x" * 128),
        ({"id": "ünïcödé 🎉"}, "ünïcödé 🎉"),
    ],
)
def test_reply_names_the_id_else_the_correlation_id(keys: dict[str, Any], expected: str | None) -> None:
    """A reply is correlated by the request's id; if it had none, by its correlation_id."""
    assert parse({"type": "ping", **keys}, REQUESTS).reply_to == expected


@pytest.mark.parametrize("key", ["id", "correlation_id"])
@pytest.mark.parametrize("value", ["x" * 129, "a\nb", "a\x00", "\x7f", 7, True, ["a"], {"a": 1}, 1.5])
def test_id_too_long_unprintable_or_no_text(key: str, value: Any) -> None:
    """An id has at most 128 printable characters, or the message is an INVALID_REQUEST that names it."""
    code, sentence = refused({"type": "ping", key: value})
    assert code == Code.INVALID_REQUEST
    assert sentence.startswith(f"{key}:")


@pytest.mark.parametrize("value", [None, "nonsense", "response", "pong", "error", 7, [], {}])
def test_type_unknown(value: Any) -> None:
    """An unknown type is a DECODE_ERROR, and so is none at all."""
    assert refused({"type": value, "event": "subscribe", "data": {}})[0] == Code.DECODE_ERROR
    assert refused({})[0] == Code.DECODE_ERROR


@pytest.mark.parametrize("value", [None, 7, "", [], {}])
def test_event_missing_or_no_text(value: Any) -> None:
    """A request without a verb is an INVALID_REQUEST that names the field."""
    code, sentence = refused({"type": "request", "event": value, "id": "r"})
    assert code == Code.INVALID_REQUEST
    assert sentence.startswith("event:")


@pytest.mark.parametrize("verb", ["subscribe", "unsubscribe"])
@pytest.mark.parametrize("data", [None, {}, {"channel": None}, {"channel": 5}, {"room": ["x"]}])
def test_channel_missing_or_no_text(verb: str, data: Any) -> None:
    """Who names no channel learns which field is missing."""
    code, sentence = refused({"type": "request", "event": verb, "data": data, "id": "r"})
    assert code == Code.INVALID_REQUEST
    assert sentence.startswith("channel:")


@pytest.mark.parametrize("data", ["text", 5, [], True])
def test_data_no_object(data: Any) -> None:
    """Data that is no object is an INVALID_REQUEST that names it."""
    code, sentence = refused({"type": "request", "event": "subscribe", "data": data, "id": "r"})
    assert code == Code.INVALID_REQUEST
    assert sentence.startswith("data:")


@pytest.mark.parametrize("data", [{}, {"token": 5}, {"token": None}])
def test_token_missing_or_no_text(data: Any) -> None:
    """Authentication without a token names the field."""
    code, sentence = refused({"type": "request", "event": "auth", "data": data, "id": "r"})
    assert code == Code.INVALID_REQUEST
    assert sentence.startswith("token:")


def test_verb_unknown_lists_those_there_are() -> None:
    """An unknown verb learns every verb there is."""
    code, sentence = refused({"type": "request", "event": "dance", "id": "r"})
    assert code == Code.UNKNOWN_REQUEST
    for verb in ("subscribe", "unsubscribe", "auth", "ping", "get_workflow_status"):
        assert verb in sentence


def test_refusal_keeps_what_the_reply_needs() -> None:
    """A refusal names the verb and answers to the request's id."""
    with pytest.raises(Refused) as caught:
        parse({"type": "request", "event": "subscribe", "id": "r"}, REQUESTS)
    assert (caught.value.refusal.verb, caught.value.refusal.reply_to) == ("subscribe", "r")


def test_keys_unknown_are_ignored() -> None:
    """Unknown keys are ignored, at the top and in data."""
    message = {"type": "subscribe", "data": {"channel": "global", "colour": 1}, "timestamp": 5, "room": 7, "x": {}}
    assert parse(message, REQUESTS) == Subscribe("global", None)


def test_decode_object() -> None:
    """A message is one JSON object."""
    assert decode(b' {"a": [1]} ') == {"a": [1]}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"nonsense",
        b"[]",
        b"null",
        b'"text"',
        b"5",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b"{'a':1}",
        b'{"a":1}{"b":2}',
        b"[" * 50_000,
        b'{"a":' * 20_000,
    ],
)
def test_decode_no_object(text: bytes) -> None:
    """What is not JSON, holds NaN, or is no object is a DECODE_ERROR."""
    with pytest.raises(Refused) as caught:
        decode(text)
    assert caught.value.refusal.code == Code.DECODE_ERROR


def nested(levels: int) -> bytes:
    """Return an object whose deepest container is at ``levels``, the object itself being the first."""
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


def test_decode_nesting() -> None:
    """32 levels are read, 33 are a DECODE_ERROR."""
    decode(nested(32))
    with pytest.raises(Refused) as caught:
        decode(nested(33))
    assert caught.value.refusal.code == Code.DECODE_ERROR


def test_decode_wide_is_not_deep() -> None:
    """Many brackets side by side, or in a text, are no nesting."""
    decode(b'{"a":[' + b",".join([b"[]"] * 500) + b'],"b":"' + b"[" * 500 + b'"}')


@pytest.mark.parametrize("inside", [b"[]," * 20_000, b"{}," * 20_000, b"0," * 30_000, b'"",' * 20_000, b"[" * 60_000])
def test_decode_counts_before_it_reads(inside: bytes) -> None:
    """What holds too many values is refused for that, though its end is no JSON: no reader has seen it."""
    with pytest.raises(Refused) as caught:
        decode(b'{"type":"ping","x":[' + inside + b"0]}oops")
    assert caught.value.refusal.code == Code.DECODE_ERROR
    assert caught.value.refusal.sentence == "max_message_values: the message holds more than 2000 values"
    assert caught.value.limit == "max_message_values"


def test_decode_up_to_the_limit() -> None:
    """As many values as may be are read, and text counts as one however long it is and whatever it holds."""
    decode(b'{"x":[' + b"0," * 1_997 + b'"' + b"[]," * 15_000 + b'"]}')


def test_refusal_holds_no_more_of_a_verb_than_can_be_shown() -> None:
    """Whatever is wrong with a request, its answer does not keep or repeat 60 KB of its name."""
    with pytest.raises(Refused) as caught:
        parse({"type": "request", "event": "x" * 60_000, "data": 5}, VERBS)
    assert len(caught.value.refusal.verb or "") < 200


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_text_frame_length(size: int, head: bytes) -> None:
    """A frame's length takes the form of RFC 6455, section 5.2, at every border."""
    assert text_frame(b"x" * size) == head + b"x" * size

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from bus.channel import LIVE, Family
from bus.envelope import LINE_LIMIT_BYTES, UNTRACED, Arrived, compose, envelope, foreign, read_front, splice
from bus.errors import EventError
from bus.event import Attempt, Event, JsonObject
from bus.traceparent import EXAMPLE

WORKFLOW = Family("workflow:{workflow_id}")
GLOBAL = Family("global", shared_by="mahavishnu")
TICKS = Family("ticks", LIVE)
NINE_KEYS = ["id", "correlation_id", "type", "event", "data", "timestamp", "room", "error_code", "error_message"]


class Started(Event, event="workflow.started", channels=(WORKFLOW, GLOBAL), extra="allow"):
    workflow_id: str
    steps: int = 0
    result: JsonObject = Field(default_factory=dict)


class Nowhere(Event, channels=(WORKFLOW,)):
    workflow_id: str


class Aimless(Event, event="a.aimless"):
    pass


class Moved(Event, event="a.moved", channels=(WORKFLOW.by("source"), WORKFLOW.by("target"), GLOBAL)):
    source: str
    target: str


class Confused(Event, event="a.confused", channels=(GLOBAL, Family("global"))):
    pass


class Reading(float):
    """A float of somebody else's, as numpy's float64 is one."""


def lines(event: Event) -> list[bytes]:
    return [line for _, line in compose(event).lines]


def test_line_is_the_nine_keys_in_order() -> None:
    """A line is one JSON object with exactly the envelope's nine keys, on one line of text."""
    line = lines(Started(workflow_id="wf_123", steps=3))[0]
    value = json.loads(line)
    assert list(value) == NINE_KEYS
    assert b"\n" not in line
    assert uuid.UUID(value["id"]).version == 4
    assert (value["type"], value["event"], value["room"]) == ("event", "workflow.started", "workflow:wf_123")
    assert value["correlation_id"] is value["error_code"] is value["error_message"] is None
    assert value["data"].items() >= {"workflow_id": "wf_123", "steps": 3, "result": {}}.items()


def test_line_carries_the_time_in_its_data_too() -> None:
    """The SDK puts the time in, UTC with its offset; `data` and the envelope say the same one."""
    value = json.loads(lines(Started(workflow_id="wf"))[0])
    assert value["data"]["timestamp"] == value["timestamp"]
    assert value["timestamp"].endswith("+00:00")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(value["timestamp"])) < timedelta(minutes=1)


def test_lines_of_one_event_differ_in_the_room_only() -> None:
    """An event has one id and one time in all its rooms; the room is the name that clients use."""
    message = compose(Started(workflow_id="wf"))
    (first, one), (second, other) = message.lines
    assert (first.name, second.name) == ("workflow:wf", "global")
    assert message.event == "workflow.started"
    values = [json.loads(one), json.loads(other)]
    assert [value.pop("room") for value in values] == ["workflow:wf", "global"]
    assert values[0] == values[1]
    assert values[0]["id"] == message.id


def test_two_events_have_two_ids() -> None:
    """The same model composed twice is two events."""
    event = Started(workflow_id="wf")
    assert compose(event).id != compose(event).id


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_data_arrives_as_it_was_given(result: dict[str, Any]) -> None:
    """Whatever JSON can say is read back equal from the line, quotes and control characters included."""
    line = lines(Started(workflow_id="wf", result=result))[0]
    assert orjson.loads(line)["data"]["result"] == result
    assert json.loads(line)["data"]["result"] == result
    assert b"\n" not in line


def test_numbers_of_others_are_carried() -> None:
    """A float that is a subclass, such as numpy's, is a number on the wire and no error of the encoder."""
    line = lines(Started(workflow_id="wf", result={"load": Reading(1.5)}))[0]
    assert json.loads(line)["data"]["result"] == {"load": 1.5}


def test_event_changed_behind_its_back_is_refused() -> None:
    """An event is validated once more when composed: what crept into a dict it holds is named, and nothing is sent."""
    event = Started(workflow_id="wf", result={"a": 1})
    event.result["b"] = float("nan")
    with pytest.raises(ValidationError, match="b is nan"):
        compose(event)


def test_event_built_past_validation_is_refused() -> None:
    """`model_construct` is no way around validation."""
    with pytest.raises(ValidationError, match="workflow_id"):
        compose(Started.model_construct(workflow_id=5))  # type: ignore[arg-type]


@pytest.mark.parametrize(("field", "value"), [("steps", 2**70), ("workflow_id", "\ud800")])
def test_declared_field_that_json_cannot_carry_is_refused_by_name(field: str, value: object) -> None:
    """Also where only the encoder would notice, the error names event and field."""
    with pytest.raises(ValueError, match=field):
        compose(Started.model_validate({"workflow_id": "wf", field: value}))


@pytest.mark.parametrize("event", [Nowhere(workflow_id="wf"), Aimless()])
def test_event_that_nobody_could_receive_is_refused(event: Event) -> None:
    """A model without a name or without a channel cannot be published."""
    with pytest.raises(EventError, match=type(event).__name__):
        compose(event)


def test_line_at_the_limit_passes_and_one_byte_more_does_not() -> None:
    """A line may have 256 KiB, counted in bytes and not in characters; the error says both numbers."""
    spare = LINE_LIMIT_BYTES - max(map(len, lines(Started(workflow_id="wf", result={"x": ""}))))
    assert LINE_LIMIT_BYTES == 262_144
    fitting = Started(workflow_id="wf", result={"x": "x" * spare})
    assert max(map(len, lines(fitting))) == LINE_LIMIT_BYTES
    with pytest.raises(EventError, match=r"262145 bytes; the limit is 262144"):
        compose(Started(workflow_id="wf", result={"x": "x" * (spare + 1)}))
    with pytest.raises(EventError, match=r"workflow\.started"):
        compose(Started(workflow_id="wf", result={"x": "é" * (spare // 2 + 1)}))


def test_limit_is_settable() -> None:
    """A producer may be stricter; the longest of the lines counts."""
    event = Started(workflow_id="wf")
    longest = max(map(len, lines(event)))
    compose(event, limit_bytes=longest)
    with pytest.raises(EventError, match=f"the limit is {longest - 1}"):
        compose(event, limit_bytes=longest - 1)


def test_splice_puts_position_and_previous_in_front() -> None:
    """The published line is the stored one with two keys more at its front; nothing else changes."""
    line = lines(Started(workflow_id="wf"))[0]
    spliced = splice(line, "100-7", "0-0")
    assert spliced == b'{"position":"100-7","previous":"0-0",' + line[1:]
    assert list(json.loads(spliced)) == ["position", "previous", *NINE_KEYS]


def test_splice_without_a_log_says_null() -> None:
    """On a `live` channel both keys are there and null."""
    line = lines(Started(workflow_id="wf"))[0]
    value = json.loads(splice(line, None, None))
    assert list(value) == ["position", "previous", *NINE_KEYS]
    assert value["position"] is value["previous"] is None


def test_front_of_an_own_line_is_read() -> None:
    """What was spliced in is read back without parsing, and the line stays the very bytes."""
    line = splice(lines(Started(workflow_id="wf"))[0], "100-7", "99-1")
    arrived = read_front(line)
    assert arrived is not None
    assert (arrived.line, arrived.position, arrived.previous) == (line, "100-7", "99-1")


def test_front_of_a_live_line_has_no_position() -> None:
    """A line of a channel without a log is the bus's own, and has no position."""
    line = splice(lines(Started(workflow_id="wf"))[0], None, None)
    arrived = read_front(line)
    assert arrived is not None
    assert (arrived.line, arrived.position, arrived.previous) == (line, None, None)


def traced_line() -> bytes:
    made = Attempt("4bf92f35-77b3-4da6-a3ce-929d0e0e4736", "now", traceparent=EXAMPLE)
    (_, line), *_ = compose(Started(workflow_id="wf"), made=made).lines
    return line


def test_trace_is_the_first_key_of_a_line() -> None:
    """An event of a trace carries it in front of the nine keys, and the line is the bus's own as ever."""
    line = splice(traced_line(), "100-7", "99-1")
    value = json.loads(line)
    assert list(value) == ["position", "previous", "traceparent", *NINE_KEYS]
    assert value["traceparent"] == EXAMPLE
    assert read_front(line) == Arrived(line, "100-7", "99-1")


def test_front_tells_events_with_a_trace_from_all_others() -> None:
    """The reader of plain fronts passes over lines with a trace, and over one position in 1,000."""
    plain = lines(Started(workflow_id="wf"))[0]
    for position in ("100-7", "100-1001", "100-100", "1000-1"):
        assert read_front(splice(plain, position, "99-000"), UNTRACED) is not None
    assert read_front(splice(plain, None, None), UNTRACED) is not None
    for position in ("100-1000", "100-12345000"):
        assert read_front(splice(plain, position, "99-1"), UNTRACED) is None
        assert read_front(splice(plain, position, "99-1")) is not None
    for place in (("100-7", "99-1"), (None, None)):
        assert read_front(splice(traced_line(), *place), UNTRACED) is None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"hello",
        b"{}",
        b'{"event":"x","data":{}}',
        b' {"position":"1-1","previous":"0-0","id":"x"}',
        b'{"position": "1-1","previous":"0-0","id":"x"}',
        b'{"position":"1-x","previous":"0-0","id":"x"}',
        b'{"previous":"0-0","position":"1-1","id":"x"}',
        b'{"position":1,"previous":2,"id":"x"}',
        b'{"position":"%b-1","previous":"0-0","id":"x"}' % (b"9" * 21),
    ],
)
def test_front_of_a_foreign_line_is_none(line: bytes) -> None:
    """A line that does not start with the spliced position was not written by the bus."""
    assert read_front(line) is None


@pytest.mark.parametrize("rest", [b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf5\x80\x80\x80", b"\xe2\x82"])
def test_own_line_that_is_not_utf8_is_refused(rest: bytes) -> None:
    """A text frame is UTF-8, so a line that is not can reach no client: surrogates and overlong forms are not."""
    with pytest.raises(UnicodeDecodeError):
        read_front(splice(b'{"id":"' + rest + b'"}', "1-1", "0-0"))


def test_foreign_line_is_completed() -> None:
    """A hand-typed object with an event and data gets the nine keys, its room, and null positions."""
    arrived = foreign(b'{"event":"note","data":{"text":"hi"}}', "workflow:wf")
    value = json.loads(arrived.line)
    assert list(value) == ["position", "previous", *NINE_KEYS]
    assert (value["type"], value["event"], value["data"], value["room"]) == (
        "event",
        "note",
        {"text": "hi"},
        "workflow:wf",
    )
    assert value["position"] is value["previous"] is arrived.position is arrived.previous is None
    assert uuid.UUID(value["id"]).version == 4
    assert datetime.fromisoformat(value["timestamp"]).utcoffset() == timedelta(0)


def test_foreign_line_keeps_what_it_says_rightly() -> None:
    """An id and a time that are text stay; a room, a type or a position of its own does not."""
    line = (
        b'{"id":"mine","timestamp":"then","event":"e","data":{},"room":"other","type":"error","position":"9-9","x":1}'
    )
    value = json.loads(foreign(line, "workflow:wf").line)
    assert (value["id"], value["timestamp"]) == ("mine", "then")
    assert (value["room"], value["type"], value["position"]) == ("workflow:wf", "event", None)
    assert "x" not in value


@pytest.mark.parametrize("given", ["5", "null", "[]", '""'])
def test_foreign_line_with_an_id_that_is_no_text_gets_a_new_one(given: str) -> None:
    """An id that no client could use is replaced."""
    value = json.loads(foreign(f'{{"id":{given},"timestamp":{given},"event":"e","data":{{}}}}'.encode(), "a").line)
    assert uuid.UUID(value["id"]).version == 4
    assert datetime.fromisoformat(value["timestamp"]).tzinfo is not None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"hello",
        b"{",
        b"5",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"event":"x"}',
        b'{"data":{}}',
        b'{"event":5,"data":{}}',
        b'{"event":null,"data":{}}',
        b'{"event":"x","data":[]}',
        b'{"event":"x","data":"{}"}',
        b'{"event":"x","data":{"a":NaN}}',
        b'{"event":"x","data":{"a":1e999}}',
        b'{"event":"x","data":{"a":"\xff"}}',
        b'{"event":"x","data":{"a":"\\ud800"}}',
        b'{"event":"x","data":{}} trailing',
        b'\xef\xbb\xbf{"event":"x","data":{}}',
        b'{"event":"x","data":{"a":' + b"[" * 300 + b"]" * 300 + b"}}",
        b'{"event":"x","data":{"a":' + b"[" * 5000 + b"]" * 5000 + b"}}",
    ],
)
def test_foreign_line_that_cannot_be_completed_is_refused(line: bytes) -> None:
    """What is no JSON object with an event and data is an error of ours, whatever somebody types."""
    with pytest.raises(EventError):
        foreign(line, "workflow:wf")


@pytest.mark.parametrize(
    "inside", [b"[]," * 60_000, b"{}," * 60_000, b"0," * 90_000, b"[" * 60_000, b"[" * 40 + b"]" * 40]
)
def test_foreign_line_is_measured_before_it_is_read(inside: bytes) -> None:
    """What holds too much for a reader is refused for that, though its end is no JSON: no reader has seen it."""
    with pytest.raises(EventError, match=r"more than 10000 values|deeper than 29 levels"):
        foreign(b'{"event":"e","data":{"x":[' + inside + b"0]}oops", "workflow:wf")


def test_foreign_line_may_hold_much_text() -> None:
    """What stands in a string is no value: a line full of brackets and commas passes, and so do many numbers."""
    data = {"text": '[],"{},' * 20_000, "numbers": list(range(9_000))}
    arrived = foreign(orjson.dumps({"event": "e", "data": data}), "workflow:wf")
    assert json.loads(arrived.line)["data"] == data


@given(st.binary(max_size=64) | JSON.map(orjson.dumps))
def test_foreign_line_is_completed_or_refused(line: bytes) -> None:
    """No bytes on a channel raise anything but the error that says why they are dropped."""
    try:
        arrived = foreign(line, "workflow:wf")
    except EventError:
        return
    assert list(json.loads(arrived.line))[2:] == NINE_KEYS


def test_envelope_has_always_all_keys() -> None:
    """Every message of an edge has the nine keys, and an id and a time of its own."""
    one, other = envelope("pong"), envelope("pong")
    assert list(one) == NINE_KEYS
    assert one["id"] != other["id"]
    assert one["data"] == {}


@pytest.mark.parametrize(
    "line",
    [
        b'{"event":"a.b","data":{"%b":%b1%b}}' % (b"k" * 168_000, b"[" * 40, b"]" * 40),
        b'{"event":"a.b","data":{"%b":1e999}}' % (b"k" * 168_000),
        b'{"%b":1}' % (b"k" * 168_000),
        b'{"event":"a.b","data":"%b"}' % (b"k" * 168_000),
        b"k" * 168_000,
    ],
    ids=["deep", "infinite", "no event", "data", "no JSON"],
)
def test_reason_for_a_typed_line_holds_nothing_of_it(line: bytes) -> None:
    """The reason goes into the log, and what somebody typed does not: neither its keys nor its values."""
    with pytest.raises(EventError) as refused:
        foreign(line, "workflow:x")
    assert len(str(refused.value)) < 200
    assert "kk" not in str(refused.value)


def test_channel_that_is_named_twice_gets_one_line() -> None:
    """Two lines would be stored twice, and be the outcomes of other events."""
    assert [channel.name for channel, _ in compose(Moved(source="a", target="a")).lines] == ["workflow:a", "global"]
    assert len(compose(Moved(source="a", target="b")).lines) == 3


def test_two_channels_of_one_name_are_refused() -> None:
    """A client could not tell them apart, nor could the answer to the publish."""
    with pytest.raises(EventError, match="Confused goes on two channels that are called global"):
        compose(Confused())

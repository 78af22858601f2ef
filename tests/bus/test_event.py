import math
import signal
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from bus.channel import Channel, Family
from bus.event import Event, Json, JsonObject, check_json, now

WORKFLOW = Family("workflow:{workflow_id}")
POOL = Family("pool:{pool_id}")
TEAM = Family("goal-teams:{user_id}")
ADAPTERS = Family("adapters")
GLOBAL = Family("global", shared_by="mahavishnu")


class Started(Event, event="workflow.started", channels=(WORKFLOW, GLOBAL), extra="allow"):
    workflow_id: str
    steps: int = 0
    ratio: float = 0.0
    is_urgent: bool = False
    result: JsonObject = Field(default_factory=dict)


class Closed(Event, event="pool.closed", channels=(POOL,)):
    pool_id: str
    anything: Json = None


class TeamCreated(Event, event="team.created", channels=(ADAPTERS, TEAM)):
    team_id: str
    user_id: Annotated[str | None, Field(exclude=True)] = None


class Swapped(Event, event="adapter.swapped", channels=(POOL.by("old"), POOL.by("new"), ADAPTERS.fill())):
    old: str
    new: str


def nested(levels: int) -> dict[str, Any]:
    """Return objects within objects, `levels` of them."""
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def refused(model: type[Event], values: dict[str, Any]) -> str:
    """Return what the refusal of an event says."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    return str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("workflow_id", 5),
        ("workflow_id", None),
        ("workflow_id", b"bytes"),
        ("steps", "5"),
        ("steps", 5.0),
        ("steps", True),
        ("ratio", "0.5"),
        ("is_urgent", 1),
        ("is_urgent", "true"),
        ("result", []),
        ("result", "{}"),
        ("ratio", math.nan),
        ("ratio", math.inf),
        ("ratio", -math.inf),
    ],
)
def test_wrong_type_is_refused_by_the_fields_name(field: str, value: object) -> None:
    """Types are strict, NaN and infinities are no numbers, and the message names the field."""
    assert field in refused(Started, {"workflow_id": "wf", field: value})


def test_missing_field_is_refused_by_name() -> None:
    """What is required is asked for by name."""
    assert "workflow_id" in refused(Started, {"steps": 1})


def test_extra_key_is_refused_by_name_unless_the_model_allows_it() -> None:
    """A key that the model does not know is a mistake; where services.md has a `+` it is part of the data."""
    assert "colour" in refused(Closed, {"pool_id": "p", "colour": "red"})
    event = Started.model_validate({"workflow_id": "wf", "adapter": "local"})
    assert event.model_dump()["adapter"] == "local"


@pytest.mark.parametrize(
    ("value", "culprit"),
    [
        (math.nan, "nan"),
        (math.inf, "inf"),
        (2**64, str(2**64)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        ("\ud800", "surrogate"),
        ({1: "x"}, "the key 1"),
        ({"a": {None: 1}}, "a has the key None"),
        ({"\ud800": 1}, "surrogate"),
        ((1, 2), "tuple"),
        ({1, 2}, "set"),
        (b"x", "bytes"),
        (datetime(2026, 1, 1, tzinfo=UTC), "datetime"),
        (1j, "complex"),
        (object(), "object"),
        ([0, {"deep": [1, math.nan]}], "[1].deep[1]"),
        ({"a": {"b": 2**70}}, "a.b"),
    ],
)
@pytest.mark.parametrize("place", ["result", "extra_key"])
def test_what_json_cannot_carry_exactly_is_refused_with_its_path(value: object, culprit: str, place: str) -> None:
    """In a free-form field and in a caller's own key alike, the message names the field, and the path inside it."""
    wrapped = {"inner": value} if place == "result" else value
    message = refused(Started, {"workflow_id": "wf", place: wrapped})
    assert place in message
    assert culprit in message


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**63),
        2**64 - 1,
        0.1,
        -0.0,
        1e308,
        "",
        "é\U0001f600\x00",
        [],
        {},
        [[1], {"a": [None]}],
        {"": 1},
        signal.SIGTERM,
    ],
)
def test_what_json_can_carry_is_accepted_as_it_is(value: object) -> None:
    """The limits of 64 bits, empty things, any text and an enumeration's number pass unchanged."""
    assert check_json(value) is value
    assert Closed(pool_id="p", anything=value).anything == value


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_any_json_value_is_accepted(value: object) -> None:
    """Whatever JSON can say may be said."""
    assert check_json(value) is value


def test_nesting_is_bounded() -> None:
    """28 levels below a field pass, so that a line stays within a reader's 32; one more is refused by name."""
    assert Started(workflow_id="wf", result=nested(28)).result == nested(28)
    assert "nests deeper than 28" in refused(Started, {"workflow_id": "wf", "result": nested(29)})
    lists: list[Any] = []
    for _ in range(5_000):
        lists = [lists]
    assert "nests deeper than 28" in refused(Closed, {"pool_id": "p", "anything": lists})


def test_timestamp_belongs_to_the_bus() -> None:
    """A caller's own `timestamp` is refused by name, and a model cannot declare one."""
    assert "timestamp" in refused(Started, {"workflow_id": "wf", "timestamp": "2026-01-01T00:00:00+00:00"})
    with pytest.raises(TypeError, match="timestamp: the bus puts the timestamp in"):

        class Timed(Event, event="a.timed", channels=(ADAPTERS,)):
            timestamp: str


def test_timestamp_inside_of_data_is_the_callers() -> None:
    """Only the key beside the declared fields is the bus's."""
    assert Started(workflow_id="wf", result={"timestamp": 1}).result == {"timestamp": 1}


def test_event_is_frozen() -> None:
    """An event that was validated cannot be changed by assignment."""
    event = Started(workflow_id="wf")
    with pytest.raises(ValidationError, match="frozen"):
        event.workflow_id = "other"  # type: ignore[misc]
    assert event.workflow_id == "wf"


def test_refusal_does_not_show_the_value() -> None:
    """A message about a wrong value ends up in logs, so it does not hold the value."""
    assert "hunter2" not in refused(Started, {"workflow_id": ["hunter2"]})


def test_channels_come_in_the_order_of_the_class() -> None:
    """An event goes on each channel that its class names, filled from its fields."""
    assert [it.name for it in Started(workflow_id="wf").channels()] == ["workflow:wf", "global"]
    assert [it.redis for it in Started(workflow_id="wf").channels()] == ["workflow:wf", "global:mahavishnu"]
    assert [it.name for it in Swapped(old="a", new="b").channels()] == ["pool:a", "pool:b", "adapters"]


def test_field_that_is_none_leaves_its_channel_out() -> None:
    """The user's own channel is left out where no user is given."""
    assert [it.name for it in TeamCreated(team_id="t").channels()] == ["adapters"]
    assert [it.name for it in TeamCreated(team_id="t", user_id="u").channels()] == ["adapters", "goal-teams:u"]


def test_field_that_only_routes_is_no_part_of_the_data() -> None:
    """`user_id` of the team events chooses the channel and is not sent."""
    assert TeamCreated(team_id="t", user_id="u").model_dump() == {"team_id": "t"}


@pytest.mark.parametrize("value", ["", "x" * 129, "é" * 22])
def test_id_that_makes_no_channel_is_refused_by_the_fields_name(value: str) -> None:
    """An id that is empty or too long for a channel fails when the event is made."""
    assert "workflow_id" in refused(Started, {"workflow_id": value})
    assert "old" in refused(Swapped, {"old": value, "new": "b"})


@pytest.mark.parametrize(
    "name", ["Workflow.started", "workflow.", ".x", "a b", "a.b.c", "9a", "", "a\n", "a" * 65, 'a"b']
)
def test_bad_event_name_fails_at_the_class(name: str) -> None:
    """A name that is not like `workflow.started` is told to whoever writes the class."""
    with pytest.raises(TypeError, match="no event name"):

        class Bad(Event, event=name, channels=(ADAPTERS,)):
            pass


@pytest.mark.parametrize("name", ["room.left", "room.gap", "bus.degraded", "edge.draining", "auth.expiring", "bus.x"])
def test_name_of_a_notice_fails_at_the_class(name: str) -> None:
    """Clients act on an edge's notices, so no event may have the name of one, nor one like theirs."""
    with pytest.raises(TypeError, match="are the edge's own"):

        class Bad(Event, event=name, channels=(ADAPTERS,)):
            pass


@pytest.mark.parametrize(
    "name",
    [
        "session.created",
        "roommate.left",
        "rooms.left",
        "room",
        "metrics_update",
        "a.b",
        "quality_gate.checked",
        "a1_b.c2_d",
        "a" * 64,
    ],
)
def test_event_name_is_kept_as_written(name: str) -> None:
    """A name has one part or two, of small letters, digits and underscores."""

    class Good(Event, event=name, channels=(ADAPTERS,)):
        pass

    assert Good.event_name == name


def test_route_from_a_field_that_is_not_there_fails_at_the_class() -> None:
    """A channel filled from a field that the model lacks is told at import, not at the first publish."""
    with pytest.raises(TypeError, match=r"Lost.*workflow_id"):

        class Lost(Event, event="a.lost", channels=(WORKFLOW,)):
            other: str

    with pytest.raises(TypeError, match=r"LostToo.*parent"):

        class LostToo(Event, event="a.lost", channels=(WORKFLOW.by("parent"),)):
            workflow_id: str


def test_base_class_hands_its_channels_down() -> None:
    """Models that share channels share a base, which itself is never published."""

    class OnWorkflow(Event, channels=(WORKFLOW,)):
        workflow_id: str

    class Ended(OnWorkflow, event="workflow.ended"):
        code: int

    assert OnWorkflow.event_name == ""
    assert Ended.event_name == "workflow.ended"
    assert Ended(workflow_id="wf", code=1).channels() == (WORKFLOW.fill("wf"),)


def test_fixed_channel_is_the_channel_itself() -> None:
    """A class may name one channel of a family for good."""
    fixed: Channel = Family("symbiotic:{scope}").fill("ecosystem")

    class Metrics(Event, event="learning.metrics", channels=(fixed,)):
        pass

    assert Metrics().channels() == (fixed,)


def test_time_is_written_with_its_offset() -> None:
    """The bus writes UTC, ISO 8601, to the microsecond, with the offset."""
    text = now()
    read = datetime.fromisoformat(text)
    assert text.endswith("+00:00")
    assert len(text) == len("2026-01-01T00:00:00.000000+00:00")
    assert abs(datetime.now(UTC) - read) < timedelta(minutes=1)

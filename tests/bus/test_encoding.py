import dataclasses
import enum
import json
import math
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    field_serializer,
    field_validator,
    model_serializer,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass

from bus import encoding
from bus.channel import Family
from bus.encoding import decode, encode
from bus.errors import EventError
from bus.event import Event, Json, JsonObject

ROOM = Family("room:{room}")


class Colour(enum.Enum):
    RED = "red"


class Base(BaseModel):
    a: float = 1.0


class Rich(Base):
    b: str = "rich"


@dataclasses.dataclass
class Point:
    x: float = 1.0


@dataclasses.dataclass
class Labelled(Point):
    label: str = ""


@pydantic_dataclass
class Spot:
    x: int = 1


@pydantic_dataclass
class BigSpot(Spot):
    size: int = 2


class NumpyLike(float):
    """A float of somebody else's, as numpy's float64 is one."""


class Foreign:
    """Neither JSON nor known to pydantic, as numpy's int64 is."""


class Everything(Event, event="a.everything", channels=(ROOM,)):
    room: str = "r"
    anything: Any = None
    bare: dict[Any, Any] = Field(default_factory=dict)
    base: Base = Base()
    bases: list[Base] = Field(default_factory=list)
    point: Point = Field(default_factory=Point)
    spot: Spot = Field(default_factory=Spot)
    ratio: float = 0.0


class Typed(Event, event="a.typed", channels=(ROOM,)):
    room: str = "r"
    colour: Colour = Colour.RED
    at: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    id: uuid.UUID = uuid.UUID(int=5)
    day: date = date(2026, 1, 2)
    price: Decimal = Decimal("1.10")
    pair: tuple[int, str] = (1, "x")
    tags: frozenset[int] = frozenset({1})
    took: timedelta = timedelta(seconds=90)
    by_number: dict[int, str] = Field(default_factory=lambda: {1: "one"})
    raw: bytes = b"bytes"
    file: Path = Path("/tmp/x")  # noqa: S108 (never opened)


def sent(event: Event) -> dict[str, Any]:
    """Return the data of an event as a reader parses it."""
    value = json.loads(encode(event, "now"), parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
    assert value.pop("timestamp") == "now"
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, pytest.param(NumpyLike("nan"), id="numpy's")])
@pytest.mark.parametrize(
    ("field", "wrap", "path"),
    [
        ("anything", lambda it: it, "anything"),
        ("anything", lambda it: [1, {"deep": (2, it)}], r"anything\[1\]\.deep\[1\]"),
        ("anything", lambda it: Base(a=it), r"anything\.a"),
        ("anything", lambda it: Labelled(x=it), r"anything\.x"),
        ("bare", lambda it: {"k": it}, r"bare\.k"),
        ("base", lambda it: Base(a=it), r"base\.a"),
        ("bases", lambda it: [Base(), Rich(a=it)], r"bases\[1\]\.a"),
        ("point", lambda it: Point(x=it), r"point\.x"),
    ],
)
def test_number_that_json_has_not_is_refused_wherever_it_is(field: str, wrap: Any, path: str, number: float) -> None:
    """NaN and infinities are never null: the error names the event and the path, in whatever holds them."""
    with pytest.raises(ValueError, match=path) as caught:
        encode(Everything(**{field: wrap(number)}), "now")
    assert "which JSON cannot carry exactly" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([Foreign()], r"anything\[0\] is of type Foreign"),
        ({"a": (1, object())}, r"anything\.a\[1\] is of type object"),
        (2**70, "anything is 1180591620717411303424"),
        ({"a": 2**70}, r"anything\.a is"),
        ("\ud800", "anything holds a lone surrogate"),
        (b"\xff", "anything"),
    ],
)
def test_what_has_no_json_is_refused_by_its_path(value: Any, path: str) -> None:
    """A type that nobody can write down is named with the place where it is, and is an error of the bus."""
    with pytest.raises(EventError, match=rf"a\.everything: .*{path}"):
        encode(Everything(anything=value), "now")


def test_what_has_no_end_is_refused() -> None:
    """A list that holds itself, and one of endless depth, are told as such."""
    ring: list[Any] = []
    ring.append(ring)
    deep: list[Any] = []
    for _ in range(2_000):
        deep = [deep]
    for value in (ring, deep):
        with pytest.raises(EventError, match=r"a\.everything: "):
            encode(Everything(anything=value), "now")


def test_float_of_somebodys_own_is_a_number() -> None:
    """A subclass of float, such as numpy's, is written as the number that it is."""
    assert sent(Everything(anything=[NumpyLike(1.5)], ratio=NumpyLike(2.5)))["anything"] == [1.5]


class Masked(Event, event="a.masked", channels=(ROOM,)):
    room: str = "r"
    secret: str
    upper: Annotated[str, PlainSerializer(str.upper)] = "x"

    @field_serializer("secret", when_used="json")
    def _mask(self, _value: str) -> str:
        return "***"


def test_serializers_for_json_are_heeded() -> None:
    """A field that a model masks in JSON is masked on the wire; so is one by its annotation."""
    assert sent(Masked(secret="hunter2")) == {"room": "r", "secret": "***", "upper": "X"}


def test_fields_beyond_the_declared_type_are_kept() -> None:
    """What stands in a field of a base class keeps the fields of its own class: models and pydantic's dataclasses."""
    data = sent(Everything(base=Rich(b="mine"), bases=[Rich()], anything=Rich(), spot=BigSpot(size=7)))
    assert data["base"] == {"a": 1.0, "b": "mine"}
    assert data["bases"] == [{"a": 1.0, "b": "rich"}]
    assert data["anything"] == {"a": 1.0, "b": "rich"}
    assert data["spot"] == {"x": 1, "size": 7}


def test_fields_that_would_be_lost_are_refused() -> None:
    """Pydantic writes a plain dataclass as its declared class: one with more fields is told, and not cut."""
    with pytest.raises(EventError, match=r"a\.everything: point is a Labelled where Point is declared"):
        encode(Everything(point=Labelled(label="lost")), "now")
    assert sent(Everything(anything=Labelled(label="kept")))["anything"] == {"x": 1.0, "label": "kept"}


class Counted(Event, event="a.counted", channels=(ROOM,)):
    room: str = "r"
    cents: int
    inner: "CountedInner"

    @field_validator("cents")
    @classmethod
    def _to_cents(cls, value: int) -> int:
        return value * 100


class CountedInner(BaseModel):
    model_config = Event.model_config

    cents: int

    @field_validator("cents")
    @classmethod
    def _to_cents(cls, value: int) -> int:
        return value * 100


def test_validators_run_once() -> None:
    """What is sent is what the caller holds: a validator that multiplies has multiplied once."""
    event = Counted(cents=1, inner=CountedInner(cents=2))
    assert (event.cents, event.inner.cents) == (100, 200)
    assert sent(event) == {"room": "r", "cents": 100, "inner": {"cents": 200}}


class Renamed(Event, event="a.renamed", channels=(ROOM,)):
    model_config = ConfigDict(validate_by_name=True)

    room: str = Field("r", alias="Room")
    when: int = Field(1, serialization_alias="whenSent")


def test_alias_is_what_is_sent() -> None:
    """A field goes out under its alias, which its reader validates by."""
    assert sent(Renamed.model_validate({"Room": "x", "when": 5})) == {"Room": "x", "whenSent": 5}


def test_alias_that_the_bus_writes_itself_fails_at_the_class() -> None:
    """The timestamp belongs to the bus under whatever name a field has."""
    with pytest.raises(TypeError, match="timestamp: the bus puts the timestamp in"):

        class Timed(Event, event="a.timed", channels=(ROOM,)):
            room: str
            when: str = Field(alias="timestamp")


def test_types_go_out_and_come_in_again() -> None:
    """Enumerations, times, ids, dates, decimals, tuples, sets: what the SDK sends, the other entrance takes."""
    event = Typed()
    data = sent(event)
    assert data["colour"] == "red"
    assert data["by_number"] == {"1": "one"}
    assert decode(Typed, json.dumps(data).encode()) == event


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"5", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"ratio": NaN}', "not JSON"),
        (b'{"anything": [Infinity]}', "not JSON"),
        (b'{"anything": "\xff"}', "not JSON"),
    ],
)
def test_what_is_no_json_object_is_refused(text: bytes, sentence: str) -> None:
    """The entrance takes JSON only, and an object."""
    with pytest.raises(EventError, match=sentence):
        decode(Everything, text)


def test_wrong_value_is_refused_by_its_field() -> None:
    """JSON mode is strict still: a text is no number, and a text of NaN no word for one."""
    with pytest.raises(ValidationError, match="ratio"):
        decode(Everything, b'{"ratio": "5"}')
    assert decode(Everything, b'{"anything": "NaN"}').anything == "NaN"


class Late(Event, event="a.late", channels=(ROOM,)):
    room: str
    count: int = 0
    inner: Base = Base()


@pytest.mark.parametrize(
    ("event", "culprit"),
    [
        (Late.model_construct(room="r", count="five"), "count"),  # type: ignore[arg-type]
        (Late.model_construct(count=5), "room"),  # type: ignore[call-arg]
        (Late.model_construct(room=5), "room"),  # type: ignore[arg-type]
        (Late(room="r").model_copy(update={"count": "hunter2"}), "count"),
        (Late(room="r").model_copy(update={"inner": Base.model_construct(a="hunter2")}), "a"),  # type: ignore[arg-type]
    ],
)
def test_what_was_built_past_validation_is_refused(event: Event, culprit: str) -> None:
    """A value of another type than its field's, and one that is missing, are named; the value is not shown."""
    with pytest.raises(ValueError, match=culprit) as caught:
        encode(event, "now")
    assert "hunter2" not in str(caught.value)


class Odd(Event, event="a.odd", channels=(ROOM,)):
    room: str = "r"

    @model_serializer
    def _as_list(self) -> list[str]:
        return [self.room]


def test_data_is_an_object() -> None:
    """A model that serializes itself into something else cannot be an event's data."""
    with pytest.raises(EventError, match=r"a\.odd: .*object"):
        encode(Odd(), "now")


class Failing(Event, event="a.failing", channels=(ROOM,)):
    room: str = "r"

    @field_serializer("room")
    def _fail(self, _value: str) -> str:
        raise KeyError("x")


def test_serializer_that_fails_is_told() -> None:
    """An error in a model's own serializer names the event."""
    with pytest.raises(EventError, match=r"a\.failing: "):
        encode(Failing(), "now")


class Free(Event, event="a.free", channels=(ROOM,), extra="allow"):
    room: str = "r"
    result: JsonObject = Field(default_factory=dict)


def test_extra_keys_are_sent_and_looked_into() -> None:
    """A caller's own keys go out, and what they hold is looked at."""
    event = Free.model_validate({"note": {"a": 1}})
    assert sent(event) == {"room": "r", "result": {}, "note": {"a": 1}}
    assert event.__pydantic_extra__ is not None
    event.__pydantic_extra__["note"]["a"] = math.nan
    with pytest.raises(ValueError, match=r"a is nan"):
        encode(event, "now")


class Some(Event, event="a.some", channels=(ROOM,)):
    room: str
    value: Json


@pytest.mark.parametrize(
    "value",
    ['é\u0000\x7f"\\', 2**63, 2**64 - 1, -(2**63), 1e300, 1e-7, 0.1, 12345678901234567890, [1, {"a": None}], "NaN"],
)
def test_either_way_of_writing_has_the_same_bytes(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model is written by its own encoder, or looked through and written by another: clients read one text."""
    event = Some(room="r", value=value)
    fast = encode(event, "now")
    monkeypatch.setattr(encoding, "_plainly", lambda _: None)
    assert encode(event, "now") == fast

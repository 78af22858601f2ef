"""Which events are state, and under which keys."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.channel import LATEST, LIVE, Family, Retention
from bus.errors import ChannelError, EventError
from bus.event import Event, JsonObject
from bus.keyed import KEY_BYTES, KEY_LIMIT, Keyed, Place
from bus.service import Service

DIAGRAM = Keyed(
    {
        "element.added": "element:{element.id}",
        "element.updated": "element:{element_id}:{changes.*}",
        "diagram.locked": "lock",
        "diagram.updated": "diagram:{*}",
        "number.set": "number:{number}:{unit}",
    },
    removed={"element.deleted": "element:{element_id}"},
)


@pytest.mark.parametrize(
    ("event", "data", "keys"),
    [
        ("element.added", {"element": {"id": "e1"}}, ("element:e1",)),
        ("element.added", {"element": {"id": 5}}, ("element:5",)),
        ("element.added", {"element": {"id": "a:b c"}}, ("element:a%3Ab%20c",)),
        ("element.added", {"element": {"id": None}}, ()),
        ("element.added", {"element": {"id": ""}}, ()),
        ("element.added", {"element": {"id": ["e1"]}}, ()),
        ("element.added", {"element": {}}, ()),
        ("element.added", {"element": "e1"}, ()),
        ("element.added", {}, ()),
        ("element.added", [], ()),
        ("element.updated", {"element_id": "e1", "changes": {"x": 1, "y": 2}}, ("element:e1:x", "element:e1:y")),
        ("element.updated", {"element_id": "e1", "changes": {}}, ()),
        ("element.updated", {"element_id": "e1", "changes": None}, ()),
        ("element.updated", {"element_id": "e1", "changes": {"": 1, "%": 2}}, ("element:e1:%", "element:e1:%25")),
        ("element.updated", {"changes": {"x": 1}}, ()),
        ("diagram.locked", {"user_id": "u"}, ("lock",)),
        ("diagram.updated", {"title": "a"}, ("diagram:title",)),
        ("number.set", {"number": 1.5, "unit": True}, ("number:1.5:true",)),
        ("diagram.saved", {"storage_key": "k"}, ()),
    ],
)
def test_keys_of_an_event(event: str, data: Any, keys: tuple[str, ...]) -> None:
    """A template reads the data; an event without a value for the key, or not listed, is no state."""
    assert DIAGRAM.place(event, data) == Place(keys)


def test_removal_names_one_key() -> None:
    """An event of ``removed`` leaves a tombstone under the key."""
    assert DIAGRAM.place("element.deleted", {"element_id": "e1"}) == Place(("element:e1",), is_gone=True)


@given(st.tuples(st.text(min_size=1), st.text(min_size=1)), st.tuples(st.text(min_size=1), st.text(min_size=1)))
def test_two_subjects_never_share_a_key(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Keys are equal only where the fields are, whatever the ids hold."""
    keyed = Keyed({"a.b": "pair:{one}:{other}"})
    keys = [keyed.place("a.b", {"one": it[0][:20], "other": it[1][:20]}).keys for it in (one, other)]
    assert (keys[0] == keys[1]) == (one[0][:20] == other[0][:20] and one[1][:20] == other[1][:20])


def test_too_many_or_too_long_keys_are_refused() -> None:
    """The sentence has the number and the limit."""
    with pytest.raises(EventError, match=f"{KEY_LIMIT + 1} keys of the channel's state; the limit is {KEY_LIMIT}"):
        DIAGRAM.place("element.updated", {"element_id": "e", "changes": dict.fromkeys(map(str, range(KEY_LIMIT + 1)))})
    with pytest.raises(EventError, match=f"a key of 1000008 bytes in the channel's state; the limit is {KEY_BYTES}"):
        DIAGRAM.place("element.added", {"element": {"id": "x" * 1_000_000}})


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"events": ["a.b"]}, "keyed: events is to be a mapping of events' names to templates"),
        ({"events": {"a.b": 5}}, "keyed: 'a.b': an event's name and a template are texts"),
        ({"events": {"a.b": ""}}, "keyed: a.b: '' is no template of keys: write it like"),
        ({"events": {"a.b": "bus:{x}"}}, "'bus:{x}' is no template"),
        ({"events": {"a.b": "w:{x"}}, "'w:{x' is no template"),
        ({"events": {"a.b": "Worker"}}, "'Worker' is no template"),
        ({"events": {"a.b": "w:{x.*}:y"}}, "is no template"),
        ({"events": {"a.b": "{x}{y}"}}, "'{x}{y}': two fields of a template have a ':' between them"),
        ({"events": {"a.b": "w{x.*}"}}, "two fields of a template have a ':' between them"),
        ({"events": {"a.b": "w:{x}"}, "removed": {"a.b": "w:{x}"}}, "a.b: an event is state, or removes state"),
        ({"events": {}, "removed": {"a.b": "w:{x.*}"}}, "a.b: an event removes one key, and the keys under it"),
        ({"events": {}, "max_keys": 0}, "keyed: max_keys is 0, and is to be a whole number of at least 1"),
        ({"events": {}, "max_bytes": "4"}, "keyed: max_bytes is '4'"),
    ],
)
def test_odd_parts_are_refused_by_name(parts: dict[str, Any], sentence: str) -> None:
    """A catalogue is refused where it is written."""
    with pytest.raises(ChannelError) as caught:
        Keyed(**parts)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("retention", [LIVE, LATEST, Retention("live", max_events=0)])
def test_only_history_has_a_state(retention: Retention) -> None:
    """State stands at a position of the log."""
    with pytest.raises(ChannelError, match="only a channel with history has a state"):
        Family("room:{room}", retention, keyed=Keyed({"a.b": "x"}))


def test_parts_of_a_removed_key_are_known() -> None:
    """Keys under a removed key have to be found by name; other families need no such list."""
    assert DIAGRAM.has_parts
    assert not Keyed({"a.b": "w:{x}"}, removed={"a.c": "w:{y}"}).has_parts


ROOM = Family("room:{room}", keyed=Keyed({"thing.set": "thing:{thing.id}"}))


class ThingSet(Event, event="thing.set", channels=(ROOM,)):
    room: str
    thing: JsonObject


class Elsewhere(Event, event="thing.set", channels=(Family("other"),)):
    thing: JsonObject


class Fieldless(Event, event="thing.set", channels=(ROOM,)):
    room: str


class Open(Event, event="thing.set", channels=(ROOM,), extra="allow"):
    room: str


def service(*events: type[Event]) -> Service:
    return Service(name="shop", port=8699, welcome="Hello", families=(ROOM, Family("other")), events=events)


@pytest.mark.parametrize("model", [ThingSet, Open])
def test_events_of_a_state_have_the_fields(model: type[Event]) -> None:
    """A model with the field, or with keys of the callers' own, may be state; the channel knows its state."""
    keyed = service(model).channel("room:one").keyed
    assert keyed is not None
    assert keyed.place("thing.set", {"thing": {"id": 1}}).keys == ("thing:1",)


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        ((), "shop: room:{room}: keyed: thing.set: no event of this name goes on the family"),
        ((Elsewhere,), "shop: room:{room}: keyed: thing.set: no event of this name goes on the family"),
        ((Fieldless,), "shop: room:{room}: keyed: thing.set: Fieldless has no field thing that is sent"),
    ],
)
def test_catalogue_without_the_events_of_its_state_is_refused(events: tuple[type[Event], ...], sentence: str) -> None:
    """A name misspelled in ``keyed`` would else be found by nobody."""
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        service(*events)

"""Values are dataclasses in every way but one: their methods are compiled at the first use."""

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import field
from typing import Any

import pytest

from bus import values
from bus.values import frozen, mutable


class Plain:
    """A class to be made a value of, with a field of every kind."""

    name: str
    many: list[int] = field(default_factory=list)
    count: int = 3
    hidden: str = field(default="secret", repr=False, compare=False)
    word: str | None = field(default=None, kw_only=True)
    made: dict[str, int] = field(init=False, default_factory=dict)
    late: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "late", self.name.upper())


class Empty:
    pass


def of(plain: type, decorate: Callable[[type], type]) -> Any:
    """Return a copy of ``plain``, decorated."""
    body = {name: it for name, it in vars(plain).items() if name not in ("__dict__", "__weakref__")}
    return decorate(type(plain.__name__, (), {**body, "__qualname__": plain.__qualname__}))


FROZEN, FROZEN_BEFORE = of(Plain, frozen), of(Plain, dataclasses.dataclass(frozen=True, slots=True))
MUTABLE, MUTABLE_BEFORE = of(Plain, mutable), of(Plain, dataclasses.dataclass(slots=True))
PAIRS = [(FROZEN, FROZEN_BEFORE), (MUTABLE, MUTABLE_BEFORE)]
CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    (("a",), {}),
    (("a", [1], 4, "x"), {"word": "w"}),
    ((), {"name": "b", "count": 5}),
]


@pytest.mark.parametrize("pair", PAIRS, ids=["frozen", "mutable"])
@pytest.mark.parametrize(("given", "named"), CALLS)
def test_value_is_what_a_dataclass_is(pair: tuple[Any, Any], given: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Fields, defaults, factories, text, comparison and copies are those of the dataclass of Python's own."""
    ours, theirs = (it(*given, **named) for it in pair)
    assert repr(ours) == repr(theirs)
    assert dataclasses.asdict(ours) == dataclasses.asdict(theirs)
    assert type(ours).__match_args__ == type(theirs).__match_args__
    assert type(ours).__slots__ == type(theirs).__slots__
    assert ours == pair[0](*given, **named)
    assert ours != dataclasses.replace(ours, name="other")
    assert ours == dataclasses.replace(ours, hidden="another")
    assert ours != theirs
    assert ours != object()
    assert copy.copy(ours) == copy.deepcopy(ours) == ours
    assert not hasattr(ours, "__dict__")


@pytest.mark.parametrize("pair", PAIRS, ids=["frozen", "mutable"])
@pytest.mark.parametrize(("given", "named"), [((), {}), (("a", [], 1, "x", "word"), {}), (("a",), {"late": "x"})])
def test_wrong_arguments_are_refused(pair: tuple[Any, Any], given: tuple[Any, ...], named: dict[str, Any]) -> None:
    """What an argument is, and what is none, is as with dataclasses."""
    for made in pair:
        with pytest.raises(TypeError):
            made(*given, **named)


def test_factories_make_for_each() -> None:
    """Two values share no list that each was to have."""
    assert FROZEN("a").many is not FROZEN("a").many
    assert FROZEN("a").made is not FROZEN("a").made


def test_frozen_value_changes_no_more() -> None:
    """Not by assignment, and not by deletion; a program that tries hears so as with dataclasses."""
    value = FROZEN("a")
    for one in (value, FROZEN_BEFORE("a")):
        with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'name'"):
            one.name = "b"
        with pytest.raises(dataclasses.FrozenInstanceError):
            del one.name
    assert value.name == "a"


def test_mutable_record_changes() -> None:
    """A record is for counting and collecting, and so is no key."""
    record = MUTABLE("a")
    record.count += 1
    assert record.count == 4
    with pytest.raises(TypeError, match="unhashable"):
        hash(record)


@frozen
class Key:
    """Stands at the module, where pickle looks."""

    channel: str
    note: str = field(default="", compare=False)


@frozen
class Longer(Key):
    """Has a field more."""

    more: int = 0


def test_equal_values_are_one_key() -> None:
    """Hashes go by the fields that are compared."""
    assert {Key("a", "x"): 1}[Key("a", "y")] == 1
    assert hash(Longer("a", more=1)) == hash(Longer("a", "z", 1))
    assert Longer("a") != Key("a")


def test_frozen_value_goes_through_pickle() -> None:
    """As to another process."""
    value = Longer("a", "note", 2)
    gone = pickle.loads(pickle.dumps(value))  # noqa: S301 (our own)
    assert (gone, gone.note) == (value, "note")


def test_value_is_matched() -> None:
    """By place and by name."""
    match Longer("a", more=2):
        case Longer(channel, _, more=2):
            assert channel == "a"
        case _:
            pytest.fail("no match")


def test_value_without_fields_is_a_value() -> None:
    """Such as a command without parameters."""
    empty = of(Empty, frozen)
    assert empty() == empty()
    assert hash(empty()) == hash(empty())
    assert repr(empty()) == "Empty()"


def test_methods_are_made_at_their_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each method once; a class that is loaded and not used costs no compilation."""
    asked: list[list[str]] = []

    def counted(*args: Any, **kwargs: Any) -> type:
        asked.append([name for name in ("init", "repr", "eq") if kwargs[name]])
        return dataclasses.make_dataclass(*args, **kwargs)

    monkeypatch.setattr(values, "make_dataclass", counted)
    made = of(Plain, frozen)
    assert asked == []
    assert made("a") == made("a")
    assert made("b") != made("c")
    assert asked == [["init"], ["eq"]]

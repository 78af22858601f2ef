"""Classes of values: like ``dataclasses.dataclass``, with methods that are compiled at their first use.

A frozen dataclass with slots takes 0.7 ms to make, since Python compiles six methods from text for each class. An edge
has 130 such classes, and uses a few before it is ready, so that was a quarter of an edge's start (decisions/0167). For
others each class stays a dataclass: ``fields``, ``replace``, ``asdict``, ``match``, pickles and copies work as ever.
"""

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from typing import Any, Final, TypeVar, cast, dataclass_transform

__all__ = ["frozen", "mutable"]

ClassT = TypeVar("ClassT", bound=type)


@dataclass_transform(frozen_default=True, field_specifiers=(field, Field))
def frozen(cls: ClassT) -> ClassT:
    """Make of ``cls`` what ``@dataclass(frozen=True, slots=True)`` makes: a value with slots, compared by fields."""
    made = _made(cls, sets=_FROZEN)
    if "__hash__" not in cls.__dict__:
        _put_off(made, "__hash__", _hash)
    methods: Any = made
    methods.__setattr__ = methods.__delattr__ = _refuse
    methods.__getstate__, methods.__setstate__ = _state, _restore
    return made


@dataclass_transform(field_specifiers=(field, Field))
def mutable(cls: ClassT) -> ClassT:
    """Make of ``cls`` what ``@dataclass(slots=True)`` makes: slots, compared by fields, and no hash."""
    made = _made(cls, sets=_MUTABLE)
    if "__hash__" not in cls.__dict__:
        setattr(made, "__hash__", None)  # noqa: B010 (of a type variable mypy takes no assignment)
    return made


_MUTABLE: Final = "self.{0} = {1}"
_FROZEN: Final = "_set_{0}(self, {1})"
"""The slot's own setter: of a frozen value, a third faster than ``object.__setattr__``."""


def _made(cls: ClassT, sets: str) -> ClassT:
    cls.__doc__ = cls.__doc__ or cls.__name__  # else dataclasses would look for the signature
    made = cast(ClassT, dataclass(init=False, repr=False, eq=False, slots=True)(cls))
    _put_off(made, "__init__", lambda one: _init(one, sets))
    for name, build in (("__repr__", _repr), ("__eq__", _eq)):
        if name not in cls.__dict__:
            _put_off(made, name, build)
    return made


def _put_off(made: Any, name: str, build: Callable[[type], Any]) -> None:
    """Give ``made`` a method that has the real one built at its first call, and gives its place to it."""

    def first(*args: Any, **kwargs: Any) -> Any:
        method = build(made)
        method.__name__, method.__qualname__ = name, f"{made.__qualname__}.{name}"
        setattr(made, name, method)
        return method(*args, **kwargs)

    setattr(made, name, first)


def _init(made: type, sets: str) -> Any:
    """Compile ``__init__`` from the fields: these have defaults, factories, or are not among the arguments."""
    space: dict[str, Any] = {"_FACTORY": _FACTORY}
    parameters, keywords, steps = ["self"], ["*"], []
    for it in fields(made):
        name, given = it.name, it.name
        space[f"_set_{name}"] = getattr(made, name).__set__
        if it.default_factory is not MISSING:
            space[f"_make_{name}"] = it.default_factory
            given = f"_make_{name}() if {name} is _FACTORY else {name}" if it.init else f"_make_{name}()"
        elif it.default is not MISSING:
            space[f"_default_{name}"] = it.default
            given = name if it.init else f"_default_{name}"
        if it.init:
            (keywords if it.kw_only else parameters).append(name + _default(it))
        if it.init or given != name:
            steps.append(sets.format(name, given))
    if hasattr(made, "__post_init__"):
        steps.append("self.__post_init__()")
    words = ", ".join([*parameters, *(keywords if len(keywords) > 1 else ())])
    return _compiled(words, steps or ["pass"], space)


def _default(it: "Field[Any]") -> str:
    if it.default_factory is not MISSING:
        return "=_FACTORY"
    return "" if it.default is MISSING else f"=_default_{it.name}"


def _eq(made: type) -> Any:
    compared = [it.name for it in fields(made) if it.compare]
    mine, other = _tuple("self", compared), _tuple("other", compared)
    steps = ["if other.__class__ is self.__class__:", f"    return {mine} == {other}", "return NotImplemented"]
    return _compiled("self, other", steps, {})


def _hash(made: type) -> Any:
    hashed = [it.name for it in fields(made) if (it.compare if it.hash is None else it.hash)]
    return _compiled("self", [f"return hash({_tuple('self', hashed)})"], {})


def _repr(made: type) -> Any:
    shown = ", ".join(f"{it.name}={{self.{it.name}!r}}" for it in fields(made) if it.repr)
    return _compiled("self", [f'return f"{{self.__class__.__qualname__}}({shown})"'], {})


def _tuple(of: str, names: list[str]) -> str:
    return f"({''.join(f'{of}.{name}, ' for name in names)})"


def _compiled(parameters: str, steps: list[str], space: dict[str, Any]) -> Any:
    body = "\n    ".join(steps)
    exec(f"def method({parameters}):\n    {body}", space)  # noqa: S102 (of names of fields alone, as dataclasses does)
    return space["method"]


class _Factory:
    def __repr__(self) -> str:
        return "<factory>"


_FACTORY: Final = _Factory()


def _refuse(self: Any, name: str, *_value: Any) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, it.name) for it in fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for it, part in zip(fields(self), state, strict=True):
        object.__setattr__(self, it.name, part)

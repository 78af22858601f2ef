"""Classes of values: like ``dataclasses.dataclass``, with methods that are compiled at their first use.

A frozen dataclass with slots takes 0.7 ms to make, since Python compiles six methods from text for each class. An edge
has 130 such classes, and uses a few before it is ready, so that was a quarter of an edge's start (decisions/0167). For
others each class stays a dataclass: ``fields``, ``replace``, ``asdict``, ``match``, pickles and copies work as ever.
"""

from dataclasses import Field, FrozenInstanceError, dataclass, field, fields, make_dataclass
from typing import Any, TypeVar, cast, dataclass_transform

__all__ = ["frozen", "mutable"]

ClassT = TypeVar("ClassT", bound=type)


@dataclass_transform(frozen_default=True, field_specifiers=(field, Field))
def frozen(cls: ClassT) -> ClassT:
    """Make of ``cls`` what ``@dataclass(frozen=True, slots=True)`` makes: a value with slots, compared by fields."""
    made = _made(cls, is_frozen=True)
    methods: Any = made
    methods.__setattr__ = methods.__delattr__ = _refuse
    methods.__getstate__, methods.__setstate__ = _state, _restore
    return made


@dataclass_transform(field_specifiers=(field, Field))
def mutable(cls: ClassT) -> ClassT:
    """Make of ``cls`` what ``@dataclass(slots=True)`` makes: slots, compared by fields, and no hash."""
    made = _made(cls, is_frozen=False)
    if "__hash__" not in cls.__dict__:
        setattr(made, "__hash__", None)  # noqa: B010 (of a type variable mypy takes no assignment)
    return made


def _made(cls: ClassT, *, is_frozen: bool) -> ClassT:
    cls.__doc__ = cls.__doc__ or cls.__name__  # else dataclasses would look for the signature
    made = cast(ClassT, dataclass(init=False, repr=False, eq=False, slots=True)(cls))
    for name in ("__init__", "__repr__", "__eq__", *(("__hash__",) if is_frozen else ())):
        if name == "__init__" or name not in cls.__dict__:
            _put_off(made, name, is_frozen=is_frozen)
    return made


def _put_off(made: Any, name: str, *, is_frozen: bool) -> None:
    """Give ``made`` a method that has the real one made at its first call, and gives its place to it."""

    def first(*args: Any, **kwargs: Any) -> Any:
        method = _method(made, name, is_frozen=is_frozen)
        setattr(made, name, method)
        return method(*args, **kwargs)

    setattr(made, name, first)


def _method(made: type, name: str, *, is_frozen: bool) -> Any:
    """Return the method that dataclasses make for a class with the fields of ``made``; no other is compiled."""
    space = {"__qualname__": made.__qualname__, "__doc__": made.__doc__}  # else the signature would be looked for
    if hasattr(made, "__post_init__"):
        space["__post_init__"] = made.__post_init__
    twin = make_dataclass(
        made.__name__,
        [(it.name, it.type, it) for it in fields(made)],
        namespace=space,
        init=name == "__init__",
        repr=name == "__repr__",
        eq=name in ("__eq__", "__hash__"),
        frozen=is_frozen and name in ("__init__", "__hash__"),
    )
    return twin.__dict__[name]


def _refuse(self: Any, name: str, *_value: Any) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, it.name) for it in fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for it, part in zip(fields(self), state, strict=True):
        object.__setattr__(self, it.name, part)

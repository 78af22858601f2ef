"""An event's data as JSON: out as the caller holds the event, in as the model describes the event.

Out, a model is dumped once, in JSON mode, and never validated again: a second validation would run validators twice
and cut a field's value to the field's declared type. In, JSON is validated as JSON: Python objects made from JSON
would be refused where a field is an enumeration, a time or a tuple. This module knows no channels and no lines.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator
from types import NoneType
from typing import Any, Final, NamedTuple, TypeVar, get_args

import orjson
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError, to_jsonable_python

from bus.errors import EventError
from bus.event import Event, check_json

__all__ = ["decode", "encode", "revalidate"]

EventT = TypeVar("EventT", bound=Event)

_DUMP: Final[dict[str, Any]] = {
    "mode": "json",
    "by_alias": True,
    "warnings": "error",  # a value of another type than its field's was put there past validation
    # decisions/0064: not `serialize_as_any`, which passes over serializers in annotations, and so over masks.
    "polymorphic_serialization": True,
}
_UNEXPECTED: Final = re.compile(r"Expected `([^`]*)`.*?field_name='([^']*)'.*?input_type=(\w+)")
_EMPTY_BYTES: Final = 2
_PERHAPS_INEXACT: Final = re.compile(rb"[0-9]{19}")
"""The digits of an integer that 64 bits may not hold."""
_DEPTH_LIMIT: Final = 250
"""Levels searched for a culprit; the encoder itself gives up at about as many."""


def encode(event: Event, timestamp: str) -> bytes:
    """Return the data of ``event`` as a JSON object, with ``timestamp`` as its last key.

    Raises:
        pydantic.ValidationError: the event, or a value in the event, was changed or built past validation.
        EventError: JSON cannot carry a value; the message names the path.

    """
    try:
        if (text := _plainly(event)) is not None:
            stamp = b'"timestamp":"%b"}' % timestamp.encode()
            return text[:-1] + b"," + stamp if len(text) > _EMPTY_BYTES else b"{" + stamp
        data = _dump(event)
        data.setdefault("timestamp", timestamp)  # decisions/0092: models have no such key, raw data may
        return _written(data)
    except (TypeError, ValueError, RecursionError) as error:
        revalidate(event)
        raise EventError(f"{event.event_name}: {_reason(event, error)}") from None


def revalidate(event: Event) -> None:
    """Validate ``event`` as if made anew.

    Raises:
        pydantic.ValidationError: the event would not be made now; no other error names the field as well.

    """
    values = {**event.__dict__, **(event.__pydantic_extra__ or {})}
    type(event).model_validate(values, by_name=True, by_alias=False)


def decode(model: type[EventT], text: bytes) -> EventT:
    """Return the event that a JSON object describes, by the model's aliases: the only entrance for JSON.

    Raises:
        EventError: ``text`` is no JSON, or no object.
        pydantic.ValidationError: the object is no such event; the message names the field.

    """
    try:
        if b"NaN" in text or b"Infinity" in text:  # pydantic's parser takes these words for numbers; orjson refuses
            orjson.loads(text)
        return model.model_validate_json(text)
    except orjson.JSONDecodeError as error:
        raise EventError(f"the data is not JSON: {error}") from None
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        if problem["type"] == "json_invalid":
            raise EventError(f"the data is not JSON: {problem['ctx']['error']}") from None
        if not problem["loc"] and problem["type"].startswith("model_"):
            raise EventError("the data is not a JSON object") from None
        raise


class _Plain(NamedTuple):
    """How an event's model may be written: whether by its own encoder; its fields; whether a number may be inexact."""

    is_plain: bool
    fields: frozenset[str]
    has_numbers: bool


def _plainly(event: Event) -> bytes | None:
    """Return the data of an event as the model's own encoder writes them; None where a closer look is needed."""
    # decisions/0157: half the time of a dump and a second encoder. Both write the same bytes, but for numbers that JSON
    # or 64 bits cannot hold: of these the dump is looked through, and the culprit named.
    model = type(event)
    is_plain, fields, has_numbers = _plain(model)
    values = event.__dict__
    if not is_plain or event.__pydantic_extra__ or values.keys() != fields:
        return None
    try:
        text: bytes = model.__pydantic_serializer__.to_json(event, by_alias=True, warnings="error")
    except (ValueError, RecursionError):
        return None
    if has_numbers and (_PERHAPS_INEXACT.search(text) is not None or b"NaN" in text or b"Infinity" in text):
        return None
    return text


@functools.cache
def _plain(model: type[Event]) -> _Plain:
    decorators, fields = model.__pydantic_decorators__, model.model_fields
    names = [it.serialization_alias or name for name, it in fields.items()]
    has_own = bool(decorators.model_serializers or decorators.computed_fields or _holds_dataclasses(model))
    # A value of a model's or a dataclass' may be of a class with further fields; two fields of one alias are one key.
    is_plain = not has_own and len(set(names)) == len(names) and not any(map(_holds_models, fields.values()))
    return _Plain(is_plain, frozenset(fields), not all(map(_is_text, fields.values())))


def _is_text(field: FieldInfo) -> bool:
    """Tell whether a field holds texts, truth values and null alone."""
    kinds = set(_types(field.annotation))
    return bool(kinds) and kinds <= {str, bool, NoneType} and not field.metadata


def _holds_models(field: FieldInfo) -> bool:
    return any(issubclass(it, BaseModel) for it in _types(field.annotation))


def _dump(event: Event) -> dict[str, Any]:
    model = type(event)
    if not event.__dict__.keys() >= model.model_fields.keys():
        raise EventError(f"{', '.join(model.model_fields.keys() - event.__dict__.keys())} is missing")
    if _holds_dataclasses(model):
        _check_dataclasses(event, (), "")
    data = event.model_dump(**_DUMP)
    if not isinstance(data, dict):
        raise EventError("its model serializes itself into something else than an object")
    return data


def _written(data: dict[str, Any]) -> bytes:
    try:
        text = orjson.dumps(data)
    except TypeError:
        check_json(data)
        raise
    # decisions/0064: the encoder writes null for a float that is no number, so data are searched only after a null.
    # Encoding with the standard library, which refuses such floats, takes 5 to 50 times as long.
    if b"null" in text and not _is_finite(data):
        check_json(data)
    return text


def _is_finite(value: Any) -> bool:
    """Tell whether all numbers in ``value``, made of JSON's own types, are finite; texts are passed over fast."""
    kind = type(value)
    if kind is float:
        return math.isfinite(value)
    if kind is not dict and kind is not list:
        return True
    for part in value.values() if kind is dict else value:
        if type(part) is not str and not _is_finite(part):
            return False
    return True


def _reason(event: Event, error: Exception) -> str:
    """Return the sentence about the culprit and its path, without the value."""
    if (found := _UNEXPECTED.search(str(error))) is not None:
        return f"{found[2]} is to be {found[1]}, and is of type {found[3]}"
    if not isinstance(error, PydanticSerializationError | UnicodeError):
        return str(error)
    for path, value in _leaves(event, "", 0):
        try:
            to_jsonable_python(value)
        except (PydanticSerializationError, UnicodeError):
            return f"{path} is of type {type(value).__name__}, which JSON has not"
    return f"its model cannot be written as JSON: {error}"


def _leaves(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield the innermost values in ``value``, each with its path."""
    parts = list(_parts(value))
    if not parts or depth >= _DEPTH_LIMIT:
        yield path, value
    for name, part in parts if depth < _DEPTH_LIMIT else ():
        yield from _leaves(part, f"{path}{name}".removeprefix("."), depth + 1)


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, BaseModel):
        yield from ((f".{name}", part) for name, part in value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from ((f".{it.name}", getattr(value, it.name, None)) for it in dataclasses.fields(value))
    elif isinstance(value, dict):
        yield from ((f".{key}", part) for key, part in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"[{index}]", part) for index, part in enumerate(value))


def _check_dataclasses(value: Any, declared: tuple[type, ...], path: str) -> None:
    """Refuse a dataclass with more fields than the declared class.

    Raises:
        EventError: the message names the path.

    """
    # decisions/0064: pydantic writes a plain dataclass as its declared class, and the further fields would be lost.
    if type(value) not in declared and isinstance(value, declared):
        wanted = " or ".join(it.__name__ for it in declared)
        raise EventError(f"{path} is a {type(value).__name__} where {wanted} is declared, and would lose fields")
    for name, part in _parts(value):
        inside = declared
        if isinstance(value, BaseModel):
            field = type(value).model_fields.get(name[1:])
            inside = tuple(_plain_dataclasses(field.annotation)) if field else ()
        elif dataclasses.is_dataclass(value):
            inside = ()
        _check_dataclasses(part, inside, f"{path}{name}".removeprefix("."))


@functools.cache
def _holds_dataclasses(model: type[BaseModel]) -> bool:
    """Tell whether a field of ``model``, or of a model in the fields, is declared as a plain dataclass."""
    seen, todo = set[type[BaseModel]](), [model]
    while todo:
        one = todo.pop()
        seen.add(one)
        for field in one.model_fields.values():
            if any(True for _ in _plain_dataclasses(field.annotation)):
                return True
            todo += [it for it in _types(field.annotation) if issubclass(it, BaseModel) and it not in seen]
    return False


def _plain_dataclasses(annotation: Any) -> Iterator[type]:
    return (
        it for it in _types(annotation) if dataclasses.is_dataclass(it) and not hasattr(it, "__pydantic_serializer__")
    )


def _types(annotation: Any) -> Iterator[type]:
    """Yield the classes that an annotation names, such as ``A`` and ``B`` of ``dict[str, A | list[B]]``."""
    if isinstance(annotation, type) and not get_args(annotation):
        yield annotation
    for part in get_args(annotation):
        yield from _types(part)

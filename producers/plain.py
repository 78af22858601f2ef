"""Values of callers in the form of an event's fields: made JSON as pydantic does it, where they are not of it already.

Knows no service and no channel. A value whose meaning is not plain stays as it is, for the model to refuse by name.
"""

from collections.abc import Mapping
from dataclasses import is_dataclass
from decimal import Decimal
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

__all__ = ["is_model", "to_json", "validated"]

ModelT = TypeVar("ModelT", bound=BaseModel)


def validated(model: type[ModelT], values: Any) -> ModelT:
    """Return ``values`` (a mapping, a model, a dataclass) as a ``model``.

    Raises:
        pydantic.ValidationError: a value is not of its field's type, and has no plain form of it.

    """
    # decisions/0091: first as given, so that what fits costs nothing and stays as it is.
    try:
        return model.model_validate(values, by_name=True)
    except ValidationError:
        return model.model_validate(_fields(model, values), by_name=True)


def is_model(value: object) -> bool:
    """Tell whether ``value`` is a pydantic model or a dataclass, whose fields are then taken for a mapping's."""
    return isinstance(value, BaseModel) or (is_dataclass(value) and not isinstance(value, type))


def to_json(value: Any) -> Any:
    """Return ``value`` of the types of JSON, as pydantic writes it; a part without such a form stays as it is."""
    try:
        return to_jsonable_python(value)
    except (PydanticSerializationError, UnicodeError, ValueError):
        return _each_part(value)


def _each_part(value: Any) -> Any:
    match value:
        case Mapping():
            return {key: to_json(part) for key, part in value.items()}
        case list() | tuple() | set() | frozenset():
            return [to_json(part) for part in value]
    return value


def _fields(model: type[BaseModel], values: Any) -> Any:
    values = values if isinstance(values, Mapping) else to_json(values)
    if not isinstance(values, Mapping):
        return values
    known = model.model_fields
    return {key: _plain(known[key].annotation if key in known else None, value) for key, value in values.items()}


def _plain(annotation: Any, value: Any) -> Any:
    """Return the plain form of ``value`` for a field of a type: the rules of decisions/0091, in order."""
    kind, inner = get_origin(annotation) or annotation, get_args(annotation)
    match value:
        case None if kind is dict:
            return {}
        case BaseException() if kind is str:
            return str(value) or type(value).__name__
        case Decimal() if kind is float:
            return float(value)
        case list() | tuple() if kind is list and isinstance(inner[0], type) and issubclass(inner[0], BaseModel):
            return [_fields(inner[0], row) for row in value]
    return to_json(value)

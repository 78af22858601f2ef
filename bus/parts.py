"""The parts of a definition (a catalogue, a family, an event's class): are they of the type they are to be?

Knows no definition; says which part is wrong, and of which type.
"""

import re
from collections.abc import Iterable
from typing import Any

__all__ = ["as_tuple", "check_class", "check_part", "given", "is_text_of"]


def given(value: object) -> str:
    """Return how a sentence names what was given in place of something else."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"of type {type(value).__name__}"


def check_part(part: str, value: object, kind: type | tuple[type, ...], wanted: str) -> None:
    """Raise ``TypeError`` unless ``value`` is of ``kind``, which a sentence calls ``wanted``."""
    if not isinstance(value, kind):
        raise TypeError(f"{part} is to be {wanted}, and is {given(value)}")


def check_class(part: str, value: object, kind: type, wanted: str) -> None:
    """Raise ``TypeError`` unless ``value`` is a class of ``kind``, which a sentence calls ``wanted``."""
    if not (isinstance(value, type) and issubclass(value, kind)):
        raise TypeError(f"{part} is to be {wanted}, and is {given(value)}")


def is_text_of(pattern: "re.Pattern[str]", value: object) -> bool:
    """Tell whether ``value`` is a text, and the whole of it is of ``pattern``."""
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def as_tuple(part: str, value: object) -> tuple[Any, ...]:
    """Return the tuple or list ``value`` as a tuple, else raise ``TypeError``: a comma is easily forgotten."""
    check_part(part, value, (tuple, list), "a tuple, such as (ONE,)")
    return tuple(value) if isinstance(value, Iterable) else ()

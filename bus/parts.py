"""The parts of a definition (a catalogue, a family, an event's class), checked against their types.

Knows no definition; names the wrong part and its type.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

__all__ = ["PORT_LIMIT", "as_tuple", "check_class", "check_part", "given", "is_text_of"]

PORT_LIMIT: Final = 65_535


def given(value: object) -> str:
    """Return the words for a value of a wrong type in a sentence."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"of type {type(value).__name__}"


def check_part(part: str, value: object, kind: type | tuple[type, ...], wanted: str) -> None:
    """Check that ``value`` is of ``kind``, called ``wanted`` in the sentence.

    Raises:
        TypeError: the value is of another type.

    """
    if not isinstance(value, kind):
        raise TypeError(f"{part} is to be {wanted}, and is {given(value)}")


def check_class(part: str, value: object, kind: type, wanted: str) -> None:
    """Check that ``value`` is a class of ``kind``, called ``wanted`` in the sentence.

    Raises:
        TypeError: the value is no such class.

    """
    if not (isinstance(value, type) and issubclass(value, kind)):
        raise TypeError(f"{part} is to be {wanted}, and is {given(value)}")


def is_text_of(pattern: "re.Pattern[str]", value: object) -> bool:
    """Tell whether ``value`` is a text, as a whole of ``pattern``."""
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def as_tuple(part: str, value: object) -> tuple[Any, ...]:
    """Return the tuple or list ``value`` as a tuple.

    Raises:
        TypeError: the value is of another type; a comma is easily forgotten.

    """
    check_part(part, value, (tuple, list), "a tuple, such as (ONE,)")
    return tuple(value) if isinstance(value, Iterable) else ()

"""The number of values in a JSON text and their depth, counted in the bytes, before a parser runs. Pure.

A parser makes an object of each value, and later code takes a step per object; a text of 64 KB may hold twenty
thousand. The counts here are a few passes of C over the bytes, some nanoseconds each, for any text.
"""

from typing import Final

from bus.errors import ShapeError

__all__ = ["LINE_DEPTH", "LINE_VALUES", "MESSAGE_VALUES", "check_shape"]

MESSAGE_VALUES: Final = 2_000
"""The most values of a message to an edge, unless a setting says otherwise: a quarter of a millisecond of reading."""
LINE_VALUES: Final = 10_000
"""The most values of a line of other writers: a millisecond of reading."""
LINE_DEPTH: Final = 29
"""The most levels of such a line: 28 of its data, as in an event, and the line itself."""

_LEFT_OUT: Final = bytes(set(range(256)) - set(b"[]{}"))
_ALIKE: Final = bytes.maketrans(b"{}", b"[]")


def check_shape(text: bytes, *, values: int, depth: int) -> None:
    """Check the size of ``text``; whether the text is JSON is for a parser to say.

    Counted are commas and opening brackets outside of strings: no fewer than the values within the document, and more
    only where containers are empty, each of which may count twice. A document nests as deep as its innermost array or
    object; the outermost is the first level. In a text that is no JSON, a parser reads no more values than counted
    here before the parser stops.

    Raises:
        ShapeError: the text holds more than ``values`` values, or nests deeper than ``depth``.

    """
    # decisions/0041: the bound comes before the work. A parser cannot be stopped half way, and has the event loop.
    openings = text.count(b"[") + text.count(b"{")
    count = openings + text.count(b",")
    if count <= values and openings <= depth:
        return
    bare = _without_strings(text, values)
    if bare.count(b"[") + bare.count(b"{") + bare.count(b",") > values:
        raise _too_many(values)
    if _nests_deeper(bare, depth):
        raise ShapeError(f"nests deeper than {depth} levels", "depth")


def _too_many(values: int) -> ShapeError:
    return ShapeError(f"holds more than {values} values", "values")


def _without_strings(text: bytes, values: int) -> bytes:
    """Return the bytes outside of strings; without escapes, every second piece between quotes is inside."""
    plain = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    if plain.count(b'"') > 4 * (
        values + 1
    ):  # two for each key and each value of an object: more pieces need not be made
        raise _too_many(values)
    return b"".join(plain.split(b'"')[::2])


def _nests_deeper(bare: bytes, depth: int) -> bool:
    """Take away the innermost pairs of brackets, level by level; a text with no pair left nests no deeper."""
    brackets = bare.translate(_ALIKE, _LEFT_OUT)
    for _ in range(depth):
        brackets = brackets.replace(b"[]", b"")
    return b"[]" in brackets

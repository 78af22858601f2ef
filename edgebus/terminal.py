"""What commands print, and how they end: escaping, colour only on a terminal, errors as exit codes.

Every command loads this module, ``--help`` too; so rich, orjson and pydantic are loaded when they are used.
"""

import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NoReturn

import typer

from bus.errors import BusError, BusTimeout, BusUnavailable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["Exit", "escape", "exit_with", "exits", "note", "show", "show_json", "show_table"]

_ESCAPED: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Co"})
"""Unicode categories that can move a cursor, hide text or turn its direction."""


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    TIMED_OUT = 4


@cache
def _console(*, is_error: bool = False) -> "Console":
    from rich.console import Console

    return Console(highlight=False, emoji=False, soft_wrap=True, stderr=is_error)


def escape(text: str) -> str:
    """Return ``text`` with every control and format character as a JSON escape, so that it cannot steer a terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(char) if unicodedata.category(char) in _ESCAPED else char for char in text)


def _escaped(char: str) -> str:
    code = ord(char)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def show(text: str, *, style: str | None = None, end: str = "\n") -> None:
    """Print one line of text that may hold data."""
    _console().print(escape(text), style=style, markup=False, end=end)


def show_table(table: "Table") -> None:
    """Print a table; its cells are escaped by whoever filled them."""
    _console().print(table)


def show_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    import orjson

    sys.stdout.write(escape(orjson.dumps(value).decode()) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Print one line beside the output."""
    _console(is_error=True).print(escape(text), markup=False)


def exit_with(code: Exit, text: str) -> NoReturn:
    """Say why, and end the command."""
    note(f"edgebus: {text}")
    raise typer.Exit(code)


@contextmanager
def exits() -> Iterator[None]:
    """Turn the errors that a user can cause into a sentence and an exit code; a bug keeps its traceback."""
    try:
        yield
    except BusTimeout as error:
        exit_with(Exit.TIMED_OUT, str(error))
    except BusUnavailable as error:
        exit_with(Exit.UNREACHABLE, str(error))
    except BusError as error:  # of these, a ValueError is about what was typed
        exit_with(Exit.USAGE if isinstance(error, ValueError) else Exit.FAILED, str(error))
    except ValueError as error:
        problems = _problems(error)
        if not problems:
            raise
        exit_with(Exit.USAGE, f"the event is not valid: {problems}")


def _problems(error: ValueError) -> str:
    """Return what is wrong with an event, field by field; of an error that is about no event, nothing."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return ""
    return "; ".join(f"{'.'.join(map(str, it['loc'])) or 'data'}: {it['msg']}" for it in error.errors())

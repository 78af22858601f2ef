"""Output and end of commands: escaping, colour only on a terminal, errors as exit codes.

Every command loads this module, ``--help`` too. So typer, rich, orjson and pydantic are loaded on first use.
"""

import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NoReturn

from bus.errors import BusError, BusTimeout, BusUnavailable, EdgeSilent

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["Exit", "escape", "exit_with", "exits", "note", "show", "show_json", "show_table"]

_ESCAPED: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Co"})
"""Unicode categories that can move a cursor, hide text or turn its direction."""
_WIDE: Final = 10_000


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

    console = Console(highlight=False, emoji=False, soft_wrap=True, stderr=is_error)
    if not console.is_terminal:
        console.width = _WIDE
    return console


def escape(text: str) -> str:
    """Return ``text`` with every control and format character as a JSON escape."""
    # Events hold texts of strangers. An escape sequence in a title could rewrite lines of the terminal, or its title.
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(char) if unicodedata.category(char) in _ESCAPED else char for char in text)


def _escaped(char: str) -> str:
    # As JSON writes characters beyond the basic plane: two surrogates, so that the output of `--json` stays JSON.
    code = ord(char)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def show(text: str, *, style: str | None = None, end: str = "\n") -> None:
    """Print one line of text that may hold data."""
    if style is not None:
        _console().print(escape(text), style=style, markup=False, end=end)
        return
    try:
        print(escape(text), end=end, flush=True)  # an edge's first line does not wait until rich is loaded
    except BrokenPipeError:
        _console().on_broken_pipe()


def show_table(table: "Table") -> None:
    """Print a table; the caller has escaped the cells. In a file or a pipe a row is a line, however long."""
    _console().print(table)


def show_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    import orjson

    sys.stdout.write(escape(orjson.dumps(value).decode()) + "\n")
    sys.stdout.flush()  # a pipe is buffered, and the reader of `edgebus listen --json | jq` waits for this line


def note(text: str) -> None:
    """Print one line beside the output."""
    _console(is_error=True).print(escape(text), markup=False)


def exit_with(code: Exit, text: str) -> NoReturn:
    """Print ``text`` beside the output, and end the command with ``code``."""
    import typer  # here: an edge that starts has no use of typer

    note(f"edgebus: {text}")
    raise typer.Exit(code)


@contextmanager
def exits() -> Iterator[None]:
    """Turn a user's errors into a sentence and an exit code; a bug keeps its traceback."""
    # From the special to the general: a timeout is a kind of unavailability, and both are kinds of BusError.
    try:
        yield
    except (BusTimeout, EdgeSilent) as error:
        exit_with(Exit.TIMED_OUT, str(error))
    except BusUnavailable as error:
        exit_with(Exit.UNREACHABLE, str(error))
    except BusError as error:  # a BusError that is a ValueError, too, is about a typed argument
        exit_with(Exit.USAGE if isinstance(error, ValueError) else Exit.FAILED, str(error))
    except ValueError as error:
        problems = _problems(error)
        if not problems:
            raise
        exit_with(Exit.USAGE, f"the event is not valid: {problems}")


def _problems(error: ValueError) -> str:
    """Return an invalid event's mistakes, field by field; empty for any other error."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return ""
    return "; ".join(f"{'.'.join(map(str, it['loc'])) or 'data'}: {it['msg']}" for it in error.errors())

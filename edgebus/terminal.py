"""What commands print, and how they end: escaping, colour only on a terminal, errors as exit codes."""

import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, Final, NoReturn

import orjson
import typer
from pydantic import ValidationError
from rich.console import Console

from bus.errors import (
    AclError,
    AddressError,
    BusError,
    BusTimeout,
    BusUnavailable,
    ChannelError,
    EventError,
    ServiceBroken,
    ServiceNotFound,
)
from edges.settings import SettingsError

__all__ = ["Exit", "escape", "exit_with", "exits", "note", "out", "show_json"]

_ESCAPED: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Co"})
"""Unicode categories that can move a cursor, hide text or turn its direction."""


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    TIMED_OUT = 4


out: Final = Console(highlight=False, emoji=False, soft_wrap=True)
_err: Final = Console(highlight=False, emoji=False, soft_wrap=True, stderr=True)


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
    out.print(escape(text), style=style, markup=False, end=end)


def show_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    sys.stdout.write(escape(orjson.dumps(value).decode()) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Print one line beside the output."""
    _err.print(escape(text), markup=False)


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
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, it['loc'])) or 'data'}: {it['msg']}" for it in error.errors())
        exit_with(Exit.USAGE, f"the event is not valid: {problems}")
    except (AclError, AddressError, ChannelError, EventError, ServiceBroken, ServiceNotFound, SettingsError) as error:
        exit_with(Exit.USAGE, str(error))
    except BusError as error:
        exit_with(Exit.FAILED, str(error))

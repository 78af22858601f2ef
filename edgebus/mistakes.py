"""The mistake in a user's Python file, in one line: the file, the line, and a sentence.

The line is the file's own, also where a library noticed the mistake: a traceback names fifty other lines.
"""

import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

import bus
from bus.errors import BusError, ServiceBroken

__all__ = ["mistake"]

_OURS: Final = tuple(
    str(Path(bus.__file__).parents[1] / name) + "/" for name in ("bus", "producers", "edges", "clients", "edgebus")
)
_STANDARD: Final = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
_INSTALLED: Final = tuple(sysconfig.get_path(name) for name in ("purelib", "platlib"))
_SHOWN: Final = 300


def mistake(error: Exception, name: str) -> ServiceBroken:
    """Return the error for a failed loading of the service called ``name``."""
    file, line = _place(error)
    where = f"{file}, line {line}" if file else name
    return ServiceBroken(f"{where}: {_sentence(error)}")


def _place(error: Exception) -> tuple[str, int]:
    """Return the last place of the traceback in the user's own files; empty where there is none."""
    # decisions/0066: `Made(…, channels=ROOM)` fails inside of pydantic, and the class statement is to be changed.
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno or 1
    places = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    theirs = [it for it in places if not it[0].startswith((*_OURS, "<"))]
    own = _last(theirs, lambda file: not file.startswith((*_STANDARD, *_INSTALLED)))
    return own or _last(theirs, lambda file: file.startswith(_INSTALLED)) or ("", 0)


def _last(places: list[tuple[str, int]], is_wanted: Callable[[str], bool]) -> tuple[str, int] | None:
    return next(((file, line) for file, line in reversed(places) if is_wanted(file)), None)


def _sentence(error: Exception) -> str:
    # Sentences of ours say all; of any other error the type says half.
    if type(error) is ValueError or isinstance(error, BusError):
        text = str(error)
    elif isinstance(error, SyntaxError):
        text = f"SyntaxError: {error.msg}"
    else:  # with "Did you mean", which the error itself does not say
        text = "".join(traceback.TracebackException.from_exception(error).format_exception_only())
    whole = " ".join(text.split())
    return whole if len(whole) <= _SHOWN else f"{whole[:_SHOWN]}…"

"""The log of a process: one line per event of the process's life; JSON on a pipe, for people on a terminal.

Libraries of the house log with Python's ``logging`` and ``extra=``; only here is decided how a line looks.
"""

import json
import logging
import os
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO, TypeAlias

from bus.log_fields import AddFields
from edgebus.terminal import escape

__all__ = ["configure"]

_FIELD: Final = 1_000
_TRACEBACK: Final = 8_000
"""So many characters of a field, and of a traceback, are written."""
_FIRST: Final = (
    "timestamp",
    "level",
    "event",
    "logger",
    "edge",
    "generation",
    "incident",
    "connection",
    "user",
    "address",
    "channel",
    "reason",
    "count",
)
"""The order of keys; others follow in the order of the line, and a traceback comes last."""
_LAST: Final = ("incident", "generation", "edge")
_OURS: Final = ("edgebus", "asyncio", "py.warnings")
"""The loggers that are sent on. Without the root logger: a library at debug level would write tokens and payloads."""
_HIDDEN: Final = "***"
_SECRETS: Final = frozenset({"token", "password", "secret", "authorization", "cookie"})
_SCRUBBED: Final = (
    (re.compile(r"(?<=://)[^\s/@'\"]*:[^\s@'\"]+(?=@)"), _HIDDEN),  # user and password of a URL
    (re.compile(r"eyJ[\w-]{6,}(\.[\w-]*){0,4}"), _HIDDEN),  # a JWT: base64url of an object's first bytes
    (re.compile(r"(?i)(?<=bearer )[\w.~+/=-]+"), _HIDDEN),
    (re.compile(r"(?<=\?)[\w.%-]+=[^\s'\"]*"), _HIDDEN),  # a query string may hold a token
)


_OF_ANY_RECORD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}
"""The names of a record that no ``extra=`` has given."""

_Line: TypeAlias = dict[str, Any]


class _Formatter(logging.Formatter):
    """From a record of Python's ``logging`` to a line, by way of a dictionary without secrets."""

    def __init__(self, render: Callable[[_Line], str]) -> None:
        super().__init__()
        self._render = render

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return self._render(_clean(_fields(record) | _error(record)))


def _fields(record: logging.LogRecord) -> _Line:
    return {name: it for name, it in record.__dict__.items() if name not in _OF_ANY_RECORD} | {
        "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")[:-6] + "Z",
        "level": record.levelname.lower(),
        "event": record.getMessage(),
        "logger": record.name,
    }


def _error(record: logging.LogRecord) -> _Line:
    """Tell an error's kind and text; the traceback is for errors of ours, at level error, alone."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return {}
    told = {"error_type": type(error).__name__, "error": str(error)}
    if record.levelno >= logging.ERROR:
        told["exception"] = "".join(traceback.format_exception(error)).rstrip("\n")
    return told


def _clean(record: _Line) -> _Line:
    """Leave no secret, no control character, and of long texts the beginning and the end; order the keys."""
    rest = {name: it for name, it in record.items() if name not in _FIRST and name != "exception"}
    ordered = {name: record[name] for name in _FIRST if name in record} | rest
    cleaned = {name: _cleaned(it, name) for name, it in ordered.items()}
    if "exception" in record:
        lines = str(record["exception"]).split("\n")
        cleaned["exception"] = _cut("\n".join(escape(_scrubbed(line)) for line in lines), _TRACEBACK)
    return cleaned


def _cleaned(value: Any, name: str = "") -> Any:
    if name.lower() in _SECRETS:
        return _HIDDEN
    # Names, headers and reasons hold texts of strangers: a line break would forge a line, a control character write
    # over the terminal's, and a long text fill the disk.
    if isinstance(value, str):
        return _cut(escape(_scrubbed(str(value))))
    if isinstance(value, Mapping):
        return {_cleaned(str(key)): _cleaned(it, str(key)) for key, it in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_cleaned(it) for it in value]
    return value if isinstance(value, int | float | None) else _cut(escape(_scrubbed(str(value))))


def _scrubbed(text: str) -> str:
    for pattern, instead in _SCRUBBED:
        text = pattern.sub(instead, text)
    return text


def _cut(text: str, most: int = _FIELD) -> str:
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} … {text[-half:]} ({len(text)} characters in all)"


def _for_people(record: _Line) -> _Line:
    """Show the time of day, and the edge last: in a terminal there is mostly one edge, of today."""
    record["timestamp"] = record["timestamp"][11:23]
    record.pop("logger", None)
    # No line of a traceback begins at the margin: the text of an error may hold a line that looks like the log's.
    if "exception" in record:
        record["exception"] = textwrap.indent(record["exception"], "    ")
    return {name: it for name, it in record.items() if name not in _LAST} | {
        name: record[name] for name in _LAST if name in record
    }


def _renderer(form: str, stream: TextIO) -> Callable[[_Line], str]:
    if form == "json" or (form == "auto" and not stream.isatty()):
        return json.dumps
    # Here, since structlog loads rich: a tenth of the start of an edge whose lines are for no terminal.
    from structlog import dev

    # https://no-color.org: any value but an empty one says no.
    colors = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    # Not the renderer's own way with a traceback: that shows local variables, and those may hold tokens and payloads.
    shown = dev.ConsoleRenderer(colors=colors, exception_formatter=dev.plain_traceback, sort_keys=False, pad_event_to=0)
    return lambda record: shown(None, "", _for_people(record))


def configure(level: str, form: str = "auto") -> None:
    """Send the records of ``edgebus`` loggers, and warnings of Python itself, to standard error.

    The level may be changed while the process runs: ``logging.getLogger("edgebus").setLevel(…)``.

    Args:
        level: ``debug``, ``info``, ``warning``, ``error`` or ``critical``.
        form: ``json``, ``console``, or ``auto``: for people on a terminal, JSON elsewhere.

    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(AddFields())
    handler.setFormatter(_Formatter(_renderer(form, sys.stderr)))
    for name in _OURS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
    logging.getLogger("edgebus").setLevel(level.upper())
    logging.captureWarnings(capture=True)

"""The log of a process: one line per event of the process's life; JSON on a pipe, for people on a terminal.

Libraries of the house log with Python's ``logging`` and ``extra=``; only here is decided how a line looks.
"""

import logging
import os
import re
import sys
import textwrap
from collections.abc import Mapping
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor

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


def _name(logger: Any, method: str, record: EventDict) -> EventDict:
    """Tell an error's kind and text; the traceback is for errors of ours, at level error, alone."""
    exc_info = record.pop("exc_info", None)
    error = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    if isinstance(error, BaseException):
        record["error_type"], record["error"] = type(error).__name__, str(error)
        if logging.getLevelNamesMapping()[record["level"].upper()] >= logging.ERROR:
            record["exc_info"] = (type(error), error, error.__traceback__)
    return structlog.processors.format_exc_info(logger, method, record)


def _clean(_: object, __: str, record: EventDict) -> EventDict:
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


def _for_people(_: object, __: str, record: EventDict) -> EventDict:
    """Show the time of day, and the edge last: in a terminal there is mostly one edge, of today."""
    record["timestamp"] = record["timestamp"][11:23]
    record.pop("logger", None)
    return {name: it for name, it in record.items() if name not in _LAST} | {
        name: record[name] for name in _LAST if name in record
    }


def _indented(_: object, __: str, record: EventDict) -> EventDict:
    """Begin no line of a traceback at the margin: the text of an error may hold a line that looks like the log's."""
    if "exception" in record:
        record["exception"] = textwrap.indent(record["exception"], "    ")
    return record


def _renderers(form: str, stream: TextIO) -> list[Processor]:
    if form == "json" or (form == "auto" and not stream.isatty()):
        return [structlog.processors.JSONRenderer()]
    # https://no-color.org: any value but an empty one says no.
    colors = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    # Not the renderer's own way with a traceback: that shows local variables, and those may hold tokens and payloads.
    shown = structlog.dev.ConsoleRenderer(
        colors=colors, exception_formatter=structlog.dev.plain_traceback, sort_keys=False, pad_event_to=0
    )
    return [_for_people, _indented, shown]


def configure(level: str, form: str = "auto") -> None:
    """Send the records of ``edgebus`` loggers, and warnings of Python itself, to standard error.

    The level may be changed while the process runs: ``logging.getLogger("edgebus").setLevel(…)``.

    Args:
        level: ``debug``, ``info``, ``warning``, ``error`` or ``critical``.
        form: ``json``, ``console``, or ``auto``: for people on a terminal, JSON elsewhere.

    """
    before: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(AddFields())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _name,
                _clean,
                *_renderers(form, sys.stderr),
            ],
        )
    )
    for name in _OURS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
    logging.getLogger("edgebus").setLevel(level.upper())
    logging.captureWarnings(capture=True)

"""The log of a process: one line per event of the process's life, coloured on a terminal, JSON elsewhere."""

import logging
import sys
from typing import Final

import structlog
from structlog.typing import EventDict, Processor

__all__ = ["configure"]

_FIELD: Final = 1_000
_TRACEBACK: Final = 8_000
"""So many characters of a field, and of a traceback, are written."""


def _cut(_: object, __: str, record: EventDict) -> EventDict:
    """Leave the beginning and the end of long texts."""
    # Some fields hold texts of strangers, such as the reason of a close: one client must not fill the disk.
    for name, value in record.items():
        most = _TRACEBACK if name == "exception" else _FIELD
        if isinstance(value, str) and len(value) > most:
            half = most // 2
            record[name] = f"{value[:half]} … {value[-half:]} ({len(value)} characters in all)"
    return record


def configure(level: str) -> None:
    """Send the records of ``edgebus`` loggers to standard error.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.

    """
    before: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Not the renderer's own way with a traceback: that shows local variables, and those may hold tokens and payloads.
    coloured = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    last = coloured if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _cut,
                last,
            ],
        )
    )
    # Loggers of `edgebus` alone, without the root logger: a library at debug level would write tokens and payloads.
    root = logging.getLogger("edgebus")
    root.handlers = [handler]
    root.setLevel(level.upper())
    root.propagate = False

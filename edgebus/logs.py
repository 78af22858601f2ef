"""The log of a process: one line per event of its life, coloured on a terminal, JSON elsewhere."""

import logging
import sys

import structlog
from structlog.typing import Processor

__all__ = ["configure"]


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
                last,
            ]
            if not sys.stderr.isatty()
            else [structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger("edgebus")
    root.handlers = [handler]
    root.setLevel(level.upper())
    root.propagate = False

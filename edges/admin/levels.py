"""The level of the edge's log, changed while the edge runs."""

import logging
from typing import Final

from edges.admin.asked import BadCommand

__all__ = ["change_level"]

_LEVELS: Final = ("debug", "info", "warning", "error", "critical")
_log: Final = logging.getLogger("edgebus")


def change_level(level: str | None) -> tuple[str, str]:
    """Set the level of all loggers of the bus in this process; return the level before, and the level now.

    Raises:
        BadCommand: there is no such level.

    """
    wanted = "" if level is None else level.lower()
    if wanted not in _LEVELS:
        raise BadCommand(f"level: expected one of {', '.join(_LEVELS)}")
    before = logging.getLevelName(_log.getEffectiveLevel()).lower()
    _log.setLevel(wanted.upper())
    return before, wanted

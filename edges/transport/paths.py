"""Paths of plain HTTP that several modules know."""

from typing import Final

__all__ = ["EVENTS", "HISTORY"]

EVENTS: Final = "/events"
HISTORY: Final = "/channels/"
"""The name of a channel follows."""

"""The search of everything that is logged while the tests run, at debug level, for tokens."""

import logging
import re
from collections.abc import Iterable
from typing import Final

import pytest

__all__ = ["SEARCH", "SEARCHED", "Search", "ours"]

SEARCHED: Final = ("edgebus", "redis", "push_response", "asyncio", "uvloop")
"""Loggers that are let through at debug level: ours, and those of what an edge rests on.

Not those of ``websockets``: the tests' own peers show every frame there, with the tokens that they send.
"""

_TOKEN: Final = re.compile(r"eyJ[A-Za-z0-9_-]{6,}")
"""How a JWT begins: base64url of an object's first bytes."""
_PEERS: Final = ("websockets.client", "websockets.server")
"""Loggers of the tests' own peers, which show every frame that they send."""


def ours(records: Iterable[logging.LogRecord]) -> list[logging.LogRecord]:
    """Return what the bus itself logged, for a test that counts."""
    return [record for record in records if record.name.startswith("edgebus")]


class Search(logging.Handler):
    """Looks at each record in full: its text, its fields, its traceback."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records = self.processes = 0
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Search one record."""
        if not record.name.startswith(_PEERS):
            self.records += 1
            fields = " ".join(map(str, record.__dict__.values()))
            self._look(f"{self.format(record)} {fields}", f"{record.name}: {record.msg}")

    def look_at_output(self, text: str, program: str) -> None:
        """Search what a process wrote."""
        self.processes += 1
        self._look(text, program)

    def _look(self, text: str, where: str) -> None:
        if _TOKEN.search(text) is not None:
            self.found.append(where)


SEARCH: Final = pytest.StashKey[Search]()

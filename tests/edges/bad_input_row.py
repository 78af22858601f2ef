"""What a row of the table of bad input is, and how its bytes are written."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bus.service import Service
from producers.services.mahavishnu import SERVICE as MAHAVISHNU
from tests.edges.peers import TEXT, frame

__all__ = ["DEFAULTS", "Row", "Setup", "request", "rows", "text"]


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings of the edge that some rows are tried against.

    Attributes:
        words: what a reader of the page is told of them; empty for the defaults.
        settings: those that are not the defaults.
        files: settings that name a file, and what is in it.
        headers: with which a good client, such as the neighbour, shakes hands.
        service: of the edge.

    """

    words: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    service: Service = MAHAVISHNU


DEFAULTS: Final = Setup()


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that a client may do wrong.

    Attributes:
        kind: heading of its part of the table.
        what: what is sent, in words.
        back: what comes back in the end: ``close`` with the code (and with the edge's own reason), ``HTTP`` with the
            status (and the edge's own sentence), an error's code and sentence (and the close that repeats it), or the
            kind of an answer.
        sent: its bytes. After them, where frames are sent, comes a ping message, so that silence would be seen.
        is_handshake: whether the bytes begin with the handshake, or with what takes its place.
        setup: of the edge.

    """

    kind: str
    what: str
    back: str
    sent: bytes
    is_handshake: bool = False
    setup: Setup = DEFAULTS


def text(value: Any) -> bytes:
    """Return a message in a text frame; a value becomes JSON, bytes stay as they are."""
    return frame(TEXT, value if isinstance(value, bytes) else json.dumps(value).encode())


def request(event: Any = "subscribe", request_id: Any = "r", **data: Any) -> bytes:
    """Return a request in the documented form."""
    return text({"type": "request", "event": event, "data": data, "id": request_id})


def rows(
    kind: str, listed: Iterable[tuple[str, str, bytes]], *, is_handshake: bool = False, setup: Setup = DEFAULTS
) -> tuple[Row, ...]:
    """Return the rows of one part of the table."""
    return tuple(Row(kind, what, back, sent, is_handshake, setup) for what, back, sent in listed)

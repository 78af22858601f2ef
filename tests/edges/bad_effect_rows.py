"""Rows of the table of bad input about requests that do something: users of a room, and events by request."""

from typing import Any, Final

from tests.edges.bad_input_row import Row, request, rows
from tests.edges.bad_publish_rows import ALLOWED, BOARD, READER

__all__ = ["ROWS"]


def asked(verb: str, shown: str = ALLOWED, **data: Any) -> bytes:
    """Return a request behind a token."""
    return request("auth", "a", token=shown) + request(verb, "r", **{"diagram_id": "d", **data})


MEETINGS: Final = (
    (
        "joining as another user",
        "FORBIDDEN: user_id: the token says who a client is; leave the field out",
        asked("join_collaboration", user_id="bob"),
    ),
    (
        "joining with 2 KB of info",
        "INVALID_REQUEST: user_info: more than 1024 bytes",
        asked("join_collaboration", user_info={"x": "y" * 2_000}),
    ),
    (
        "joining no diagram",
        "INVALID_REQUEST: diagram_id: string should have at least 1 character",
        asked("join_collaboration", diagram_id=""),
    ),
    (
        "a cursor by request, of a user who only watches",
        "FORBIDDEN: cursor.moved needs the permission diagram:write",
        asked("broadcast_cursor", READER, position={}),
    ),
)

ROWS: Final[tuple[Row, ...]] = rows("Requests that do something", MEETINGS, setup=BOARD)

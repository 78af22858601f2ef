"""What an operator may do wrong, and what comes back: the rows of docs/limits.md about operators.

``python -m tests.edges.admin.bad_command_rows`` writes the table.
"""

from pathlib import Path
from typing import Any, Final

import orjson

__all__ = ["GOOD", "REFUSED", "REPLY", "UNANSWERABLE", "page_with_table"]

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "limits.md"
BEGIN: Final = "<!-- begin: made from tests/edges/admin/bad_command_rows.py -->\n"
END: Final = "<!-- end of operators -->\n"

REPLY: Final = "bus:told:0123456789abcdef"
GOOD: Final = {"id": "q1", "verb": "look", "data": {}, "reply": REPLY, "by": "ann@host"}

UNANSWERABLE: Final[list[tuple[str, Any, str]]] = [
    ("nothing", b"", "the message is not JSON"),
    ("half a JSON object", b"{", "the message is not JSON"),
    ("bytes that are no UTF-8", b"\xff", "the message is not JSON"),
    ("a list", [], "the message is no JSON object"),
    ("a number", 5, "the message is no JSON object"),
    (
        "a clients' channel for the answer",
        {**GOOD, "reply": "workflow:x"},
        "reply: expected a channel bus:told:<hex digits>",
    ),
    ("a pattern for the answer", {**GOOD, "reply": "bus:told:*"}, "reply: expected a channel bus:told:<hex digits>"),
    ("another channel of the bus", {**GOOD, "reply": "bus:revoked"}, "reply: expected a channel bus:told:<hex digits>"),
    ("a line behind the channel", {**GOOD, "reply": f"{REPLY}\n"}, "reply: expected a channel bus:told:<hex digits>"),
    ("no channel for the answer", {**GOOD, "reply": None}, "reply: expected a channel bus:told:<hex digits>"),
    ("a long id", {**GOOD, "id": "x" * 65}, "id: expected up to 64 letters and digits"),
    ("a number as the id", {**GOOD, "id": 5}, "id: expected up to 64 letters and digits"),
    ("no verb", {**GOOD, "verb": None}, "verb and data: expected a text and an object"),
    ("a list as the data", {**GOOD, "data": []}, "verb and data: expected a text and an object"),
]
"""Passed over, counted, and told in the edge's log."""

REFUSED: Final[list[tuple[str, dict[str, Any], str]]] = [
    (
        "burn",
        {},
        "'burn' is no verb of this version: rooms, clients, room, client, look, kick, drain, undrain, log_level",
    ),
    ("rooms", {"by": "size"}, "by: expected one of members, rate, name"),
    ("rooms", {"limit": -1}, "limit: expected a whole number from 0 on"),
    ("rooms", {"limit": "1"}, "limit: expected a whole number from 0 on"),
    ("rooms", {"after": [1]}, "after: expected a number and a name, as in the row where the page before ended"),
    ("rooms", {"names": ["x"] * 1_001}, "names: expected a list of at most 1000 texts"),
    ("rooms", {"prefix": "x" * 1_025}, "prefix: expected a text of at most 1024 characters"),
    ("clients", {"after": True}, "after: expected a whole number from 0 on"),
    ("clients", {"user": 5}, "user: expected a text of at most 1024 characters"),
    ("kick", {}, "kick: name a client, a user or a room"),
    ("log_level", {}, "level: expected one of debug, info, warning, error, critical"),
    ("log_level", {"level": "INFO "}, "level: expected one of debug, info, warning, error, critical"),
    ("undrain", {}, "no operator drains this edge: it serves"),
]
"""Answered with a sentence."""


def table() -> str:
    """Return the rows."""
    over = [f"| {what} | nothing; the log: `{why}` |" for what, _, why in UNANSWERABLE]
    flood = [
        "| more than 64 KiB | nothing; the log: `the message has 65537 bytes; the limit is 65536` |",
        "| more commands at once than 64 | nothing for the rest; the log, once in 10 s: `64 commands wait already` |",
        "| a command that waited for more than 2 s | nothing, and nothing is done: `the operator waits no more` |",
    ]
    told = [f"| `{verb} {_shown(data)}` | `{sentence}` |" for verb, data, sentence in REFUSED]
    return "\n".join(["| sent on `bus:admin:<edge>` | what comes back |", "|---|---|", *over, *flood, *told, ""])


def _shown(data: dict[str, Any]) -> str:
    text = orjson.dumps(data).decode()
    return text if len(text) < 60 else f"{text[:24]}…"


def page_with_table() -> str:
    """Return the page, with the table as it should be."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page_with_table(), "utf-8")

"""What may be wrong in Redis or in a page's question, and what the page has of it: the table of docs/dashboard.md.

``python -m tests.edgebus.dashboard.bad_rows`` writes the table.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

__all__ = ["ASKED", "PAGE", "TYPED", "Typed", "page_with_table"]

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "dashboard.md"
BEGIN: Final = "<!-- begin: made from tests/edgebus/dashboard/bad_rows.py -->\n"
END: Final = "<!-- end -->\n"

FUTURE: Final = "18446744073709551615-1"
WRONG_TYPE: Final = "UNAVAILABLE: Redis answered with an error: WRONGTYPE"
LONG: Final = "x" * 1_001


@dataclass(frozen=True)
class Typed:
    """Words typed in Redis, and what a page is answered then.

    Attributes:
        words: of the command; bytes are no text.
        shows: for the table.
        verb: of the page's question; ``flow`` is of the lines since then.
        row: of the values, those that the first row must have; None for no row at all.
        error: the beginning of the answer, where that is an error.

    """

    words: tuple[str | bytes, ...]
    shows: str
    verb: str
    data: dict[str, Any] = field(default_factory=dict)
    row: dict[str, Any] | None = None
    error: str = ""


def _publish(line: str | bytes, shows: str, channel: str = "workflow:z", **row: Any) -> Typed:
    return Typed(("PUBLISH", channel, line), shows, "flow", {}, row or None)


def _log(name: str, *entry: str) -> tuple[str, ...]:
    return ("XADD", f"bus:log:{{workflow:{name}}}", *entry)


NO_EVENT: Final = "a row: no event, with the line as it is"
TYPED: Final = [
    _publish("hello", NO_EVENT, isEvent=False, preview="hello"),
    _publish("[1]", NO_EVENT, isEvent=False, preview="[1]"),
    _publish(b"\xff\xfe", NO_EVENT, isEvent=False),
    _publish("[" * 2_000, NO_EVENT, isEvent=False),
    _publish('{"event":7,"data":[]}', "a row: no event, with its data", isEvent=False, preview="[]"),
    _publish('{"event":"<b>x</b>","data":{}}', "a row: the event `<b>x</b>`, as text", event="<b>x</b>"),
    _publish(
        '{"event":"a.b","data":{},"timestamp":"9999"}', "a row; its time is left out of *End to end*", event="a.b"
    ),
    _publish("hello", "nothing: a name of the bus's own", "bus:epoch"),
    _publish("hello", "nothing: no name of a channel", "__keyspace@0__:x"),
    Typed(_log("b", "*", "a", "b"), "a channel with a log, and no past", "history", {"channel": "workflow:b"}),
    Typed(
        _log("c", "*", "line", "hello", "previous", "0-0"),
        "a past of one row: no event",
        "history",
        {"channel": "workflow:c"},
        {"isEvent": False},
    ),
    Typed(
        _log("d", FUTURE, "line", "hello", "previous", "0-0"),
        "the channel first, by last event",
        "channels",
        {"by": "last"},
        {"channel": "workflow:d", "position": FUTURE},
    ),
    Typed(
        ("SET", "bus:log:{workflow:e}", "x"),
        "the channel without a log",
        "channels",
        {"search": "flow:e"},
        {"length": None},
    ),
    Typed(
        ("SET", "bus:log:{workflow:f}", "x"),
        "Redis' error, in the place of its past",
        "history",
        {"channel": "workflow:f"},
        error=WRONG_TYPE,
    ),
    Typed(("SET", "bus:log:{Other}", "x"), "nothing", "channels", {"search": "Other"}),
    Typed(("ZADD", "bus:edges", "1e15", b"\xff\n"), "nothing: no edge has such an id", "clients"),
    Typed(("SET", "bus:edges", "x"), "Redis' error, in the clients' place", "clients", error=WRONG_TYPE),
]

ASKED: Final[list[tuple[str, dict[str, Any], str]]] = [
    ("fly", {}, "UNKNOWN_REQUEST: no such request; there are dashboard.now, dashboard.flow"),
    ("flow", {"filter": 7}, "all events"),
    ("flow", {"filter": {"text": LONG}}, "those that have its first 200 characters"),
    ("flow", {"filter": {"event": "\ud800"}}, "DECODE_ERROR"),
    ("event", {"channel": ["a"]}, "INVALID_REQUEST: channel: expected a text of at most 1000 characters"),
    ("event", {"channel": "workflow:a", "position": "x"}, "INVALID_REQUEST: position: expected a position"),
    ("event", {"channel": "bus:epoch", "position": "1-1"}, "no line"),
    ("channels", {"offset": -1, "by": "luck"}, "the first rows, by name"),
    ("channels", {"search": LONG}, "INVALID_REQUEST: search: expected a text of at most 1000 characters"),
    ("channel", {"channel": "bus:epoch"}, "INVALID_REQUEST: channel: 'bus:epoch' is no name of a channel"),
    ("history", {"channel": "workflow:a", "after": "+"}, "INVALID_REQUEST: after: expected a position"),
    ("history", {"channel": "workflow:a", "untilMs": 1e300}, "the newest rows"),
    ("clients", {"user": 7}, "INVALID_REQUEST: user: expected a text of at most 1000 characters"),
    ("clients", {"cursor": "x"}, "INVALID_REQUEST: this is no cursor: take the one of the page before, or none"),
    ("kick", {}, "INVALID_REQUEST: kick: name a client, a user or a room"),
    ("drain", {}, "INVALID_REQUEST: edge: expected the id of an edge"),
    ("publish", {"service": "x"}, "INVALID_REQUEST: event: no service whose code is at hand has it"),
]
"""Verb and data, and the beginning of the error; a text without a code says what is answered."""


def table() -> str:
    """Return the rows."""
    typed = [f"| `{_words(it.words)}` | {it.shows if not it.error else f'{it.shows}: `{it.error}`'} |" for it in TYPED]
    asked = [
        f"| `{verb} {_short(json.dumps(data))}` | {f'`{it}`' if _is_code(it) else it} |" for verb, data, it in ASKED
    ]
    heads = ["| typed in Redis | what the page has |", "|---|---|"], ["| asked by a page | the answer |", "|---|---|"]
    return "\n".join([*heads[0], *typed, "", *heads[1], *asked, ""])


def _is_code(text: str) -> bool:
    return text.partition(":")[0].isupper()


def _words(words: tuple[str | bytes, ...]) -> str:
    return " ".join(_short(repr(it)[2:-1] if isinstance(it, bytes) else it) for it in words)


def _short(text: str) -> str:
    return text if len(text) < 60 else f"{text[:24]}…"


def page_with_table() -> str:
    """Return the page, with the table as it should be."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page_with_table(), "utf-8")

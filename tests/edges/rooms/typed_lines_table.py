"""What becomes of lines that somebody types on a channel: rows of docs/limits.md, each tried by test_typed_lines.py.

``python -m tests.edges.rooms.typed_lines_table`` writes the table of that page anew.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["PAGE", "ROWS", "Line", "page_with_table", "table"]

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "limits.md"
BEGIN: Final = "<!-- begin: made from tests/edges/rooms/typed_lines_table.py -->\n"
END: Final = "<!-- end of typed lines -->\n"

DELIVERED: Final = "delivered, without a position"
AS_IT_IS: Final = "delivered as it is"
NOT_JSON: Final = "dropped: the line is not JSON: …"
NO_EVENT: Final = "dropped: the line is no JSON object with a text 'event'"
NO_DATA: Final = "dropped: the line's 'data' is no JSON object"
RESERVED: Final = "dropped: names that begin with room., bus., edge. or auth. are the edge's own"
NUMBER: Final = "dropped: the line holds a number that would be another one once it is passed on"
ROOM: Final = "dropped: the line's 'room' is another channel's"


@dataclass(frozen=True, slots=True)
class Line:
    """One line: what it is, in words, what becomes of it, and its bytes; ``CHANNEL`` stands for its channel's name."""

    what: str
    becomes: str
    sent: bytes


def _event(name: str = "note", data: bytes = b'{"n":1}', more: bytes = b"") -> bytes:
    return b'{%b"event":"%b","data":%b}' % (more, name.encode(), data)


def _number(text: str) -> bytes:
    return _event(data=b'{"n":%b}' % text.encode())


ROWS: Final = (
    Line("an event and its data", DELIVERED, _event()),
    Line(
        "the same with another channel's `room`: it is given its own", DELIVERED, _event(more=b'"room":"workflow:y",')
    ),
    Line("with a `type`, an `id` that is no text, a key more", DELIVERED, _event(more=b'"type":"error","id":5,"x":1,')),
    Line("with positions that are null", DELIVERED, _event(more=b'"position":null,"previous":null,')),
    Line("with one position that is null", DELIVERED, _event(more=b'"position":"5-5","previous":null,')),
    Line("with the other one null", DELIVERED, _event(more=b'"position":null,"previous":"5-5",')),
    Line("with numbers for positions", DELIVERED, _event(more=b'"position":5,"previous":4,')),
    Line("`session.created`, which is an event like any other", DELIVERED, _event("session.created")),
    Line("`roommate.left`, which only looks like a notice", DELIVERED, _event("roommate.left")),
    Line("null positions, and nothing that is JSON behind them", NOT_JSON, b'{"position":null,"previous":null,oops'),
    Line("the same with an end", NOT_JSON, b'{"position":null,"previous":null,oops}'),
    Line("null positions and no event", NO_EVENT, b'{"position":null,"previous":null,"a":{}}'),
    Line("positions, and nothing that is JSON", NOT_JSON, b'{"position":"5-5","previous":"4-4","oops'),
    Line("positions and no event", NO_EVENT, b'{"position":"5-5","previous":"4-4","id":"x"}'),
    Line("positions and no data", NO_DATA, b'{"position":"5-5","previous":"4-4","event":"note","data":[]}'),
    Line("positions and another channel's `room`", ROOM, _event(more=b'"position":"5-5","previous":"4-4","room":"y",')),
    Line("positions and a `room` of null", ROOM, _event(more=b'"position":"5-5","previous":"4-4","room":null,')),
    *(
        Line(f"`{name}`", RESERVED, _event(name))
        for name in ("room.left", "room.gap", "bus.degraded", "bus.anything", "edge.draining", "auth.expiring")
    ),
    Line("positions and `room.left`", RESERVED, _event("room.left", more=b'"position":"5-5","previous":"4-4",')),
    Line("`room.left` with an escape in it", RESERVED, _event("\\u0072oom.left")),
    Line("an integer of 64 bits", DELIVERED, _number("18446744073709551615")),
    Line("the same, negative", DELIVERED, _number("-9223372036854775808")),
    Line("0.1, of which a double is not quite that", DELIVERED, _number("0.1")),
    Line("1e22", DELIVERED, _number("1e22")),
    Line("a text of 40 digits", DELIVERED, _event(data=b'{"n":"%b"}' % (b"9" * 40))),
    Line("an integer of 65 bits", NUMBER, _number("18446744073709551616")),
    Line("the same, negative", NUMBER, _number("-9223372036854775809")),
    Line("an integer of 5,000 digits", NUMBER, _number("9" * 5_000).replace(b"9" * 5_000, b"1" + b"0" * 300)),
    Line("twenty digits behind the point", NUMBER, _number("0.12345678901234567890")),
    Line("1e-400, which would be 0", NUMBER, _number("1e-400")),
    Line("such a number outside of `data`", NUMBER, _event(more=b'"x":18446744073709551616,')),
    Line("1e400", NOT_JSON, _number("1e400")),
    Line("NaN", NOT_JSON, _number("NaN")),
    Line("half of a surrogate pair, escaped", NOT_JSON, _event(data=b'{"t":"\\ud800"}')),
    Line("text that is no UTF-8", NOT_JSON, _event(data=b'{"t":"\xff"}')),
    Line(
        "positions, and text that is no UTF-8",
        "dropped: the line is not UTF-8",
        b'{"position":"5-5","previous":"4-4","t":"\xff"}',
    ),
    Line("a byte order mark before it", NOT_JSON, b"\xef\xbb\xbf" + _event()),
    Line("nothing", NOT_JSON, b""),
    Line("a text", NO_EVENT, b'"note"'),
    Line("an array", NO_EVENT, b'["note"]'),
    Line("no event", NO_EVENT, b'{"data":{}}'),
    Line("an object for `event`", NO_EVENT, b'{"event":{},"data":{}}'),
    Line("no data", NO_DATA, b'{"event":"note"}'),
    Line("a text for `data`", NO_DATA, _event(data=b'"{}"')),
    Line(
        "data that nests 29 deep",
        "dropped: the line nests deeper than 29 levels",
        _event(data=b'{"a":' * 29 + b"0" + b"}" * 29),
    ),
    Line(
        "180 KB of `[]`",
        "dropped: the line holds more than 10000 values",
        _event(data=b'{"a":[%b[]]}' % (b"[]," * 60_000)),
    ),
    Line("300 KB", "dropped: the line has … bytes; the limit is 262144", _event(data=b'{"t":"%b"}' % (b"x" * 300_000))),
)


def table() -> str:
    """Return the rows as a table."""
    rows = "".join(f"| {row.what} | {row.becomes} |\n" for row in ROWS)
    return f"| typed | what becomes of it |\n|---|---|\n{rows}"


def page_with_table(page: str) -> str:
    """Return the page with the table in its place."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text("utf-8")), "utf-8")

"""What a client may do wrong, and what it gets for it: the rows of docs/limits.md, each tried by test_bad_input.py.

``python -m tests.edges.bad_input_table`` writes the table of that page anew.
"""

from itertools import groupby
from pathlib import Path
from typing import Final

from tests.edges import bad_caller_rows, bad_effect_rows, bad_publish_rows, bad_stream_rows
from tests.edges.bad_input_row import Row, Setup, request, rows, text
from tests.edges.peers import BINARY, CLOSE, PING, PONG, TEXT, frame, get, upgrade

__all__ = ["PAGE", "ROWS", "page_with_table", "table"]

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "limits.md"
BEGIN: Final = "<!-- begin: made from tests/edges/bad_input_table.py -->\n"
END: Final = "<!-- end -->\n"
CONT: Final = 0


def nested(depth: int) -> bytes:
    return b'{"type":"ping","data":{"x":' + b"[" * depth + b"]" * depth + b"}}"


PROTOCOL_ERROR: Final = "close 1002"
NOT_UTF8: Final = "close 1007: a text message is not UTF-8"
TOO_BIG: Final = "close 1009: a message has more than max_message_bytes"
TOO_MANY_PARTS: Final = "close 1009: a message has more than max_fragments"
FLOOD: Final = "close 1008: control_rate_limit exceeded"
ABUSE: Final = "close 1008: message_rate_limit exceeded again and again"
TYPES: Final = "DECODE_ERROR: type: expected one of request, subscribe, unsubscribe, ping, event"
OBJECT: Final = "DECODE_ERROR: the message is not a JSON object"
DEEP: Final = "DECODE_ERROR: the message nests deeper than 32 levels"
WIDE: Final = "DECODE_ERROR: max_message_values: the message holds more than 2000 values"
ID: Final = "INVALID_REQUEST: id: expected a text of at most 128 printable characters"
CHANNEL: Final = "INVALID_REQUEST: channel: expected a text such as 'global'"
VERB: Final = "INVALID_REQUEST: event: expected the name of a request"
SINCE: Final = (
    "INVALID_REQUEST: since: expected a position, an ISO time with its offset, "
    "or a span such as '-15m' (ms, s, m, h, d)"
)
STATE: Final = "INVALID_REQUEST: state: expected true or false"
NO_STATE: Final = "INVALID_REQUEST: state: workflow:a keeps no state; leave the key out"
OF_ALL_TIME: Final = "INVALID_REQUEST: state: goes with a position in 'since', or alone: a state is of all time"
LAST: Final = "INVALID_REQUEST: last: expected a number, 0 or more"
UNKNOWN: Final = (
    "UNKNOWN_REQUEST: event: no such request; "
    "there are subscribe, unsubscribe, auth, ping, services, presence, get_workflow_status, get_pool_status"
)
FORMS: Final = (
    "; the forms are: workflow:{workflow_id}, pool:{pool_id}, "
    "worker:{worker_id}, goal-teams, goal-teams:{user_id}, adapters, symbiotic:{scope}, global"
)
NO_CHANNEL: Final = f"INVALID_CHANNEL: channel: not a channel of mahavishnu{FORMS}"
NO_ID: Final = "INVALID_CHANNEL: channel: not a channel of mahavishnu: "
LENGTH: Final = "workflow_id must give 1 to 128 characters, encoded it gives "
SPELLED: Final = " is spelled so: workflow:"
CONTROL: Final = f"a control character stands in it; such an id{SPELLED}"
PATTERN: Final = f"rooms have no patterns; an id with '*' at its end{SPELLED}"
ESCAPE: Final = f"'%' begins an escape of two hex digits; an id with '%'{SPELLED}"
ROOMS_LIMIT: Final = "SUBSCRIPTION_LIMIT: max_rooms: already in 100 rooms, the limit of one connection; leave one"
ALL_TAKEN: Final = "HTTP/1.1, 'Upgrade: websocket' and 'Connection: Upgrade'"
NGINX_DEFAULT: Final = (
    upgrade("/healthz").replace(b"/1.1", b"/1.0").replace(b"Upgrade: w", b"X: w").replace(b"n: U", b"n: X")
)


def taken(status: int, names: str) -> str:
    return (
        f"HTTP {status}: a handshake without {names}, as a proxy leaves it; nginx needs "
        "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
    )


NOT_JSON: Final = "DECODE_ERROR: the message is not JSON: …"

FRAMING: Final = (
    ("a frame that is not masked", PROTOCOL_ERROR, frame(TEXT, b"{}", mask=False)),
    ("a frame with the first reserved bit, as if compressed", PROTOCOL_ERROR, b"\xc1\x80" + bytes(4)),
    ("a frame with the third reserved bit", PROTOCOL_ERROR, b"\x91\x80" + bytes(4)),
    ("the data opcode 3", PROTOCOL_ERROR, frame(3, b"x")),
    ("the control opcode 11", PROTOCOL_ERROR, frame(11, b"x")),
    ("a ping in fragments", PROTOCOL_ERROR, frame(PING, b"x", fin=False)),
    ("a ping of 126 bytes", PROTOCOL_ERROR, frame(PING, b"x" * 126)),
    ("a continuation of nothing", PROTOCOL_ERROR, frame(CONT, b"x")),
    ("a text within a fragmented text", PROTOCOL_ERROR, frame(TEXT, b"x", fin=False) + frame(TEXT, b"x")),
    ("a declared length of 2^63", TOO_BIG, b"\x81\xff" + (2**63).to_bytes(8) + bytes(4)),
    ("a declared length of 2^63 - 1", TOO_BIG, b"\x81\xff" + (2**63 - 1).to_bytes(8) + bytes(4)),
    ("a message of 64 KiB and a byte", TOO_BIG, frame(TEXT, b"x" * 65_537)),
    ("two fragments of 40 KB", TOO_BIG, frame(TEXT, b"x" * 40_000, fin=False) + frame(CONT, b"x" * 40_000)),
    (
        "5,000 fragments of one byte",
        TOO_MANY_PARTS,
        frame(TEXT, b"x", fin=False) + frame(CONT, b"x", fin=False) * 4_999,
    ),
    ("20,000 empty fragments", TOO_MANY_PARTS, frame(TEXT, b"", fin=False) + frame(CONT, b"", fin=False) * 19_999),
    ("20,000 pings", FLOOD, frame(PING, b"") * 20_000),
    ("20,000 pings of 125 bytes", FLOOD, frame(PING, b"x" * 125) * 20_000),
    ("20,000 pongs that nobody asked for", FLOOD, frame(PONG, b"") * 20_000),
    ("a close of one byte", PROTOCOL_ERROR, frame(CLOSE, b"\x03")),
    ("a close with the code 999", PROTOCOL_ERROR, frame(CLOSE, (999).to_bytes(2))),
    ("a close with the code 1006", PROTOCOL_ERROR, frame(CLOSE, (1006).to_bytes(2))),
    ("a close with the code 4999", "close 4999", frame(CLOSE, (4999).to_bytes(2))),
    ("a request of HTTP behind the handshake", PROTOCOL_ERROR, get("/healthz")),
)
TEXTS: Final = (
    ("text with the byte 0xFF", NOT_UTF8, text(b'"\xff"')),
    ("text with a surrogate", NOT_UTF8, text(b'"\xed\xa0\x80"')),
    ("text with an overlong NUL", NOT_UTF8, text(b'"\xc0\x80"')),
    ("text with a character past U+10FFFF", NOT_UTF8, text(b'"\xf4\x90\x80\x80"')),
    ("text that ends within a character", NOT_UTF8, text(b'"\xe2\x82')),
    ("text whose second fragment breaks a character", NOT_UTF8, frame(TEXT, b"\xe2", fin=False) + frame(CONT, b"(")),
    ("text whose first fragment is wrong already", NOT_UTF8, frame(TEXT, b"\xff", fin=False)),
    ("a reason of a close that is no UTF-8", "close 1007", frame(CLOSE, (1000).to_bytes(2) + b"\xff")),
    ("a binary frame with the byte 0xFF", NOT_JSON, frame(BINARY, b'{"type":"\xff"}')),
    ("a binary frame that holds a request", "pong", frame(BINARY, b'{"type":"ping"}')),
    ("a byte order mark before the message", NOT_JSON, text(b'\xef\xbb\xbf{"type":"ping"}')),
)
JSONS: Final = (
    ("nothing", NOT_JSON, text(b"")),
    ("`null`", OBJECT, text(b"null")),
    ("an array", OBJECT, text([{"type": "ping"}])),
    ("a text", OBJECT, text(b'"ping"')),
    ("two objects", NOT_JSON, text(b'{"type":"ping"}{"type":"ping"}')),
    ("a comma too many", NOT_JSON, text(b'{"type":"ping",}')),
    ("`NaN`", NOT_JSON, text(b'{"type":"ping","data":{"x":NaN}}')),
    ("`-Infinity`", NOT_JSON, text(b'{"type":"ping","data":{"x":-Infinity}}')),
    ("`1e999`", NOT_JSON, text(b'{"type":"ping","data":{"x":1e999}}')),
    ("half of a surrogate pair, escaped", NOT_JSON, text(b'{"type":"\\ud800"}')),
    ("33 levels", DEEP, text(nested(31))),
    ("30,000 levels", WIDE, text(nested(30_000))),
    ("100,000 levels", TOO_BIG, text(nested(100_000))),
    ("64 KB of `[],`", WIDE, text(b'{"type":"ping","x":[' + b"[]," * 21_000 + b"0]}")),
    ("64 KB of `{},`", WIDE, text(b'{"type":"ping","x":[' + b"{}," * 21_000 + b"0]}")),
    ("64 KB of `0,`", WIDE, text(b'{"type":"ping","x":[' + b"0," * 32_000 + b"0]}")),
    ("64 KB of brackets and commas in a text", "pong", text(b'{"type":"ping","x":"' + b"[],{}," * 10_500 + b'"}')),
    ("a key twice: the last one counts", TYPES, text(b'{"type":"ping","type":"pong"}')),
)
REQUESTS: Final = (
    ('`{"event":{"toString":1}}`', TYPES, text({"event": {"toString": 1}})),
    ("an object for `event`", VERB, request({"toString": 1})),
    ("no `event`", VERB, text({"type": "request"})),
    ("`__proto__` for `event`", UNKNOWN, request("__proto__")),
    ("an `event` of 10,000 characters", UNKNOWN, request("x" * 10_000)),
    ("a number for `type`", TYPES, text({"type": 5})),
    ("`type` `response`", TYPES, text({"type": "response", "data": {}})),
    ("a text for `data`", "INVALID_REQUEST: data: expected an object", text({"type": "ping", "data": "x"})),
    ("no channel", CHANNEL, request()),
    ("an object for `channel`", CHANNEL, request(channel={"$ne": 1})),
    (
        "`since` and `last`",
        "INVALID_REQUEST: since, last: give one of them",
        request(channel="global", since="-1m", last=1),
    ),
    ("`since` that is no beginning", SINCE, request(channel="global", since="yesterday")),
    ("`since` with a time without an offset", SINCE, request(channel="global", since="2026-01-01T00:00:00")),
    ("`since` with a position of 5,000 digits", SINCE, request(channel="global", since=f"{'9' * 5_000}-1")),
    (
        "`since` with a position from the future",
        "response: not recovered, unknown",
        request(channel="workflow:future", since="9999999999999-1"),
    ),
    ("`state` of a channel that keeps none", NO_STATE, request(channel="workflow:a", state=True)),
    ("`state` of 1", STATE, request(channel="pool:a", state=1)),
    ("`state` with `last`", OF_ALL_TIME, request(channel="pool:a", state=True, last=5)),
    ("`state` with a span", OF_ALL_TIME, request(channel="pool:a", state=True, since="-15m")),
    ("`last` of -1", LAST, request(channel="global", last=-1)),
    ("`last` of 1e30", LAST, request(channel="global", last=1e30)),
    ("a token that is no text", "INVALID_REQUEST: token: expected a text", request("auth", token=["x"])),
    (
        "`get_workflow_status` without its field",
        "INVALID_REQUEST: workflow_id: field required",
        request("get_workflow_status"),
    ),
)
NOBODY_NOTES: Final = "nobody notes who is in global: its family has no presence"
PRESENCE: Final = (
    (
        "`presence` of a family without it",
        f"INVALID_REQUEST: channel: {NOBODY_NOTES}",
        request("presence", channel="global"),
    ),
    (
        "`subscribe` with `presence`, of a family without it",
        f"INVALID_REQUEST: presence: {NOBODY_NOTES}",
        request(channel="global", presence=True),
    ),
    (
        "a text for `presence`",
        "INVALID_REQUEST: presence: expected true, false, or an object with user, info, notices",
        request(channel="global", presence="yes"),
    ),
    (
        "a `user` of 129 characters",
        "INVALID_REQUEST: presence.user: expected a text of 1 to 128 printable characters",
        request(channel="global", presence={"user": "x" * 129}),
    ),
    (
        "an array for `info`",
        "INVALID_REQUEST: presence.info: expected an object",
        request(channel="global", presence={"info": []}),
    ),
    (
        "`info` of 1,025 bytes",
        "INVALID_REQUEST: presence.info: more than 1024 bytes",
        request(channel="global", presence={"info": {"x": "y" * 1_017}}),
    ),
    ("`info` of 1 MB", TOO_BIG, request(channel="global", presence={"info": {"x": "y" * 1_000_000}})),
    (
        "a `limit` of 100,000",
        "INVALID_REQUEST: limit: expected a number from 1 to 1000",
        request("presence", channel="global", limit=100_000),
    ),
    (
        "an object for `after`",
        "INVALID_REQUEST: after: expected the next of the answer before",
        request("presence", channel="global", after={}),
    ),
)
IDS: Final = (
    ("an `id` of 1 MB", TOO_BIG, request("ping", "x" * 1_000_000)),
    ("an `id` of 129 characters", ID, request("ping", "x" * 129)),
    ("a number for `id`", ID, request("ping", 5)),
    ("an object for `id`", ID, request("ping", {"toString": 1})),
    ("an `id` with a newline", ID, request("ping", "a\nb")),
    ("an `id` with NUL", ID, request("ping", "a\0b")),
    ("an `id` with a right-to-left override", ID, request("ping", "a\u202eb")),
)
CHANNELS: Final = tuple(
    (what, NO_CHANNEL, request(channel=channel))
    for what, channel in (
        ("`*`", "*"),
        ("`__keyspace@0__:x`", "__keyspace@0__:x"),
        ("`bus:epoch`", "bus:epoch"),
        ("`bus:log:{workflow:a}`", "bus:log:{workflow:a}"),
        ("`WORKFLOW:a`", "WORKFLOW:a"),
        ("`../../etc/passwd`", "../../etc/passwd"),
        ("a channel of another service", "skills"),
        ("nothing for a channel", ""),
    )
)
NO_IDS: Final = tuple(
    (what, f"{NO_ID}{why}{FORMS}", request(channel=channel))
    for what, why, channel in (
        ("`workflow:*`", f"{PATTERN}%2A", "workflow:*"),
        ("`workflow:wf_*`", f"{PATTERN}wf_%2A", "workflow:wf_*"),
        ("an id with a newline", f"{CONTROL}a%0Ab", "workflow:a\nb"),
        ("an id with NUL", f"{CONTROL}a%00b", "workflow:a\0b"),
        ("an id of control characters", f"{CONTROL}%1B%5B2J%07", "workflow:\x1b[2J\a"),
        ("an id with a right-to-left override", f"{CONTROL}%E2%80%AEa", "workflow:\u202ea"),
        ("`workflow:` and no id", f"{LENGTH}0", "workflow:"),
        ("an id of 129 characters", f"{LENGTH}129", "workflow:" + "a" * 129),
        ("an id of 22 letters `ü`", f"{LENGTH}132", "workflow:" + "ü" * 22),
        ("an id of 10,000 characters", f"{LENGTH}more than 128", "workflow:" + "a" * 10_000),
        ("an id of 10,000 spaces", f"{LENGTH}more than 128", "workflow:" + " " * 10_000),
        ("an id of 60,000 characters", f"{LENGTH}more than 128", "workflow:" + "a" * 60_000),
        ("`workflow:%zz`", f"{ESCAPE}%25zz", "workflow:%zz"),
        ("`workflow:100%`", f"{ESCAPE}100%25", "workflow:100%"),
        ("`workflow:%ff`", f"its escapes are no UTF-8; an id with '%'{SPELLED}%25ff", "workflow:%ff"),
        ("a name encoded as a whole", "the ':' behind workflow stands as it is: workflow:a", "workflow%3Aa"),
    )
)
AMOUNTS: Final = (
    (
        "a 101st room",
        ROOMS_LIMIT,
        b"".join(request(channel=f"workflow:{number}") for number in range(101)),
    ),
    ("100,000 rooms", ABUSE, b"".join(request(channel=f"workflow:{number}") for number in range(100_000))),
    (
        "to and from a room 10,000 times",
        ABUSE,
        (request(channel="global") + request("unsubscribe", channel="global")) * 10_000,
    ),
    ("10,000 messages that are none", ABUSE, text(b"x") * 10_000),
)
FAST: Final = Setup("With `message_rate_limit` 1000000.", {"message_rate_limit": 1_000_000})
ROOMS: Final = (
    ("2,000 rooms", ROOMS_LIMIT, b"".join(request(channel=f"workflow:{number}") for number in range(2_000))),
)
NO_REQUEST: Final = "HTTP 400: not an HTTP/1.1 request without a body"
NO_METHOD: Final = "HTTP 405: method not allowed; use GET, HEAD"
LONG_LISTS: Final = "HTTP 431: a header or the query lists more than 100 values"
DEADLINE: Final = "nothing; the socket is closed at the deadline"
HTTP: Final = (
    ("200 headers", "HTTP 431", get("/healthz", *(f"X-{number}: y" for number in range(200)))),
    ("a handshake with 200 headers", "HTTP 431", upgrade("/", *(f"X-{number}: y" for number in range(200)))),
    ("a header of 9 KB", "HTTP 431", get("/healthz", "X: " + "y" * 9_000)),
    ("a header of 64 KiB", "HTTP 431", get("/healthz", "X: " + "y" * 65_536)),
    ("a handshake with 20,000 values of `Upgrade`", LONG_LISTS, upgrade("/", *[f"Upgrade: {'a,' * 2_000}"] * 10)),
    ("one with 20,000 of `Connection`", LONG_LISTS, upgrade("/", *[f"Connection: {'a,' * 2_000}"] * 10)),
    ("one with 20,000 protocols", LONG_LISTS, upgrade("/", *[f"Sec-WebSocket-Protocol: {'a,' * 2_000}"] * 10)),
    (
        "one with 20,000 parts of extensions",
        LONG_LISTS,
        upgrade("/", *[f"Sec-WebSocket-Extensions: a{';a' * 2_000}"] * 10),
    ),
    ("one with 2,000 parameters", LONG_LISTS, upgrade("/?" + "a=&" * 2_000)),
    (
        "one with 20,000 addresses of `X-Forwarded-For`",
        "pong",
        upgrade("/", *[f"X-Forwarded-For: {'1,' * 2_000}"] * 10) + text({"type": "ping"}),
    ),
    ("a path of 9 KB", "HTTP 414", get("/" + "x" * 9_000)),
    ("64 KiB without an end", "HTTP 431", b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000),
    ("a header without a colon", NO_REQUEST, b"GET / HTTP/1.1\r\nno colon\r\n\r\n"),
    ("a `POST` with a body", NO_METHOD, get("/healthz", "Content-Length: 5", method="POST") + b"hello"),
    ("a `GET` with a body", NO_REQUEST, get("/healthz", "Content-Length: 5") + b"hello"),
    ("a `GET` with a body in chunks", NO_REQUEST, get("/healthz", "Transfer-Encoding: chunked") + b"0\r\n\r\n"),
    ("a handshake with a body", NO_REQUEST, upgrade("/", "Content-Length: 5") + b"hello"),
    ("bytes behind a `GET`", "HTTP 200", get("/healthz") + b"\0" * 100_000),
    ("a `GET` behind a `GET`: the first is answered", "HTTP 200", get("/healthz") + get("/nothing")),
    (
        "a path that is none",
        "HTTP 404: not found; there are /healthz, /readyz, /events and /channels/, and WebSocket on any path",
        get("/../etc/passwd"),
    ),
    ("the beginning of TLS", NO_REQUEST, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    ("a handshake in HTTP/1.0", taken(505, "HTTP/1.1"), upgrade().replace(b"HTTP/1.1", b"HTTP/1.0")),
    ("one whose `Upgrade` a proxy took", taken(426, "'Upgrade: websocket'"), upgrade().replace(b"Upgrade: w", b"X: w")),
    ("one whose `Connection` says `close`", taken(426, "'Connection: Upgrade'"), upgrade().replace(b"n: U", b"n: X")),
    ("one as nginx sends it by itself", taken(426, ALL_TAKEN), NGINX_DEFAULT),
    ("a handshake by `POST`", NO_METHOD, upgrade().replace(b"GET", b"POST")),
    ("a handshake without a key", "HTTP 400", upgrade().replace(b"Sec-WebSocket-Key", b"X")),
    ("a handshake of version 8", "HTTP 400", upgrade().replace(b"Version: 13", b"Version: 8")),
    ("half a handshake, and silence", DEADLINE, upgrade()[:40]),
    ("nothing at all", DEADLINE, b""),
)


ROWS: Final[tuple[Row, ...]] = (
    *rows("Framing", FRAMING),
    *rows("Text", TEXTS),
    *rows("JSON", JSONS),
    *rows("Requests", REQUESTS),
    *rows("Presence", PRESENCE),
    *rows("Ids", IDS),
    *rows("Channels", (*CHANNELS, *NO_IDS)),
    *rows("Amounts", AMOUNTS),
    *rows("Amounts, where the rate allows them", ROOMS, setup=FAST),
    *rows("HTTP", HTTP, is_handshake=True),
    *bad_publish_rows.ROWS,
    *bad_stream_rows.ROWS,
    *bad_effect_rows.ROWS,
    *bad_caller_rows.ROWS,
)


def table() -> str:
    """Return the rows as a page's part, a table under each heading."""
    return "\n".join(_part(kind, list(found)) for kind, found in groupby(ROWS, key=lambda row: row.kind))


def _part(kind: str, found: list[Row]) -> str:
    words = [found[0].setup.words, ""] if found[0].setup.words else []
    lines = [f"| {row.what} | {row.back.replace('|', chr(92) + '|')} |" for row in found]
    return "\n".join([f"### {kind}", "", *words, "| sent | comes back |", "|---|---|", *lines]) + "\n"


def page_with_table(page: str) -> str:
    """Return ``page`` with its table made anew."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text("utf-8")), "utf-8")

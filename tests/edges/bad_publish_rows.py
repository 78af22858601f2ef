"""Rows of the table of bad input about clients that publish."""

from typing import Any, Final

from producers.services.excalidraw import SERVICE
from tests.edges.bad_input_row import Row, Setup, request, rows, text
from tests.edges.peers import get
from tests.edges.signing import SECRET, token

__all__ = ["ROWS"]

ALLOWED: Final = token("alice", ["excalidraw:read", "diagram:write"])
READER: Final = token("alice", ["excalidraw:read"])
BOARD: Final = Setup(
    "At an edge of excalidraw with `auth_secret`, behind a good token unless a row says otherwise.",
    {"auth_secret": SECRET},
    headers=(f"Authorization: Bearer {ALLOWED}",),
    service=SERVICE,
)
CURSOR: Final = {"diagram_id": "d", "position": {}}
NAMES: Final = ", ".join(opened.event.event_name for opened in SERVICE.client_events)
ABUSE: Final = "close 1008: message_rate_limit exceeded again and again"


def wish(event: Any, data: Any, request_id: str = "p") -> bytes:
    """Return a publish."""
    return text({"type": "request", "event": "publish", "data": {"event": event, "data": data}, "id": request_id})


def said(event: Any, data: Any, shown: str | None = ALLOWED, request_id: str = "p") -> bytes:
    """Return a publish, behind a token."""
    before = b"" if shown is None else request("auth", "a", token=shown)
    return before + wish(event, data, request_id)


def posted(
    body: bytes, *headers: str, shown: str = ALLOWED, kind: str = "application/json", size: int | None = None
) -> bytes:
    """Return a publish by HTTP."""
    length = f"Content-Length: {len(body) if size is None else size}"
    whole = (f"Content-Type: {kind}", *([length] if size != -1 else []), f"Authorization: Bearer {shown}", *headers)
    return get("/publish", *whole, method="POST") + body


PUBLISHES: Final = (
    (
        "no permission",
        "FORBIDDEN: cursor.moved needs the permission diagram:write",
        said("cursor.moved", CURSOR, READER),
    ),
    ("no token", "FORBIDDEN: cursor.moved needs the permission diagram:write", said("cursor.moved", CURSOR, None)),
    (
        "an event that is not open to clients",
        f"FORBIDDEN: event: not open to clients; clients may publish {NAMES}",
        said("diagram.saved", {"diagram_id": "d", "storage_key": "k"}),
    ),
    (
        "an event of no model",
        f"INVALID_REQUEST: event: no such event; clients may publish {NAMES}",
        said("cursor.jumped", CURSOR),
    ),
    (
        "the same in a message of type `event`",
        f"INVALID_REQUEST: event: no such event; clients may publish {NAMES}",
        request("auth", "a", token=ALLOWED) + text({"type": "event", "event": "cursor.jumped", "data": {}, "id": "p"}),
    ),
    (
        "another user as the sender",
        "FORBIDDEN: user_id: the token is of another user; leave the field out",
        said("cursor.moved", {**CURSOR, "user_id": "bob"}),
    ),
    (
        "a field of the wrong type",
        "INVALID_REQUEST: position: input should be an object",
        said("cursor.moved", {**CURSOR, "position": 5}),
    ),
    (
        "a field too many",
        "INVALID_REQUEST: more: extra inputs are not permitted",
        said("cursor.moved", {**CURSOR, "more": 1}),
    ),
    ("no field", "INVALID_REQUEST: diagram_id: field required; position: field required", said("cursor.moved", {})),
    ("data that are a list", "INVALID_REQUEST: data: expected an object, the event's fields", said("cursor.moved", [])),
    (
        "a number for the event",
        "INVALID_REQUEST: event: expected the name of an event in data, such as 'cursor.moved'",
        said(5, CURSOR),
    ),
    (
        "an id with a quotation mark",
        "INVALID_REQUEST: id: an event's id has neither '\"' nor '\\'",
        said("cursor.moved", CURSOR, request_id='a"b'),
    ),
    (
        "data of 40,000 bytes",
        "INVALID_REQUEST: max_publish_bytes: the data have 40036 bytes, the limit is 32768",
        said("cursor.moved", {**CURSOR, "position": {"x": "y" * 39_998}}),
    ),
    (
        "data of a megabyte",
        "close 1009: a message has more than max_message_bytes",
        said("cursor.moved", {**CURSOR, "position": {"x": "y" * 1_000_000}}),
    ),
    (
        "1,000 at once",
        ABUSE,
        request("auth", "a", token=ALLOWED) + wish("cursor.moved", CURSOR) * 1_000,
    ),
)
POSTS: Final = (
    (
        "no permission",
        "HTTP 403: cursor.moved needs the permission diagram:write",
        posted(b'{"event":"cursor.moved","data":{}}', shown=READER),
    ),
    (
        "a token that is none",
        "HTTP 401: the token is no JWT: expected three parts of base64url letters, joined by dots",
        posted(b"{}", shown="x"),
    ),
    ("no JSON", "HTTP 400: the message is not JSON: …", posted(b"{")),
    (
        "a form",
        "HTTP 415: Content-Type: expected application/json",
        posted(b"a=b", kind="application/x-www-form-urlencoded"),
    ),
    ("no length", "HTTP 411: Content-Length: wanted; chunks are not read", posted(b"{}", size=-1)),
    (
        "chunks",
        "HTTP 411: Content-Length: wanted; chunks are not read",
        posted(b"0\r\n\r\n", "Transfer-Encoding: chunked"),
    ),
    (
        "a megabyte",
        "HTTP 413: max_publish_bytes: the body has 1000000 bytes, the limit is 33792",
        posted(b"{", size=1_000_000),
    ),
    (
        "a length that is none",
        "HTTP 400: Content-Length: expected one number",
        posted(b"{}", "Content-Length: 3"),
    ),
    ("half a body, and silence", "nothing; the socket is closed at the deadline", posted(b"{", size=10)),
    ("`GET`", "HTTP 405: method not allowed; use POST", get("/publish")),
)

ROWS: Final[tuple[Row, ...]] = (
    *rows("Publishes of clients", PUBLISHES, setup=BOARD),
    *rows("`POST /publish`", POSTS, is_handshake=True, setup=BOARD),
)

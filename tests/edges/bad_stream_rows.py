"""Rows of the table of bad input about events by plain HTTP."""

from typing import Final

from tests.edges.bad_input_row import Row, Setup, rows
from tests.edges.peers import get
from tests.edges.signing import SECRET, token
from tests.edges.streams import events_path

__all__ = ["ROWS"]

READER: Final = Setup(
    "At an edge of mahavishnu with `auth_secret`, `auth_required` and `allowed_origins: https://app.example.com`.",
    {"auth_secret": SECRET, "auth_required": True, "allowed_origins": ("https://app.example.com",)},
    headers=(f"Authorization: Bearer {token('alice', ['mahavishnu:read'])}",),
)
A: Final = events_path("workflow:a")
MANY: Final = events_path(*(f"workflow:{number}" for number in range(51)))
FORMS: Final = (
    "the forms are: workflow:{workflow_id}, pool:{pool_id}, worker:{worker_id}, goal-teams, goal-teams:{user_id}, "
    "adapters, symbiotic:{scope}, global"
)
SINCE: Final = "since: expected a position, an ISO time with its offset, or a span such as '-15m' (ms, s, m, h, d)"
KEYS: Final = "no such key; there are channel, since, last"
PLACES: Final = "Last-Event-ID: expected the id of an event of this stream"
NO_CHANNEL: Final = f"HTTP 404: channel: not a channel of mahavishnu; {FORMS}"

STRANGE_PAGE: Final = (
    "HTTP 403: this origin may not connect; the operator lists the pages that may as allowed_origins, spelled as "
    "browsers do"
)

STREAMS: Final = (
    (
        "no channel",
        "HTTP 400: channel: expected one, such as ?channel=global; for several write ?channel=a&channel=b",
        get("/events"),
    ),
    ("a channel that is none", NO_CHANNEL, get(events_path("nonsense"))),
    (
        "51 channels",
        "HTTP 400: channel: 51 of them, the limit is 50",
        get(MANY),
    ),
    ("102 values", "HTTP 400: the query lists too many values", get(A + "&a=b" * 101)),
    ("a key that is none", f"HTTP 400: 'chanel': {KEYS}", get("/events?chanel=global")),
    ("a key with line breaks", f"HTTP 400: 'a\\r\\nb': {KEYS}", get(A + "&a%0d%0ab=c")),
    ("`since` that is none", f"HTTP 400: {SINCE}", get(A + "&since=yesterday")),
    ("`since` twice", "HTTP 400: since: give one of them", get(A + "&since=-1m&since=-2m")),
    ("`last` that is none", "HTTP 400: last: expected a number, 0 or more", get(A + "&last=-1")),
    ("`since` and `last`", "HTTP 400: since, last: give one of them", get(A + "&since=-1m&last=1")),
    ("`Last-Event-ID` that is none", f"HTTP 400: {PLACES}: 1 positions, commas between", get(A, "Last-Event-ID: x")),
    (
        "`Last-Event-ID` of a stream of two channels",
        f"HTTP 400: {PLACES}: 1 positions, commas between",
        get(A, "Last-Event-ID: 1-1,1-2"),
    ),
    ("two of them", "HTTP 400: Last-Event-ID: give one of them", get(A, "Last-Event-ID: 1-1", "Last-Event-ID: 1-2")),
    (
        "a type that is none",
        "HTTP 400: Accept: there are text/event-stream and application/x-ndjson",
        get(A, "Accept: application/json"),
    ),
    (
        "a token in the query, without `auth_in_query`",
        "HTTP 400: token: this edge takes no token in the query; send Authorization: Bearer and the token",
        get(A + "&token=x"),
    ),
    ("`POST`", "HTTP 405: method not allowed; use GET, HEAD", get(A, method="POST")),
    ("`OPTIONS` of no page", "HTTP 405: method not allowed; use GET, HEAD", get(A, method="OPTIONS")),
)
PAST: Final = (
    ("no channel", NO_CHANNEL, get("/channels/")),
    ("a channel that is none", NO_CHANNEL, get("/channels/nonsense")),
    ("more than a log has", "HTTP 400: last: the limit is 1000", get("/channels/global?last=1001")),
    (
        "a number of 5,000 digits",
        "HTTP 400: last: expected a number, 0 or more",
        get("/channels/global?last=" + "1" * 5_000),
    ),
    (
        "a key that is none",
        "HTTP 400: 'channel': no such key; there are last, since",
        get("/channels/global?channel=a"),
    ),
    ("`POST`", "HTTP 405: method not allowed; use GET, HEAD", get("/channels/global", method="POST")),
)
CLOSED: Final = (
    ("no token", "HTTP 401: authenticate first: send Authorization: Bearer and a token", get(A)),
    (
        "no token, a channel that is none",
        "HTTP 401: authenticate first: send Authorization: Bearer and a token",
        get(events_path("x")),
    ),
    (
        "a token that is none",
        "HTTP 401: the token is no JWT: expected three parts of base64url letters, joined by dots",
        get(A, "Authorization: Bearer x"),
    ),
    (
        "a token without permission",
        "HTTP 403: workflow:{workflow_id} needs the permission mahavishnu:read or …",
        get(A, f"Authorization: Bearer {token('alice', ['pool:read'])}"),
    ),
    (
        "the past, without a token",
        "HTTP 401: a token is required: Authorization: Bearer and the token",
        get("/channels/global"),
    ),
    (
        "a page that is not listed",
        STRANGE_PAGE,
        get(A, "Origin: https://evil.example"),
    ),
    (
        "such a page that asks whether it may ask",
        STRANGE_PAGE,
        get(A, "Origin: https://evil.example", "Access-Control-Request-Method: GET", method="OPTIONS"),
    ),
)

ROWS: Final[tuple[Row, ...]] = (
    *rows("`GET /events`", STREAMS, is_handshake=True),
    *rows("`GET /channels/NAME`", PAST, is_handshake=True),
    *rows("Events by plain HTTP, behind tokens", CLOSED, is_handshake=True, setup=READER),
)

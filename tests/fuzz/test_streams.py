"""Requests for events and lines on a stream: anything may come, and neither breaks out of its place."""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st
from websockets.datastructures import Headers
from websockets.http11 import Request

from edges.net.visitor import Visitor
from edges.protocol.event_stream import EVENT_STREAM, JSON_LINES
from edges.protocol.messages import Refusal
from edges.settings import EdgeSettings
from edges.transport.following import CHANNELS_LIMIT, following_of
from tests.edges.streams import parsed
from tests.fuzz.test_decoders import refused_or

KEYS: Final = st.sampled_from(["channel", "since", "last", "token", "chanel", "", "channel=channel"])
VALUES: Final = st.sampled_from(
    ["workflow:a", "global", "-15m", "1-1", "1-1,1-2", ",", "%", "%zz", "%0d%0a", "1" * 5_000]
)
TEXT: Final = st.text(st.characters(min_codepoint=33, max_codepoint=126))
QUERIES: Final = st.lists(st.tuples(KEYS, VALUES | TEXT).map("=".join) | TEXT, max_size=8).map("&".join)
HEADERS: Final = st.lists(
    st.tuples(st.sampled_from(["Last-Event-ID", "Accept"]), VALUES | TEXT | st.just("application/x-ndjson")), max_size=3
)
PIECES: Final = (b"\n", b"\r", b"id: x", b"data:", b"event: gap", b"retry: 1", b'{"position":"1-1","previous":"1-0","')
LINES: Final = st.lists(st.sampled_from(PIECES)).map(b"".join)
NOBODY: Final = Visitor("", is_secure=False)
SETTINGS: Final = EdgeSettings()


@given(QUERIES, HEADERS)
def test_query_is_taken_or_refused(query: str, headers: list[tuple[str, str]]) -> None:
    """A request is a stream of at most so many channels, or refused with a sentence that quotes no token."""
    request = Request(f"/events?{query}", Headers(headers))
    found = refused_or(lambda: following_of(request, NOBODY, (), SETTINGS))
    if isinstance(found, Refusal):
        assert found.sentence.isprintable()
    else:
        assert 0 < len(found.follows) <= CHANNELS_LIMIT


@given(LINES)
def test_line_is_one_event(line: bytes) -> None:
    """Whatever stands in a line, it is the data of a single event without a name, and one line of JSON lines."""
    frame, json_line = EVENT_STREAM.frame(line), JSON_LINES.frame(line)
    assert frame is not None
    assert json_line is not None
    block = frame.decode("latin-1").removesuffix("\n\n")
    said, _, retry = parsed(block)
    assert said is not None
    assert (said.name, retry, "\n\n" in block, "\r" in block) == ("message", None, False, False)
    assert len(said.data) == len(line)
    assert json_line.count(b"\n") == 1

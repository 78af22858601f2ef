"""A handshake read at once has the answer that the library gives; every other form is left to the library."""

import asyncio
import re

import pytest
from websockets.http11 import Request
from websockets.protocol import OPEN

from edges.transport.framing import Library
from edges.transport.opening import Openings, read_opening
from tests.edges.conftest import StartEdge

BROWSER = (
    b"GET /ws?page=1&theme=dark HTTP/1.1\r\nHost: localhost:8690\r\nConnection: keep-alive, Upgrade\r\n"
    b"Pragma: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nUpgrade: websocket\r\n"
    b"Origin: http://localhost:3000\r\nSec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nAuthorization:  Bearer abc \r\n\r\n"
)
"""A handshake with all that clients send, and more than one client does."""
NAMES = ("Host", "origin", "AUTHORIZATION", "X-Forwarded-For", "Sec-WebSocket-Protocol")


def by_the_library(head: bytes) -> tuple[Request | None, bytes, bool]:
    """Return the request, the answer without its date, and whether the connection is open."""
    library = Library(1024)
    library.receive_data(head)
    request = next(iter(library.events_received()), None)
    if isinstance(request, Request):
        library.send_response(library.accept(request))
        return request, undated(b"".join(library.data_to_send())), library.state is OPEN
    return None, b"", False


def undated(answer: bytes) -> bytes:
    return re.sub(rb"Date: [^\r]+", b"Date:", answer)


def test_usual_handshake_is_read_and_answered_as_the_library_does() -> None:
    """The path, every value and every byte of the answer are the library's."""
    opening, (request, answer, is_open) = read_opening(BROWSER), by_the_library(BROWSER)
    assert opening is not None
    assert request is not None
    assert is_open
    assert opening.path == request.path
    for name in NAMES:
        assert opening.headers.get_all(name) == request.headers.get_all(name)
    assert undated(opening.answer()) == answer


@pytest.mark.parametrize(
    ("usual", "other"),
    [
        (b"GET ", b"POST "),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"/ws", b"/w s"),
        (b"/ws", "/ä".encode()),
        (b"Upgrade: websocket\r\n", b""),
        (b"Upgrade: websocket", b"Upgrade: websocket, h2c"),
        (b"keep-alive, Upgrade", b"keep-alive"),
        (b"keep-alive, Upgrade", b"Upgrade, close"),
        (b"Version: 13", b"Version: 12"),
        (b"Sec-WebSocket-Version: 13\r\n", b""),
        (b"dGhl", b"dGh"),
        (b"25jZQ==", b"25jZQ=="[:-4]),
        (b"25jZQ==", b"25jZR=="),
        (b"25jZQ==", b"25jZQ==\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),
        (b"Pragma: no-cache", b"Origin: http://localhost:3000"),
        (b"Pragma: no-cache", b"Content-Length: 0"),
        (b"Pragma: no-cache", b"Transfer-Encoding: chunked"),
        (b"Pragma: no-cache", b"Sec-WebSocket-Protocol: edgebus.v1, token"),
        (b"Pragma: no-cache", b"Pragma : no-cache"),
        (b"Pragma: no-cache", b"Pragma: no\x00cache"),
        (b"Pragma: no-cache", "Pragma: nö".encode()),
        (b"Pragma: no-cache", b"Pragma: no\r\n folded"),
        (b"Pragma: no-cache", b"Pragma\r\n: no-cache"),
        (b"Pragma: no-cache", b"Pragma: no\ncache: yes"),
        (b"Pragma: no-cache", b"Pragma: " + b"," * 40),
        (b"Pragma: no-cache", b"Pragma: " + b"x" * 4096),
        (b"Pragma: no-cache", b"\r\n".join(b"X-%d: 1" % number for number in range(40))),
    ],
)
def test_other_form_is_left_to_the_library(usual: bytes, other: bytes) -> None:
    """Whatever the library refuses, or reads in a way of its own, is not read here."""
    changed = BROWSER.replace(usual, other, 1)
    assert changed != BROWSER
    assert read_opening(changed) is None


def test_handshake_in_fewest_words() -> None:
    """The five fields of RFC 6455 are enough, in any case."""
    head = (
        b"GET / HTTP/1.1\r\nhost: x\r\nUPGRADE: WebSocket\r\nconnection:Upgrade\t\r\n"
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
    )
    opening, (_, answer, is_open) = read_opening(head), by_the_library(head)
    assert opening is not None
    assert is_open
    assert undated(opening.answer()) == answer
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer


COMMON = BROWSER.replace(b"Authorization:  Bearer abc \r\n", b"").replace(b"?page=1", b"")


def keyed(key: bytes) -> bytes:
    return COMMON.replace(b"dGhlIHNhbXBsZSBub25jZQ==", key)


def test_head_that_came_before_is_known_but_for_the_key() -> None:
    """Each client has the answer to its own key, and the values of its own head."""
    openings, keys = (
        Openings(),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"AAAAAAAAAAAAAAAAAAAAAA==", b"/+" + b"/" * 19 + b"w=="),
    )
    for key in (*keys, *keys):
        opening = openings.read(keyed(key))
        assert opening is not None
        assert undated(opening.answer()) == by_the_library(keyed(key))[1]
        assert opening.headers.get_all("origin") == ["http://localhost:3000"]
    assert len(openings) == 1
    other = openings.read(keyed(keys[0]).replace(b":3000", b":4000"))
    assert other is not None
    assert other.headers.get_all("origin") == ["http://localhost:4000"]


@pytest.mark.parametrize(
    "key", [b"", b"short==", b"AAAAAAAAAAAAAAAAAAAAAAA=", b"A" * 24, b"AAAA\r\nOrigin: http://x.y", b"A" * 25]
)
def test_key_that_is_none_is_none_in_a_known_head_too(key: bytes) -> None:
    """A known head is no reason to take what no key is, nor to read a header out of a key."""
    openings = Openings()
    assert openings.read(keyed(b"AAAAAAAAAAAAAAAAAAAAAA==")) is not None
    assert openings.read(keyed(key)) is None


def test_known_head_that_lets_anybody_in_is_answered_at_once() -> None:
    """As by the long way; a head that nobody came in by, other bytes and a key that is none are left to it."""
    openings, first, then = Openings(), keyed(b"AAAAAAAAAAAAAAAAAAAAAA=="), keyed(b"dGhlIHNhbXBsZSBub25jZQ==")
    assert openings.answer_known(first) is None
    opening = openings.read(first)
    assert opening is not None
    assert openings.answer_known(then) is None
    opening.is_free = True
    answer = openings.answer_known(then)
    assert answer is not None
    assert undated(answer) == by_the_library(then)[1]
    others = (then[:-1], then + b"\x81", then.replace(b":3000", b":4000"), keyed(b"A" * 24), b"", b"GET")
    assert [openings.answer_known(it) for it in others] == [None] * len(others)


@pytest.mark.parametrize(
    "own", [b"Authorization: Bearer t", b"cookie: a=b", b"X-Forwarded-For: 10.0.0.1", b"Forwarded: for=10.0.0.1"]
)
def test_head_of_one_client_alone_is_not_kept(own: bytes) -> None:
    """Tokens and addresses are nobody else's."""
    openings = Openings()
    assert openings.read(keyed(b"AAAAAAAAAAAAAAAAAAAAAA==").replace(b"Pragma: no-cache", own)) is not None
    assert openings.read(keyed(b"AAAAAAAAAAAAAAAAAAAAAA==").replace(b"/ws", b"/ws?token=t")) is not None
    assert len(openings) == 0


def test_known_heads_are_few() -> None:
    """Clients choose heads, so the heads are bounded."""
    openings = Openings()
    for number in range(200):
        assert openings.read(keyed(b"AAAAAAAAAAAAAAAAAAAAAA==").replace(b"X11", b"%d" % number)) is not None
    assert len(openings) <= 64


async def test_known_handshake_is_judged_as_the_first_was(start_edge: StartEdge) -> None:
    """Pages that may come in come in again, others are refused again, in whatever order they ask."""
    edge = await start_edge(
        redis_url="redis://127.0.0.1:1",
        allowed_origins=("http://localhost:3000",),
        auth_secret="pS9tGm2vQx7LrK4wYb8ZdN6cTfHj3aUe",
    )
    heads = [keyed(b"AAAAAAAAAAAAAAAAAAAAAA=="), keyed(b"AAAAAAAAAAAAAAAAAAAAAA==").replace(b":3000", b":4000")]
    lines = []
    for head in (*heads, *heads, *heads[::-1]):
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(head)
        lines.append((await reader.readline()).split()[1])
        writer.close()
    assert lines == [b"101", b"403", b"101", b"403", b"403", b"101"]

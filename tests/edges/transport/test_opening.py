"""A handshake read at once has the answer that the library gives; every other form is left to the library."""

import re

import pytest
from websockets.http11 import Request
from websockets.protocol import OPEN

from edges.transport.framing import Library
from edges.transport.opening import read_opening

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

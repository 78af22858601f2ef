"""Bytes of any kind for handshake and frames: a connection answers or closes, and ends within its deadlines."""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from edges.transport import http
from producers.services.mahavishnu import SERVICE as MAHAVISHNU
from tests.edges.peers import BINARY, CLOSE, PING, PONG, TEXT, get, upgrade
from tests.fuzz.bounds import CONVERSATION, MESSAGES, VALUE, mangled
from tests.fuzz.stage import ROUTES, Stage, client_frame

STATUSES: Final = {200, 400, 403, 404, 405, 414, 426, 431, 505}
"""What a request that is no handshake may be answered with (protocol.md; RFC 9110; RFC 6455, section 4.2.2)."""
CODES: Final = {1005, *range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
"""What a close may hold (RFC 6455, section 7.4), and 1005 for nothing; a client gets its own back. Ours is logged."""
OVERHEAD_BYTES: Final = 2_000
"""For the answer to the handshake, the welcome and the close, beside 2,000 bytes for each answer."""

HEADERS: Final = st.sampled_from(
    [
        "Upgrade: websocket",
        "Upgrade: h2c",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Version: 8",
        "Sec-WebSocket-Version: x",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Key: short",
        "Sec-WebSocket-Key: \x7f",
        "Sec-WebSocket-Protocol: edgebus.v1",
        "Sec-WebSocket-Protocol: ,",
        "Sec-WebSocket-Extensions: permessage-deflate",
        "Sec-WebSocket-Extensions: ;=;",
        "Origin: null",
        "Content-Length: 5",
        "Content-Length: -1",
        "Content-Length: x",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
        "Host: edge",
        "X: " + "y" * 9_000,
    ]
)
METHODS: Final = st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "get", "", "PRI"])
PATHS: Final = st.sampled_from(["/", "/healthz", "/readyz?x", "*", "", "/" + "x" * 9_000, "/\x00", "http://edge/"])
REQUESTS: Final = st.builds(
    lambda method, path, headers, version: get(path, *headers, method=method, version=version),
    METHODS,
    PATHS,
    st.lists(HEADERS, max_size=8),
    st.sampled_from(["1.1", "1.0", "2.0", "x"]),
) | st.lists(HEADERS, max_size=3).map(lambda headers: upgrade("/", *headers))
FRAMES: Final = st.builds(
    lambda opcode, payload, is_last, mask: client_frame(opcode, payload, mask, fin=is_last),
    st.sampled_from([0, TEXT, BINARY, CLOSE, PING, PONG, 3, 15]),
    st.binary(max_size=130) | MESSAGES.map(repr).map(str.encode),
    st.booleans(),
    st.binary(min_size=4, max_size=4),
)
CUTS: Final = st.lists(st.integers(0, 10_000), max_size=10)


async def outlive(stage: Stage) -> None:
    """Let the time pass in which a silent client is pinged, closed and cut; see that the socket is gone then."""
    now, settings = stage.connection._keepalive.heard_at, stage.settings  # noqa: SLF001 (the time that deadlines are counted from)
    for later_s in (
        settings.open_timeout_s,
        settings.ping_interval_s,
        settings.ping_interval_s + settings.ping_timeout_s,
        settings.ping_interval_s + settings.ping_timeout_s + 2 * settings.close_timeout_s,
    ):
        if not stage.transport.is_gone:
            stage.connection.check_deadlines(now + later_s + 1)
    assert stage.transport.is_gone


@CONVERSATION
@given(mangled(REQUESTS), CUTS, st.binary(max_size=20))
async def test_any_handshake_is_answered_or_waited_for(head: bytes, cuts: list[int], behind: bytes) -> None:
    """What comes instead of a handshake has one answer of HTTP, or is waited for until the deadline."""
    async with Stage(MAHAVISHNU) as stage:
        await stage.take(head + behind, cuts)
        status = bytes(stage.transport.written).partition(b"\r\n")[0].split(b" ")[1:2]
        if status and status != [b"101"]:
            assert int(status[0]) in STATUSES
            assert stage.transport.has_ended
        await outlive(stage)


@VALUE
@given(mangled(REQUESTS))
def test_end_of_a_head_is_where_its_blank_line_is(data: bytes) -> None:
    """What is behind the head of a request is told from it, and any head can be refused."""
    end = http.head_end(data)
    assert (end == -1) == (b"\r\n\r\n" not in data)
    assert end == -1 or data[:end].count(b"\r\n\r\n") == 1
    assert ROUTES.refusal(data).status_code in STATUSES


@CONVERSATION
@given(st.lists(mangled(FRAMES), max_size=12), CUTS)
async def test_any_frames_are_answered_or_the_connection_closed(pieces: list[bytes], cuts: list[int]) -> None:
    """Whatever follows a handshake, what is written is bounded, a close has a code of a client's fault, and it ends."""
    async with Stage(MAHAVISHNU) as stage:
        await stage.take(upgrade())
        await stage.take(b"".join(pieces), cuts)
        await stage.settle(len(pieces))
        code = stage.close_code()
        assert (
            code is None
            or code in CODES
            or code >= 3000
            or any(code.to_bytes(2) in bytes(b"".join(pieces)) for _ in [0])
        )
        assert len(stage.transport.written) < OVERHEAD_BYTES * (1 + len(stage.answers()))
        await outlive(stage)

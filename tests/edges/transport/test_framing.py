from collections.abc import Iterable

import pytest
from websockets.frames import BINARY, CLOSE, CONT, PING, PONG, TEXT, Frame, Opcode

from edges.protocol.messages import CONTROL_FLOOD, INVALID_TEXT, TOO_MANY_PARTS
from edges.transport.framing import Assembly, End, Part, Ping, WebSocket, Whole

WORDS = "ä€🎉".encode()


def parts(*pieces: bytes, opcode: Opcode = TEXT) -> list[Frame]:
    """Return the frames of one message."""
    last = len(pieces) - 1
    return [Frame(CONT if at else opcode, piece, fin=at == last) for at, piece in enumerate(pieces)]


def test_frame_alone_is_a_message() -> None:
    """A frame that begins and ends a message is handed on at once, as what it was sent."""
    assembly = Assembly(3)
    assert assembly.take(Frame(TEXT, WORDS)) == Whole(WORDS, is_text=True)
    assert assembly.take(Frame(BINARY, b"\xff")) == Whole(b"\xff", is_text=False)
    assert not assembly.is_under_way


@pytest.mark.parametrize("cut", range(len(WORDS) + 1))
def test_fragments_are_one_message(cut: int) -> None:
    """Two fragments are one text wherever they meet, and nothing is left of them for the next message."""
    assembly, (first, second) = Assembly(2), parts(WORDS[:cut], WORDS[cut:])
    for _ in range(2):
        assert assembly.take(first) is None
        assert assembly.is_under_way
        assert assembly.take(second) == Whole(WORDS, is_text=True)
        assert not assembly.is_under_way


def test_fault_in_a_fragment_is_found_at_once() -> None:
    """Text that is no UTF-8 closes with the fragment that shows it; bytes may be anything."""
    assert Assembly(9).take(parts(b"\xff", b"")[0]) is INVALID_TEXT
    assert Assembly(9).take(parts(b"\xff", b"", opcode=BINARY)[0]) is None


def test_text_that_ends_within_a_character() -> None:
    """The last fragment must end the last character."""
    first, last = parts(WORDS[:3], WORDS[3:-1])
    assembly = Assembly(9)
    assert assembly.take(first) is None
    assert assembly.take(last) is INVALID_TEXT
    assert Assembly(9).take(Frame(TEXT, WORDS[:-1])) is INVALID_TEXT


def test_one_fragment_too_many() -> None:
    """So many fragments are a message, and one more is none, even an empty one."""
    assembly, frames = Assembly(3), parts(b"", b"", b"", b"")
    assert [assembly.take(it) for it in frames] == [None, None, None, TOO_MANY_PARTS]


MESSAGES = (
    Frame(TEXT, WORDS),
    Frame(PING, b"p"),
    Frame(BINARY, b"\xff" * 300),
    Frame(PONG, b""),
    *parts(WORDS[:3], WORDS[3:]),
    Frame(TEXT, b""),
    Frame(BINARY, b"x" * 70_000),
    Frame(TEXT, b"last"),
)
FOUND = [
    Whole(WORDS, is_text=True),
    Ping(b"\x8a\x01p"),
    Whole(b"\xff" * 300, is_text=False),
    Whole(WORDS, is_text=True),
    Whole(b"", is_text=True),
    Whole(b"x" * 70_000, is_text=False),
    Whole(b"last", is_text=True),
]
SENT = b"".join(frame.serialize(mask=True) for frame in MESSAGES)


def opened(**limits: int) -> WebSocket:
    websocket = WebSocket(**{"max_size": 100_000, "max_fragments": 9, "control_rate": 100, **limits})
    websocket.open()
    return websocket


def taken(websocket: WebSocket, pieces: Iterable[bytes]) -> list[Part]:
    return [part for piece in pieces for part in websocket.take(piece, 0.0)]


def test_frames_of_one_read_are_found_in_order() -> None:
    """Whole frames, fragments and frames of any size come out as they went in, though two parsers read them."""
    assert taken(opened(), [SENT]) == FOUND


@pytest.mark.parametrize("cut", [1, 2, 5, 6, 7, 13, 100, 344, 345, 360, 400, 70_000, len(SENT) - 1])
def test_frames_cut_anywhere_are_found(cut: int) -> None:
    """A read may end anywhere; between reads the protocol may be let go of."""
    websocket = opened()
    found = taken(websocket, [SENT[:cut]])
    websocket.rest()
    assert found + taken(websocket, [SENT[cut:]]) == FOUND
    assert websocket.is_whole


def test_frames_byte_by_byte_are_found() -> None:
    """Each byte alone is a read."""
    websocket = opened()
    small = b"".join(frame.serialize(mask=True) for frame in MESSAGES[:6])
    assert taken(websocket, [small[at : at + 1] for at in range(len(small))]) == FOUND[:4]


@pytest.mark.parametrize(
    "fault",
    [
        Frame(TEXT, b"unmasked").serialize(mask=False),
        b"\x83\x80\x00\x00\x00\x00",
        b"\xc1\x80\x00\x00\x00\x00",
        b"\x89\xfe\x00\x7e" + bytes(130),
        b"\x81\xfe\x03\xe9" + bytes(1_100),
        Frame(CONT, b"").serialize(mask=True),
    ],
    ids=["unmasked", "opcode", "reserved", "long ping", "too big", "no beginning"],
)
def test_fault_behind_a_whole_frame_ends_the_connection(fault: bytes) -> None:
    """The frame before is taken; the fault is the library's to answer."""
    websocket = opened(max_size=1_000)
    assert taken(websocket, [Frame(TEXT, b"a").serialize(mask=True) + fault]) == [Whole(b"a", is_text=True)]
    assert not websocket.is_open
    assert websocket.data_to_send()[-1] == b""


def test_close_behind_a_whole_frame_is_answered() -> None:
    """The client's close is echoed by the library's protocol, which is made for it."""
    websocket, close = opened(), Frame(CLOSE, b"\x03\xe8bye")
    found = taken(websocket, [Frame(TEXT, b"a").serialize(mask=True) + close.serialize(mask=True)])
    assert found == [Whole(b"a", is_text=True), End()]
    assert websocket.data_to_send() == [close.serialize(mask=False), b""]
    assert not websocket.is_open
    assert not websocket.is_failed


def test_control_frames_are_counted_whoever_reads_them() -> None:
    """Whole pings and pings in two reads come out of one bucket."""
    websocket, ping = opened(control_rate=1), Frame(PING, b"").serialize(mask=True)
    assert taken(websocket, [ping, ping[:3], ping[3:], ping]) == [Ping(b"\x8a\x00"), Ping(b"\x8a\x00"), CONTROL_FLOOD]


def test_text_that_is_no_utf8_is_a_fault() -> None:
    """A whole frame is checked as fragments are; bytes may be anything."""
    assert taken(opened(), [Frame(TEXT, b"\xff").serialize(mask=True)]) == [INVALID_TEXT]


def test_end_of_bytes_between_messages_is_the_end() -> None:
    """Whether a protocol is there or not, no close may follow the client's end."""
    without, within = opened(), opened()
    taken(within, [b"\x81"])
    for websocket in (without, within):
        assert websocket.is_open
        websocket.receive_eof()
        assert not websocket.is_open


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 999, 1_000])
def test_whole_text_is_taken_at_once(size: int) -> None:
    """A text alone in a read is what the long way finds; one byte less or more is left to the long way, unread."""
    text = b"t" * size
    frame = Frame(TEXT, text).serialize(mask=True)
    websocket = opened(max_size=1_000)
    assert [websocket.take_text(it) for it in (frame[:-1], frame + b"\x81", frame)] == [None, None, text]
    assert websocket.is_whole
    assert taken(websocket, [frame]) == [Whole(text, is_text=True)]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x81\x80\0\0\0",
        Frame(TEXT, b"t" * 7).serialize(mask=False),
        Frame(TEXT, b"\xff").serialize(mask=True),
        Frame(TEXT, b"t" * 1_001).serialize(mask=True),
        b"\x81\xff" + bytes(131),
        Frame(TEXT, b"t", fin=False).serialize(mask=True),
        Frame(BINARY, b"t").serialize(mask=True),
        Frame(PING, b"t").serialize(mask=True),
        Frame(CLOSE, b"\x03\xe8").serialize(mask=True),
    ],
    ids=["none", "short", "unmasked", "utf-8", "too big", "eight bytes", "fragment", "binary", "ping", "close"],
)
def test_other_bytes_are_left_to_the_long_way(data: bytes) -> None:
    """Nothing is taken, and nothing is changed."""
    websocket = opened(max_size=1_000)
    assert websocket.take_text(data) is None
    assert websocket.is_open
    assert not websocket.is_whole


def test_whole_text_within_fragments_is_a_fault() -> None:
    """A text between the fragments of another is the library's to refuse."""
    websocket = opened()
    first = Frame(TEXT, b"a", fin=False).serialize(mask=True)
    assert taken(websocket, [first]) == []
    assert websocket.take_text(Frame(TEXT, b"b").serialize(mask=True)) is None

import pytest
from websockets.frames import BINARY, CONT, TEXT, Frame, Opcode

from edges.protocol.messages import INVALID_TEXT, TOO_MANY_PARTS
from edges.transport.framing import Assembly, Whole

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

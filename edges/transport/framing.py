"""The frames of a client: whole frames read at once, the rest by the Sans-I/O protocol, messages of fragments. Pure."""

import codecs
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias, cast

from websockets.frames import CLOSE, CONT, PING, PONG, TEXT, Frame
from websockets.protocol import CONNECTING, OPEN, Event, State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from bus.ids import new_id
from edges.limits.rates import TokenBucket
from edges.protocol.messages import CONTROL_FLOOD, INVALID_TEXT, TOO_BIG, TOO_MANY_PARTS, Closing
from edges.transport.bearer import chosen_subprotocol

try:
    from websockets.speedups import apply_mask
except ImportError:  # where the library was installed without a compiler
    from websockets.utils import apply_mask

__all__ = ["PING_FRAME", "Assembly", "End", "Library", "Part", "Ping", "WebSocket", "Whole"]

PING_FRAME: Final = b"\x89\x00"
_TEXT, _BINARY, _PING, _PONG = 0x81, 0x82, 0x89, 0x8A
"""The first bytes of frames that end what they begin (RFC 6455, section 5.2)."""

_quiet: Final = logging.getLogger("edgebus.websockets")
"""The protocol's own log: every frame at debug level, payloads included, so it stays above that."""
_quiet.setLevel(logging.WARNING)


class Library(ServerProtocol):
    """The library's protocol, with the edge's subprotocol; as an argument the choice would make a reference cycle.

    Pings are left to the connection, which counts and answers pings in turn; the parser would answer first. The reason
    for a message over the bound names the setting.

    Args:
        max_size: bytes of a message.
        state: OPEN where the opening handshake was read elsewhere.

    """

    is_too_big = False
    is_between = True
    """Whether no frame has begun. An empty buffer proves nothing: the parser may hold the beginning of a frame."""

    def __init__(self, max_size: int, state: State = CONNECTING) -> None:
        super().__init__(max_size=max_size, logger=_quiet, state=state)

    @property
    def is_idle(self) -> bool:
        """Whether the protocol knows no more than that the connection is open: no part of a message or of a frame."""
        return self.is_between and self.state is OPEN and self.current_size is None and not self.writes

    def receive_data(self, data: bytes | bytearray) -> None:
        """Take bytes."""
        self.is_between = False
        super().receive_data(data)

    @property
    def held_bytes(self) -> int:
        """The bytes of an unfinished message."""
        return (self.current_size or 0) + len(self.reader.buffer)

    def fail(self, code: int, reason: str = "") -> None:
        """Note a message over the bound, and give the edge's reason."""
        self.is_too_big = code == TOO_BIG.code
        super().fail(code, TOO_BIG.reason if self.is_too_big else reason)

    def select_subprotocol(self, subprotocols: Sequence[Subprotocol]) -> Subprotocol | None:
        """Return the edge's subprotocol, where offered; a client that offers no subprotocol is welcome too."""
        return chosen_subprotocol(subprotocols)

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame; a close may come within a message."""
        if frame.opcode is CLOSE:
            self.current_size = None  # a message that is cut short by a close is no fault (RFC 6455, section 5.4)
        self.is_between = not self.reader.buffer
        super().recv_frame(frame)

    def send_frame(self, frame: Frame) -> None:
        """Send a frame, but no pong of the parser."""
        if frame.opcode is not PONG:
            super().send_frame(frame)


class Whole(NamedTuple):
    """A whole message; text is UTF-8."""

    data: bytes
    is_text: bool


class Ping(NamedTuple):
    """A ping, and the frame of the answer."""

    pong: bytes


class End(NamedTuple):
    """The client's half of the closing handshake."""


Part: TypeAlias = Whole | Ping | Closing | End
"""A part of a client's bytes; ``Closing`` is how to close for a fault of the client."""


class Assembly:
    """Puts the fragments of messages together, message by message (RFC 6455, section 5.4).

    Args:
        limit: how many fragments a message may have.

    """

    __slots__ = ("_decoder", "_limit", "_parts")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._decoder: codecs.IncrementalDecoder | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether a message has begun and is not whole yet."""
        return bool(self._parts)

    def take(self, frame: Frame) -> Whole | Closing | None:
        """Take a frame of data; return the message that the frame completes, or how to close for a fault.

        The fragments of a text are checked in turn, so that a fault is found at once.
        """
        if frame.fin and not self._parts:  # most messages: no list, no decoder
            return _message(bytes(frame.data), is_text=frame.opcode is TEXT)
        return self._take_part(frame)

    def _take_part(self, frame: Frame) -> Whole | Closing | None:
        if frame.opcode is not CONT:
            self._decoder = codecs.getincrementaldecoder("utf-8")() if frame.opcode is TEXT else None
        self._parts.append(bytes(frame.data))
        if len(self._parts) > self._limit:
            return TOO_MANY_PARTS
        try:
            if self._decoder is not None:
                self._decoder.decode(self._parts[-1], frame.fin)
        except UnicodeDecodeError:
            return INVALID_TEXT
        if not frame.fin:
            return None
        parts, self._parts = self._parts, []
        return Whole(b"".join(parts), is_text=self._decoder is not None)


class WebSocket:
    """The frames of a client.

    Whole frames are read here. The library's protocol is made for all else: parts of frames, fragments, faults, the
    end, a handshake in an unusual form.

    Args:
        max_size: bytes of a message.
        max_fragments: of a message.
        control_rate: pings and pongs per second.

    """

    # The library's protocol is 3 KB of memory, and to make one costs more than to read a handshake. Most clients are
    # idle, and send no frame in two parts.
    __slots__ = (
        "_assembly",
        "_control",
        "_control_rate",
        "_has_frames",
        "_is_open",
        "_library",
        "_max_fragments",
        "_max_size",
        "_name",
    )

    def __init__(self, max_size: int, max_fragments: int, control_rate: int) -> None:
        self._max_size, self._max_fragments, self._control_rate = max_size, max_fragments, control_rate
        self._library: Library | None = None
        self._assembly: Assembly | None = None
        self._control: TokenBucket | None = None
        self._name: str | None = None
        self._is_open = self._has_frames = False

    @property
    def name(self) -> str:
        """Id of the connection."""
        if self._name is None:
            self._name = new_id()
        return self._name

    # The library's protocol.

    @property
    def library(self) -> Library:
        """The library's protocol, made for the first look; before ``open`` it reads the opening handshake."""
        if self._library is None:
            self._library = Library(self._max_size, OPEN if self._is_open else CONNECTING)
        return self._library

    def open(self) -> None:
        """Take note of the end of the opening handshake, whoever read it."""
        self._is_open, self._library = True, None

    def rest(self) -> None:
        """Let go of the protocol between two messages. Called now and then, for a row of large messages to share it."""
        if self._library is not None and self._library.is_idle:
            self._library = None

    @property
    def is_open(self) -> bool:
        """Whether the opening handshake is done, and no end of either side has come."""
        return self._is_open if self._library is None else self._library.state is OPEN

    @property
    def is_too_big(self) -> bool:
        """Whether the client began a message over the bound."""
        return self._library is not None and self._library.is_too_big

    @property
    def is_failed(self) -> bool:
        """Whether the edge has said a close that the client has not answered."""
        library = self._library
        return library is not None and library.close_sent is not None and library.close_rcvd is None

    @property
    def held_bytes(self) -> int:
        """The bytes of an unfinished message."""
        return 0 if self._library is None else self._library.held_bytes

    def send_close(self, code: int, reason: str) -> None:
        """Begin the closing handshake."""
        self.library.send_close(code, reason)

    def receive_eof(self) -> None:
        """Take note of the end of the client's bytes."""
        if self._library is None:
            self._is_open = False
        else:
            self._library.receive_eof()

    def data_to_send(self) -> Sequence[bytes]:
        """Return the protocol's own frames; an empty piece says that the socket is done."""
        return () if self._library is None else self._library.data_to_send()

    # Frames.

    @property
    def is_whole(self) -> bool:
        """Whether the newest bytes end with a whole message."""
        is_alone = self._assembly is None or not self._assembly.is_under_way
        return self._has_frames and is_alone and (self._library is None or self._library.is_between)

    def take_text(self, data: bytes) -> bytes | None:
        """Take bytes that are one whole text, as nearly all commands come; None, and no change, for any other bytes."""
        if (self._library is not None and not self._library.is_idle) or len(data) < 6 or data[0] != _TEXT:
            return None
        size, start = data[1] - 128, 6
        if size == 126:
            size, start = int.from_bytes(data[2:4]), 8
        elif not 0 <= size < 126:
            return None
        if start + size != len(data) or size > self._max_size:
            return None
        text = apply_mask(data[start:], data[start - 4 : start])
        if not text.isascii() and not _is_utf8(text):
            return None
        self._has_frames = True
        return text

    def take(self, data: bytes, now: float) -> Iterator[Part]:
        """Take bytes; return the parts of which the end has come, each read when asked for."""
        library, size = self._library, 0
        whole: Sequence[tuple[int, bytes]] = ()
        frames: Sequence[Event] = ()
        if library is None or library.is_idle:
            whole, size = _whole_frames(data, self._max_size)
        if size < len(data):
            library = self.library
            library.receive_data(data[size:])
            frames = library.events_received()
        self._has_frames = bool(whole or frames)
        return self._parts(whole, cast(Sequence[Frame], frames), now)

    def _parts(self, whole: Iterable[tuple[int, bytes]], frames: Iterable[Frame], now: float) -> Iterator[Part]:
        for first, data in whole:
            if first < _PING:
                yield _message(data, is_text=first == _TEXT)
            elif (part := self._controlled(data, now, is_ping=first == _PING)) is not None:
                yield part
        for frame in frames:
            if (part := self._part(frame, now)) is not None:
                yield part

    def _part(self, frame: Frame, now: float) -> Part | None:
        if frame.opcode is CLOSE:
            return End()
        if frame.opcode is PING or frame.opcode is PONG:
            return self._controlled(bytes(frame.data), now, is_ping=frame.opcode is PING)
        if self._assembly is None:
            self._assembly = Assembly(self._max_fragments)
        return self._assembly.take(frame)

    def _controlled(self, data: bytes, now: float, *, is_ping: bool) -> Part | None:
        if self._control is None:
            self._control = TokenBucket(self._control_rate, now)
        if self._control.take(now) > 0:
            return CONTROL_FLOOD
        return Ping(b"\x8a" + len(data).to_bytes(1) + data) if is_ping else None


def _whole_frames(data: bytes, most_bytes: int) -> tuple[list[tuple[int, bytes]], int]:
    """Return the frames that ``data`` begins with, each whole, masked and a message or a control frame of its own.

    Returns:
        The first byte and the payload of each frame; and the size of all of them. A frame of any other form, or with a
        payload of more than ``most_bytes``, is left to the library's protocol, with all bytes behind.

    """
    frames, at, end = [], 0, len(data)
    while end - at >= 6:
        first, size, start = data[at], data[at + 1] - 128, at + 6
        if size == 126 and first < _PING:
            size, start = int.from_bytes(data[at + 2 : at + 4]), at + 8
        elif not 0 <= size < 126:
            break
        if first not in _WHOLE or size > most_bytes or start + size > end:
            break
        frames.append((first, apply_mask(data[start : start + size], data[start - 4 : start])))
        at = start + size
    return frames, at


_WHOLE: Final = (_TEXT, _BINARY, _PING, _PONG)


def _message(data: bytes, *, is_text: bool) -> Whole | Closing:
    return Whole(data, is_text) if not is_text or _is_utf8(data) else INVALID_TEXT


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True

"""The frames of a client: the Sans-I/O protocol with the edge's choices, and messages out of fragments. Pure."""

import codecs
import logging
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias, cast

from websockets.frames import CLOSE, CONT, PING, PONG, TEXT, Frame
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from edges.limits.rates import TokenBucket
from edges.protocol.messages import CONTROL_FLOOD, INVALID_TEXT, TOO_BIG, TOO_MANY_PARTS, Closing
from edges.transport.bearer import chosen_subprotocol

__all__ = ["Assembly", "End", "Incoming", "Part", "Ping", "WebSocket", "Whole"]

_quiet: Final = logging.getLogger("edgebus.websockets")
"""The protocol's own log: every frame at debug level, payloads included, so it stays above that."""
_quiet.setLevel(logging.WARNING)


class WebSocket(ServerProtocol):
    """The protocol, with the edge's choice of a subprotocol; as an argument the choice would make a reference cycle.

    Pings are left to the connection, which counts and answers pings in turn; the parser would answer first. The reason
    for a message over the bound names the setting.

    Args:
        max_size: bytes of a message.

    """

    is_too_big = False

    def __init__(self, max_size: int) -> None:
        super().__init__(max_size=max_size, logger=_quiet)

    @property
    def is_open(self) -> bool:
        """Whether the opening handshake is done, and no end of either side has come."""
        return self.state is OPEN

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
            is_text = frame.opcode is TEXT
            data = bytes(frame.data)
            return Whole(data, is_text) if not is_text or _is_utf8(data) else INVALID_TEXT
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


class Incoming:
    """The frames of a client.

    Args:
        websocket: reads the frames.
        max_fragments: of a message.
        control_rate: pings and pongs per second.
        now: seconds of a monotonic clock.

    """

    __slots__ = ("_assembly", "_control", "_has_frames", "_websocket")

    def __init__(self, websocket: WebSocket, max_fragments: int, control_rate: int, now: float) -> None:
        self._websocket, self._assembly = websocket, Assembly(max_fragments)
        self._control = TokenBucket(control_rate, now)
        self._has_frames = False

    @property
    def is_whole(self) -> bool:
        """Whether the newest bytes end with a whole message.

        The parser may hold the beginning of a frame, so an empty buffer alone proves no end.
        """
        return self._has_frames and not self._assembly.is_under_way and not self._websocket.reader.buffer

    def take(self, data: bytes, now: float) -> Iterator[Part]:
        """Take bytes; return the parts of which the end has come, each read when asked for."""
        self._websocket.receive_data(data)
        frames = self._websocket.events_received()
        self._has_frames = bool(frames)
        return (part for frame in frames if (part := self._part(cast(Frame, frame), now)) is not None)

    def _part(self, frame: Frame, now: float) -> Part | None:
        if frame.opcode is CLOSE:
            return End()
        if frame.opcode is not PING and frame.opcode is not PONG:
            return self._assembly.take(frame)
        if self._control.take(now) > 0:
            return CONTROL_FLOOD
        return Ping(Frame(PONG, frame.data).serialize(mask=False)) if frame.opcode is PING else None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True

"""The bytes on the way to a client: in asyncio's buffer, in the kernel's, and acknowledged by the client's kernel."""

import asyncio
import socket
from collections.abc import Collection
from itertools import islice
from typing import Final

from bus.channel import Channel
from edges.limits.counters import Counters
from edges.rooms.pages import Lent
from edges.rooms.ways import send_some
from edges.settings import EdgeSettings
from edges.transport.acknowledged import Peer, Socket, peer, unacknowledged_bytes
from edges.transport.backpressure import RESERVE_BYTES, StallDetector, patience

__all__ = ["Outgoing"]

_PACE_BYTES: Final = 64 * 1024
"""With more in the transport, a replay waits."""
_SMALL_BYTES: Final = 4 * 1024
"""The most of a room's missed lines that is written at once to a client that has not read earlier bytes, and the most
of an answer that goes to the socket itself."""
_KERNEL_BYTES: Final = 256 * 1024
_CLOSE_FRAME_BYTES: Final = 127
"""The most that a close frame takes (RFC 6455, section 5.5)."""
_SHOWN_ROOMS: Final = 10
_MANY: Final = 2**62


class Outgoing:
    """The bytes on the way to a client, and whether fewer and fewer wait.

    Args:
        transport: without a byte written, so that all of the client's window is open; its own buffer is bounded here,
            the kernel's by the listener.
        settings: of the edge.
        counters: of the edge.
        accepted: the transport's socket, where the edge has it, to ask the kernel; a loop's stand-in makes a socket for
            each question.

    Attributes:
        bound_bytes: the most that may wait.
        little_bytes: the most bytes in the transport that make no client slow.
        paused_at: since when much waits, in seconds of the loop's clock; None while little waits.

    """

    __slots__ = (
        "_accepted",
        "_behind_bytes",
        "_counters",
        "_deadline_s",
        "_owed_until",
        "_own_bytes",
        "_stall",
        "_transport",
        "_window_bytes",
        "bound_bytes",
        "little_bytes",
        "paused_at",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        settings: EdgeSettings,
        counters: Counters,
        accepted: socket.socket | None = None,
    ) -> None:
        self._transport, self._counters, self._accepted = transport, counters, accepted
        self.bound_bytes, self._deadline_s = settings.max_waiting_bytes, settings.slow_deadline_s
        self.little_bytes = min(_PACE_BYTES, self.bound_bytes // 2)
        self._own_bytes = self._behind_bytes = self._owed_until = 0
        self._stall: StallDetector | None = None
        self.paused_at: float | None = None
        transport.set_write_buffer_limits(high=self.little_bytes)
        # decisions/0046: acknowledged is not read. A kernel whose buffer is full says nothing until half was read, so
        # the window at the start, all of it open, says how long a reader may look like no reader.
        other = self._peer()
        self._window_bytes = 0 if other is None else other.window_bytes

    # How much.

    def waiting_bytes(self) -> int:
        """Return how many bytes wait, without the rest of the edge's own large write: no fault of the client.

        Later writes stand behind the large write in the buffer, so the rest of the large write is in front.
        """
        size = self._transport.get_write_buffer_size()
        return size - max(0, min(self._own_bytes, size - self._behind_bytes))

    def unread_bytes(self) -> int:
        """Return a number that falls by every byte that the client acknowledges.

        Without the kernel's word, the number is the bytes in the transport and in the kernel.
        """
        acknowledged = self._acknowledged_bytes()
        return self.under_way_bytes() if acknowledged == _MANY else _MANY - acknowledged

    def under_way_bytes(self) -> int:
        """Return the bytes in the transport and in the kernel."""
        plain = self._socket()
        return self._transport.get_write_buffer_size() + (0 if plain is None else unacknowledged_bytes(plain))

    def _acknowledged_bytes(self) -> int:
        """Return how many bytes the client has acknowledged; without the kernel's word, as good as all."""
        other = self._peer()
        return _MANY if other is None else other.acknowledged_bytes

    def _socket(self) -> Socket | None:
        return self._accepted or self._transport.get_extra_info("socket")

    def _peer(self) -> Peer | None:
        plain = self._socket()
        return None if plain is None else peer(plain)

    def told(self, rooms: Collection[Channel], now: float) -> dict[str, object]:
        """Return what waits for a client in ``rooms``, and since when, for the log."""
        return {
            "policy": " ".join(sorted({it.when_slow.kind for it in rooms})) or "close",
            "rooms": [it.name for it in islice(rooms, _SHOWN_ROOMS)],
            "rooms_in_all": len(rooms),
            "waiting_bytes": self.waiting_bytes(),
            "bound_bytes": self.bound_bytes,
            "under_way_bytes": self.under_way_bytes(),
            "waiting_s": 0.0 if self.paused_at is None else round(now - self.paused_at, 1),
        }

    # Whether more may be written.

    def takes(self, size: int) -> bool:
        """Tell whether ``size`` bytes that a room lacked may be written at once; later events must fit behind."""
        return size <= min(_PACE_BYTES if self._stall is None else _SMALL_BYTES, self.bound_bytes // 4)

    @property
    def takes_close_frame(self) -> bool:
        """Whether the buffer has room for a close frame."""
        return self._transport.get_write_buffer_size() + _CLOSE_FRAME_BYTES <= self.bound_bytes + RESERVE_BYTES

    @property
    def is_owed(self) -> bool:
        """Whether more of a large write over TLS is left than the kernel takes: asyncio hides the buffer of TLS."""
        if self._owed_until and self._acknowledged_bytes() >= self._owed_until:
            self._owed_until = 0
        return self._owed_until > 0

    # What is written.

    def write(self, frames: bytes, behind: bytes = b"", *, is_secure: bool, plain: socket.socket | None = None) -> bool:
        """Write frames of the edge's own choice, and ``behind``; while little waits, such frames make no client slow.

        Return whether the kernel took all of them from the edge itself: a few, or frames that are lent, to ``plain``,
        the socket behind a transport without bytes (decisions/0150, 0172).
        """
        size = len(frames) + len(behind)
        self._counters.answered(size)
        if plain is not None and isinstance(behind, Lent):
            sent = behind.send(plain, frames)
        elif plain is not None and size <= _SMALL_BYTES:
            sent = send_some(plain, frames + behind)
        else:
            sent = 0
        if sent == size:
            return True
        frames = (frames + behind)[sent:]
        if self._stall is None:
            self._own_bytes, self._behind_bytes = len(frames), 0
        # decisions/0045: over TLS asyncio takes all at once and shows an empty buffer; the kernel's count alone tells.
        if is_secure and len(frames) > _KERNEL_BYTES:
            self._owed_until = self._acknowledged_bytes() + len(frames) - _KERNEL_BYTES
        self._transport.write(frames)
        if self._transport.get_write_buffer_size() <= self.little_bytes:
            self._own_bytes = 0
        return False

    def add(self, size: int) -> None:
        """Take note of ``size`` bytes written behind waiting bytes."""
        self._behind_bytes += size
        if self._stall is not None:
            self._stall.add(size)

    def pause(self, now: float) -> None:
        """Begin to look for a stall at ``now``: much waits."""
        self._stall = StallDetector(self.unread_bytes(), now)
        self.paused_at = now if self.paused_at is None else self.paused_at

    def resume(self) -> None:
        """End the look for a stall: little waits."""
        self._stall = self.paused_at = None
        self._own_bytes = self._behind_bytes = 0

    # Whether the client reads.

    def is_stuck(self, now: float) -> bool:
        """Tell whether the client has read nothing for too long; longer, while no more waits than a replay writes."""
        if self._stall is None:
            return False
        # decisions/0046: patience is for a replay, which writes no more ahead. A buffer that live events have filled is
        # judged by the deadline alone.
        stuck_s, is_little = self._stall.stuck_s(self.unread_bytes(), now), self.waiting_bytes() <= 2 * _PACE_BYTES
        return stuck_s >= (self._deadline_s * self.patience if is_little else self._deadline_s)

    @property
    def patience(self) -> float:
        """How many times the deadline the client may take for a sign of reading."""
        return patience(self._window_bytes)

    def is_behind(self, under_way: int) -> bool:
        """Tell whether the client's kernel is alive, and takes less than is under way: the program has yet to read."""
        other = self._peer()
        return other is not None and other.answers and other.window_bytes < under_way

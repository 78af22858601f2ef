"""What is on its way to one client: in asyncio's buffer, in the kernel's, and what the client's kernel has taken."""

import asyncio
import socket
from typing import Final

from edges.settings import EdgeSettings
from edges.transport.acknowledged import Peer, peer, unacknowledged_bytes
from edges.transport.backpressure import RESERVE_BYTES, StallDetector, patience

__all__ = ["Outgoing"]

_PACE_BYTES: Final = 64 * 1024
"""More than this in the transport, and a replay waits."""
_SMALL_BYTES: Final = 4 * 1024
"""What a room lacked is written at once, if it is no more, to whoever has not read the rest yet either."""
_KERNEL_BYTES: Final = 256 * 1024
_CLOSE_FRAME_BYTES: Final = 127
"""The most that a close frame takes (RFC 6455, section 5.5)."""
_MANY: Final = 2**62


class Outgoing:
    """The bytes on their way to one client, and whether they get less.

    Args:
        transport: nothing was written to it yet, so that all of the client's window is open; its buffers are bounded.
        settings: of the edge.

    Attributes:
        bound_bytes: so many may wait.

    """

    __slots__ = (
        "_behind_bytes",
        "_deadline_s",
        "_owed_until",
        "_own_bytes",
        "_stall",
        "_transport",
        "_window_bytes",
        "bound_bytes",
    )

    def __init__(self, transport: asyncio.Transport, settings: EdgeSettings) -> None:
        self._transport = transport
        self.bound_bytes, self._deadline_s = settings.max_waiting_bytes, settings.slow_deadline_s
        self._own_bytes = self._behind_bytes = self._owed_until = 0
        self._stall: StallDetector | None = None
        _bound_kernel(transport.get_extra_info("socket"), settings.send_buffer_bytes)
        transport.set_write_buffer_limits(high=self.little_bytes)
        other = self._peer()
        self._window_bytes = 0 if other is None else other.window_bytes

    # How much.

    @property
    def little_bytes(self) -> int:
        """How much may be in the transport before the client counts as one that is waited for."""
        return min(_PACE_BYTES, self.bound_bytes // 2)

    def waiting_bytes(self) -> int:
        """Return how much waits, without what is left of the edge's own large write: the client did not let that wait.

        What was written behind that stands in the buffer behind it, so the rest is in front.
        """
        size = self._transport.get_write_buffer_size()
        return size - max(0, min(self._own_bytes, size - self._behind_bytes))

    def unread_bytes(self) -> int:
        """Return what gets less by each byte that the client acknowledges: more than was ever written, but for those.

        Where that is not known it is what waits in the transport and in the kernel.
        """
        acknowledged = self._acknowledged_bytes()
        return self.under_way_bytes() if acknowledged == _MANY else _MANY - acknowledged

    def under_way_bytes(self) -> int:
        """Return what waits in the transport and in the kernel."""
        plain = self._transport.get_extra_info("socket")
        return self._transport.get_write_buffer_size() + (0 if plain is None else unacknowledged_bytes(plain))

    def _acknowledged_bytes(self) -> int:
        """Return how many bytes the client has acknowledged; as good as all of them where nobody knows."""
        other = self._peer()
        return _MANY if other is None else other.acknowledged_bytes

    def _peer(self) -> Peer | None:
        plain = self._transport.get_extra_info("socket")
        return None if plain is None else peer(plain)

    # Whether more may be written.

    def takes(self, size: int) -> bool:
        """Tell whether so much that a room lacked may be written at once; events must still fit behind it."""
        return size <= min(_PACE_BYTES if self._stall is None else _SMALL_BYTES, self.bound_bytes // 4)

    @property
    def takes_close_frame(self) -> bool:
        """Whether a close frame may be in the buffer, whoever let it fill."""
        return self._transport.get_write_buffer_size() + _CLOSE_FRAME_BYTES <= self.bound_bytes + RESERVE_BYTES

    @property
    def is_owed(self) -> bool:
        """Whether more of a large write over TLS is left than the kernel takes: asyncio does not show that buffer."""
        if self._owed_until and self._acknowledged_bytes() >= self._owed_until:
            self._owed_until = 0
        return self._owed_until > 0

    # What is written.

    def write(self, frames: bytes, *, is_secure: bool) -> None:
        """Write what is the edge's own: to a client for which little waits it counts as nothing that is let wait."""
        if self._stall is None:
            self._own_bytes, self._behind_bytes = len(frames), 0
        if is_secure and len(frames) > _KERNEL_BYTES:
            self._owed_until = self._acknowledged_bytes() + len(frames) - _KERNEL_BYTES
        self._transport.write(frames)
        if self._transport.get_write_buffer_size() <= self.little_bytes:
            self._own_bytes = 0

    def add(self, size: int) -> None:
        """Take note of ``size`` bytes that are written while others wait."""
        self._behind_bytes += size
        if self._stall is not None:
            self._stall.add(size)

    def pause(self, now: float) -> None:
        """Take note that much waits from ``now`` on."""
        self._stall = StallDetector(self.unread_bytes(), now)

    def resume(self) -> None:
        """Take note that little waits."""
        self._stall = None
        self._own_bytes = self._behind_bytes = 0

    # Whether the client reads.

    def is_stuck(self, now: float) -> bool:
        """Tell whether what waits has not got less for too long: longer while no more waits than a replay writes."""
        if self._stall is None:
            return False
        stuck_s, is_little = self._stall.stuck_s(self.unread_bytes(), now), self.waiting_bytes() <= 2 * _PACE_BYTES
        return stuck_s >= (self._deadline_s * self.patience if is_little else self._deadline_s)

    @property
    def patience(self) -> float:
        """How many times longer the client may take for a sign of reading than its deadline says."""
        return patience(self._window_bytes)

    def is_behind(self, under_way: int) -> bool:
        """Tell whether the client's kernel is alive, and takes less than is under way: its program has yet to read."""
        other = self._peer()
        return other is not None and other.answers and other.window_bytes < under_way


def _bound_kernel(plain: socket.socket, send_buffer_bytes: int) -> None:
    """Bound what the kernel takes for a client, and let it send at once."""
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
    if plain.family != socket.AF_UNIX:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

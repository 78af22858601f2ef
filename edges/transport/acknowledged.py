"""The kernel's knowledge of a client's reading: the acknowledged bytes.

asyncio's buffer says little of a slow client: the buffer stands still until a third of the socket's own buffer has
left. On Linux the kernel is asked (SIOCOUTQ and TCP_INFO, tcp(7)). Elsewhere asyncio's buffer alone tells.
"""

import fcntl
import socket
import struct
import sys
from typing import Final, NamedTuple, Protocol

__all__ = ["Peer", "Socket", "peer", "unacknowledged_bytes"]

_SIOCOUTQ: Final = 0x5411
_TCP_INFO_BYTES: Final = 232
_TOLD: Final = struct.Struct("=2x2B116xQ100xI")
"""Of ``struct tcp_info`` (linux/tcp.h): retransmits, probes, ``tcpi_bytes_acked`` at 120 (Linux 4.1 and
newer), ``tcpi_snd_wnd`` at 228 (Linux 5.4 and newer)."""


class Socket(Protocol):
    """A socket, or an event loop's stand-in."""

    def fileno(self) -> int:
        """Return the descriptor, below 0 after closing."""

    def getsockopt(self, level: int, name: int, size: int, /) -> bytes:
        """Return an option's value."""


class Peer(NamedTuple):
    """The kernel at the other end.

    Attributes:
        acknowledged_bytes: since the beginning.
        window_bytes: the room at the moment; 0 when the program has read no byte of a full buffer.
        answers: False where a segment, or a probe of a closed window, found no answer.

    """

    acknowledged_bytes: int
    window_bytes: int
    answers: bool


def unacknowledged_bytes(plain: Socket) -> int:
    """Return how many bytes in the kernel the other end has not acknowledged; 0 where the kernel does not tell."""
    if sys.platform != "linux" or plain.fileno() < 0:
        return 0
    try:
        return int(struct.unpack("i", fcntl.ioctl(plain.fileno(), _SIOCOUTQ, bytes(4)))[0])
    except OSError:
        return 0


def peer(plain: Socket) -> Peer | None:
    """Return the other end; None where the kernel does not tell, as for a Unix socket."""
    if sys.platform != "linux" or plain.fileno() < 0:
        return None
    try:  # a Unix socket refuses; the property `family` costs as much as the system call
        # decisions/0046: only paused connections are asked, once per look; a delivery asks nothing.
        told = plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return None
    if len(told) < _TCP_INFO_BYTES:
        return None
    retransmits, probes, acked, window = _TOLD.unpack_from(told)
    return Peer(acked, window, answers=not retransmits and not probes)

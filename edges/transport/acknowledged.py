"""What the kernel knows of a client's reading: how much of what was written it has acknowledged.

asyncio's buffer says little of a client that reads slowly: it stands still until a third of the socket's own buffer has
left. On Linux the kernel is asked (SIOCOUTQ and TCP_INFO, tcp(7)). Elsewhere nothing is known of it, and asyncio's
buffer alone tells.
"""

import fcntl
import socket
import struct
import sys
from dataclasses import dataclass
from typing import Final, Protocol

__all__ = ["Peer", "peer", "unacknowledged_bytes"]

_SIOCOUTQ: Final = 0x5411
_TCP_INFO_BYTES: Final = 232
_ACKED_AT: Final = 120
"""Of ``tcpi_bytes_acked`` in ``struct tcp_info`` (linux/tcp.h); Linux 4.1 and later have it."""
_WINDOW_AT: Final = 228
"""Of ``tcpi_snd_wnd``; Linux 5.4 and later have it."""


class Socket(Protocol):
    """A socket, or what an event loop lends in its place."""

    @property
    def family(self) -> int:
        """Its address family."""

    def fileno(self) -> int:
        """Return its descriptor, below 0 when it is closed."""

    def getsockopt(self, level: int, name: int, size: int, /) -> bytes:
        """Return an option's value."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The kernel at the other end.

    Attributes:
        acknowledged_bytes: how many it has acknowledged since the beginning.
        window_bytes: how much more it takes at the moment; 0 when its program has not read what it has.
        answers: whether it answers our kernel; False where a segment or a probe of a closed window found no answer.

    """

    acknowledged_bytes: int
    window_bytes: int
    answers: bool


def unacknowledged_bytes(plain: Socket) -> int:
    """Return how many bytes that were given to the kernel the other end has not acknowledged; 0 where nobody knows."""
    if sys.platform != "linux" or plain.fileno() < 0:
        return 0
    try:
        return int(struct.unpack("i", fcntl.ioctl(plain.fileno(), _SIOCOUTQ, bytes(4)))[0])
    except OSError:
        return 0


def peer(plain: Socket) -> Peer | None:
    """Return what is known of the other end; None where that is nothing, as for a socket of this machine's own."""
    if sys.platform != "linux" or plain.fileno() < 0 or plain.family == socket.AF_UNIX:
        return None
    try:
        told = plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return None
    if len(told) < _TCP_INFO_BYTES:
        return None
    _, _, retransmits, probes = struct.unpack_from("4B", told)
    (acked,), (window,) = struct.unpack_from("Q", told, _ACKED_AT), struct.unpack_from("I", told, _WINDOW_AT)
    return Peer(int(acked), int(window), answers=not retransmits and not probes)

"""An edge with an echo in place of its service: all of the connection is the edge's own, but what it says."""

from edges import Edge, EdgeSettings
from edges.transport.connection import Connection
from producers.services.mahavishnu import SERVICE

__all__ = ["Echo", "EchoEdge", "echo_settings"]

_HOUR_MS = 3_600_000


class Echo(Connection):
    """Sends whole messages back as they came."""

    def _hand_on(self, data: bytes, *, is_text: bool) -> None:
        self.write(_frame(data, is_text=is_text))


class EchoEdge(Edge):
    """An edge that needs no Redis: nobody asks it for a room."""

    connection = Echo

    def __init__(self, settings: EdgeSettings) -> None:
        super().__init__(SERVICE, settings)


def echo_settings() -> EdgeSettings:
    """Return limits above the library's largest message (16 MiB), longest row of fragments and quickest pings."""
    return EdgeSettings(
        port=0,
        redis_url="redis://127.0.0.1:1",
        max_message_bytes=17 * 1024 * 1024,
        max_fragments=70_000,
        max_waiting_bytes=64 * 1024 * 1024,
        message_rate_limit=1_000_000,
        welcome_delay_ms=_HOUR_MS,
        ping_interval_s=3600,
    )


def _frame(data: bytes, *, is_text: bool) -> bytes:
    """Return an unmasked frame (RFC 6455, section 5.2)."""
    head, size = b"\x81" if is_text else b"\x82", len(data)
    if size < 126:
        return head + size.to_bytes(1) + data
    return head + (b"\x7e" + size.to_bytes(2) if size < 65536 else b"\x7f" + size.to_bytes(8)) + data

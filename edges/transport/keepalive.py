"""Whether one client is still there: when it was heard, what was asked of it, and what is due. Writes nothing."""

from enum import Enum, auto
from typing import Final

from edges.transport.outgoing import Outgoing

__all__ = ["Due", "Keepalive"]

PROOF_S: Final = 3.0
"""For a sign of life of a client that another one would take the place of."""


class Due(Enum):
    """What is to be done about a silent client."""

    PING = auto()
    CLOSE = auto()
    """It has not answered a ping in time."""
    CUT = auto()
    """It has given no sign of life while another one waits for its place."""


class Keepalive:
    """The silence of one client.

    Args:
        interval_s: of silence, after which the client is pinged.
        timeout_s: for the answer.
        now: seconds of a monotonic clock, as everywhere here.

    """

    __slots__ = ("_interval_s", "_is_pinged", "_proof_due", "_timeout_s", "_unread_at_ping", "heard_at")

    def __init__(self, *, interval_s: float, timeout_s: float, now: float) -> None:
        self._interval_s, self._timeout_s = interval_s, timeout_s
        self._unread_at_ping = 0
        self.heard(now)

    def heard(self, now: float) -> None:
        """Take note of bytes from the client."""
        self.heard_at, self._is_pinged = now, False
        self._proof_due: float | None = None

    def excuse(self, now: float) -> None:
        """Count no silence until ``now``: the client could not be heard, or had something to read first."""
        self.heard_at = now

    def pinged(self, unread_bytes: int) -> None:
        """Take note of a ping, behind which nothing of ``unread_bytes`` was read yet."""
        self._is_pinged, self._unread_at_ping = True, unread_bytes

    def wants_proof(self, now: float) -> bool:
        """Expect a sign of life within moments; tell whether the client is to be pinged for that."""
        if self._proof_due is not None:
            return False
        self._proof_due = now + PROOF_S
        return True

    def due(self, now: float, outgoing: Outgoing) -> Due | None:
        """Return what is to be done at ``now``, None for nothing.

        Bytes that the client acknowledges are life, too: it may still have to read what was written before a ping.
        """
        silent_s = now - self.heard_at
        if self._proof_due is not None and now >= self._proof_due:
            return Due.CUT
        if not self._is_pinged:
            return Due.PING if silent_s >= self._interval_s else None
        is_late = silent_s >= self._interval_s + self._timeout_s
        return Due.CLOSE if is_late and self._is_over(now, outgoing) else None

    def _is_over(self, now: float, outgoing: Outgoing) -> bool:
        """Tell whether the answer to a ping is missing, or whether the client has just not come to reading it yet."""
        unread, under_way = outgoing.unread_bytes(), outgoing.under_way_bytes()
        if unread < self._unread_at_ping:
            self._unread_at_ping, self.heard_at = unread, now - self._interval_s
            return False
        return not under_way or now - self.heard_at >= self._late_s(under_way, outgoing)

    def _late_s(self, under_way: int, outgoing: Outgoing) -> float:
        """Return the silence that is allowed while so much is on its way: longer where the other kernel is alive."""
        return self._interval_s + self._timeout_s * (outgoing.patience if outgoing.is_behind(under_way) else 1)

"""Whether a client is still there: the last bytes, the last ping, the next step. Writes no frames."""

from enum import Enum, auto
from typing import Final

from edges.transport.outgoing import Outgoing

__all__ = ["Due", "Keepalive", "Pulse"]

PROOF_S: Final = 3.0
"""For a sign of life of a client whose place another client wants."""


class Due(Enum):
    """The next step with a silent client."""

    PING = auto()
    CLOSE = auto()
    """No answer to a ping came in time."""
    CUT = auto()
    """No sign of life came while another client waits for the place."""


class Keepalive:
    """The silence of a client.

    Args:
        interval_s: of silence, before the client is pinged.
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
        """Count no silence until ``now``: the client could not be heard, or had bytes to read first."""
        self.heard_at = now

    def pinged(self, unread_bytes: int) -> None:
        """Take note of a ping behind ``unread_bytes``."""
        self._is_pinged, self._unread_at_ping = True, unread_bytes

    def wants_proof(self, now: float) -> bool:
        """Expect a sign of life within moments; tell whether a ping must ask for the sign."""
        if (
            self._proof_due is not None
        ):  # decisions/0057: refused attempts cost a living client one small frame, not each
            return False
        self._proof_due = now + PROOF_S
        return True

    def due(self, now: float, outgoing: Outgoing) -> Due | None:
        """Return the step that is due at ``now``, None for no step.

        Acknowledged bytes are life, too: the client may still have to read bytes that were written before a ping.
        """
        silent_s = now - self.heard_at
        if self._proof_due is not None and now >= self._proof_due:
            return Due.CUT
        if not self._is_pinged:
            return Due.PING if silent_s >= self._interval_s else None
        is_late = silent_s >= self._interval_s + self._timeout_s
        return Due.CLOSE if is_late and self._is_over(now, outgoing) else None

    def _is_over(self, now: float, outgoing: Outgoing) -> bool:
        """Tell whether the answer to a ping is missing, and not just late behind unread bytes."""
        unread, under_way = outgoing.unread_bytes(), outgoing.under_way_bytes()
        if unread < self._unread_at_ping:  # decisions/0046: while a client acknowledges bytes, the pong is waited for
            self._unread_at_ping, self.heard_at = unread, now - self._interval_s
            return False
        return not under_way or now - self.heard_at >= self._late_s(under_way, outgoing)

    def _late_s(self, under_way: int, outgoing: Outgoing) -> float:
        """Return the allowed silence with ``under_way`` bytes unread: longer where the other kernel is alive."""
        return self._interval_s + self._timeout_s * (outgoing.patience if outgoing.is_behind(under_way) else 1)


class Pulse:
    """The silence of a client that cannot answer: alive is whose kernel acknowledges bytes.

    Args:
        interval_s: between two words of the edge.
        timeout_s: for the kernel to acknowledge, besides.
        now: seconds of a monotonic clock, as everywhere here.

    """

    __slots__ = ("_alive_at", "_interval_s", "_proof_due", "_said_at", "_timeout_s", "_unread")

    def __init__(self, *, interval_s: float, timeout_s: float, now: float) -> None:
        self._interval_s, self._timeout_s = interval_s, timeout_s
        self._said_at = self._alive_at = now
        self._proof_due: float | None = None
        self._unread = 0

    def excuse(self, now: float) -> None:
        """Count no silence until ``now``: much waits for the client, and other deadlines watch that."""
        self._alive_at, self._proof_due = now, None

    def wants_proof(self, now: float, outgoing: Outgoing) -> bool:
        """Expect acknowledged bytes within moments; tell whether a word must be said for that."""
        if self._proof_due is not None:
            return False
        self._proof_due, self._unread = now + PROOF_S, outgoing.unread_bytes()
        return True

    def due(self, now: float, outgoing: Outgoing) -> Due | None:
        """Return the step that is due at ``now``, None for no step. The kernel is asked once an interval."""
        if self._proof_due is not None and now >= self._proof_due:
            self._proof_due = None
            return None if self._is_alive(outgoing) else Due.CUT
        if now - self._said_at < self._interval_s:
            return None
        if self._is_alive(outgoing):
            self._alive_at = now
        elif now - self._alive_at >= self._interval_s + self._timeout_s:
            return Due.CUT
        self._said_at = now
        return Due.PING

    def _is_alive(self, outgoing: Outgoing) -> bool:
        before, self._unread = self._unread, outgoing.unread_bytes()
        return self._unread < before or not outgoing.under_way_bytes()

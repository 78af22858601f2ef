"""Whether to come back after a connection ended, and when. Pure: the clock and the dice are arguments."""

from typing import Final

from clients.errors import AuthenticationFailed, Dismissed

__all__ = ["ADVICE_LIMIT_MS", "delay_s", "for_good", "refused_for_good"]

ADVICE_LIMIT_MS: Final = 300_000
"""No advice of an edge keeps a client away for longer."""

_BASE_S: Final = 0.5
_LIMIT_S: Final = 30.0
_FOR_GOOD: Final = frozenset({1007, 1008, 1009})
_NO_TOKEN: Final = 4001
_STATUS_LATER: Final = frozenset({408, 425, 429})


def delay_s(attempt: int, dice: float) -> float:
    """Return how long to wait before an attempt, counted from 0: full jitter, at most half a second, doubled up to 30.

    Full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/) spreads the clients of an
    edge that died evenly. ``dice`` is in [0, 1).
    """
    return dice * min(_LIMIT_S, _BASE_S * 2.0 ** min(attempt, 16))


def for_good(code: int, reason: str, *, was_refused: bool) -> Dismissed | None:
    """Return the error for a close code that says not to come back, None for all others (protocol.md's table).

    ``was_refused``: the edge had said before that it does not take the token.
    """
    if code == _NO_TOKEN or (code in _FOR_GOOD and was_refused):
        return AuthenticationFailed(code, reason)
    return Dismissed(code, reason) if code in _FOR_GOOD else None


def refused_for_good(status: int) -> Dismissed | None:
    """Return the error for an HTTP answer to the handshake, None where another attempt may go better."""
    if status in (401, 403):
        return AuthenticationFailed(status, "the handshake was refused")
    if 400 <= status < 500 and status not in _STATUS_LATER:
        return Dismissed(status, "the handshake was refused; is this an edge's address?")
    return None

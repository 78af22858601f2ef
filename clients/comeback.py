"""Whether to come back after a connection ended, and after how long. Pure: clock and dice are arguments."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from bus.words import CloseCode
from clients.errors import AuthenticationFailed, Dismissed

__all__ = ["ADVICE_LIMIT_MS", "advised_s", "delay_s", "for_good", "rarely_s", "refused_for_good", "retry_after_s"]

# decisions/0054: five minutes at the most, whatever an edge or a proxy asks for.
ADVICE_LIMIT_MS: Final = 300_000
"""No advice of an edge keeps a client away for longer."""

_BASE_S: Final = 0.5
_LIMIT_S: Final = 30.0
_RARELY_S: Final = 20.0
_FOR_GOOD: Final = frozenset(code for code in CloseCode if not code.come_back)
# Request Timeout, Too Early, Too Many Requests: the only answers of 400 to 499 that speak of the moment.
_STATUS_LATER: Final = frozenset({408, 425, 429})


def delay_s(attempt: int, dice: float) -> float:
    """Return the wait before an attempt, counted from 0: full jitter, at most half a second, doubled up to 30.

    Full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/) spreads the clients of a
    dead edge evenly. ``dice`` is in [0, 1).
    """
    return dice * min(_LIMIT_S, _BASE_S * 2.0 ** min(attempt, 16))


def rarely_s(dice: float) -> float:
    """Return the wait after an answer unlikely to change with time: 20 to 40 seconds."""
    return _RARELY_S * (1 + dice)


def advised_s(advice_ms: int) -> float:
    """Return an edge's advice in seconds, bounded by ``ADVICE_LIMIT_MS``."""
    return min(advice_ms, ADVICE_LIMIT_MS) / 1000


def retry_after_s(text: str, date: str) -> float | None:
    """Return the seconds of ``Retry-After`` (RFC 9110, section 10.2.3), None where the header is empty or wrong.

    ``date`` is the ``Date`` of the same answer. A time in ``Retry-After`` counts from ``date``.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return advised_s(int(text[:9]) * 1000)
    # decisions/0054: counted from the answer's own clock, so that the two machines' clocks need not agree.
    at, now = _date(text), _date(date)
    return None if at is None or now is None else advised_s(max(0, int((at - now).total_seconds() * 1000)))


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def for_good(code: int, reason: str, *, was_refused: bool, retry_after_ms: int | None = None) -> Dismissed | None:
    """Return the error for a close code without a return (``bus.words``), None for all others.

    Args:
        code: the close code.
        reason: the edge's, for people.
        was_refused: whether the edge refused the token before.
        retry_after_ms: from when on the edge may take another token.

    """
    if code not in _FOR_GOOD:
        return None
    if was_refused or code == CloseCode.UNAUTHENTICATED:
        return AuthenticationFailed(code, reason, retry_after_ms)
    return Dismissed(code, reason)


def refused_for_good(status: int) -> Dismissed | None:
    """Return the error for an HTTP answer to the handshake, None where another attempt may go well."""
    # decisions/0054: on a first connection 400 to 499 mean a wrong address; `clients.retries` knows later ones.
    if status in (401, 403):
        return AuthenticationFailed(status, "the handshake was refused")
    if 400 <= status < 500 and status not in _STATUS_LATER:
        return Dismissed(status, "the handshake was refused; is this an edge's address?")
    return None

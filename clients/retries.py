"""When the next attempt to connect is due, and what the log says of those that failed.

Retries know no connection: ``clients.connections`` tells how an attempt ended, and waits.
"""

import logging

from clients.comeback import advised_s, delay_s, rarely_s
from clients.dialing import place
from clients.errors import AuthenticationFailed, ClientError, Dismissed, Redirected, Unreachable, Unsendable
from clients.settings import Timing
from clients.token import TokenFault, TokenSource

__all__ = ["Retries"]

_logger = logging.getLogger("edgebus.clients")


class Retries:
    """The wait before each attempt: full jitter as a rule, an edge's advice, or rarely.

    Args:
        url: of the edge, for the log.
        token: told when the edge does not take the token.
        timing: clock and dice.

    """

    def __init__(self, url: str, token: TokenSource, timing: Timing) -> None:
        self._url, self._token, self._timing = url, token, timing
        self._had_connection = False
        self._back_at: float | None = None
        self._least_s = 0.0
        self._waits_rarely = False
        self._told: str | None = None

    def connected(self) -> None:
        """Take note of a connection: from here on HTTP answers are no longer for good."""
        self._had_connection, self._told = True, None

    def advised(self, back_at: float | None) -> None:
        """Take an edge's advice when to come back, on the client's clock; None without advice."""
        self._back_at = back_at

    def pause_s(self, attempt: int) -> float:
        """Return the wait before ``attempt``, counted from 0. What was noted for one wait is used up by it."""
        back_at, self._back_at = self._back_at, None
        least_s, self._least_s = self._least_s, 0.0
        is_rare, self._waits_rarely = self._waits_rarely, False
        if back_at is not None:
            # An edge that says "at once" again and again is come back to more and more slowly all the same.
            least_s = delay_s(attempt, self._timing.dice()) if attempt else 0.0
            return max(least_s, back_at - self._timing.clock())
        dice = self._timing.dice()
        return max(least_s, rarely_s(dice) if is_rare else delay_s(attempt, dice))

    def found_nobody(self, error: Unreachable) -> None:
        """Take note of an attempt without a connection."""
        self._waits_rarely = isinstance(error, TokenFault | Redirected) and self._had_connection
        # decisions/0054: every client was told the same `Retry-After`, so the dice come on top.
        if error.retry_after_s is not None:
            self._least_s = error.retry_after_s + delay_s(0, self._timing.dice())
        self.note(error)

    def took_refusal(self, error: Dismissed) -> None:
        """Take note of a refusal; raise ``error`` if the refusal is for good."""
        # decisions/0054: after a good connection an HTTP answer says nothing for good. A proxy gives such answers while
        # its edge restarts.
        if error.is_handshake and self._had_connection:
            self._waits_rarely = True
            self.note(error)
        elif isinstance(error, AuthenticationFailed) and not error.is_handshake:
            self._token.rejected(error)
            self._least_s = advised_s(error.retry_after_ms or 0)
        else:
            raise error

    def note(self, error: ClientError) -> None:
        """Log why there is no connection: once as a warning where time alone will hardly help, else at debug level."""
        reason = str(error)
        is_news = self._told != reason and isinstance(error, Dismissed | Redirected | TokenFault | Unsendable)
        self._told = reason if is_news else self._told
        cause = error.__cause__ if is_news and isinstance(error, TokenFault) else None
        level = logging.WARNING if is_news else logging.DEBUG
        _logger.log(level, "no connection yet", extra={"url": place(self._url), "reason": reason}, exc_info=cause)

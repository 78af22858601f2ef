"""What the client of one connection is at the moment, and what the time asks of it. Pure: the times are arguments."""

from datetime import UTC, datetime
from typing import Final

from edges.access import Caller
from edges.protocol import Code, Notice, Refusal
from edges.tokens import TokenRefused

__all__ = ["Admission", "iso"]

_NO_TOKEN: Final = "no token came in time; send an auth request with one first"  # noqa: S105 (a sentence)


class Admission:
    """One client's standing.

    Args:
        caller: what it is until it shows a token.
        is_locked: whether it may do nothing before that.
        deadline: until when it must have, seconds of a monotonic clock.
        warning_s: how long before a token's end it is warned.

    """

    __slots__ = ("_deadline", "_is_warned", "_warning_s", "caller", "is_locked")

    def __init__(self, caller: Caller, *, is_locked: bool, deadline: float, warning_s: float) -> None:
        self.caller, self.is_locked = caller, is_locked
        self._deadline, self._warning_s = deadline, warning_s
        self._is_warned = False

    def admit(self, caller: Caller) -> None:
        """Let the client in as ``caller``, or let it stay for longer.

        Raises:
            TokenRefused: it is in already as another user.

        """
        if self.caller.user_id not in (None, caller.user_id):
            raise TokenRefused("the token is another user's; open a new connection for it")
        self.caller, self.is_locked, self._is_warned = caller, False, False

    def due(self, now: float, now_s: float) -> Notice | Refusal | None:
        """Return what the client must be told: that its token expires soon, or with what it is sent away.

        Args:
            now: of the monotonic clock.
            now_s: since the epoch.

        """
        if self.is_locked:
            return Refusal(Code.AUTH_REQUIRED, _NO_TOKEN) if now >= self._deadline else None
        expires_at = self.caller.expires_at
        if expires_at is None or now_s < expires_at - self._warning_s:
            return None
        if now_s >= expires_at:
            return Refusal(Code.AUTH_REQUIRED, "the token has expired; come back with a new one")
        if self._is_warned:
            return None
        self._is_warned = True
        data = {"expires_at": iso(expires_at), "expires_in_ms": round((expires_at - now_s) * 1000)}
        return Notice("auth.expiring", data)


def iso(seconds: float | None) -> str | None:
    """Return a time since the epoch as the protocol writes times; None stays None."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()

"""The standing of a client: caller, permissions, and the end of the token.

Knows tokens and permissions, but neither rooms nor the conversation. The times are arguments.
"""

import functools
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from bus.channel import Channel
from bus.words import NoticeName
from edges.auth.authenticator import Authenticator
from edges.auth.permissions import Caller, Permissions
from edges.auth.tokens import TokenRefused
from edges.protocol.messages import Code, Notice, Refusal, Refused
from edges.session.requests import Check
from edges.settings import EdgeSettings

__all__ = ["Admission", "iso"]

_NO_TOKEN: Final = "no good token came in time; send an auth request with one first"  # noqa: S105 (a sentence)


class Admission:
    """A client's standing.

    Args:
        authenticator: takes tokens.
        permissions: the permissions of the service.
        settings: say whether a token is required, and when.
        now: seconds of a monotonic clock.
        needs_token: the client must show a token, even where others need not.

    Attributes:
        caller: the client, by the token; the anonymous caller before.
        is_locked: whether the client must show a token before any other command.

    """

    __slots__ = ("_authenticator", "_deadline", "_is_warned", "_permissions", "_warning_s", "caller", "is_locked")

    def __init__(
        self,
        authenticator: Authenticator,
        permissions: Permissions,
        settings: EdgeSettings,
        now: float,
        *,
        needs_token: bool = False,
    ) -> None:
        self._authenticator, self._permissions = authenticator, permissions
        self.caller: Caller = authenticator.anonymous
        self.is_locked = settings.auth_required or needs_token
        self._deadline, self._warning_s = now + settings.auth_deadline_s, settings.auth_warning_s
        self._is_warned = False

    # Getting in.

    async def admit(self, tokens: Sequence[str]) -> None:
        """Let the client in by a token, or let the client stay for longer. Without keys no token is looked at.

        Raises:
            TokenRefused: the token is no good, of another user than the client was before, or among several.
            KeysUnavailable: the token's key cannot be had at the moment; the standing stays.

        """
        if self._authenticator.is_open:
            return
        if len(tokens) > 1:  # decisions/0023: an edge does not guess the one that counts
            raise TokenRefused("several tokens are shown in different places; show one")
        caller = await self._authenticator.admit(tokens[0])
        # decisions/0023: rooms, limits and logs of the connection belong to the first user.
        if self.caller.user_id not in (None, caller.user_id):
            raise TokenRefused("the token is another user's; open a new connection for it")
        self.caller, self.is_locked, self._is_warned = caller, False, False

    def report(self) -> dict[str, Any]:
        """Return the data of the answer to a token."""
        status = "anonymous" if self.caller.user_id is None else "authenticated"
        return {"status": status, "user_id": self.caller.user_id, "expires_at": iso(self.caller.expires_at)}

    @property
    def has_tokens(self) -> bool:
        """Whether the edge takes tokens; otherwise nobody knows users."""
        return not self._authenticator.is_open

    # What it may do.

    def may_read(self, channel: Channel) -> bool:
        """Tell whether the client may see the events of ``channel``."""
        return self._permissions.may_read(self.caller, channel)

    def forbidden(self, verb: str, channel: Channel | None, reply_to: str | None = None) -> Refusal:
        """Return the answer to a client without permission; the sentence names the missing permission."""
        return Refusal(Code.FORBIDDEN, self._permissions.sentence(self.caller, channel), verb, reply_to)

    def check(self, verb: str, reply_to: str | None, permission: str | None = None) -> Check:
        """Return a check of the channels of a question, which raises ``Refused`` where the client may not ask.

        ``permission`` is the request's own, if any.
        """
        return functools.partial(self._check, verb, reply_to, permission)

    def _check(self, verb: str, reply_to: str | None, permission: str | None, channels: Sequence[Channel]) -> None:
        if not self._permissions.may_ask(self.caller, channels, permission):
            sentence = self._permissions.sentence(self.caller, next(iter(channels), None), permission)
            raise Refused(Refusal(Code.FORBIDDEN, sentence, verb, reply_to))

    # What the time asks of it.

    @property
    def is_timed(self) -> bool:
        """Whether anything may be due: most clients of an edge without tokens wait for no time."""
        return self.is_locked or self.caller.expires_at is not None

    def due(self, now: float) -> Notice | Refusal | None:
        """Return the warning or the dismissal due at ``now`` of the monotonic clock.

        The warning of the token's end is due until ``warned``.
        """
        if self.is_locked:
            return Refusal(Code.AUTH_REQUIRED, _NO_TOKEN) if now >= self._deadline else None
        expires_at = self.caller.expires_at
        if expires_at is None:
            return None
        # By the authenticator's clock, not the loop's: tokens end by the time of day.
        left_s = expires_at - self._authenticator.now_s()
        if left_s <= 0:
            return Refusal(Code.AUTH_REQUIRED, "the token has expired; come back with a new one")
        if self._is_warned or left_s > self._warning_s:
            return None
        return Notice.of(NoticeName.AUTH_EXPIRING, iso(expires_at), round(left_s * 1000))

    def warned(self) -> None:
        """Take note of the warning of the token's end as given."""
        self._is_warned = True

    def revoked(self) -> Refusal | None:
        """Return the refusal for a client with a revoked token, else None."""
        if not self._authenticator.is_revoked(self.caller):
            return None
        retry_after_ms = self._authenticator.retry_after_ms(self.caller)
        return Refusal(Code.AUTH_FAILED, "the token was revoked; get a new one", retry_after_ms=retry_after_ms)


def iso(seconds: float | None) -> str | None:
    """Return a time since 1970 as the protocol writes times; None stays None."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()

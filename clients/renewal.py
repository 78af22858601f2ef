"""The token of an open connection: another token is shown before the first one ends."""

import logging
from typing import Final

from bus.words import NoticeName, Verb
from clients.comeback import advised_s
from clients.connection import Connection
from clients.errors import AuthenticationFailed, ClientError, Unreachable, Unsendable
from clients.settings import Timing
from clients.token import TokenSource
from clients.wire import Notice, Refusal, whole

__all__ = ["Renewal"]

_WITHIN_MS: Final = 30_000
"""For how long a new token is asked for, where the edge does not say when the old token ends."""
_RETRY_S: Final = 0.5

_logger = logging.getLogger("edgebus.clients")


class Renewal:
    """Renews the token of one connection: one renewal at a time, however often the edge says that the old token ends.

    No error here ends the connection. Without a new token the edge will close the connection in time.
    """

    def __init__(self, connection: Connection, token: TokenSource, timing: Timing) -> None:
        self._connection, self._token, self._timing = connection, token, timing
        self._is_under_way = False
        self._told: str | None = None

    def begin(self, notice: Notice) -> None:
        """Take the edge's notice that the token ends."""
        if not self._token.can_renew or self._is_under_way:
            return
        self._is_under_way = True
        _, given_ms = NoticeName.AUTH_EXPIRING.values(notice.data)
        left_ms = whole(given_ms)
        until = self._timing.clock() + advised_s(_WITHIN_MS if left_ms is None else left_ms)
        self._connection.spawn(self._renew(until), "client token")

    async def _renew(self, until: float) -> None:
        wait_s: float | None = 0.0
        while wait_s is not None and self._timing.clock() + wait_s <= until:
            if wait_s:
                await self._timing.sleep(wait_s)
            wait_s = await self._show()
        self._is_under_way = False

    async def _show(self) -> float | None:
        """Show a new token. Return None when the edge has judged the token, else the seconds until another try."""
        try:
            answer = await self._connection.requests.exchange(Verb.AUTH, {"token": await self._token.fresh()})
        except (Unreachable, Unsendable, AuthenticationFailed) as error:
            self._tell(error)
            return _RETRY_S
        # decisions/0023: only a refusal like UNAVAILABLE leaves the connection as it was; a refused token closes it.
        if isinstance(answer, Refusal) and answer.is_passing and not answer.is_about_the_token:
            return max(_RETRY_S, advised_s(answer.retry_after_ms or 0))
        return None

    def _tell(self, error: ClientError) -> None:
        """Log why there is no new token, once for each reason, with the traceback of the caller's function."""
        reason = str(error)
        if reason != self._told:
            _logger.warning("no new token yet", extra={"reason": reason}, exc_info=error.__cause__)
        self._told = reason

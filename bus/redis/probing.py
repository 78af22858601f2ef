"""The way of a probe's tokens to Redis: a connection without the client library.

An edge is ready once a token came back, and so would else be ready no earlier than the library is loaded.
"""

from typing import Any

from bus.redis.address import without_password
from bus.redis.command_link import CommandLink
from bus.redis.command_opening import open_command_link
from bus.redis.failures import converted
from bus.redis.greeting import Greeting
from bus.redis.refusals import checked, said
from bus.redis.role import is_untold, misplaced

__all__ = ["ProbeConnection"]


class ProbeConnection:
    """A connection for one caller at a time; connects at the first call, and again after a failure.

    Args:
        url: of database 0, see ``bus.redis.address``.
        name: for ``CLIENT LIST``.

    """

    def __init__(self, url: str, *, name: str) -> None:
        self._url, self._name = url, name
        self._greeting = Greeting((), ends_predecessor=False)
        self._link: CommandLink | None = None
        self._asks_role = True

    async def send_probe(self, channel: str, token: str) -> str | None:
        """Publish ``token`` on an edge's own channel, past every log; return the objection to this server, or None.

        May be cancelled.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused.

        """
        link = await self._opened()
        with converted(self._url):
            # decisions/0050: a demoted primary still carries tokens, so each token's server is asked for its role.
            asked = [("ROLE",)] if self._asks_role else []
            sent, *role = await link.ask_together(("PUBLISH", channel, token), *asked)
            checked(sent)
        return self._objection(role[0]) if role else None

    async def _opened(self) -> CommandLink:
        # Not free: the link was cut, or owes the answer to a call that was cancelled.
        if self._link is None or not self._link.is_free:
            await self.close()
            self._link = await open_command_link(self._url, self._name, self._greeting)
        return self._link

    def _objection(self, role: Any) -> str | None:
        """Return the objection to a server of this role; a user without ``ROLE`` is not asked for once more."""
        if isinstance(role, Exception):
            self._asks_role = not is_untold(said(role))
            return None
        where = misplaced(role)
        return where and f"Redis at {without_password(self._url)} {where}"

    async def drop(self) -> None:
        """Give up a connection that may lead nowhere; another server, met by the next call, may permit ``ROLE``."""
        self._asks_role = True
        await self.close()

    async def close(self) -> None:
        """Close the connection; a second call is harmless."""
        link, self._link = self._link, None
        if link is not None:
            link.abort()

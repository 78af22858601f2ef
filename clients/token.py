"""The token that a client shows: where it comes from, and which one an edge did not take."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from clients.errors import AuthenticationFailed, Unreachable

__all__ = ["Token", "TokenFault", "TokenSource"]

Token: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""A token, or what returns one: it is called before every connection and when the edge says that the token expires."""


class TokenFault(Unreachable):
    """The caller's function failed with something else than a network's error, which is the cause."""


class TokenSource:
    """Gives the token to show next. One that was not taken is not shown again.

    Args:
        token: as the caller gave it; None for an edge that wants none.

    """

    def __init__(self, token: Token | None) -> None:
        self._token = token
        self._shown: str | None = None
        self._rejected: tuple[str | None, AuthenticationFailed] | None = None

    @property
    def can_renew(self) -> bool:
        """Whether there may be another token than the one that was shown."""
        return callable(self._token)

    async def fresh(self) -> str | None:
        """Return the token to show now.

        Raises:
            AuthenticationFailed: it is the one that the edge did not take.
            Unreachable: it cannot be had at the moment; ``TokenFault`` where the caller's function has a bug, maybe.

        """
        try:
            found = await self._called()
        except OSError as error:  # TimeoutError is one
            raise Unreachable(f"no token: {error}") from error
        except Exception as error:
            raise TokenFault(f"no token: the function that returns one raised {type(error).__name__}") from error
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            raise TokenFault("no token: the function that returns one was cancelled") from error
        self._shown = found
        if self._rejected is not None and self._rejected[0] == self._shown:
            raise self._rejected[1]
        return self._shown

    async def _called(self) -> str | None:
        """Return the token itself; what returns one may be a function or a coroutine function."""
        if not callable(self._token):
            return self._token
        found = self._token()
        token = await found if inspect.isawaitable(found) else found
        if not isinstance(token, str):
            raise TypeError(f"token: expected a text, got {type(token).__name__}")
        return token

    def accepted(self) -> None:
        """Take note that the edge took the token that was shown."""
        self._rejected = None

    def rejected(self, error: AuthenticationFailed) -> None:
        """Remember that the token that was shown is no good; raise ``error`` if there will be no other."""
        if not self.can_renew or (self._rejected is not None and self._rejected[1] is error):
            raise error
        self._rejected = (self._shown, error)

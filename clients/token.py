"""A client's token: its source, and the memory of a token that an edge did not take."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from clients.errors import AuthenticationFailed, Unreachable

__all__ = ["Token", "TokenFault", "TokenSource"]

Token: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""A token, or a function that returns a token: called before every connection, and when the token is to expire."""


class TokenFault(Unreachable):
    """The caller's function failed with another error than a network's; that error is the cause."""


class TokenSource:
    """Gives the token to show next. A token that an edge did not take is not shown again.

    Args:
        token: the caller's; None for an edge that wants no token.

    """

    def __init__(self, token: Token | None) -> None:
        self._token = token
        self._shown: str | None = None
        self._rejected: tuple[str | None, AuthenticationFailed] | None = None

    @property
    def can_renew(self) -> bool:
        """Whether there may be another token than the last."""
        return callable(self._token)

    async def fresh(self) -> str | None:
        """Return the token to show now.

        Raises:
            AuthenticationFailed: the edge did not take this token before.
            Unreachable: no token can be had at the moment; ``TokenFault`` where the caller's function may have a bug.

        """
        try:
            found = await self._called()
        except OSError as error:  # TimeoutError is one
            raise Unreachable(f"no token: {error}") from error
        except Exception as error:
            raise TokenFault(f"no token: the function that returns one raised {type(error).__name__}") from error
        except asyncio.CancelledError as error:
            # The caller's function may cancel its own work; only a cancellation of this task is meant for the client.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            raise TokenFault("no token: the function that returns one was cancelled") from error
        self._shown = found
        if self._rejected is not None and self._rejected[0] == self._shown:
            raise self._rejected[1]
        return self._shown

    async def _called(self) -> str | None:
        """Return the token itself; the caller's function may be a coroutine function."""
        if not callable(self._token):
            return self._token
        found = self._token()
        token = await found if inspect.isawaitable(found) else found
        if not isinstance(token, str):
            raise TypeError(f"token: expected a text, got {type(token).__name__}")
        return token

    def accepted(self) -> None:
        """Take note that the edge took the token."""
        self._rejected = None

    def rejected(self, error: AuthenticationFailed) -> None:
        """Remember that the edge did not take the token; raise ``error`` if there will be no other token."""
        if not self.can_renew or (self._rejected is not None and self._rejected[1] is error):
            raise error
        self._rejected = (self._shown, error)

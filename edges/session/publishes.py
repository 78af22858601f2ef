"""The publishes of a client that are under way: how many, and a wait for room."""

import asyncio
from typing import Final

from edges.limits.publishing import Account

__all__ = ["Publishes"]

_MOST: Final = 64
"""Publishes of a client under way at once; the next waits in order, and the edge stops reading behind."""


class Publishes:
    """The publishes of a client.

    Args:
        account: of the connection.

    """

    __slots__ = ("_freed", "_under_way", "account")

    def __init__(self, account: Account) -> None:
        self.account, self._under_way = account, 0
        self._freed = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether one more has to wait."""
        return self._under_way >= _MOST

    async def room(self) -> None:
        """Wait until there is room for one more."""
        while self.is_full:
            self._freed.clear()
            await self._freed.wait()

    def begin(self) -> None:
        """Count one more."""
        self._under_way += 1

    def end(self) -> None:
        """Count one less."""
        self._under_way -= 1
        self._freed.set()

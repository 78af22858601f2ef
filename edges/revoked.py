"""What this edge knows of revoked tokens: told by the link at once, and read from Redis whenever the link came anew."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from bus.errors import BusError, BusUnavailable
from bus.revocation import KEPT_S, Revocation, Revocations, of_token, of_user
from bus.tasks import Spawn
from edges.access import Caller

__all__ = ["Revoked"]

_RETRY_S: Final = 0.5

_logger = logging.getLogger("edgebus.edges")


class Revoked:
    """The revocations, and who is concerned by one.

    Nothing that was learned is forgotten before its time, not even if Redis comes back without it.

    Args:
        revocations: reads them.
        spawn: runs a task, and owns it.
        on_news: called after something was learned.
        clock: seconds since the epoch.

    """

    def __init__(
        self,
        revocations: Revocations,
        spawn: Spawn,
        on_news: Callable[[], None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._revocations, self._spawn, self._on_news, self._clock = revocations, spawn, on_news, clock
        self._known: dict[str, int] = {}
        self._is_stale, self._is_told = True, False
        self._task: asyncio.Task[None] | None = None

    @property
    def is_read(self) -> bool:
        """Whether they were read since the link came up."""
        return not self._is_stale and (self._task is None or self._task.done())

    def concerns(self, caller: Caller) -> bool:
        """Tell whether a caller's token was revoked.

        Revoking a user is about every token that the user may have had by then: one that is later by more than the
        issuer's clock may be ahead is good. One that does not say when it was issued is taken for older.
        """
        if caller.user_id is None:
            return False
        if caller.token_id is not None and of_token(caller.token_id) in self._known:
            return True
        at_ms = self._known.get(of_user(caller.user_id))
        return at_ms is not None and (caller.issued_after is None or caller.issued_after * 1000 <= at_ms)

    def take(self, message: bytes) -> None:
        """Take what came on the channel; whatever it is, there is something new."""
        revocation = Revocation.parse(message)
        if revocation is None:
            self.read()
        else:
            self._learn([revocation])

    def read(self) -> None:
        """Begin to read them all; goes on until it went well."""
        self._is_stale = True
        if self._task is None or self._task.done():
            self._task = self._spawn(self._read(), "read revocations")

    async def _read(self) -> None:
        while self._is_stale:
            self._is_stale = False
            try:
                found = await self._revocations.all()
            except BusError as error:
                self._is_stale = True
                self._tell(error)
                await asyncio.sleep(_RETRY_S)
            else:
                self._learn(found)

    def _tell(self, error: BusError) -> None:
        """Say it once where Redis answers and refuses: no waiting helps, and the edge does not get ready."""
        is_news = not isinstance(error, BusUnavailable) and not self._is_told
        self._is_told = self._is_told or is_news
        level = logging.WARNING if is_news else logging.DEBUG
        _logger.log(level, "revocations cannot be read", extra={"reason": str(error)})

    def _learn(self, found: list[Revocation]) -> None:
        for revocation in found:
            self._known[revocation.member] = max(revocation.at_ms, self._known.get(revocation.member, 0))
        oldest_ms = (self._clock() - KEPT_S) * 1000
        self._known = {member: at_ms for member, at_ms in self._known.items() if at_ms >= oldest_ms}
        if found:
            self._on_news()

    async def drop(self) -> None:
        """Give up the connection: it may lead nowhere."""
        await self._revocations.drop()

    async def close(self) -> None:
        """Close the connection; calling it twice is harmless."""
        await self._revocations.close()

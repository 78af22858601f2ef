"""A connection that calls a script of the asking room."""

import asyncio
import copy
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from bus.errors import BusError, BusUnavailable
from bus.redis.calls import call_script
from bus.redis.connection import Connection, Reply
from bus.tasks import end

__all__ = ["Call", "Scripted"]

Call: TypeAlias = tuple[Sequence[str], Sequence[Any]]
"""Keys and arguments of a call."""

_Waiting: TypeAlias = "tuple[Sequence[Call], asyncio.Future[list[Reply]]]"

_LOT: Final = 100
"""The most callers whose calls are sent together."""


class Scripted(Connection):
    """A connection with a script; the calls of one round are sent together, each atomic.

    Args:
        url: of database 0, see ``bus.redis.address``.
        name: for ``CLIENT LIST``.
        script: the text.
        sha: Redis' name for the script.

    """

    # decisions/0104: a call of an older connection does no harm when it comes late: no call is ever repeated,
    # but for an answer, which counts once. So the user of an edge needs no CLIENT KILL.

    def __init__(self, url: str, *, name: str, script: str, sha: str) -> None:
        super().__init__(url, name=name, scripts=(script,))
        self._sha = sha
        self._waiting: list[_Waiting] = []
        self._rounds: asyncio.Task[None] | None = None

    async def call(self, calls: Sequence[Call]) -> list[Reply]:
        """Return Redis' reply to each call, in order; an error of Redis' as a value.

        Calls of several tasks share round trips: whatever waits when one ends is sent as the next. May be cancelled; a
        call that waits for its round is not sent then.

        Raises:
            BusUnavailable: Redis did not answer; any of the calls may have been carried out.
            BusError: Redis refused.

        """
        # decisions/0104: with a round trip for each question and each answer, a third of the rate was left.
        replies: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
        self._waiting.append((calls, replies))
        if self._rounds is None or self._rounds.done():
            self._rounds = asyncio.create_task(self._go_round(), name=f"rounds of {self._name}")
        return await replies

    async def close(self) -> None:
        """Close the connection, and tell the callers that wait; a second call is harmless."""
        if self._rounds is not None:
            await end([self._rounds])
        waiting, self._waiting = self._waiting, []
        self._tell(waiting, BusUnavailable("the connection to Redis was closed"))
        await super().close()

    async def _go_round(self) -> None:
        while self._waiting:
            lot, self._waiting = self._waiting[:_LOT], self._waiting[_LOT:]
            lot = [(calls, replies) for calls, replies in lot if not replies.done()]
            try:
                found = iter(await self._round([call for calls, _ in lot for call in calls]))
            except BusError as error:
                self._tell(lot, error)
                continue
            except BaseException:
                self._tell(lot, BusUnavailable("the connection to Redis was given up"))
                raise
            for calls, replies in lot:
                own = [next(found) for _ in calls]
                if not replies.done():
                    replies.set_result(own)

    @staticmethod
    def _tell(lot: "Sequence[_Waiting]", error: BusError) -> None:
        for _, replies in lot:
            if not replies.done():
                replies.set_exception(copy.copy(error))  # each caller raises an error of its own

    async def _round(self, calls: Sequence[Call]) -> list[Reply]:
        return await call_script(self, self._sha, [(len(keys), *keys, *arguments) for keys, arguments in calls])

"""A connection that calls a script of the asking room."""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from redis.exceptions import NoScriptError

from bus.redis.connection import Connection, Reply

__all__ = ["Call", "Scripted"]

Call: TypeAlias = tuple[Sequence[str], Sequence[Any]]
"""Keys and arguments of a call."""

_TRIES: Final = 2


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
    _ends_predecessor = False

    def __init__(self, url: str, *, name: str, script: str, sha: str) -> None:
        super().__init__(url, name=name, scripts=(script,))
        self._sha = sha

    async def call(self, calls: Sequence[Call]) -> list[Reply]:
        """Return Redis' reply to each call, in order; an error of Redis' as a value.

        Raises:
            BusUnavailable: Redis did not answer; any of the calls may have been carried out.
            BusError: Redis refused.

        """
        replies: list[Reply] = [NoScriptError()] * len(calls)
        async with self.connected() as redis:
            for _ in range(_TRIES):
                missing = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
                if not missing:
                    break
                if any(replies[index].args for index in missing):  # as after SCRIPT FLUSH: nothing was carried out
                    await self.begin_anew()
                pipeline = redis.pipeline(transaction=False)
                for index in missing:
                    keys, arguments = calls[index]
                    pipeline.evalsha(self._sha, len(keys), *keys, *arguments)
                found = await pipeline.execute(raise_on_error=False)
                for index, reply in zip(missing, found, strict=True):
                    replies[index] = reply
        return replies

"""Calls of a loaded script in one pipeline; a script that Redis forgot is loaded, and its calls are made again."""

from collections.abc import Sequence
from typing import Any, cast

from bus.redis import library
from bus.redis.connection import Connection, Reply

__all__ = ["call_script"]


async def call_script(connection: Connection, sha: str, calls: Sequence[tuple[Any, ...]]) -> list[Reply]:
    """Return Redis' reply to each call, in order; an error of Redis' as a value.

    Args:
        connection: has the script among its own.
        sha: Redis' name for the script.
        calls: the number of keys, the keys, and the arguments of each call.

    Raises:
        BusUnavailable: Redis did not answer; any of the calls may have been carried out.
        BusError: Redis refused.

    """
    async with connection.connected() as redis:
        replies = await _evaluated(redis, sha, calls)
        missing = [index for index, reply in enumerate(replies) if isinstance(reply, library.NoScriptError)]
        if missing:  # as after SCRIPT FLUSH: none of these was carried out
            await connection.begin_anew()
            again = await _evaluated(redis, sha, [calls[index] for index in missing])
            for index, reply in zip(missing, again, strict=True):
                replies[index] = reply
    return replies


async def _evaluated(redis: Any, sha: str, calls: Sequence[tuple[Any, ...]]) -> list[Reply]:
    pipeline = redis.pipeline(transaction=False)
    for call in calls:
        pipeline.execute_command("EVALSHA", sha, *call)
    return cast(list[Reply], await pipeline.execute(raise_on_error=False))

"""A round of commands on a connection of the client library: all sent, and every answer kept, also of a cut line.

The library's pipeline hands out all answers or none. After a cut, answered commands would be sent again with all the
rest, and a line too poor for a whole pipeline would never get on. The library's deadline counts here for each answer,
not for the whole round: a slow line is not given up while answers come.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

__all__ = ["Command", "exchange"]

Command: TypeAlias = tuple[Any, ...]

_SLICE_BYTES: Final = 64 * 1024
"""Bytes handed to the connection at once: asyncio's own bound for the buffer of a transport."""


async def exchange(connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
    """Send ``commands`` and return an answer for each, an error of Redis' as a value.

    After a cut of the line, commands without an answer have the error of the cut; the connection is closed then.

    Raises:
        RedisError: the line was cut before the first answer.

    """
    # decisions/0063: sent while answers are read, so that a deadline is from answer to answer: on a slow line the last
    # command of a pipeline may leave long after the first answer came.
    slices = list(_slices(connection.pack_commands([command]) for command in commands))
    if len(slices) == 1:
        await connection.send_packed_command(slices[0])
        return await _answers(connection, len(commands))
    sending = asyncio.create_task(_send(connection, slices))
    try:
        return await _answers(connection, len(commands))
    finally:
        sending.cancel()
        with suppress(asyncio.CancelledError, Exception):  # sending broke with the line, and the answers say so
            await sending


def _slices(packed: Iterable[list[bytes]]) -> Iterator[list[bytes]]:
    """Put whole commands together; each lot is small, or a single command."""
    lot: list[bytes] = []
    size = 0
    for pieces in packed:
        lot += pieces
        size += sum(map(len, pieces))
        if size >= _SLICE_BYTES:
            yield lot
            lot, size = [], 0
    if lot:
        yield lot


async def _send(connection: AbstractConnection, slices: Iterable[list[bytes]]) -> None:
    """Send while answers are read."""
    for lot in slices:
        if not connection.is_connected:  # closed by the reader; sending would open the connection again
            return
        await connection.send_packed_command(lot, check_health=False)


async def _answers(connection: AbstractConnection, count: int) -> list[Any]:
    answers: list[Any] = []
    try:
        while len(answers) < count:
            answers.append(await _answer(connection))
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        await connection.disconnect(nowait=True)
        if not answers:
            raise
        answers.append(error)  # LOADING is a connection error of the library's, and speaks for a single command only
        answers += [RedisConnectionError("the connection was closed")] * (count - len(answers))
    except BaseException:
        await connection.disconnect(nowait=True)  # unread answers would be taken for those of the next commands
        raise
    return answers


async def _answer(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()  # type: ignore[no-untyped-call, unused-ignore]
    except ResponseError as error:
        return error

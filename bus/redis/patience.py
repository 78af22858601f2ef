"""Connections of the client library with a deadline for each piece of an answer, not for the whole.

Over a narrow path a long answer takes longer than a dead peer may (decision 0052).
"""

import asyncio
import functools
import math
from typing import Any

from redis.asyncio.connection import AbstractConnection, DefaultParser
from redis.exceptions import TimeoutError as RedisTimeoutError

__all__ = ["PatientParser", "patient"]


class PatientParser(DefaultParser):  # type: ignore[misc, valid-type]  # one of several, chosen when it is imported
    """Reads answers; each piece may take the connection's ``socket_timeout``."""

    def on_connect(self, connection: AbstractConnection) -> None:
        """Take a new connection."""
        super().on_connect(connection)
        self._deadline_s: float | None = connection.socket_timeout

    async def read_from_socket(self) -> bool:
        """Read a piece.

        Raises:
            RedisTimeoutError: no byte came in time.

        """
        try:
            async with asyncio.timeout(self._deadline_s):
                return bool(await super().read_from_socket())
        except TimeoutError:
            raise RedisTimeoutError("nothing came in time") from None


class _Patient:
    async def read_response(
        self,
        disable_decoding: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 (the library's)
        **options: Any,
    ) -> Any:
        whole = math.inf if timeout is None else timeout
        return await super().read_response(disable_decoding, timeout=whole, **options)  # type: ignore[misc]


@functools.cache
def patient(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    """Return a kind of connection without a deadline for a whole answer, for use with the ``PatientParser``."""
    return type(f"Patient{kind.__name__}", (_Patient, kind), {})

"""The client library's client, closed whenever whoever uses the client is cancelled. Imported at the first use only."""

from typing import Any, Self

from redis.asyncio import Redis
from redis.asyncio.connection import BlockingConnectionPool

__all__ = ["client_of"]

# decisions/0011: the library closes behind a shield, and each connection in a task of its own. Cancelled in the step
# between, whoever closes a client goes on, and the connection stays open, at Redis too.


class _Client(Redis):
    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()


class _Pool(BlockingConnectionPool):
    async def disconnect(self, inuse_connections: bool = True) -> None:
        for connection in (*self._available_connections, *(self._in_use_connections if inuse_connections else ())):
            await connection.disconnect()


def client_of(**arguments: Any) -> Redis:
    """Return a client with a single connection, made with the library's arguments for connections."""
    return _Client.from_pool(_Pool(max_connections=1, **arguments))

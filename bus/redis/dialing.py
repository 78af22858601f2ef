"""Connections of the client library, with addresses of names found by ``bus.redis.resolving``."""

import asyncio
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from redis.asyncio.connection import Connection, SSLConnection

from bus.redis.connecting import connected
from bus.redis.resolving import resolve

__all__ = ["NamedConnection", "NamedTlsConnection"]


class NamedConnection(Connection):
    """A connection to the first address of ``host`` that answers, within the time for a single connect."""

    _plain: socket.socket

    async def _connect(self) -> None:
        async with asyncio.timeout(self.socket_connect_timeout):
            *others, last = await resolve(self.host, self.port)
            for address in others:
                with suppress(OSError):
                    await self._connect_to(address)
                    return
            await self._connect_to(last)

    async def _connect_to(self, address: str) -> None:
        self._plain = await connected(address, self.port)
        await super()._connect()  # type: ignore[no-untyped-call, unused-ignore]

    def _connection_arguments(self) -> Mapping[str, Any]:
        arguments: dict[str, Any] = {**super()._connection_arguments(), "sock": self._plain}
        del arguments["host"], arguments["port"]
        return {**arguments, "server_hostname": self.host} if "ssl" in arguments else arguments


class NamedTlsConnection(NamedConnection, SSLConnection):
    """The same with TLS; certificates are checked against the name, not the address."""

"""The client library's client, with connections of ours. Loads the library, so imported at the first use only."""

import functools
from collections.abc import Mapping
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError

from bus.redis.closing import client_of
from bus.redis.dialing import NamedConnection, NamedTlsConnection
from bus.redis.patience import PatientParser, patient
from bus.redis.refusals import is_about_command, said
from bus.redis.sentinel import Sentinels

__all__ = ["IS_LOADED", "begin", "pooled"]


class PrimaryConnection(NamedConnection):
    """A connection to the primary of the moment of opening, given up once that server is demoted."""

    def __init__(self, *, sentinels: Sentinels, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._sentinels = sentinels

    async def _connect(self) -> None:
        # Asked for each connection: after a failover the address of a moment ago leads to a replica, or nowhere.
        self.host, self.port = await self._sentinels.primary()
        await super()._connect()

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read a reply; ``READONLY`` means that another server is the primary now.

        Raises:
            RedisConnectionError: this server was demoted; the next connection asks the sentinels anew.

        """
        try:
            return await super().read_response(*arguments, **options)
        except ReadOnlyError as error:
            await self.disconnect()
            raise RedisConnectionError("the server is no longer the primary") from error


def pooled(arguments: Mapping[str, Any], name: str, deadline_s: float) -> Redis:
    """Return a client with a single connection called ``name``, for the ``arguments`` of a checked URL."""
    # decisions/0020: the library's retries would write a publish twice; the publisher repeats, with a check.
    return client_of(
        **{
            **{name: value for name, value in arguments.items() if name != "is_tls"},
            "redis_connect_func": functools.partial(begin, name=name),
            "connection_class": patient(_connection_class(arguments)),
            "parser_class": PatientParser,
            "timeout": deadline_s,
            "socket_timeout": deadline_s,
            "socket_connect_timeout": deadline_s,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "driver_info": None,  # no CLIENT SETINFO: Redis 7.0 has none, so no ACL for all servers can allow SETINFO
            "decode_responses": False,
        }
    )


def _connection_class(arguments: Mapping[str, Any]) -> Any:
    if "sentinels" in arguments:
        return PrimaryConnection
    if "path" in arguments:
        return UnixDomainSocketConnection
    return NamedTlsConnection if arguments.get("is_tls") else NamedConnection


async def begin(connection: AbstractConnection, *, name: str) -> None:
    """Log in, and give ``connection`` its name; a Redis without names for connections is used all the same."""
    await connection.on_connect()
    await connection.send_command("CLIENT", "SETNAME", name)
    try:
        await connection.read_response()
    except ResponseError as error:
        if not is_about_command(said(error)):
            raise


IS_LOADED: Final = True
"""The last of the module: a module that another thread is still loading lacks it."""

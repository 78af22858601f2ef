"""Where the primary is, when Redis Sentinel decides it: asked anew for every connection."""

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError

from bus.errors import AddressError

__all__ = ["NoPrimary", "PrimaryConnection", "Sentinels", "parse_sentinel_url"]

SCHEME: Final = "redis+sentinel"
_FORM: Final = "write it like redis+sentinel://user:password@host1:26379,host2:26379/name-of-the-primary"
_PLACE: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:]+\]|[^:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_PORT: Final = 26379
_ANSWER_DEADLINE_S: Final = 1.0
"""For one sentinel; the next one is asked then."""


class NoPrimary(OSError):
    """No sentinel said where the primary is, and why. ``is_login``: it wants a log-in other than the URL gives."""

    def __init__(self, text: str, *, is_login: bool = False) -> None:
        super().__init__(text)
        self.is_login = is_login


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Who knows where the primary called ``service`` is, and how to log in there."""

    places: tuple[tuple[str, int], ...]
    service: str
    username: str | None = None
    password: str | None = None

    async def primary(self) -> tuple[str, int]:
        """Return host and port of the primary, as the first sentinel that answers says.

        Raises:
            OSError: no sentinel answers, or none knows a healthy primary of that name.

        """
        asked = Sentinel(  # type: ignore[no-untyped-call]
            self.places,
            sentinel_kwargs={
                "socket_timeout": _ANSWER_DEADLINE_S,
                "socket_connect_timeout": _ANSWER_DEADLINE_S,
                "retry": Retry(NoBackoff(), 0),
                "protocol": 2,
            },
        )
        try:
            host, port = await asked.discover_master(self.service)
        except MasterNotFoundError as error:
            raise ConnectionRefusedError(f"no sentinel knows where {self.service!r} is") from error
        except RuntimeError as error:  # of the event loop's
            raise ConnectionAbortedError(str(error)) from error
        finally:
            for client in asked.sentinels:
                await client.aclose()
        return str(host), int(port)


class PrimaryConnection(Connection):
    """A connection to whatever is the primary when it is opened; one that was demoted is given up."""

    def __init__(self, *, sentinels: Sentinels, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._sentinels = sentinels

    async def _connect(self) -> None:
        self.host, self.port = await self._sentinels.primary()
        await super()._connect()  # type: ignore[no-untyped-call]

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read one reply; ``READONLY`` means that another server is the primary now."""
        try:
            return await super().read_response(*arguments, **options)
        except ReadOnlyError as error:
            await self.disconnect()
            raise RedisConnectionError("the server is no longer the primary") from error


def parse_sentinel_url(url: str) -> Sentinels | None:
    """Return what a ``redis+sentinel`` URL names, None for a URL of another scheme.

    Raises:
        AddressError: the scheme is right and the rest is not.

    """
    if not url.startswith(f"{SCHEME}://"):
        return None
    parts = urlsplit(url)
    login, _, places = parts.netloc.rpartition("@")
    user, colon, password = login.partition(":")
    found = [_PLACE.fullmatch(place) for place in places.split(",")]
    service = unquote(parts.path.strip("/"))
    if not service or "/" in service or parts.query or not all(found):
        raise AddressError(f"the Redis URL cannot be used: {_FORM}")
    return Sentinels(
        tuple((it["host"].strip("[]"), int(it["port"] or _PORT)) for it in found if it is not None),
        service,
        unquote(user) or None,
        unquote(password) if colon else None,
    )

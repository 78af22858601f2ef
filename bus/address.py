"""Where Redis is: one URL, checked, and the client made from it."""

import os
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.connection import BlockingConnectionPool, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from bus.errors import AddressError

__all__ = ["ANSWER_DEADLINE_S", "DEFAULT_URL", "check_url", "client", "default_url", "start_line", "without_password"]

DEFAULT_URL: Final = "redis://127.0.0.1:6390"
ANSWER_DEADLINE_S: Final = 5.0
_FORM: Final = (
    "write it like redis://user:password@host:port (rediss://, unix:///path), what is special in a password as %XX"
)


def default_url() -> str:
    """Return ``EDGEBUS_REDIS_URL``, else the port that ``edgebus broker`` listens on."""
    return os.environ.get("EDGEBUS_REDIS_URL") or DEFAULT_URL


def check_url(url: str) -> dict[str, Any]:
    """Return the connection arguments in ``url``.

    Raises:
        AddressError: the URL is malformed, or names a database other than 0 (pub/sub ignores the number, so two
            databases would share channels and not logs).

    """
    try:
        arguments: dict[str, Any] = dict(parse_url(url))
    except ValueError:  # its text may quote a piece of the password
        raise AddressError(f"the Redis URL cannot be used: {_FORM}") from None
    if arguments.get("db", 0) != 0:
        raise AddressError(f"the Redis URL names database {arguments['db']}: edgebus uses database 0 only")
    return arguments


def client(url: str, name: str) -> Redis:
    """Return a client of one connection called ``name``, which never repeats a command on its own.

    A repeated publish would write twice; what may be repeated is decided where that is known.
    """
    check_url(url)
    pool = BlockingConnectionPool.from_url(
        url,
        client_name=name,
        max_connections=1,
        timeout=ANSWER_DEADLINE_S,
        socket_timeout=ANSWER_DEADLINE_S,
        socket_connect_timeout=ANSWER_DEADLINE_S,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
    return Redis.from_pool(pool)


def start_line(url: str) -> str:
    """Return the sentence that helps when nothing answers at ``url``."""
    return f"no Redis answers at {without_password(url)}; start one with: edgebus broker   (or name yours: --redis URL)"


def without_password(url: str) -> str:
    """Return ``url`` as it may be shown and logged."""
    scheme, separator, rest = url.partition("://")
    _, at, host = rest.partition("?")[0].rpartition("@")
    return f"{scheme}{separator}{'…@' if at else ''}{host}"

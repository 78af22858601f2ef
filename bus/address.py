"""Where Redis is: one URL, checked, and the client made from it."""

import asyncio
import os
import shlex
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from redis.asyncio import Redis
from redis.asyncio.connection import BlockingConnectionPool, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from bus.errors import AddressError
from bus.sentinel import PrimaryConnection, parse_sentinel_url

__all__ = [
    "ANSWER_DEADLINE_S",
    "ATTEMPT_DEADLINE_S",
    "DEFAULT_URL",
    "check_url",
    "client",
    "default_url",
    "login",
    "open_link",
    "redis_cli",
    "start_line",
    "with_login",
    "without_password",
]

ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)

DEFAULT_URL: Final = "redis://127.0.0.1:6390"
ANSWER_DEADLINE_S: Final = 5.0
ATTEMPT_DEADLINE_S: Final = 2.0
"""For each step of opening a link. An attempt that a black hole swallowed would else go on after the path is healed."""
_FORM: Final = (
    "write it like redis://user:password@host:port (rediss://, unix:///path, redis+sentinel://host:port/name), "
    "what is special in a password as %XX"
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
    sentinels = parse_sentinel_url(url)
    if sentinels is not None:
        return {"sentinels": sentinels, "username": sentinels.username, "password": sentinels.password}
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
    arguments = check_url(url)
    if "sentinels" in arguments:
        arguments["connection_class"] = PrimaryConnection
    pool = BlockingConnectionPool(
        **{
            **arguments,
            "client_name": name,
            "max_connections": 1,
            "timeout": ANSWER_DEADLINE_S,
            "socket_timeout": ANSWER_DEADLINE_S,
            "socket_connect_timeout": ANSWER_DEADLINE_S,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "driver_info": None,  # no CLIENT SETINFO: Redis 7.0 has none, so no ACL that also works there can allow it
            "decode_responses": False,
        }
    )
    return Redis.from_pool(pool)


async def open_link(url: str, factory: Callable[[], ProtocolT]) -> ProtocolT:
    """Open a connection of our own to Redis, past the client library; it is not logged in.

    Raises:
        OSError: nothing answers there, or not within ``ATTEMPT_DEADLINE_S``; with Sentinel, no primary is known.

    """
    loop, arguments = asyncio.get_running_loop(), check_url(url)
    if "sentinels" in arguments:  # they have deadlines of their own, one each
        host, port = await arguments["sentinels"].primary()
    else:
        host, port = arguments.get("host", "localhost"), arguments.get("port", 6379)
    async with asyncio.timeout(ATTEMPT_DEADLINE_S):
        if "path" in arguments:
            return (await loop.create_unix_connection(factory, arguments["path"]))[1]
        return (await loop.create_connection(factory, host, port, ssl=_tls(arguments)))[1]


def login(url: str) -> tuple[str, ...]:
    """Return the words of ``AUTH``, none when the URL names no password."""
    arguments = check_url(url)
    user, password = arguments.get("username"), arguments.get("password")
    if password is None:
        return ()
    return (user, password) if user else (password,)


def _tls(arguments: Mapping[str, Any]) -> ssl.SSLContext | None:
    """Return the TLS that a ``rediss`` URL asks for, by the options that the client library takes too."""
    kind = arguments.get("connection_class")
    if kind is None or not issubclass(kind, SSLConnection):
        return None
    context = ssl.create_default_context(cafile=arguments.get("ssl_ca_certs"), capath=arguments.get("ssl_ca_path"))
    if arguments.get("ssl_certfile"):
        context.load_cert_chain(arguments["ssl_certfile"], arguments.get("ssl_keyfile"))
    if arguments.get("ssl_check_hostname") is False or arguments.get("ssl_cert_reqs") == "none":
        context.check_hostname = False
    if arguments.get("ssl_cert_reqs") == "none":
        context.verify_mode = ssl.CERT_NONE
    return context


async def redis_cli(url: str) -> str:
    """Return how an administrator starts ``redis-cli`` where ``url`` leads; no password is in it, it asks for one.

    Raises:
        OSError: with Sentinel, no primary is known.

    """
    arguments, user = check_url(url), login(url)
    if "sentinels" in arguments:
        host, port = await arguments["sentinels"].primary()
    else:
        host, port = arguments.get("host", "localhost"), arguments.get("port", 6379)
    place = ["-s", arguments["path"]] if "path" in arguments else ["-h", host, "-p", str(port)]
    admin = ["--user", "ADMIN"] if len(user) > 1 and user[0] != "default" else []
    return shlex.join(["redis-cli", *place, *_tls_words(arguments), *admin, *(["--askpass"] if user else [])])


def _tls_words(arguments: Mapping[str, Any]) -> list[str]:
    if not issubclass(arguments.get("connection_class", object), SSLConnection):
        return []
    files = {"ssl_ca_certs": "--cacert", "ssl_ca_path": "--cacertdir", "ssl_certfile": "--cert", "ssl_keyfile": "--key"}
    named = [word for name, option in files.items() if arguments.get(name) for word in (option, arguments[name])]
    return ["--tls", *named, *(["--insecure"] if arguments.get("ssl_cert_reqs") == "none" else [])]


def start_line(url: str, reason: str = "") -> str:
    """Return the sentence that helps when nothing answers at ``url``, for a ``reason`` in small letters."""
    shown, why = without_password(url), f" ({reason})" if reason else ""
    remedy = "start one with: edgebus broker" if _is_here(url) else "is it up, and does it listen on that address?"
    return f"no Redis answers at {shown}{why}; {remedy}   (or name yours: --redis URL)"


def _is_here(url: str) -> bool:
    """Tell whether ``url`` leads to this machine, so that a broker started here would be found."""
    host = check_url(url).get("host", "localhost") if url.startswith(("redis:", "rediss:")) else ""
    return host in ("localhost", "::1") or host.startswith("127.")


def without_password(url: str) -> str:
    """Return ``url`` as it may be shown and logged."""
    scheme, separator, rest = url.partition("://")
    _, at, host = rest.partition("?")[0].rpartition("@")
    return f"{scheme}{separator}{'…@' if at else ''}{host}"


def with_login(url: str, user: str, password: str) -> str:
    """Return ``url`` with another user, where it named one or none; both need no escaping, and options are kept."""
    scheme, separator, rest = url.partition("://")
    place, mark, options = rest.partition("?")
    return f"{scheme}{separator}{user}:{password}@{place.rpartition('@')[2]}{mark}{options}"

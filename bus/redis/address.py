"""Where Redis is: a URL, checked, and the connections made from the URL."""

import asyncio
import os
import shlex
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

from bus.errors import AddressError
from bus.redis.connecting import connected
from bus.redis.resolving import resolve
from bus.redis.sentinel import SENTINEL_SCHEME, sentinels
from bus.redis.url import FORM, RedisUrl, parse, place

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = [
    "ANSWER_DEADLINE_S",
    "ATTEMPT_DEADLINE_S",
    "DEFAULT_URL",
    "check_url",
    "checked_client",
    "client",
    "default_url",
    "elsewhere",
    "fit_name",
    "login",
    "open_link",
    "read_url",
    "redis_cli",
    "start_line",
    "with_login",
    "without_password",
]

ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)

DEFAULT_URL: Final = "redis://127.0.0.1:6390"
ANSWER_DEADLINE_S: Final = 5.0
_PORT: Final = 6379
_VISIBLE: Final = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")
ATTEMPT_DEADLINE_S: Final = 2.0
"""For each step of opening a link. An attempt swallowed by a black hole would else go on after the path is healed."""


def default_url() -> str:
    """Return ``EDGEBUS_REDIS_URL``, else the URL of ``edgebus broker``."""
    return os.environ.get("EDGEBUS_REDIS_URL") or DEFAULT_URL


def check_url(url: str) -> dict[str, Any]:
    """Return the connection arguments in ``url``, after a look into the URL's files.

    Raises:
        AddressError: the URL is malformed, or names a database other than 0 (pub/sub ignores the number, so two
            databases would share channels and not logs), or files without a certificate.

    """
    # decisions/0065: certificates are loaded once here, so that a mistake is told at construction and not by a task in
    # the background; each connection reads the files anew, so that certificates may be renewed.
    arguments = read_url(url)
    for name in ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"):
        if name in arguments and not Path(arguments[name]).exists():
            raise AddressError(f"the Redis URL names {arguments[name]} as its {name}, and there is no such file")
    try:
        _tls(arguments)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        reason = getattr(error, "reason", None) or error
        raise AddressError(f"the Redis URL names certificates that cannot be used: {reason}") from None
    return arguments


def read_url(url: str) -> dict[str, Any]:
    """Return the connection arguments in ``url``, without a look at files.

    Raises:
        AddressError: as ``check_url`` does, but for files.

    """
    parts = parse(url)
    arguments: dict[str, Any] = {"username": parts.user, "password": parts.password}
    if parts.scheme == SENTINEL_SCHEME:
        return {**arguments, "sentinels": sentinels(parts)}
    _check_database(parts)
    if parts.scheme == "unix":
        return {**arguments, "path": _socket(parts)}
    arguments["host"], arguments["port"] = place(parts.place, _PORT)
    if parts.scheme == "rediss":
        arguments |= {"is_tls": True, **_tls_options(parts)}
    return arguments


def _check_database(parts: RedisUrl) -> None:
    given = parts.options.get("db") or ("0" if parts.scheme == "unix" else parts.path.strip("/") or "0")
    try:
        number = int(given)
    except ValueError:
        raise AddressError(f"the Redis URL cannot be used, its database is no number: {FORM}") from None
    if number != 0:
        raise AddressError(f"the Redis URL names database {number}: edgebus uses database 0 only")


def _socket(parts: RedisUrl) -> str:
    if parts.place or len(parts.path) < 2:
        raise AddressError("the Redis URL cannot be used, it names no socket: write it like unix:///run/redis.sock")
    return parts.path


def _tls_options(parts: RedisUrl) -> dict[str, Any]:
    options: dict[str, Any] = {name: value for name, value in parts.options.items() if name != "db"}
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = options["ssl_check_hostname"] == "true"
    return options


def client(url: str, name: str) -> "Redis":
    """Return a client with a single connection called ``name``, which never repeats a command on its own.

    Raises:
        AddressError: as ``check_url`` does.

    """
    return checked_client(check_url(url), name)


def checked_client(arguments: Mapping[str, Any], name: str) -> "Redis":
    """Return the client of ``client`` for the arguments of ``check_url``."""
    from bus.redis.pooled import pooled

    return pooled(arguments, fit_name(name), ANSWER_DEADLINE_S)


def fit_name(name: str) -> str:
    """Return ``name`` in the form of ``CLIENT SETNAME``: visible ASCII, all else as %XX."""
    return quote(name, safe=_VISIBLE, errors="surrogatepass")


async def open_link(url: str, factory: Callable[[], ProtocolT]) -> ProtocolT:
    """Open a connection of our own to Redis, past the client library, without a log-in.

    Raises:
        OSError: no answer came within ``ATTEMPT_DEADLINE_S``; with Sentinel, no primary is known.

    """
    loop, arguments = asyncio.get_running_loop(), read_url(url)
    if "sentinels" in arguments:  # outside of the deadline below: each sentinel has a deadline of its own
        host, port = await arguments["sentinels"].primary()
    else:
        host, port = arguments.get("host", "localhost"), arguments.get("port", 6379)
    async with asyncio.timeout(ATTEMPT_DEADLINE_S):
        if "path" in arguments:
            return (await loop.create_unix_connection(factory, arguments["path"]))[1]
        return await _open(factory, host, port, _tls(arguments))


async def _open(factory: Callable[[], ProtocolT], host: str, port: int, tls: ssl.SSLContext | None) -> ProtocolT:
    """Connect to the first address of ``host`` that takes the connection; the last address' error is raised."""
    loop, name = asyncio.get_running_loop(), host if tls else None
    *others, last = await resolve(host, port)
    for address in others:
        with suppress(OSError):
            plain = await connected(address, port)
            return (await loop.create_connection(factory, sock=plain, ssl=tls, server_hostname=name))[1]
    plain = await connected(last, port)
    return (await loop.create_connection(factory, sock=plain, ssl=tls, server_hostname=name))[1]


def login(url: str) -> tuple[str, ...]:
    """Return the words of ``AUTH``, none when the URL names neither user nor password.

    A user alone is logged in with an empty password: Redis has users without (``nopass``), and ``AUTH`` wants a word.
    """
    # decisions/0065: the producer's connection and the edge's link read a lone user alike; taken for a password, as
    # redis-cli does, the word would log in another user.
    arguments = read_url(url)
    user, password = arguments["username"], arguments["password"]
    if user:
        return (user, password or "")
    return (password,) if password else ()


def _tls(arguments: Mapping[str, Any]) -> ssl.SSLContext | None:
    """Return the TLS context for a ``rediss`` URL, by the client library's own options; None for other URLs."""
    if not arguments.get("is_tls"):
        return None
    context = ssl.create_default_context(cafile=arguments.get("ssl_ca_certs"), capath=arguments.get("ssl_ca_path"))
    if arguments.get("ssl_certfile"):
        context.load_cert_chain(
            arguments["ssl_certfile"], arguments.get("ssl_keyfile"), arguments.get("ssl_password", "")
        )
    if arguments.get("ssl_check_hostname") is False or arguments.get("ssl_cert_reqs") == "none":
        context.check_hostname = False
    if arguments.get("ssl_cert_reqs") == "none":
        context.verify_mode = ssl.CERT_NONE
    return context


async def redis_cli(url: str) -> str:
    """Return an administrator's ``redis-cli`` command line for ``url``, without a password: redis-cli asks for it.

    Raises:
        OSError: with Sentinel, no primary is known.

    """
    arguments, user = read_url(url), login(url)
    if "sentinels" in arguments:
        host, port = await arguments["sentinels"].primary()
    else:
        host, port = arguments.get("host", "localhost"), arguments.get("port", 6379)
    place = ["-s", arguments["path"]] if "path" in arguments else ["-h", host, "-p", str(port)]
    admin = ["--user", "ADMIN"] if len(user) > 1 and user[0] != "default" else []
    return shlex.join(["redis-cli", *place, *_tls_words(arguments), *admin, *(["--askpass"] if user else [])])


def _tls_words(arguments: Mapping[str, Any]) -> list[str]:
    if not arguments.get("is_tls"):
        return []
    files = {"ssl_ca_certs": "--cacert", "ssl_ca_path": "--cacertdir", "ssl_certfile": "--cert", "ssl_keyfile": "--key"}
    named = [word for name, option in files.items() if arguments.get(name) for word in (option, arguments[name])]
    return ["--tls", *named, *(["--insecure"] if arguments.get("ssl_cert_reqs") == "none" else [])]


def start_line(url: str, reason: str = "") -> str:
    """Return the sentence with the remedy when no Redis answers at ``url``, for a ``reason`` in small letters."""
    shown, why = without_password(url), f" ({reason})" if reason else ""
    remedy = "start one with: edgebus broker" if _is_here(url) else "is it up, and does it listen on that address?"
    return f"no Redis answers at {shown}{why}; {remedy}   (or name yours: --redis URL)"


def _is_here(url: str) -> bool:
    """Tell whether ``url`` leads to this machine, where a broker could be started."""
    host = read_url(url).get("host", "localhost") if url.startswith(("redis:", "rediss:")) else ""
    return host in ("localhost", "::1") or host.startswith("127.")


def without_password(url: str) -> str:
    """Return ``url`` without log-in and options, to be shown and logged."""
    scheme, separator, rest = url.partition("://")
    _, at, host = rest.partition("?")[0].rpartition("@")
    return f"{scheme}{separator}{'…@' if at else ''}{host}"


def elsewhere(url: str, host: str, port: int) -> str:
    """Return the URL of another server, with the log-in and the TLS files of ``url``."""
    parts = parse(url)
    login = quote(parts.user or "", safe="") + (f":{quote(parts.password, safe='')}" if parts.password else "")
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if parts.scheme != "rediss":  # sentinels and sockets: the other server is reached by TCP, as the primary is
        return f"redis://{login}{'@' if login else ''}{place}"
    files = "&".join(f"{name}={quote(value)}" for name, value in parts.options.items() if name.startswith("ssl_"))
    return f"rediss://{login}{'@' if login else ''}{place}{'?' if files else ''}{files}"


def with_login(url: str, user: str, password: str) -> str:
    """Return ``url`` with another log-in, or with a first; ``user`` and ``password`` need no escaping, options stay."""
    scheme, separator, rest = url.partition("://")
    place, mark, options = rest.partition("?")
    return f"{scheme}{separator}{user}:{password}@{place.rpartition('@')[2]}{mark}{options}"

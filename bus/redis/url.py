"""A Redis URL, taken apart by a single parser for the whole bus, and refused with the name of the wrong part.

A part is named and never shown: a password without escapes may stand in any part.
"""

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Final
from urllib.parse import unquote_to_bytes

from bus.errors import AddressError
from bus.parts import PORT_LIMIT
from bus.values import frozen

__all__ = ["FORM", "RedisUrl", "parse", "place"]

FORM: Final = (
    "write it like redis://user:password@host:port (rediss://, unix:///path, redis+sentinel://host:port/name), "
    "what is special in a password as %XX"
)
_LOGIN: Final = frozenset({"username", "password"})
_TLS: Final = frozenset(
    {
        "ssl_ca_certs",
        "ssl_ca_path",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_keyfile",
        "ssl_password",
    }
)
_SENTINEL: Final = frozenset({"sentinel_username", "sentinel_password"})
_OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    "redis": _LOGIN | {"db"},
    "rediss": _LOGIN | _TLS | {"db"},
    "unix": _LOGIN | {"db"},
    "redis+sentinel": _LOGIN | _SENTINEL,
}
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "ssl_cert_reqs": ("none", "optional", "required"),
    "ssl_check_hostname": ("true", "false"),
}
_URL: Final = re.compile(r"(?P<scheme>[a-z+]+)://(?P<place>[^/?]*)(?P<path>/[^?]*)?(?:\?(?P<options>.*))?", re.DOTALL)
_PLACE: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(?::(?P<port>[0-9]+))?")
_NAME: Final = re.compile(r"[a-z_]{1,32}")


@frozen
class RedisUrl:
    """The parts of a URL.

    Attributes:
        scheme: such as ``redis``.
        user: None for no user.
        password: None for no password.
        place: host and port, or hosts and ports, behind the log-in.
        path: with its ``/``, or empty.
        options: by name, decoded.

    """

    scheme: str
    user: str | None
    password: str | None = field(repr=False)
    place: str
    path: str
    options: Mapping[str, str] = field(repr=False)  # some are passwords


def parse(url: str) -> RedisUrl:
    """Return the parts of ``url``, decoded.

    Raises:
        AddressError: the URL is of no known form; the message names the part.

    """
    if not isinstance(url, str):
        raise AddressError(f"the Redis URL is to be a text, and is of type {type(url).__name__}")
    found = _URL.fullmatch(url)
    if found is None or found["scheme"] not in _OPTIONS:
        raise AddressError(f"the Redis URL cannot be used: {FORM}")
    _check_characters(url, found)
    login, _, place = found["place"].rpartition("@")
    user, colon, password = login.partition(":")
    options = _options(found["scheme"], found["options"])
    given_user = _decoded(user, "user") or options.pop("username", "")
    given_password = _decoded(password, "password") if colon else options.pop("password", "")
    path = _decoded(found["path"] or "", "path")
    return RedisUrl(found["scheme"], given_user or None, given_password or None, place, path, options)


def place(text: str, default_port: int) -> tuple[str, int]:
    """Return host and port of ``text``; without a host, this machine.

    Raises:
        AddressError: the text is no host and port.

    """
    found = _PLACE.fullmatch(text)
    if found is None:
        raise AddressError(f"the Redis URL cannot be used, its host and port are none: {FORM}")
    port = int(found["port"] or default_port)
    if not 1 <= port <= PORT_LIMIT:
        raise AddressError(f"the Redis URL cannot be used, its port is not from 1 to {PORT_LIMIT}: {FORM}")
    return found["host"].strip("[]") or "localhost", port


def _check_characters(url: str, found: "re.Match[str]") -> None:
    """Refuse characters that end the log-in early, or that a parser leaves out.

    Raises:
        AddressError: the message has the escape to write.

    """
    # decisions/0065: RFC 3986 has a meaning for some of these characters, under which redis://:57#pw@host is
    # localhost:57, and a piece of the password goes to another server.
    for char, escape in (("#", "%23"), (" ", "%20")):
        if char in url:
            raise AddressError(f"the Redis URL cannot be used, {char!r} stands in it: in a password write {escape}")
    if not url.isprintable():
        raise AddressError("the Redis URL cannot be used, a control character stands in it: write it as %XX")
    if re.search(r"[][]", found["place"].rpartition("@")[0]):
        raise AddressError("the Redis URL cannot be used, a bracket stands in its log-in: write %5B and %5D")
    behind = f"{found['path'] or ''}?{found['options'] or ''}"
    if "@" in behind and "@" not in found["place"] and found["scheme"] != "unix":
        raise AddressError("the Redis URL cannot be used, '/' or '?' stands before its '@': in a password, %2F and %3F")


def _options(scheme: str, text: str | None) -> dict[str, str]:
    # decisions/0065: a short list for each scheme. An option of the client library's that the bus overrides, such as
    # socket_timeout, would be taken and have no effect.
    options: dict[str, str] = {}
    for pair in (text or "").split("&") if text else ():
        name, _, value = pair.partition("=")
        _check_option(scheme, name, is_known=name in _OPTIONS[scheme])
        if name in options:
            raise AddressError(f"the Redis URL gives {name} twice")
        options[name] = _checked(name, _decoded(value.replace("+", " "), name))
    return options


def _check_option(scheme: str, name: str, *, is_known: bool) -> None:
    if is_known:
        return
    shown = repr(name) if _NAME.fullmatch(name) else "one"
    if name in _TLS:
        raise AddressError(f"the Redis URL has the option {name}, which is for rediss:// and not for {scheme}://")
    known = ", ".join(sorted(_OPTIONS[scheme]))
    raise AddressError(f"the Redis URL has an option that there is not, {shown}; {scheme}:// takes {known}")


def _checked(name: str, value: str) -> str:
    if not value:
        raise AddressError(f"the Redis URL gives {name} no value")
    if name in _CHOICES and value.lower() not in _CHOICES[name]:
        raise AddressError(f"the Redis URL gives {name} another value than {', '.join(_CHOICES[name])}")
    return value.lower() if name in _CHOICES else value


def _decoded(text: str, part: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise AddressError(f"the Redis URL cannot be used, its {part} is not UTF-8 once %XX is read") from None

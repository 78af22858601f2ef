"""Which web pages may come in: serialised origins (RFC 6454, section 6.2), compared letter by letter. Pure."""

import re
from collections.abc import Collection, Sequence
from enum import Enum, auto
from typing import Final

from edges.net.addresses import is_loopback

__all__ = ["Verdict", "check_origin", "is_of_this_machine", "names_this_machine", "verdict"]

_FORM: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[^\s/?#@:\[\]]+|\[[0-9a-f:.]+\])(?::(?P<port>\d+))?(?P<rest>[/?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"(?P<name>[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?", re.IGNORECASE)
"""What a ``Host`` header holds (RFC 9110, section 7.2), as far as a name of this machine could."""


class Verdict(Enum):
    """What the origin of a handshake says about it."""

    FREE = auto()
    """It may come in as far as its origin is concerned."""
    WITH_TOKEN = auto()
    """It is no browser, which names no page: a list of pages says nothing about it, so only a valid token does."""
    REFUSED = auto()


def verdict(origins: Sequence[str], allowed: Collection[str]) -> Verdict:
    """Judge the ``Origin`` headers of one handshake.

    Two of them are refused always: no browser sends that (RFC 6454, section 7.3), and which one the next program in
    the line would believe is anybody's guess.

    Args:
        origins: the values as they came.
        allowed: the allow-list; empty lets every page in.

    """
    if len(origins) > 1:
        return Verdict.REFUSED
    if not allowed:
        return Verdict.FREE
    if not origins:
        return Verdict.WITH_TOKEN
    return Verdict.FREE if origins[0] in allowed else Verdict.REFUSED


def names_this_machine(host: str) -> bool:
    """Tell whether a ``Host`` header names the machine that it was sent on, whatever anybody's name server says.

    So does ``localhost``, what ends with it (RFC 6761, section 6.3), and a loopback address.
    """
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = found["name"].lower().removesuffix(".")
    return name.endswith(".localhost") or is_loopback(name)


def is_of_this_machine(origin: str) -> bool:
    """Tell whether an ``Origin`` header is that of a page which a server on the browser's own machine gave out."""
    scheme, separator, host = origin.partition("://")
    return bool(separator) and scheme in _PORTS and names_this_machine(host)


def check_origin(text: str) -> str:
    """Return ``text``, an entry of an allow-list, if a browser could send exactly that.

    Raises:
        ValueError: no browser does; the message holds what to write instead, where that can be told.

    """
    if text == "*":
        raise ValueError("'*' is no origin; an empty list lets every page in")
    if "*" in text:
        raise ValueError(f"{text!a} is a pattern, and origins are compared letter by letter; list each of them")
    if text.lower() == "null":
        raise ValueError("'null' is what every sandboxed page and local file sends, so it would let anybody's page in")
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!a} is no origin; write it as a browser does: https://app.example.com")
    sent = _serialised(found)
    if sent != text:
        raise ValueError(f"{text!a} is never sent by a browser; write {sent}")
    return text


def _serialised(found: re.Match[str]) -> str:
    """Return what a browser sends for a URL: scheme and host in small letters, no default port, nothing behind."""
    scheme, host, port = found["scheme"].lower(), found["host"].lower(), found["port"]
    if not host.isascii():
        host = _in_ascii(host)
    if port is not None and not 0 < int(port[:6]) < 65_536:
        raise ValueError(f"{found[0]!a} has no such port")
    suffix = "" if port is None or int(port) == _PORTS.get(scheme) else f":{int(port)}"
    return f"{scheme}://{host}{suffix}"


def _in_ascii(host: str) -> str:
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        raise ValueError(f"{host!a} is no name of a host") from None

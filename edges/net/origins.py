"""Web pages that may come in: serialised origins (RFC 6454, section 6.2), compared letter by letter. Pure."""

import re
from collections.abc import Collection, Sequence
from enum import Enum, auto
from functools import lru_cache
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
    """The verdict on the origin of a handshake."""

    FREE = auto()
    """The origin may come in."""
    WITH_TOKEN = auto()
    """No page is named, so the client is no browser: a list of pages says nothing of programs, a valid token does."""
    REFUSED = auto()


def verdict(origins: Sequence[str], allowed: Collection[str]) -> Verdict:
    """Judge the ``Origin`` headers of a handshake.

    Two headers are refused always: no browser sends two (RFC 6454, section 7.3), and programs differ in the header to
    believe.

    Args:
        origins: the values as they came.
        allowed: the allow-list; an empty list lets every page in.

    """
    if len(origins) > 1:
        return Verdict.REFUSED
    if not allowed:
        return Verdict.FREE
    if not origins:
        return Verdict.WITH_TOKEN
    return Verdict.FREE if origins[0] in allowed else Verdict.REFUSED


@lru_cache(256)
def names_this_machine(host: str) -> bool:
    """Tell whether a ``Host`` header names the sender's own machine, whatever a name server says.

    Such names are ``localhost``, names that end with ``.localhost`` (RFC 6761, section 6.3), and loopback addresses.
    """
    # decisions/0026: `0.0.0.0` is no such name, although it leads here: browsers send it for pages that look for
    # servers.
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = found["name"].lower().removesuffix(".")
    return name.endswith(".localhost") or is_loopback(name)


def is_of_this_machine(origin: str) -> bool:
    """Tell whether an ``Origin`` header is of a page from a server on the browser's own machine."""
    scheme, separator, host = origin.partition("://")
    return bool(separator) and scheme in _PORTS and names_this_machine(host)


def check_origin(text: str) -> str:
    """Return ``text``, an entry of an allow-list, if a browser could send exactly that.

    Raises:
        ValueError: no browser does; the message holds the text to write instead, where known.

    """
    # decisions/0026: an entry that no browser sends would lock a page out in silence, so the entry ends the start. No
    # patterns: `*.example.com` would let in whatever a user of the domain may put there.
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
    """Return a browser's origin for a URL: scheme and host in small letters, no default port, no path."""
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

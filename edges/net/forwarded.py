"""The client behind a proxy: entries of ``X-Forwarded-For`` and ``X-Forwarded-Proto`` to believe. Pure.

Every client can send the headers, so an entry is worth as much as the program that added the entry: a listed proxy's
word is taken, other words are not. A proxy appends the address of the other end, so the list is read from the right.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

__all__ = ["Network", "client_address", "is_trusted", "parse_network", "was_https"]

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_BRACKETED: Final = re.compile(r"\[(?P<address>[^\]]*)\](?::\d{1,5})?")
_V4_AND_PORT: Final = re.compile(r"(?P<address>\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}")
_HOPS: Final = 64
"""So many proxies may stand between a client and an edge; a stranger can write more entries."""
_LONGEST: Final = 64
"""An address with brackets, scope and port is shorter; a longer entry is not looked at."""
_KNOWN: Final = 1_024
"""So many addresses are known by their text: to read one costs as much as a step of the handshake."""


def parse_network(text: str) -> Network:
    """Return the network of ``10.0.0.0/8``, or of one address.

    Raises:
        ValueError: the text is neither; the message holds the text to write.

    """
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        wider = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!a} is no address and no network; write 10.0.0.7 or 10.0.0.0/8") from None
    raise ValueError(f"{text!a} names an address and a network; write {wider}")


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """Tell whether an address is a listed proxy's."""
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in trusted)


def client_address(peer: str, listed: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the address of the client: the right-most address of no listed proxy.

    Before the end of a shorter list, and behind an entry without an address (``unknown``, a name, an empty text), the
    client is the left-most known proxy: no trustworthy program has said more.

    Args:
        peer: the other end of the socket.
        listed: the values of all ``X-Forwarded-For`` headers, in the order in which they came.
        trusted: the listed proxies.

    """
    # decisions/0025: by the left-most entry, as many programs take it, every client would choose an address.
    # `Forwarded` (RFC 7239) is not read: most proxies pass on a client's own.
    nearest = _plain(peer)
    for entry in _from_the_right(listed):
        if not is_trusted(nearest, trusted):
            return nearest
        address = _parsed(_without_port(entry))
        if address is None:
            return nearest
        nearest = str(address)
    return nearest


def was_https(peer: str, protocols: Sequence[str], trusted: Sequence[Network]) -> bool:
    """Tell whether a listed proxy says that its client came by https (or wss).

    Args:
        peer: the other end of the socket.
        protocols: the values of all ``X-Forwarded-Proto`` headers; a single header with a single value is believed,
            since two may stem from two programs.
        trusted: the listed proxies.

    """
    # decisions/0025: decides `secure` in the welcome and no more.
    is_one = len(protocols) == 1 and is_trusted(peer, trusted)
    return is_one and protocols[0].strip().lower() in ("https", "wss")


def _from_the_right(listed: Sequence[str]) -> "list[str]":
    """Return the entries from the right; all entries beyond the last hop are one text, without an address."""
    return [entry.strip() for entry in ",".join(listed).rsplit(",", _HOPS)][::-1] if listed else []


def _without_port(entry: str) -> str:
    """Return the address in ``1.2.3.4:5678``, ``[::1]:5678``, ``[::1]``; any other text unchanged."""
    entry = entry.strip('"')
    found = _BRACKETED.fullmatch(entry) or _V4_AND_PORT.fullmatch(entry)
    return entry if found is None else found["address"]


@lru_cache(_KNOWN)
def _plain(address: str) -> str:
    parsed = _parsed(address)
    return address if parsed is None else str(parsed)


def _parsed(text: str) -> Address | None:
    """Return the address, without the scope of a link; an IPv4 address in IPv6 form as IPv4."""
    return _read(text.partition("%")[0]) if len(text) <= _LONGEST else None


@lru_cache(_KNOWN)
def _read(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address

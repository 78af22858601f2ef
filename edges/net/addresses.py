"""Addresses to listen on: reachable or not, both families for a wildcard, and the form in a URL."""

import socket
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

__all__ = ["host_of", "is_loopback", "opened", "port_of", "unbracketed", "written"]

_ANYWHERE: Final = ("::", "")
_BACKLOG: Final = 1024


def unbracketed(host: str) -> str:
    """Return ``::1`` for ``[::1]``, as an address of IPv6 stands in URLs; any other host unchanged."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def written(host: str, port: int) -> str:
    """Return host and port in the form of a URL (RFC 3986, section 3.2.2); an empty host is every address."""
    return f"[{host or '::'}]:{port}" if ":" in host or not host else f"{host}:{port}"


@lru_cache(256)
def is_loopback(host: str) -> bool:
    """Tell whether only the machine reaches ``host``; a name other than localhost counts as reachable."""
    try:
        address = ip_address(unbracketed(host).partition("%")[0])
    except ValueError:
        return host.lower() == "localhost"
    # decisions/0026: what a name resolves to tomorrow is not an edge's to say, hence by addresses alone.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def opened(host: str, port: int) -> socket.socket | None:
    """Return a socket bound to a literal address, or listening on every address for a wildcard; None for a name.

    asyncio alone keeps a wildcard of IPv6 from IPv4, and gives the two families two ports for port 0. And uvloop starts
    threads for a literal address, which make each ``send`` dearer (``bus.redis.connecting``).

    Raises:
        OSError: the port cannot be had.

    """
    if host not in _ANYWHERE:
        return _bound(host, port)
    if not socket.has_dualstack_ipv6():
        return None
    return socket.create_server(("::", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)


def _bound(host: str, port: int) -> socket.socket | None:
    flags = socket.AI_PASSIVE | socket.AI_NUMERICHOST
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)[0]
    except socket.gaierror:
        return None
    one = socket.socket(family, kind)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
    except OSError as error:
        one.close()
        raise OSError(error.errno, f"error while attempting to bind on address {address!r}: {error.strerror}") from None
    return one


def port_of(sockets: Sequence[socket.socket]) -> int:
    """Return the port of bound sockets: the sockets of an edge share a port."""
    return int(sockets[0].getsockname()[1])


def host_of(sockets: Sequence[socket.socket]) -> str:
    """Return the host of bound sockets: of several hosts, one in reach of other machines."""
    hosts = [str(one.getsockname()[0]) for one in sockets]
    return next((host for host in hosts if not is_loopback(host)), hosts[0])

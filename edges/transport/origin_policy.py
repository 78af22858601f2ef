"""The origin of an opening handshake, and whether that origin may come in. Pure."""

from typing import Final

from websockets.http11 import Request, Response

from edges.net.addresses import is_loopback
from edges.net.forwarded import client_address, was_https
from edges.net.origins import Verdict, is_of_this_machine, names_this_machine, verdict
from edges.net.visitor import Visitor
from edges.settings import EdgeSettings
from edges.transport import http
from edges.transport.opening import Asked

__all__ = ["admit", "admit_plain"]

_TWO_ORIGINS: Final = "the request has two Origin headers; send one"
_OTHER_PAGE: Final = (
    "this origin may not connect; the operator lists the pages that may as allowed_origins, spelled as browsers do"
)
_OTHER_MACHINE: Final = (
    "only pages of this machine may connect to an edge that checks no tokens and listens for this machine alone; "
    "the operator lists others as allowed_origins, or sets up a key"
)
_OTHER_NAME: Final = (
    "this edge is for this machine alone, and answers to localhost, 127.0.0.1 and [::1] only; where a proxy in front "
    "sends another Host, start it with --insecure-behind-proxy"
)
_NO_PAGE: Final = "without an Origin only a valid token lets a client in, and this edge checks no tokens"


def admit(request: Asked, peer: str, settings: EdgeSettings, *, is_tls: bool, takes_tokens: bool) -> Visitor | Response:
    """Return the visitor that may come in, or the refusal.

    Args:
        request: an opening handshake.
        peer: the address of the other end of the socket.
        settings: of the edge.
        is_tls: whether the socket is encrypted.
        takes_tokens: whether the edge can check tokens at all.

    """
    origins = request.headers.get_all("Origin")
    if len(origins) < 2 and _is_private(settings, takes_tokens=takes_tokens):
        if (stray := _stray_host(request)) is not None:
            return stray
        if origins and not is_of_this_machine(origins[0]):
            return http.forbidden(_OTHER_MACHINE)
    match verdict(origins, settings.allowed_origins):
        case Verdict.REFUSED:
            return http.forbidden(_TWO_ORIGINS if len(origins) > 1 else _OTHER_PAGE)
        case Verdict.WITH_TOKEN if not takes_tokens:
            return http.forbidden(_NO_PAGE)
        case found:
            return _visitor(request, peer, settings, is_tls=is_tls, needs_token=found is Verdict.WITH_TOKEN)


def admit_plain(request: Request, settings: EdgeSettings, *, takes_tokens: bool) -> Response | None:
    """Return the refusal of a plain request under a foreign host name; None for a request to answer."""
    # decisions/0026: `Origin` is not asked. Without CORS headers a foreign page cannot read the answers; a page at a
    # name that leads here (DNS rebinding) could.
    return _stray_host(request) if _is_private(settings, takes_tokens=takes_tokens) else None


def _is_private(settings: EdgeSettings, *, takes_tokens: bool) -> bool:
    """Tell whether an edge is for the programs of the machine alone: no setting names others, or a proxy."""
    # decisions/0026: to a browser on this machine, every page that the user visits is a program of this machine.
    is_open = takes_tokens or settings.allowed_origins or settings.trusted_proxies or settings.insecure_behind_proxy
    return not is_open and is_loopback(settings.host)


def _stray_host(request: Asked) -> Response | None:
    """Return the refusal of a request for another host; a client that names no host is no browser."""
    hosts = request.headers.get_all("Host")
    is_ours = len(hosts) < 2 and all(names_this_machine(host) for host in hosts)
    return None if is_ours else http.forbidden(_OTHER_NAME)


def _visitor(request: Asked, peer: str, settings: EdgeSettings, *, is_tls: bool, needs_token: bool) -> Visitor:
    trusted = settings.trusted_proxies
    protocols = request.headers.get_all("X-Forwarded-Proto")
    address = client_address(peer, request.headers.get_all("X-Forwarded-For"), trusted)
    return Visitor(address, is_tls or was_https(peer, protocols, trusted), needs_token)

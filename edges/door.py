"""Who stands at the door: where an opening handshake comes from, and whether that may come in. Pure."""

from dataclasses import dataclass
from typing import Final

from websockets.http11 import Request, Response

from edges import http
from edges.forwarded import client_address, was_https
from edges.origins import Verdict, verdict
from edges.settings import EdgeSettings

__all__ = ["Visitor", "admit"]

_TWO_ORIGINS: Final = "the request has two Origin headers; send one"
_OTHER_PAGE: Final = (
    "this origin may not connect; the operator lists the pages that may as allowed_origins, spelled as browsers do"
)
_NO_PAGE: Final = "without an Origin only a valid token lets a client in, and this edge checks no tokens"


@dataclass(frozen=True, slots=True)
class Visitor:
    """A client, as far as its socket and its handshake tell.

    Attributes:
        address: its own, not that of a listed proxy before it; empty for a peer that has none.
        is_secure: whether what it sends is encrypted, at least as far as a listed proxy.
        needs_token: it named no page where only listed ones may come in, so it must show a valid token, whatever
            others must.

    """

    address: str
    is_secure: bool
    needs_token: bool = False


def admit(
    request: Request, peer: str, settings: EdgeSettings, *, is_tls: bool, takes_tokens: bool
) -> Visitor | Response:
    """Return who wants to come in, or the answer to one who may not.

    Args:
        request: an opening handshake.
        peer: the address of the other end of the socket.
        settings: of the edge.
        is_tls: whether the socket itself is encrypted.
        takes_tokens: whether the edge can check tokens at all.

    """
    origins = request.headers.get_all("Origin")
    match verdict(origins, settings.allowed_origins):
        case Verdict.REFUSED:
            return http.forbidden(_TWO_ORIGINS if len(origins) > 1 else _OTHER_PAGE)
        case Verdict.WITH_TOKEN if not takes_tokens:
            return http.forbidden(_NO_PAGE)
        case found:
            return _visitor(request, peer, settings, is_tls=is_tls, needs_token=found is Verdict.WITH_TOKEN)


def _visitor(request: Request, peer: str, settings: EdgeSettings, *, is_tls: bool, needs_token: bool) -> Visitor:
    trusted = settings.trusted_proxies
    protocols = request.headers.get_all("X-Forwarded-Proto")
    address = client_address(peer, request.headers.get_all("X-Forwarded-For"), trusted)
    return Visitor(address, is_tls or was_https(peer, protocols, trusted), needs_token)

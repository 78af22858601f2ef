"""Plain requests for events: who asks, what a page of elsewhere may read, refusals. Knows no channel."""

import math
from collections.abc import Mapping
from typing import Final

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from bus.words import Code
from edges.auth.permissions import Caller
from edges.auth.tokens import TokenRefused
from edges.limits.quotas import Excess
from edges.net.visitor import Visitor
from edges.protocol.messages import Refusal
from edges.session.context import Context
from edges.transport import http
from edges.transport.bearer import shown_tokens
from edges.transport.origin_policy import admit

__all__ = ["admitted", "caller_of", "excess_of", "preflight", "refused", "shared_with", "status_of", "tokens_of"]

_STATUS: Final[Mapping[Code, int]] = {
    Code.AUTH_REQUIRED: 401,
    Code.AUTH_FAILED: 401,
    Code.FORBIDDEN: 403,
    Code.INVALID_CHANNEL: 404,
    Code.RATE_LIMIT_EXCEEDED: 429,
    Code.UNAVAILABLE: 503,
    Code.INTERNAL_ERROR: 500,
}
_PREFLIGHT_S: Final = 600


def admitted(request: Request, peer: Visitor, context: Context) -> Visitor | Response:
    """Return the visitor behind a request for events, or the refusal; judged as a handshake is."""
    takes_tokens = not context.authenticator.is_open
    return admit(
        _of_its_page(request, context), peer.address, context.settings, is_tls=peer.is_secure, takes_tokens=takes_tokens
    )


def _of_its_page(request: Request, context: Context) -> Request:
    """Return the request with the origin of a page that asks its own server, where browsers leave ``Origin`` out.

    Only for a listed origin: a page at a name that leads here (DNS rebinding) is of its own server, too.
    """
    hosts, headers = request.headers.get_all("Host"), request.headers
    is_own = headers.get_all("Sec-Fetch-Site") == ["same-origin"] and "Origin" not in headers and len(hosts) == 1
    allowed = context.settings.allowed_origins
    found = [it for it in (f"https://{hosts[0]}", f"http://{hosts[0]}") if it in allowed] if is_own else []
    if not found:
        return request
    return Request(request.path, Headers([*headers.raw_items(), ("Origin", found[0])]))


def shared_with(request: Request) -> list[tuple[str, str]]:
    """Return the headers by which the page of an admitted origin may read the answer; a program needs none."""
    # No cookie lets anybody in here, so the origin's name is no more than leave to read (decisions/0134).
    origins = request.headers.get_all("Origin")
    return [("Vary", "Origin"), *([("Access-Control-Allow-Origin", origins[0])] if len(origins) == 1 else [])]


def preflight(request: Request) -> Response:
    """Return the answer to a page that asks whether it may ask, of an admitted origin."""
    return http.bare(
        204,
        ("Access-Control-Allow-Methods", "GET, HEAD"),
        ("Access-Control-Allow-Headers", "Authorization, Last-Event-ID, Cache-Control"),
        ("Access-Control-Max-Age", str(_PREFLIGHT_S)),
        *shared_with(request),
    )


def tokens_of(request: Request, context: Context) -> list[str]:
    """Return the tokens shown; none where the edge looks at no tokens."""
    is_open = context.authenticator.is_open
    return [] if is_open else shown_tokens(request, in_query=context.settings.auth_in_query)


async def caller_of(request: Request, visitor: Visitor, context: Context) -> Caller:
    """Return who asks, by the token of a single request.

    Raises:
        TokenRefused: the token is no good, is missing, or is among several.
        KeysUnavailable: the token's key cannot be had at the moment.

    """
    authenticator, tokens = context.authenticator, tokens_of(request, context)
    if len(tokens) > 1:
        raise TokenRefused("several tokens are shown in different places; show one")
    if tokens:
        return await authenticator.admit(tokens[0])
    if not authenticator.is_open and (context.settings.auth_required or visitor.needs_token):
        raise TokenRefused("a token is required: Authorization: Bearer and the token")
    return authenticator.anonymous


def status_of(code: Code) -> int:
    """Return the status for a code of the wire."""
    return _STATUS.get(code, 400)


def excess_of(excess: Excess) -> Refusal:
    """Return the refusal of a client over a quota."""
    sentence = f"{excess.name}: the limit is {excess.limit}; try again later"
    return Refusal(Code.RATE_LIMIT_EXCEEDED, sentence, retry_after_ms=math.ceil(excess.retry_s * 1000))


def refused(refusal: Refusal, request: Request) -> Response:
    """Return the answer for a refusal: the status, the code of the wire, and the sentence."""
    status, wait_ms = status_of(refusal.code), refusal.retry_after_ms
    wait = [] if wait_ms is None else [("Retry-After", str(max(1, math.ceil(wait_ms / 1000))))]
    challenge = [("WWW-Authenticate", "Bearer")] if status == 401 else []
    return http.refused(status, refusal.sentence, refusal.code, *wait, *challenge, *shared_with(request))

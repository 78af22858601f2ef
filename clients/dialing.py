"""The way to an edge: from a URL to a connection after its handshake, or to an error that names the obstacle.

The way knows neither tokens nor messages. Headers and query of one origin never go to another origin.
"""

import logging
import ssl
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidProxy, InvalidStatus, WebSocketException

from clients.comeback import refused_for_good, retry_after_s
from clients.errors import Redirected, Unreachable, Untrusted
from clients.keepalive import HearingConnection
from clients.proxies import by_way, is_past_proxies
from clients.settings import ClientSettings

__all__ = ["dial", "place"]

_quiet: Final = logging.getLogger("edgebus.clients.websockets")
"""The library's own log. Debug level would show every frame, tokens included, so the level stays above."""
_quiet.setLevel(logging.WARNING)

_UNKNOWN_ISSUER: Final = frozenset({18, 19, 20, 21})
"""Of OpenSSL's verification: self-signed, self-signed in the chain, an issuer not at hand (two of them)."""
_REDIRECTS: Final = frozenset({300, 301, 302, 303, 307, 308})
_SCHEMES: Final = {"http": "ws", "https": "wss"}
_PORTS: Final = {"ws": 80, "wss": 443}
_SHOWN: Final = 200


async def dial(url: str, settings: ClientSettings) -> ClientConnection:
    """Connect and shake hands.

    Raises:
        Unreachable: the attempt failed; another attempt may go well. ``Untrusted`` when the certificate is the reason,
            ``Redirected`` when the edge points to another address.
        Dismissed: the handshake was refused for good.

    """
    at = place(url) + by_way(url)
    try:
        return await _Within(
            url,
            additional_headers=dict(settings.headers),
            compression=None,
            create_connection=HearingConnection,
            open_timeout=settings.open_timeout_s,
            ping_interval=settings.ping_interval_s,
            ping_timeout=settings.ping_timeout_s,
            close_timeout=settings.close_timeout_s,
            max_size=settings.max_message_bytes,
            logger=_quiet,
            proxy=None if is_past_proxies(url) else True,
            ssl=(settings.tls or True) if url.lower().startswith("wss:") else None,
        )
    except InvalidStatus as error:
        raise _refused(at, error) from None
    except TimeoutError:
        raise Unreachable(f"nothing answers at {at} within {settings.open_timeout_s:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise Untrusted(_untrusted(at, error)) from error
    except ImportError as error:  # a SOCKS proxy is named in the environment
        raise Unreachable(f"no way to {at}: {error}; name no proxy (socks_proxy), or install python-socks") from error
    except InvalidProxy as error:  # whose own text shows the proxy's password
        raise Unreachable(f"no way to {at}: that is no proxy, {error.msg}") from None
    except (OSError, UnicodeError, InvalidHandshake, WebSocketException) as error:
        raise Unreachable(f"no edge answers at {at}: {error}") from error


def place(url: str) -> str:
    """Return a URL for people, without its secrets: a user with a password, a query."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _refused(at: str, error: InvalidStatus) -> Exception:
    """Return the error for an HTTP answer to the handshake."""
    response = error.response
    for_good = refused_for_good(response.status_code)
    if for_good is not None:
        return for_good
    after, date = ((response.headers.get_all(name) or [""])[0] for name in ("Retry-After", "Date"))
    return Unreachable(f"{at} answers with HTTP {response.status_code}", retry_after_s(after, date))


def _untrusted(at: str, error: ssl.SSLCertVerificationError) -> str:
    sentence = f"the certificate at {at} is not trusted ({error.verify_message.rstrip('.')})"
    if error.verify_code not in _UNKNOWN_ISSUER:
        return sentence
    return f"{sentence}; if you trust who signed it, name that file: SSL_CERT_FILE=ca.pem (or ClientSettings.tls)"


class _Within(connect):
    """Follows a redirect within the caller's origin, and no other.

    Token, headers and query belong to the caller's origin. Browsers follow no redirect of a WebSocket at all.
    """

    # decisions/0054: the library would follow with all headers but `Authorization`, and the client would show its token
    # in the first message. To follow without the token was rejected: the caller should know of the other address.

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Return where to go on, or the error."""
        target = _target(self.uri, exc)
        if target is None:
            return exc
        here, there = urlsplit(self.uri), _split(target)
        if there is not None and _origin(here) == _origin(there):
            return there._replace(netloc=here.netloc).geturl()
        shown = _shown(target if there is None else place(there.geturl()))
        return Redirected(
            f"{place(self.uri)} redirects to {shown}, which is another address; "
            "connect there if you trust it, for nothing goes to an address that you did not name"
        )


def _target(uri: str, exc: Exception) -> str | None:
    """Return the target of an HTTP redirect, None for any other answer."""
    if not isinstance(exc, InvalidStatus) or exc.response.status_code not in _REDIRECTS:
        return None
    given = exc.response.headers.get_all("Location")
    try:
        return urljoin(uri, given[0]) if given else None
    except ValueError:
        return given[0]


def _split(target: str) -> SplitResult | None:
    """Return a redirect's target as a WebSocket URL, None where the target is no such URL."""
    try:
        parts = urlsplit(target)
        parts = parts._replace(scheme=_SCHEMES.get(parts.scheme, parts.scheme))
        return parts if parts.scheme in _PORTS and parts.hostname and _origin(parts) else None
    except ValueError:
        return None


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port (RFC 6454).

    Raises:
        ValueError: the port is no number.

    """
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _shown(text: str) -> str:
    """Return a stranger's text as one line, safe for a terminal."""
    return ascii(text)[1:-1][:_SHOWN]

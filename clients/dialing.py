"""The way to an edge: from a URL to a connection that has shaken hands, or to an error that names what is in the way.

It knows neither tokens nor messages; but nothing that a caller gave for one origin goes to another.
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
"""The library's own log: every frame at debug level, tokens included, so it stays above that."""
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
        Unreachable: it did not go well; another attempt may. ``Untrusted`` when it is for the certificate,
            ``Redirected`` when another address is to be taken.
        Dismissed: the handshake was refused in a way that says it never will.

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
    """Return a URL for people, without what it may hold of secrets: a user with a password, a query."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _refused(at: str, error: InvalidStatus) -> Exception:
    """Return what an HTTP answer to the handshake means."""
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
    """Follows a redirect within the origin that the caller named, and no other.

    A token, a header or a query was given for that origin; and the edge that another address leads to, nobody chose.
    Browsers follow no redirect of a WebSocket at all.
    """

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
    """Return where an HTTP answer points to, None for one that does not."""
    if not isinstance(exc, InvalidStatus) or exc.response.status_code not in _REDIRECTS:
        return None
    given = exc.response.headers.get_all("Location")
    try:
        return urljoin(uri, given[0]) if given else None
    except ValueError:
        return given[0]


def _split(target: str) -> SplitResult | None:
    """Return a redirect's target as a WebSocket URL, None where it is none."""
    try:
        parts = urlsplit(target)
        parts = parts._replace(scheme=_SCHEMES.get(parts.scheme, parts.scheme))
        return parts if parts.scheme in _PORTS and parts.hostname and _origin(parts) else None
    except ValueError:
        return None


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port (RFC 6454).

    Raises:
        ValueError: the port is none.

    """
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _shown(text: str) -> str:
    """Return what a stranger wrote as one line that a terminal may have."""
    return ascii(text)[1:-1][:_SHOWN]

"""The proxy on the way to an edge, where the environment names a proxy. A program's user may have forgotten."""

import os
import re
from typing import Final
from urllib.parse import urlsplit

from websockets.proxy import get_proxy
from websockets.uri import parse_uri

__all__ = ["by_way", "is_past_proxies", "without_secrets"]

_BEHIND: Final = re.compile("[?#]")
_THIS_MACHINE: Final = ("127.0.0.1", "localhost", "::1")


def without_secrets(url: str) -> str:
    """Return a URL, or a text taken for a URL, without user, query and fragment."""
    # No parser: the text of an error message is shown, and a text that is no URL may hold a password, too.
    scheme, separator, rest = _BEHIND.split(url, maxsplit=1)[0].rpartition("://")
    _, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{'…@' if at else ''}{host}"


def is_past_proxies(url: str) -> bool:
    """Tell whether the host is this machine: a proxy is named for the world outside, so none is asked."""
    return urlsplit(url).hostname in _THIS_MACHINE


def by_way(url: str) -> str:
    """Return an error's addition to an address: proxy, variable, and the way past the proxy; empty without a proxy."""
    uri = parse_uri(url)
    proxy = None if is_past_proxies(url) else get_proxy(uri)
    if proxy is None:
        return ""
    names = [name for name, value in os.environ.items() if name.lower().endswith("_proxy") and value == proxy]
    source = names[0] if names else "of the system's settings"
    return f" by the proxy {without_secrets(proxy)} ({source}; NO_PROXY={uri.host} goes past it)"

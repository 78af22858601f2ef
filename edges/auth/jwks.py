"""An issuer's keys at a URL (a JWKS): fetched off the event loop, kept, and fetched anew when needed."""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from http.client import HTTPException
from typing import Final
from urllib.parse import urlsplit

from bus.aside import aside
from bus.shortage import shortage
from edges.auth.fetching import FETCH_S, fetch
from edges.auth.keyring import Key, KeysUnavailable, UnusableKey
from edges.net.addresses import is_loopback

__all__ = ["Jwks", "check_jwks_url"]

_AT_MOST_EVERY_S: Final = 30.0
"""Tokens with invented names of keys cost the issuer no more than a request in so many seconds."""

_logger = logging.getLogger("edgebus.edges")


def check_jwks_url(url: str) -> None:
    """Raise ``UnusableKey`` unless ``url`` is ``https``, or ``http`` on this machine, and without a password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UnusableKey("is no URL") from None
    if parts.username is not None or parts.password is not None:
        raise UnusableKey("is a URL with a password in it; publish keys without one")
    if (
        not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")))
        or not parts.hostname
    ):
        raise UnusableKey("is no https URL; whoever can change what it answers could let anyone in")


class Jwks:
    """The keys at a URL. Fetched keys stay in use until a later fetch goes well.

    Args:
        url: see ``check_jwks_url``.
        fetch: returns the document at a URL, and may block; called in a thread.
        clock: seconds, monotonic.

    """

    def __init__(
        self, url: str, *, fetch: Callable[[str], bytes] = fetch, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url, self._clock = url, clock
        self._fetch = fetch
        self._keys: tuple[Key, ...] = ()
        self._tried_at: float | None = None
        self._has_failed = False
        self._fetches = 0
        self._turn = asyncio.Lock()

    async def keys(self, kid: str | None) -> tuple[Key, ...]:
        """Return the keys; fetched anew first, unless a key has the name ``kid`` or a fetch was tried within 30 s.

        Raises:
            KeysUnavailable: there are no keys yet, or a key ``kid`` may have come since the last fetch: the last fetch
                failed, or was begun for another client, and the next fetch is not allowed yet.

        """
        before = self._fetches
        if self._lacks(kid):
            async with self._turn:  # who comes meanwhile waits, and finds them fetched
                if self._lacks(kid) and self._may_try():
                    await self.refresh()
        if self._lacks(kid) and (self._has_failed or not self._keys or self._fetches == before):
            raise KeysUnavailable("the keys of the tokens' issuer cannot be had at the moment")
        return self._keys

    async def refresh(self) -> None:
        """Fetch the document; after a failure the keys stay, and the log says why."""
        from edges.auth.keys import keys_of_jwks

        self._tried_at = self._clock()
        self._fetches += 1
        try:
            async with asyncio.timeout(2 * FETCH_S):
                self._keys = keys_of_jwks(await aside(partial(self._fetch, self._url), "fetch keys"))
        except (OSError, HTTPException, ValueError, MemoryError, RuntimeError) as error:
            # also TimeoutError, UnusableKey and names that are none
            if isinstance(error, RuntimeError) and shortage(error) is None:
                raise
            self._has_failed = True
            _logger.warning("keys of tokens cannot be fetched", extra={"url": self._url, "reason": str(error)})
        else:
            self._has_failed = False

    def _lacks(self, kid: str | None) -> bool:
        return not self._keys or (kid is not None and all(key.kid != kid for key in self._keys))

    def _may_try(self) -> bool:
        return self._tried_at is None or self._clock() - self._tried_at >= _AT_MOST_EVERY_S

"""From a token to the caller, by the keys of the settings, the rules and the revocations."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bus.redis.revocation import KEPT_S
from edges.auth.keyring import Key, Keyring, UnusableKey
from edges.auth.permissions import ADMIN, Caller
from edges.auth.tokens import Rules, TokenRefused, caller_of, claims_of, key_name
from edges.settings import EdgeSettings, SettingsError

if TYPE_CHECKING:
    from edges.auth.jwks import Jwks

__all__ = ["Authenticator", "rules_of"]

_LEAST_RETRY_MS: Final = 1_000
"""Where a new token should count by now and does not, clocks differ; clients should not ask again and again."""


class Authenticator:
    """Takes tokens, or refuses tokens.

    Args:
        settings: all that begin with ``auth_``, and ``anonymous_permissions``.
        is_revoked: tells whether a caller's token was revoked.
        revoked_ms: tells when all tokens of a caller's user were revoked, milliseconds since 1970; None: not all were.
        clock: seconds since 1970.

    Attributes:
        is_open: no keys are set up, so there are no tokens, and no client is asked for a token.
        anonymous: the caller without a token. Without keys and permissions in the settings, an admin.

    Raises:
        SettingsError: keys cannot be used, or are missing where tokens are required; the message names the setting.

    """

    def __init__(
        self,
        settings: EdgeSettings,
        *,
        is_revoked: Callable[[Caller], bool] = lambda _: False,
        revoked_ms: Callable[[Caller], int | None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.rules = rules_of(settings)
        self._fixed, self.jwks = _keys(settings)
        self.is_open = not self._fixed and self.jwks is None
        if self.is_open and settings.auth_required:
            raise SettingsError(_NO_KEYS)
        permissions = settings.anonymous_permissions
        if permissions is None:  # decisions/0022: anonymous callers pass the same checks, so there is no second way in
            permissions = (ADMIN,) if self.is_open else ()
        self.anonymous = Caller(permissions=frozenset(permissions))
        self.is_revoked, self._revoked_ms, self._clock = is_revoked, revoked_ms, clock

    def now_s(self) -> float:
        """Return the time for tokens, seconds since 1970."""
        return self._clock()

    async def admit(self, token: str) -> Caller:
        """Return the caller of a token. Waits only if a key has to be fetched.

        Raises:
            TokenRefused: the token is not taken; the sentence says why.
            KeysUnavailable: the token's key cannot be had at the moment.

        """
        kid = key_name(token, self.rules)
        keys = self._fixed if self.jwks is None else await self.jwks.keys(kid)
        caller = caller_of(claims_of(token, Keyring(keys).candidates(kid)), self.rules, self._clock())
        if self.is_revoked(caller):
            raise TokenRefused("the token was revoked; get a new one", self.retry_after_ms(caller))
        return caller

    def retry_after_ms(self, caller: Caller) -> int | None:
        """Return when a new token of a revoked user counts, even with the time of issue in whole seconds.

        None where a new token counts at once, or never.
        """
        # decisions/0024: `iat` cannot tell a token shown before the revocation from a new one within the leeway and a
        # second, so new tokens wait, and no old token is ever taken.
        revoked_ms = self._revoked_ms(caller)
        if revoked_ms is None:
            return None
        counts_s = math.floor(revoked_ms / 1000 + self.rules.leeway_s) + 1
        wait_ms = math.ceil((counts_s - self._clock()) * 1000)
        return max(_LEAST_RETRY_MS, wait_ms) if wait_ms < KEPT_S * 1000 else None


_NO_KEYS = (
    "auth_required is true and no key is set up, so that nobody could get in; set one of: "
    "EDGEBUS_AUTH_SECRET=$(openssl rand -base64 48), --set auth_key_file=public.pem, --set auth_jwks=https://…"
)


def rules_of(settings: EdgeSettings) -> Rules:
    """Return the rules for tokens, from the settings."""
    return Rules(
        max_lifetime_s=settings.auth_max_lifetime_s,
        max_token_bytes=settings.auth_max_token_bytes,
        leeway_s=settings.auth_leeway_s,
        audience=settings.auth_audience,
        issuer=settings.auth_issuer,
    )


def _keys(settings: EdgeSettings) -> tuple[tuple[Key, ...], "Jwks | None"]:
    """Return the keys at hand, or the JWKS to fetch; exactly one source of keys is allowed."""
    # decisions/0023: with several sources, every token would be tried by keys of different kinds.
    given = {name: value for name in _SOURCES if (value := getattr(settings, name)) is not None}
    if len(given) > 1:
        raise SettingsError(f"{', '.join(given)}: set one of them; several keys for one edge go into a JWKS")
    for name in given:
        try:
            return _read(settings)
        except UnusableKey as error:
            raise SettingsError(f"{name}: {error}") from None
        except OSError as error:
            raise SettingsError(f"{name}: the file cannot be read: {error.strerror}") from None
    return (), None


_SOURCES = ("auth_secret", "auth_key_file", "auth_jwks")


def _read(settings: EdgeSettings) -> tuple[tuple[Key, ...], "Jwks | None"]:
    from edges.auth.keys import keys_of_jwks, public_key, secret_key  # an edge without keys loads no cryptography

    if settings.auth_secret is not None:
        secret = settings.auth_secret.get_secret_value()
        return (secret_key(secret, may_be_weak=settings.auth_weak_secret),), None
    if settings.auth_key_file is not None:
        return (public_key(settings.auth_key_file.read_bytes()),), None
    place = settings.auth_jwks or ""
    if "://" not in place:
        return keys_of_jwks(Path(place).read_bytes()), None
    from edges.auth.jwks import Jwks, check_jwks_url  # Python's clients of HTTP are 3 ms of a start

    check_jwks_url(place)
    return (), Jwks(place)

"""``edgebus token``: make, check and revoke clients' tokens."""

import json
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import jwt
from redis.exceptions import NoPermissionError

from bus.errors import BusError
from bus.redis.revocation import Revocations
from edgebus.terminal import show
from edges.auth.authenticator import Authenticator, rules_of
from edges.auth.keyring import KeysUnavailable, UnusableKey
from edges.auth.keys import PrivateKey, private_key, secret_key
from edges.auth.tokens import TokenRefused, unverified
from edges.session.authentication import iso
from edges.settings import EdgeSettings, SettingsError

__all__ = ["check", "make", "revoke"]

_NO_KEY: Final = "no key to sign with; set EDGEBUS_AUTH_SECRET, or give --key PRIVATE.pem"

_NOT_OPERATOR: Final = (
    "this user of Redis may not revoke; name the operator's URL, with --redis or EDGEBUS_REDIS_URL "
    "(`edgebus acl` makes such a user)"
)


def make(
    settings: EdgeSettings,
    *,
    user: str,
    permissions: Sequence[str],
    lives_s: int,
    key_file: Path | None,
    kid: str | None,
    token_id: str | None,
) -> str:
    """Return a token for an edge of ``settings``, signed with the settings' secret or with a private key's file.

    The token names the user in both forms (``sub`` and ``user_id``), the permissions, the settings' audience and issuer
    if there are any, and an id for a revocation.

    Raises:
        SettingsError: there is no key, the key cannot be used, or the token would outlive the settings' limit.

    """
    if lives_s > settings.auth_max_lifetime_s:
        raise SettingsError(f"--expires-in: an edge takes no token of more than {settings.auth_max_lifetime_s:g} s")
    algorithm, key = _signing_key(settings, key_file)
    now = int(time.time())
    claims = {
        "sub": user,
        "user_id": user,
        "permissions": list(permissions),
        "iat": now,
        "exp": now + lives_s,
        "jti": token_id if token_id is not None else secrets.token_hex(8),
        "aud": settings.auth_audience,
        "iss": settings.auth_issuer,
    }
    given = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(given, key, algorithm, {} if kid is None else {"kid": kid})


def _signing_key(settings: EdgeSettings, key_file: Path | None) -> tuple[str, PrivateKey | bytes]:
    try:
        if key_file is not None:
            return private_key(key_file.read_bytes())
        if settings.auth_secret is None:
            raise SettingsError(_NO_KEY)
        secret = settings.auth_secret.get_secret_value()
        return secret_key(secret).algorithm, secret.encode()
    except UnusableKey as error:
        raise SettingsError(f"{'auth_secret' if key_file is None else '--key'}: {error}") from None
    except OSError as error:
        raise SettingsError(f"--key: the file cannot be read: {error.strerror}") from None


async def check(settings: EdgeSettings, token: str, *, as_json: bool) -> bool:
    """Print a token's claims, and the verdict of an edge of ``settings``; return whether the edge would take the token.

    Revocations are not looked at: they stand in Redis.

    Raises:
        SettingsError: no key is set up, or the key cannot be used.

    """
    authenticator = Authenticator(settings)
    if authenticator.is_open:
        raise SettingsError("no key is set up, so every token is ignored; set auth_secret, auth_key_file or auth_jwks")
    claims, verdict, report = _claims(settings, token), None, {}
    try:
        caller = await authenticator.admit(token)
        report = {
            "user_id": caller.user_id,
            "permissions": sorted(caller.permissions),
            "expires_at": iso(caller.expires_at),
        }
    except (TokenRefused, KeysUnavailable) as error:
        verdict = str(error)
    if as_json:
        show(json.dumps({"taken": verdict is None, "reason": verdict, "claims": claims, **report}))
    else:
        _show(claims or {}, verdict, report)
    return verdict is None


def _claims(settings: EdgeSettings, token: str) -> dict[str, Any] | None:
    try:
        return unverified(token, rules_of(settings))
    except TokenRefused:
        return None


def _show(claims: dict[str, Any], verdict: str | None, report: dict[str, Any]) -> None:
    for name, value in claims.items():
        show(f"{name}: {json.dumps(value)}")
    if verdict is not None:
        show(f"refused: {verdict}")
        return
    opened = " ".join(report["permissions"]) or "none"
    show(f"taken: user {report['user_id']}, permissions {opened}, until {report['expires_at']}")


async def revoke(url: str, member: str) -> None:
    """Revoke tokens on every edge, and print the consequence.

    Raises:
        BusUnavailable: Redis cannot be reached; as far as known, no token was revoked.
        BusError: Redis refused.

    """
    # decisions/0024: state and push. Edges that hear the message close at once; others read the set when their link to
    # Redis comes up.
    async with Revocations(url, name="edgebus-cli") as revocations:
        try:
            revocation, told = await revocations.revoke(member)
        except BusError as error:
            # decisions/0028: only the operator's user may revoke; most often a producer's or an edge's URL was typed.
            if isinstance(error.__cause__, NoPermissionError):
                raise BusError(_NOT_OPERATOR) from error
            raise
    kind, _, name = revocation.member.partition(":")
    what = f"every token of user {name} issued until now" if kind == "user" else f"the token with the id {name}"
    show(f"revoked {what}; {told} edge(s) were told at once, others read it from Redis (bus:revoked)")

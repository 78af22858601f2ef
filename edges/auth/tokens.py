"""From a token to the caller, or to a sentence about the token's fault. Pure.

PyJWT checks the signature. The claims are judged here: with the time as an argument, numbers of any size, and sentences
for users to act on. No sentence quotes the token.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from bus.values import frozen
from edges.auth.keyring import Key
from edges.auth.permissions import Caller

if TYPE_CHECKING:
    from jwt import PyJWS

__all__ = ["Rules", "TokenRefused", "caller_of", "claims_of", "key_name", "unverified"]

_FORM: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_LATEST_S: Final = 253_402_300_800
"""The year 10000: no calendar of Python goes on from there."""
_USER_ID_LIMIT: Final = 256


class TokenRefused(Exception):
    """A token is not taken; the sentence names the fault, and quotes no part of the token.

    ``retry_after_ms``: the wait for another token, where known and not 0.
    """

    def __init__(self, sentence: str, retry_after_ms: int | None = None) -> None:
        super().__init__(sentence)
        self.retry_after_ms = retry_after_ms


@frozen
class Rules:
    """The rules for tokens.

    Attributes:
        max_lifetime_s: from the time of issue (or from now, without such a time) to the end.
        max_token_bytes: of the whole token.
        leeway_s: how far the issuer's clock may be ahead of the edge's.
        audience: must be in the token's ``aud``; None: a token that names an audience is for others.
        issuer: must be the token's ``iss``; None for every owner of the key.

    """

    max_lifetime_s: float
    max_token_bytes: int
    leeway_s: float = 5.0
    audience: str | None = None
    issuer: str | None = None


@cache
def _jws() -> "PyJWS":
    """Return PyJWT's reader. An edge without keys reads no token, and loads neither PyJWT nor cryptography."""
    from jwt import PyJWS

    return PyJWS(algorithms=["HS256", "RS256", "ES256", "EdDSA"])


def key_name(token: str, rules: Rules) -> str | None:
    """Return the ``kid`` of a token's header, None for a header without. The token is not verified yet.

    Raises:
        TokenRefused: the token is too long, no JWT, or asks for extensions (``crit``).

    """
    import jwt

    size = len(token.encode(errors="replace"))
    if size > rules.max_token_bytes:
        raise TokenRefused(f"the token has {size} bytes, the limit is {rules.max_token_bytes}")
    if _FORM.fullmatch(token) is None:
        raise TokenRefused("the token is no JWT: expected three parts of base64url letters, joined by dots")
    try:
        header = _jws().get_unverified_header(token)
    except jwt.DecodeError:
        raise TokenRefused("the token is no JWT: one of its parts is no base64url, or its header no object") from None
    except jwt.PyJWTError:
        raise TokenRefused(
            "the token's header is not taken: kid is a text, and there are no extensions (crit)"
        ) from None
    if "crit" in header or "b64" in header:
        raise TokenRefused("the token asks for extensions (crit), and this edge has none")
    name: str | None = header.get("kid")
    return name


def claims_of(token: str, keys: Sequence[Key]) -> dict[str, Any]:
    """Return the claims of a token signed with a key of ``keys``. Each key is tried with the key's algorithm only.

    Raises:
        TokenRefused: no key fits, or the claims are no JSON object.

    """
    import jwt

    if not keys:
        raise TokenRefused("the token names no key (kid), or one that this edge does not have")
    sentence = f"the token is not signed with {_either(sorted({key.algorithm for key in keys}))}, as this edge asks"
    for key in keys:
        try:
            found = _jws().decode_complete(token, key.material, algorithms=[key.algorithm])
        except jwt.InvalidAlgorithmError:
            continue
        except jwt.PyJWTError:
            sentence = "the token's signature is wrong: another key made it, or it was changed"
            continue
        return _object(found["payload"])
    raise TokenRefused(sentence)


def unverified(token: str, rules: Rules) -> dict[str, Any]:
    """Return the claims of a token without a look at the signature, for a person to read.

    Raises:
        TokenRefused: the token is no JWT.

    """
    import jwt

    key_name(token, rules)
    try:
        return _object(_jws().decode_complete(token, options={"verify_signature": False})["payload"])
    except jwt.PyJWTError:
        raise TokenRefused("the token is no JWT: its claims cannot be read") from None


def caller_of(claims: Mapping[str, Any], rules: Rules, now_s: float) -> Caller:
    """Return the caller of verified claims, at ``now_s`` seconds since 1970.

    Both forms are read: the ecosystem's ``user_id``, ``permissions`` or ``scopes`` (lists), and the standard ``sub``
    (RFC 7519) and ``scope`` (one text, RFC 8693, section 4.2). Users in both forms must agree; permissions are added
    up. An integer user, though RFC 7519 has texts only, is taken as decimal text.

    Raises:
        TokenRefused: a claim is missing, of the wrong type, or against the rules.

    """
    # decisions/0023: not by PyJWT, which takes `"123"` for a time, knows no time of the caller's, and writes no
    # sentence for users.
    expires_at = _lifetime(claims, rules, now_s)
    _check_audience(claims.get("aud"), rules.audience)
    if rules.issuer is not None and claims.get("iss") != rules.issuer:
        raise TokenRefused("iss: the token is of another issuer")
    issued_at, token_id = _time(claims, "iat"), claims.get("jti")
    if not isinstance(token_id, str | None):
        raise TokenRefused("jti: expected a text")
    issued_after = None if issued_at is None else issued_at - rules.leeway_s
    return Caller(_user_id(claims), _permissions(claims), expires_at, issued_after, token_id, claims)


# Claims.


def _object(payload: bytes) -> dict[str, Any]:
    try:
        claims = json.loads(payload, object_pairs_hook=_without_repeats, parse_constant=_no_number)
    except (ValueError, RecursionError):  # ValueError also for a number of more digits than Python reads
        raise TokenRefused("the token's claims are no JSON, or name one twice") from None
    if not isinstance(claims, dict):
        raise TokenRefused("the token's claims are no JSON object")
    return claims


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a repeated name: two readers might take different values for true (RFC 8725, section 2.4)."""
    if len(names := dict(pairs)) < len(pairs):
        raise ValueError("a name stands twice")
    return names


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _lifetime(claims: Mapping[str, Any], rules: Rules, now_s: float) -> float:
    """Return when the token expires, after a look at all times in the claims."""
    expires_at = _time(claims, "exp")
    if expires_at is None:
        raise TokenRefused("exp: the token never expires; issue one that does")
    if expires_at <= now_s:
        raise TokenRefused("exp: the token has expired; get a new one")
    issued_at = _time(claims, "iat")
    for name, begins_at in (("nbf", _time(claims, "nbf")), ("iat", issued_at)):
        if begins_at is not None and begins_at > now_s + rules.leeway_s:
            raise TokenRefused(f"{name}: the token is not valid yet; are the clocks right?")
    if expires_at - (now_s if issued_at is None else issued_at) > rules.max_lifetime_s:
        raise TokenRefused(f"exp: the token lives for longer than {rules.max_lifetime_s:g} s; issue shorter ones")
    return expires_at


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a time in seconds since 1970 (RFC 7519: NumericDate), None where there is none."""
    value = claims.get(name)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or (isinstance(value, float) and not math.isfinite(value)) or not 0 <= value < _LATEST_S:
        raise TokenRefused(f"{name}: expected a time in seconds since 1970")
    return float(value)


def _check_audience(claimed: Any, audience: str | None) -> None:
    listed = claimed if isinstance(claimed, list) else [] if claimed is None else [claimed]
    if audience is None and listed:  # RFC 7519, section 4.1.3
        raise TokenRefused("aud: the token is for an audience, and this edge has none; set auth_audience")
    if audience is not None and audience not in listed:
        raise TokenRefused("aud: the token is for others than this edge")


def _user_id(claims: Mapping[str, Any]) -> str:
    named = {name: _as_text(claims[name]) for name in ("user_id", "sub") if claims.get(name) is not None}
    if not named:
        raise TokenRefused("the token names no user: expected user_id or sub")
    for name, value in named.items():
        if not isinstance(value, str) or not 1 <= len(value) <= _USER_ID_LIMIT or not value.isprintable():
            raise TokenRefused(f"{name}: expected a text of 1 to {_USER_ID_LIMIT} printable characters")
    if len(set(named.values())) > 1:
        raise TokenRefused("user_id, sub: the token names two users")
    return str(next(iter(named.values())))


def _as_text(value: Any) -> Any:
    """Return an integer as decimal text, as issuers with numbered users mean; other values unchanged."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _permissions(claims: Mapping[str, Any]) -> frozenset[str]:
    found: set[str] = set()
    for name in ("permissions", "scopes"):
        listed = claims.get(name) or []
        if not isinstance(listed, list) or not all(isinstance(it, str) for it in listed):
            raise TokenRefused(f"{name}: expected a list of texts")
        found.update(listed)
    scope = claims.get("scope") or ""
    if not isinstance(scope, str):
        raise TokenRefused("scope: expected one text, with spaces between permissions")
    return frozenset(found.union(scope.split(" ")) - {""})


def _either(names: list[str]) -> str:
    return " or ".join(names)

"""Keys of tokens: read from a secret, a PEM file's text or a JWKS document. Pure.

The key names the algorithm, never the token's header (RFC 8725, section 3.1).
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from jwt.algorithms import HMACAlgorithm

from edges.auth.keyring import Key, UnusableKey

__all__ = ["PrivateKey", "PublicKey", "keys_of_jwks", "private_key", "public_key", "secret_key"]

PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey
PrivateKey: TypeAlias = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey

SECRET_BYTES: Final = 32
"""As many as the hash gives (RFC 7518, section 3.2)."""
_RSA_BITS: Final = range(2048, 8193)
"""At least as RFC 7518, section 3.3, has it; at most a size that a check takes less than a millisecond for."""
_KEYS_LIMIT: Final = 100
_DISTINCT: Final = 8
_PLACEHOLDERS: Final = re.compile(
    "changeit|changeme|changethis|changein|replaceme|replacethis|placeholder|yoursecret|your256bit|yourjwt|yourkey|"
    "mysecret|devsecret|testsecret|supersecret|secretkey|jwtsecret|astringsecret|insecure|donotuse|example|default|"
    "password|keyboardcat"
)
"""Words of tutorials and templates in the place of a secret, small letters and digits only."""
_PUBLIC_MEMBERS: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_ALGORITHMS: Final = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}


def secret_key(secret: str, *, may_be_weak: bool = False) -> Key:
    """Return the HS256 key of a shared secret; in development the secret ``may_be_weak``.

    Raises:
        UnusableKey: the secret has fewer than 32 bytes, is a well-known placeholder, or looks like another kind of key.

    """
    material = secret.encode()
    if may_be_weak and material:
        # The same key: HMAC fills a short one up with zeros itself (RFC 2104, section 2), and PyJWT warns of none.
        return Key("HS256", material.ljust(SECRET_BYTES, b"\0"))
    if len(material) < SECRET_BYTES:
        raise UnusableKey(f"has {len(material)} bytes, at least {SECRET_BYTES} are needed; {_MAKE_ONE}")
    if _is_placeholder(secret):
        raise UnusableKey(f"is a placeholder or repeats itself, so that others can guess it; {_MAKE_ONE}")
    try:
        HMACAlgorithm(hashlib.sha256).prepare_key(material)
    except jwt.InvalidKeyError:
        raise UnusableKey(f"is a key file's content, which others may read; {_MAKE_ONE}") from None
    return Key("HS256", material)


_MAKE_ONE: Final = "make one with: openssl rand -base64 48"


def _is_placeholder(secret: str) -> bool:
    plain = re.sub(r"[^a-z0-9]", "", secret.lower())
    repeats = (secret + secret).find(secret, 1) < len(secret)
    return repeats or len(set(secret)) < _DISTINCT or _PLACEHOLDERS.search(plain) is not None


def public_key(pem: bytes) -> Key:
    """Return the key in a PEM file's content: RSA (RS256), EC on P-256 (ES256) or Ed25519 (EdDSA).

    Raises:
        UnusableKey: the key is of another kind, too short, or private, and so of no use to an edge.

    """
    if b"PRIVATE KEY" in pem:
        raise UnusableKey("holds a private key; give the public one, made with: openssl pkey -in FILE -pubout")
    try:
        loaded = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise UnusableKey("holds no public key in PEM form (-----BEGIN PUBLIC KEY-----)") from None
    if not isinstance(loaded, PublicKey):
        raise UnusableKey(_KINDS)
    return Key(_algorithm(loaded), loaded)


def private_key(pem: bytes) -> tuple[str, PrivateKey]:
    """Return the algorithm and the key in a PEM file's content, for signing.

    Raises:
        UnusableKey: the file holds no private key without a password, or a kind that no edge takes.

    """
    try:
        loaded = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UnusableKey("holds no private key in PEM form that can be read without a password") from None
    if not isinstance(loaded, PrivateKey):
        raise UnusableKey(_KINDS)
    return _algorithm(loaded), loaded


_KINDS: Final = "is of no kind that is taken: RSA of 2048 to 8192 bits (RS256), P-256 (ES256), Ed25519 (EdDSA)"


def _algorithm(key: PublicKey | PrivateKey) -> str:
    match key:
        case RSAPublicKey() | RSAPrivateKey() if key.key_size in _RSA_BITS:
            return "RS256"
        case EllipticCurvePublicKey() | EllipticCurvePrivateKey() if isinstance(key.curve, SECP256R1):
            return "ES256"
        case Ed25519PublicKey() | Ed25519PrivateKey():
            return "EdDSA"
    raise UnusableKey(_KINDS)


def keys_of_jwks(text: bytes) -> tuple[Key, ...]:
    """Return the keys of a JWKS document that an edge can use; the others are passed over (RFC 7517, section 5).

    Raises:
        UnusableKey: the text is no JWKS, or holds no such key, or more than 100 keys.

    """
    # decisions/0023: shared secrets are passed over; a secret that many can read is no secret.
    try:
        listed = json.loads(text)["keys"]
    except (ValueError, RecursionError, KeyError, TypeError):
        listed = None
    if not isinstance(listed, list):
        raise UnusableKey('is no JWKS: expected JSON like {"keys": [...]}')
    if len(listed) > _KEYS_LIMIT:
        raise UnusableKey(f"holds {len(listed)} keys, at most {_KEYS_LIMIT} are taken")
    keys = tuple(key for member in listed if isinstance(member, dict) and (key := _key_of_jwk(member)) is not None)
    if not keys:
        raise UnusableKey("holds no key to check signatures with: RSA for RS256, P-256 for ES256, Ed25519 for EdDSA")
    return keys


def _key_of_jwk(member: Mapping[str, Any]) -> Key | None:
    kind, kid = member.get("kty"), member.get("kid")
    algorithm = _ALGORITHMS.get(kind) if isinstance(kind, str) else None
    if algorithm is None or member.get("use", "sig") != "sig" or not isinstance(kid, str | None):
        return None
    if member.get("alg", algorithm) not in (algorithm, "Ed25519" if kind == "OKP" else algorithm):
        return None
    public = {name: member[name] for name in _PUBLIC_MEMBERS[str(kind)] if isinstance(member.get(name), str)}
    try:
        loaded = jwt.PyJWK({"kty": kind, **public}, algorithm).key
        if not isinstance(loaded, PublicKey) or _algorithm(loaded) != algorithm:
            return None
    except (jwt.PyJWTError, ValueError, TypeError, UnsupportedAlgorithm):  # UnusableKey is a ValueError
        return None
    return Key(algorithm, loaded, kid)

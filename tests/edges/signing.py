"""Tokens and keys for tests. Nothing here is secret, and nothing of it is used anywhere else."""

import base64
import json
import time
from collections.abc import Iterable
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import SecretStr

SECRET: Final = "tXk2-9vQpL7wZr4Hs8Jd1Fb6Ny3Mg5Ca0Ue"
HIDDEN: Final = SecretStr(SECRET)
"""As settings hold it."""
OTHER_SECRET: Final = "pQz8-3kWmB6xYt1Lr9Vf5Dn2Hs7Jg4Ce0Ua"
RSA: Final = rsa.generate_private_key(65537, 2048)
EC: Final = ec.generate_private_key(ec.SECP256R1())
ALGORITHMS: Final[dict[Any, str]] = {
    str: "HS256",
    rsa.RSAPrivateKey: "RS256",
    ec.EllipticCurvePrivateKey: "ES256",
    ed25519.Ed25519PrivateKey: "EdDSA",
}
ED: Final = ed25519.Ed25519PrivateKey.generate()


def claims(user: str | None = "alice", permissions: Iterable[str] = (), **more: Any) -> dict[str, Any]:
    """Return good claims for an hour, changed by ``more``; None takes one out."""
    now = int(time.time())
    found = {"user_id": user, "permissions": list(permissions), "iat": now, "exp": now + 3600, **more}
    return {name: value for name, value in found.items() if value is not None}


def token(user: str | None = "alice", permissions: Iterable[str] = (), *, key: Any = SECRET, **more: Any) -> str:
    """Return a token signed with the secret, or another key by its own algorithm."""
    algorithm = next(ALGORITHMS[kind] for kind in ALGORITHMS if isinstance(key, kind))
    headers = more.pop("headers", None)
    return jwt.encode(claims(user, permissions, **more), key, algorithm, headers)


def raw(header: Any, payload: Any, secret: bytes = SECRET.encode()) -> str:
    """Return a token put together by hand and signed with HMAC; bytes go in as they are, values as JSON."""
    parts = b".".join(_encoded(part) for part in (header, payload))
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(parts, secret)
    return (parts + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def _encoded(part: Any) -> bytes:
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=")


def public_pem(key: Any) -> bytes:
    """Return what an edge is given."""
    found: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return found


def private_pem(key: Any) -> bytes:
    """Return what an issuer keeps."""
    found: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return found


def jwk(key: Any, **more: Any) -> dict[str, Any]:
    """Return the public key as a member of a JWKS."""
    kinds: dict[str, Any] = {"RSA": jwt.algorithms.RSAAlgorithm, "EC": jwt.algorithms.ECAlgorithm}
    kind = next((kinds[name] for name in kinds if type(key).__name__.startswith(name)), jwt.algorithms.OKPAlgorithm)
    return {**json.loads(kind.to_jwk(key.public_key())), **more}


def jwks(*members: dict[str, Any]) -> bytes:
    """Return a JWKS document."""
    return json.dumps({"keys": members}).encode()

"""Tokens as the ecosystem's services make and verify them: one shared secret, HS256."""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt

from edges.auth.keys import secret_key

__all__ = ["WebSocketAuthenticator", "generate_test_token"]

_logger = logging.getLogger("edgebus.compat")
_ALGORITHM: Final = "HS256"


class WebSocketAuthenticator:
    """Makes tokens, and verifies tokens for code beside the server; the server's edge verifies for itself.

    Args:
        secret: shared by every maker and taker of tokens.
        algorithm: HS256; others need a key file or a JWKS, which are settings of the edge.
        token_expiry: life of a token, seconds.

    Raises:
        ValueError: another algorithm.

    """

    def __init__(self, secret: str, algorithm: str = _ALGORITHM, token_expiry: int = 3600) -> None:
        if algorithm != _ALGORITHM:
            raise ValueError(f"algorithm: {algorithm} is no algorithm of a shared secret here; take {_ALGORITHM}")
        self.secret, self.algorithm, self.token_expiry = secret, algorithm, token_expiry

    def create_token(self, payload: Mapping[str, Any]) -> str:
        """Return a token with ``payload``, the time of issue and the end."""
        issued = datetime.now(UTC)
        claims = {**payload, "exp": issued + timedelta(seconds=self.token_expiry), "iat": issued}
        return jwt.encode(claims, self._key(), algorithm=_ALGORITHM)

    def verify_token(self, token: str) -> dict[str, Any] | None:
        """Return the payload of a valid token, else None."""
        try:
            # The algorithm is ours, never the token's word: RFC 8725, 3.1.
            payload: dict[str, Any] = jwt.decode(token, self._key(), algorithms=[_ALGORITHM])
        except jwt.PyJWTError as error:
            _logger.warning("refused a token", extra={"reason": type(error).__name__})
            return None
        return payload

    def authenticate_connection(
        self, token: str, required_permissions: Sequence[str] | None = None
    ) -> dict[str, Any] | None:
        """Return the payload of a token that has all ``required_permissions``, else None."""
        payload = self.verify_token(token)
        held = [] if payload is None else payload.get("permissions") or []
        return payload if all(it in held for it in required_permissions or ()) else None

    def _key(self) -> Any:
        # How strong a secret must be, the edge judges at the start of a server (auth_weak_secret).
        return secret_key(self.secret, may_be_weak=True).material


def generate_test_token(
    user_id: str,
    permissions: list[str] | None = None,
    secret: str = "test-secret",  # noqa: S107 (the name says that it is none)
) -> str:
    """Return a token for tests."""
    claims = {"user_id": user_id, "permissions": permissions or ["read"]}
    return WebSocketAuthenticator(secret).create_token(claims)

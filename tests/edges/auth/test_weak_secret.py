"""A secret of under 32 bytes: refused, but for development."""

import jwt
import pytest
from pydantic import SecretStr

from edges import EdgeSettings, SettingsError
from edges.auth.authenticator import Authenticator
from tests.edges.signing import claims

SHORT = SecretStr("a-secret-of-thirty-one-bytes-xx")


async def test_short_secret_needs_the_setting() -> None:
    """Refused with the number of bytes; with ``auth_weak_secret`` tokens of that secret are taken, with all claims."""
    with pytest.raises(SettingsError, match="has 31 bytes, at least 32 are needed"):
        Authenticator(EdgeSettings(auth_secret=SHORT))
    authenticator = Authenticator(EdgeSettings(auth_secret=SHORT, auth_weak_secret=True))
    token = jwt.encode({**claims(), "team": "blue"}, SHORT.get_secret_value().encode() + b"\0", "HS256")
    caller = await authenticator.admit(token)
    assert caller.claims["team"] == "blue"

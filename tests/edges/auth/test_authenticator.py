from pathlib import Path
from typing import Any

import pytest

from edges import EdgeSettings, SettingsError
from edges.auth.authenticator import Authenticator
from edges.auth.permissions import Caller
from edges.auth.tokens import TokenRefused
from tests.edges.signing import EC, HIDDEN, RSA, SECRET, jwk, jwks, private_pem, public_pem, token


def authenticator(**settings: Any) -> Authenticator:
    """Return an authenticator of these settings."""
    return Authenticator(EdgeSettings(**settings))


def refusal(**settings: Any) -> str:
    """Return the sentence with which settings are refused."""
    with pytest.raises(SettingsError) as caught:
        authenticator(**settings)
    return str(caught.value)


def test_nothing_set_up_lets_everybody_do_everything() -> None:
    """Without keys an anonymous caller carries the permission that opens all: it goes through the checks, as others."""
    open_ = authenticator()
    assert open_.is_open
    assert open_.anonymous == Caller(permissions=frozenset({"admin"}))


def test_keys_close_what_is_not_opened() -> None:
    """With a key set up an anonymous caller has what the settings give it, and by default nothing."""
    assert authenticator(auth_secret=SECRET).anonymous == Caller()
    some = authenticator(auth_secret=SECRET, anonymous_permissions="workflow:read, pool:read")
    assert some.anonymous.permissions == {"workflow:read", "pool:read"}
    assert authenticator(anonymous_permissions="").anonymous == Caller()
    assert authenticator(anonymous_permissions=["a"]).anonymous.permissions == {"a"}


def test_required_without_a_key_refuses_to_start() -> None:
    """Nobody could get in, so nothing starts; the sentence holds the lines that help."""
    sentence = refusal(auth_required=True)
    assert "EDGEBUS_AUTH_SECRET=$(openssl rand -base64 48)" in sentence
    assert "auth_key_file" in sentence
    assert "auth_jwks" in sentence


async def test_every_source_of_keys(tmp_path: Path) -> None:
    """A secret, a PEM file and a JWKS file each let their own tokens in."""
    (tmp_path / "key.pem").write_bytes(public_pem(RSA))
    (tmp_path / "keys.json").write_bytes(jwks(jwk(RSA, kid="r"), jwk(EC, kid="e")))
    assert (await authenticator(auth_secret=SECRET).admit(token())).user_id == "alice"
    assert (await authenticator(auth_key_file=tmp_path / "key.pem").admit(token(key=RSA))).user_id == "alice"
    by_name = authenticator(auth_jwks=str(tmp_path / "keys.json"))
    assert (await by_name.admit(token(key=EC, headers={"kid": "e"}))).user_id == "alice"
    with pytest.raises(TokenRefused, match="kid"):
        await by_name.admit(token(key=EC))


def test_wrong_sources_are_named(tmp_path: Path) -> None:
    """A key that cannot be used is told by the setting it stands in, and nothing of it is shown."""
    (tmp_path / "private.pem").write_bytes(private_pem(RSA))
    (tmp_path / "empty").write_bytes(b"")
    assert refusal(auth_secret="short-secret-word").startswith("auth_secret: has 17 bytes")
    assert "short-secret-word" not in refusal(auth_secret="short-secret-word")
    assert refusal(auth_key_file=tmp_path / "private.pem").startswith("auth_key_file: holds a private key")
    assert refusal(auth_key_file=tmp_path / "none").startswith("auth_key_file: the file cannot be read: No such file")
    assert refusal(auth_jwks=str(tmp_path / "empty")).startswith("auth_jwks: is no JWKS")
    assert refusal(auth_secret=SECRET, auth_jwks="x").startswith("auth_secret, auth_jwks: set one of them")


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example/keys",
        "https://user:word@issuer.example/",
        "https://",
        "ftp://127.0.0.1/",
        "file:///keys",
        "https://[",
    ],
)
def test_addresses_of_keys_that_are_refused(url: str) -> None:
    """What anybody on the way could change is no place for keys."""
    assert refusal(auth_jwks=url).startswith("auth_jwks: is ")
    assert "word@" not in refusal(auth_jwks=url)


@pytest.mark.parametrize("url", ["https://issuer.example/keys", "http://127.0.0.1:1/keys", "http://[::1]:1/"])
def test_addresses_of_keys(url: str) -> None:
    """Keys come from https, or from this machine."""
    assert authenticator(auth_jwks=url).jwks is not None


async def test_revoked_token_is_refused() -> None:
    """What was revoked is asked after every other check went well."""
    asked: list[Caller] = []

    def is_revoked(caller: Caller) -> bool:
        asked.append(caller)
        return caller.user_id == "bob"

    closed = Authenticator(EdgeSettings(auth_secret=HIDDEN), is_revoked=is_revoked)
    assert (await closed.admit(token("alice"))).user_id == "alice"
    with pytest.raises(TokenRefused, match="revoked"):
        await closed.admit(token("bob"))
    with pytest.raises(TokenRefused, match="expired"):
        await closed.admit(token("bob", exp=1))
    assert [caller.user_id for caller in asked] == ["alice", "bob"]


async def test_time_is_the_gates() -> None:
    """Tokens go by the clock that the authenticator was given."""
    late = Authenticator(EdgeSettings(auth_secret=HIDDEN), clock=lambda: 4_000_000_000.0)
    with pytest.raises(TokenRefused, match="expired"):
        await late.admit(token())


@pytest.mark.parametrize(
    ("revoked_ms", "now_s", "retry_after_ms"),
    [
        (1_000_000, 1_000.0, 6_000),
        (1_000_999, 1_001.0, 5_000),
        (1_001_000, 1_001.25, 5_750),
        (1_000_000, 1_005.5, 1_000),
        (1_000_000, 2_000.0, 1_000),
        (10**15 - 1, 1_000.0, None),
        (None, 1_000.0, None),
    ],
)
def test_refusal_says_when_a_new_token_counts(revoked_ms: int | None, now_s: float, retry_after_ms: int | None) -> None:
    """The leeway after the revocation, to the next whole second, since many issuers write no others.

    A second at least, where clocks differ; nothing where a new token counts at once, or never will.
    """
    settings = EdgeSettings(auth_secret=HIDDEN, auth_leeway_s=5)
    authenticator = Authenticator(settings, revoked_ms=lambda _: revoked_ms, clock=lambda: now_s)
    assert authenticator.retry_after_ms(Caller("alice")) == retry_after_ms
    if revoked_ms is None or retry_after_ms is None:
        return
    issued_s = int(now_s + retry_after_ms / 1000)
    assert (issued_s - settings.auth_leeway_s) * 1000 > revoked_ms

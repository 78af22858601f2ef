"""``edgebus token`` as a person meets it."""

import json
import os
import shlex
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
import redis
from typer.testing import CliRunner, Result

from bus.broker.embedded import EmbeddedBroker
from bus.redis.acl import users
from edgebus.cli import app
from producers.services.mahavishnu import SERVICE
from tests.edges.signing import EC, ED, RSA, SECRET, jwk, jwks, private_pem, public_pem, raw, token

KEYS: dict[str, Any] = {"RS256": RSA, "ES256": EC, "EdDSA": ED}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in list(os.environ):
        if name.startswith("EDGEBUS_"):
            monkeypatch.delenv(name)


def run(*words: str, stdin: str = "", secret: str | None = SECRET) -> Result:
    """Run one command to its end."""
    env = {} if secret is None else {"EDGEBUS_AUTH_SECRET": secret}
    return CliRunner().invoke(app, ["token", *words], input=stdin, env=env)


def checked(shown: str, *words: str, **options: Any) -> dict[str, Any]:
    """Return what ``check --json`` says of a token."""
    found: dict[str, Any] = json.loads(run("check", "--json", *words, stdin=shown, **options).stdout)
    return found


def test_made_and_checked() -> None:
    """What ``make`` prints, ``check`` takes: it names user and permissions in both forms, has an id and an end."""
    shown = run("make", "alice", "workflow:read", "pool:read", "--expires-in", "60").stdout.strip()
    found = checked(shown)
    assert (found["taken"], found["reason"], found["user_id"]) == (True, None, "alice")
    assert found["permissions"] == ["pool:read", "workflow:read"]
    claims = found["claims"]
    assert (claims["sub"], claims["user_id"], claims["exp"] - claims["iat"]) == ("alice", "alice", 60)
    assert claims["jti"]
    text = run("check", shown)
    assert text.exit_code == 0
    assert 'user_id: "alice"' in text.stdout
    assert "taken: user alice, permissions pool:read workflow:read, until 20" in text.stdout


@pytest.mark.parametrize("algorithm", KEYS)
def test_made_with_a_private_key(tmp_path: Path, algorithm: str) -> None:
    """The kind of the key decides the algorithm; the public key checks it."""
    (tmp_path / "private.pem").write_bytes(private_pem(KEYS[algorithm]))
    (tmp_path / "public.pem").write_bytes(public_pem(KEYS[algorithm]))
    (tmp_path / "keys.json").write_bytes(jwks(jwk(KEYS[algorithm], kid="k1")))
    shown = run("make", "alice", "--key", str(tmp_path / "private.pem"), "--kid", "k1", secret=None).stdout.strip()
    assert jwt.get_unverified_header(shown) == {"alg": algorithm, "typ": "JWT", "kid": "k1"}
    for setting in (f"auth_key_file={tmp_path / 'public.pem'}", f"auth_jwks={tmp_path / 'keys.json'}"):
        assert checked(shown, "--set", setting, secret=None)["taken"]


def test_settings_of_the_edge_count(tmp_path: Path) -> None:
    """Audience and issuer of the edge's file are put in by ``make``, and asked for by ``check``."""
    file = tmp_path / "edge.yaml"
    file.write_text("websocket: {auth_audience: edge, auth_issuer: me, port: 1}")
    shown = run("make", "alice", "--config", str(file), "--id", "t1").stdout.strip()
    assert checked(shown, "--config", str(file))["claims"]["jti"] == "t1"
    assert "for others" in checked(shown, "--set", "auth_audience=other")["reason"]
    assert "names an audience" in checked(shown)["reason"] or "audience" in checked(shown)["reason"]


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        ("nonsense", "no JWT"),
        (token(exp=1), "expired"),
        (token(key="another-secret-9rT2wLq7Zx4Vb8Kp1"), "signature is wrong"),
        (raw({"alg": "none"}, {"sub": "a"}), "not signed with HS256"),
        (raw({"alg": "HS256"}, {"sub": "a", "exp": 10**400}), "exp: expected a time"),
        (raw({"alg": "HS256"}, {"sub": "\u202e\x1b[2J", "exp": time.time() + 36_000}), "sub: expected a text"),
    ],
)
def test_refused(shown: str, sentence: str) -> None:
    """A token that an edge would refuse ends with 1 and the edge's sentence; nothing in it steers the terminal."""
    text = run("check", shown)
    assert text.exit_code == 1
    assert sentence in text.stdout
    assert "\x1b" not in text.stdout
    assert "\u202e" not in text.stdout
    assert sentence in checked(shown)["reason"]


@pytest.mark.parametrize(
    ("words", "secret", "code", "sentence"),
    [
        (["make", "alice"], None, 2, "no key to sign with"),
        (["make", "alice"], "short", 2, "auth_secret: has 5 bytes"),
        (["make", "alice", "--expires-in", "86401"], SECRET, 2, "--expires-in"),
        (["make", "alice", "--key", "nowhere.pem"], None, 2, "--key: the file cannot be read"),
        (["make", "alice", "--key", __file__], None, 2, "--key: holds no private key"),
        (["check", "x"], None, 2, "no key is set up"),
        (["check", "x", "--set", "auth_jwks=http://issuer.example/"], None, 2, "auth_jwks: is no https URL"),
        (["check", "x", "--set", "nope=1"], None, 2, "--set nope"),
        (["check", "x", "--set", "file=1"], None, 2, "--set file: no such setting"),
        (["make", "x", "--set", "max_connections=0"], None, 2, "--set max_connections: "),
        (["revoke"], None, 2, "give --user or --id"),
        (["revoke", "--user", "a", "--id", "b"], None, 2, "give --user or --id"),
        (["revoke", "--user", "a", "--redis", "redis://127.0.0.1:1"], None, 3, "edgebus broker"),
    ],
)
def test_wrong_call(words: list[str], secret: str | None, code: int, sentence: str) -> None:
    """A mistake is a sentence on standard error, and its exit code."""
    done = run(*words, secret=secret)
    assert (done.exit_code, done.stdout) == (code, "")
    assert sentence in done.stderr
    assert secret is None or secret not in done.stderr


def test_revoked_stands_in_redis(broker_url: str) -> None:
    """A revocation is a member of a set that anybody can read with redis-cli."""
    done = run("revoke", "--user", "cli user", "--redis", broker_url)
    assert "every token of user cli user issued until now; 0 edge(s) were told" in done.stdout
    with redis.Redis.from_url(broker_url) as client:
        assert client.zscore("bus:revoked", "user:cli user")
        client.zrem("bus:revoked", "user:cli user")


def test_revoking_wants_the_operator() -> None:
    """A user of Redis who may not revoke is told whose URL it takes."""
    rules = next(user.rules for user in users([SERVICE], narrowed=False) if user.role == "edge")
    with EmbeddedBroker(port=0) as broker:
        with redis.Redis.from_url(broker.url) as client:
            client.execute_command("ACL", "SETUSER", "some", "on", ">pw", *shlex.split(rules))
        done = run("revoke", "--user", "a", "--redis", broker.url.replace("://", "://some:pw@"))
    assert (done.exit_code, done.stdout) == (1, "")
    assert "this user of Redis may not revoke" in done.stderr
    assert "operator" in done.stderr

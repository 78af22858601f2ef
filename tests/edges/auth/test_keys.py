import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa

from edges.auth.keyring import Key, Keyring, UnusableKey
from edges.auth.keys import keys_of_jwks, private_key, public_key, secret_key
from tests.edges.signing import EC, ED, RSA, SECRET, jwk, jwks, private_pem, public_pem

WEAK = rsa.generate_private_key(65537, 1024)  # noqa: S505 (to be refused)
PAIRS = [(RSA, "RS256"), (EC, "ES256"), (ED, "EdDSA")]


def refusal(read: Any, given: Any) -> str:
    """Return the sentence with which a key is refused."""
    with pytest.raises(UnusableKey) as caught:
        read(given)
    return str(caught.value)


def test_secret() -> None:
    """A secret of 32 bytes or more is a key for HS256, and is not shown."""
    key = secret_key(SECRET)
    assert (key.algorithm, key.material, key.kid) == ("HS256", SECRET.encode(), None)
    assert SECRET not in repr(key)


@pytest.mark.parametrize("secret", ["", "secret", SECRET[:31], "é" * 15])
def test_secret_too_short(secret: str) -> None:
    """Fewer than 32 bytes are refused, with the line that makes a good one."""
    assert f"has {len(secret.encode())} bytes" in refusal(secret_key, secret)
    assert "openssl rand" in refusal(secret_key, secret)


@pytest.mark.parametrize(
    "secret",
    [
        "a" * 40,
        "abcabcabcabcabcabcabcabcabcabcabcabc",
        "0123456789abcdef0123456789abcdef",
        "change-me-change-me-change-me-now-please",
        "a-string-secret-at-least-256-bits-long",
        "your-256-bit-secret-your-256-bit-key",
        "CHANGE_ME_IN_PRODUCTION_0123456789",
        "dev-secret-do-not-use-in-production!",
        "this is just an example of a long key",
        "my super secret key for signing tokens",
    ],
)
def test_placeholder_is_refused(secret: str) -> None:
    """What stands in tutorials, or repeats itself, keeps nobody out."""
    assert "is a placeholder" in refusal(secret_key, secret)


def test_key_file_is_no_secret() -> None:
    """The content of a public key's file, given as the secret, is refused: everybody may read it."""
    assert "key file" in refusal(secret_key, public_pem(RSA).decode())


@pytest.mark.parametrize(("key", "algorithm"), PAIRS)
def test_public_key(key: Any, algorithm: str) -> None:
    """The kind of a key decides its algorithm."""
    assert public_key(public_pem(key)).algorithm == algorithm
    assert private_key(private_pem(key))[0] == algorithm


@pytest.mark.parametrize(
    ("pem", "sentence"),
    [
        (private_pem(RSA), "holds a private key"),
        (b"", "no public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no public key"),
        (public_pem(WEAK), "of no kind that is taken"),
        (public_pem(ec.generate_private_key(ec.SECP384R1())), "of no kind that is taken"),
        (public_pem(ed448.Ed448PrivateKey.generate()), "of no kind that is taken"),
        (public_pem(dsa.generate_private_key(2048)), "of no kind that is taken"),
    ],
)
def test_public_key_refused(pem: bytes, sentence: str) -> None:
    """Private, weak and other keys are refused by what they are."""
    assert sentence in refusal(public_key, pem)


@pytest.mark.parametrize("pem", [b"", public_pem(RSA), private_pem(ec.generate_private_key(ec.SECP384R1()))])
def test_private_key_refused(pem: bytes) -> None:
    """What cannot sign for an edge is told so."""
    assert refusal(private_key, pem)


def test_jwks() -> None:
    """Each kind of key is read with its name; what an edge has no use for is passed over."""
    document = jwks(
        jwk(RSA, kid="r", use="sig", alg="RS256"),
        jwk(EC, kid="e"),
        jwk(ED),
        jwk(RSA, kid="x", use="enc"),
        jwk(RSA, kid="x", alg="RS512"),
        jwk(RSA, kid=5),
        jwk(ec.generate_private_key(ec.SECP384R1()), kid="x"),
        jwk(WEAK, kid="x"),
        {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).decode(), "kid": "x"},
        {"kty": "RSA", "n": "!", "e": "AQAB", "kid": "x"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "x"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "x"},
        {"kty": ["RSA"]},
        {},
    )
    keys = keys_of_jwks(document)
    assert [(key.algorithm, key.kid) for key in keys] == [("RS256", "r"), ("ES256", "e"), ("EdDSA", None)]
    assert keys[0].material == RSA.public_key()


def test_jwks_private_members_are_not_read() -> None:
    """A private key in a document is read as the public one that it holds."""
    private = json.loads(private_jwk())
    assert keys_of_jwks(jwks(private))[0].material == RSA.public_key()


def private_jwk() -> str:
    from jwt.algorithms import RSAAlgorithm

    found: str = RSAAlgorithm.to_jwk(RSA)
    return found


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "is no JWKS"),
        (b"{", "is no JWKS"),
        (b"[]", "is no JWKS"),
        (b"[" * 100_000, "is no JWKS"),
        (b'{"keys":{}}', "is no JWKS"),
        (b"\xff", "is no JWKS"),
        (b'{"keys":[]}', "holds no key"),
        (b'{"keys":[1,"a",null]}', "holds no key"),
        (json.dumps({"keys": [{}] * 101}).encode(), "at most 100"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_jwks_refused(text: bytes, sentence: str) -> None:
    """A document that is none, or has nothing in it to use, is refused."""
    assert sentence in refusal(keys_of_jwks, text)


def test_candidates() -> None:
    """A name finds the key called so and those without a name; no name finds one that is alone."""
    nameless, first, second = Key("HS256", b"n"), Key("HS256", b"1", "1"), Key("HS256", b"2", "2")
    ring = Keyring((first, nameless, second))
    assert ring.candidates("2") == (second, nameless)
    assert ring.candidates("3") == ring.candidates(None) == (nameless,)
    assert Keyring((first,)).candidates(None) == (first,)
    assert Keyring((first, second)).candidates(None) == ()
    assert Keyring((first,)).candidates("2") == ()

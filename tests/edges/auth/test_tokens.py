import time
from contextlib import suppress
from typing import Any, Final

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edges.auth.keyring import Key, Keyring
from edges.auth.keys import public_key, secret_key
from edges.auth.permissions import Caller
from edges.auth.tokens import Rules, TokenRefused, caller_of, claims_of, key_name, unverified
from tests.edges.signing import EC, ED, OTHER_SECRET, RSA, SECRET, claims, public_pem, raw, token

NOW_S: Final = 1_800_000_000.0
RULES: Final = Rules(max_lifetime_s=86_400, max_token_bytes=8192)
HS: Final = {"alg": "HS256", "typ": "JWT"}
SECRET_KEY: Final = secret_key(SECRET)
BAD_TIMES: Final[list[Any]] = [10**400, -1, "1", True, 1e400, float("nan"), [], {}, 2**64, 253_402_300_800]


def judged(text: str, *keys: Key, rules: Rules = RULES) -> Caller:
    """Return the caller of a token, as an authenticator finds it."""
    ring = Keyring(keys or (SECRET_KEY,))
    return caller_of(claims_of(text, ring.candidates(key_name(text, rules))), rules, time.time())


def refusal(text: str, *keys: Key, rules: Rules = RULES) -> str:
    """Return the sentence with which a token is refused."""
    with pytest.raises(TokenRefused) as caught:
        judged(text, *keys, rules=rules)
    assert text not in str(caught.value)
    assert caught.value.__cause__ is None
    return str(caught.value)


def claimed(rules: Rules = RULES, **more: Any) -> Caller:
    """Return the caller of claims that are good at NOW_S but for ``more``; None takes one out."""
    given = {"user_id": "alice", "iat": NOW_S, "exp": NOW_S + 60, **more}
    return caller_of({name: value for name, value in given.items() if value is not None}, rules, NOW_S)


def claim_refusal(rules: Rules = RULES, **more: Any) -> str:
    """Return the sentence with which claims are refused."""
    with pytest.raises(TokenRefused) as caught:
        claimed(rules, **more)
    return str(caught.value)


@pytest.mark.parametrize("key", [RSA, EC, ED], ids=["RS256", "ES256", "EdDSA"])
def test_every_algorithm_is_taken(key: Any) -> None:
    """A token signed with the private key is taken by the public one."""
    assert judged(token("bob", key=key), public_key(public_pem(key))).user_id == "bob"


def test_both_forms_of_claims() -> None:
    """The ecosystem's claims and the standard ones name the same caller; permissions of all forms are added up."""
    caller = claimed(permissions=["a:read"], scopes=["b:read"], scope="c:read  d:read", sub="alice", jti="t1")
    assert caller == Caller("alice", frozenset({"a:read", "b:read", "c:read", "d:read"}), NOW_S + 60, NOW_S - 5, "t1")
    assert claimed(user_id=None, sub="bob").user_id == "bob"
    assert claimed(permissions=[], scope="").permissions == frozenset()


def test_user_that_is_a_number() -> None:
    """An issuer with numbered users may name one by an integer; it counts as its decimal text."""
    assert claimed(user_id=42).user_id == claimed(user_id="42", sub=42).user_id == "42"
    assert claimed(user_id=None, sub=-(2**70)).user_id == str(-(2**70))


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"exp": None}, "exp: the token never expires"),
        ({"exp": NOW_S}, "exp: the token has expired"),
        ({"exp": NOW_S + 86_401}, "exp: the token lives for longer than 86400 s"),
        ({"iat": None, "exp": NOW_S + 86_401}, "exp: the token lives for longer"),
        ({"iat": NOW_S - 86_400, "exp": NOW_S + 1}, "exp: the token lives for longer"),
        ({"iat": NOW_S + 6}, "iat: the token is not valid yet"),
        ({"nbf": NOW_S + 6}, "nbf: the token is not valid yet"),
        ({"user_id": None}, "names no user"),
        ({"user_id": True}, "user_id: expected a text"),
        ({"user_id": 5.0}, "user_id: expected a text"),
        ({"user_id": 10**256}, "user_id: expected a text"),
        ({"user_id": 5, "sub": "6"}, "names two users"),
        ({"user_id": ""}, "user_id: expected a text"),
        ({"user_id": "a" * 257}, "user_id: expected a text"),
        ({"user_id": "a\nb"}, "user_id: expected a text"),
        ({"user_id": "\ud800"}, "user_id: expected a text"),
        ({"sub": "bob"}, "names two users"),
        ({"permissions": "admin"}, "permissions: expected a list"),
        ({"permissions": [1]}, "permissions: expected a list"),
        ({"scopes": {"admin": True}}, "scopes: expected a list"),
        ({"scope": ["admin"]}, "scope: expected one text"),
        ({"jti": 5}, "jti: expected a text"),
        ({"aud": "edge"}, "aud: the token is for an audience"),
    ],
)
def test_claims_refused(more: dict[str, Any], sentence: str) -> None:
    """A claim that is missing, of a wrong type or against the rules is named."""
    assert sentence in claim_refusal(**more)


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", BAD_TIMES, ids=lambda value: str(value)[:12])
def test_times_that_are_none(name: str, value: Any) -> None:
    """A time of any type or size is refused by its name, and raises nothing else."""
    assert claim_refusal(**{name: value}) == f"{name}: expected a time in seconds since 1970"


def test_clock_of_the_issuer_may_be_a_little_ahead() -> None:
    """Up to the leeway a token of the future is taken; its end has none."""
    assert claimed(iat=NOW_S + 5, nbf=NOW_S + 5.0).issued_after == NOW_S
    assert claimed(exp=NOW_S + 0.5).expires_at == NOW_S + 0.5


@pytest.mark.parametrize(
    ("audience", "aud", "is_taken"),
    [
        ("edge", "edge", True),
        ("edge", ["other", "edge"], True),
        ("edge", "other", False),
        ("edge", [], False),
        ("edge", None, False),
        ("edge", {"edge": 1}, False),
        ("edge", [["edge"]], False),
        (None, [], True),
    ],
)
def test_audience(audience: str | None, aud: Any, is_taken: bool) -> None:
    """Where an audience is set, the token must name it, alone or among others."""
    rules = Rules(86_400, 8192, audience=audience)
    if is_taken:
        assert claimed(rules, aud=aud).user_id == "alice"
    else:
        assert claim_refusal(rules, aud=aud) == "aud: the token is for others than this edge"


@pytest.mark.parametrize("iss", ["other", None, ["issuer"], 5])
def test_issuer(iss: Any) -> None:
    """Where an issuer is set, the token must be its."""
    rules = Rules(86_400, 8192, issuer="issuer")
    assert claimed(rules, iss="issuer").user_id == "alice"
    assert claim_refusal(rules, iss=iss) == "iss: the token is of another issuer"


# Tricks.


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "nOnE", "", None, 5, "HS384", "HS512", "RS256", "EdDSA"], ids=repr
)
def test_header_does_not_choose_the_algorithm(algorithm: Any) -> None:
    """Whatever a header says, the key's algorithm is the one that counts; ``none`` is none."""
    text = raw({"alg": algorithm}, claims())
    assert "not signed with HS256" in refusal(text)
    unsigned = text.rpartition(".")[0] + "."
    assert "not signed with HS256" in refusal(unsigned)


@pytest.mark.parametrize("key", [RSA, EC, ED], ids=["RS256", "ES256", "EdDSA"])
def test_public_key_is_no_secret(key: Any) -> None:
    """A token signed with HMAC and the public key as its secret is refused (key confusion)."""
    pem = public_pem(key)
    assert "not signed with" in refusal(raw(HS, claims(), pem), public_key(pem))
    assert "not signed with" in refusal(raw(HS, claims(), pem.strip()), public_key(pem))


def test_embedded_key_is_not_looked_at() -> None:
    """Keys that a token brings along (jwk, jku, x5u) change nothing."""
    header = {**HS, "jwk": {"kty": "oct", "k": "AA"}, "jku": "https://example.com/keys", "x5u": "file:///etc/passwd"}
    assert "signature is wrong" in refusal(raw(header, claims(), OTHER_SECRET.encode()))


@pytest.mark.parametrize("kid", ["../../../../dev/null", "' OR 1=1 --", "unknown", "", "a" * 2000, "\x00", "file:///x"])
def test_name_of_a_key_is_compared_and_nothing_else(kid: str) -> None:
    """A kid is looked up among the known ones; a path or a query in it leads nowhere."""
    named = Key("HS256", SECRET.encode(), "right")
    assert "names no key (kid)" in refusal(token(headers={"kid": kid}), named)
    assert judged(token(headers={"kid": "right"}), named).user_id == "alice"


@pytest.mark.parametrize("kid", [5, [], {}, True, ["right"]])
def test_name_of_a_key_is_a_text(kid: Any) -> None:
    """A kid of another type is refused, by its name."""
    assert "kid is a text" in refusal(raw({**HS, "kid": kid}, claims()))


@pytest.mark.parametrize("more", [{"crit": ["exp"]}, {"crit": []}, {"crit": ["b64"]}, {"crit": 5}])
def test_extensions_are_refused(more: dict[str, Any]) -> None:
    """A token that wants to be read by other rules is not read at all."""
    assert "(crit)" in refusal(raw({**HS, **more}, claims()))


@pytest.mark.parametrize("more", [{"crit": ["b64"], "b64": False}, {"b64": False}])
def test_payload_in_the_clear_is_refused(more: dict[str, Any]) -> None:
    """A token whose payload is said to be no base64url (RFC 7797) is not read at all."""
    with pytest.raises(TokenRefused):
        judged(raw({**HS, **more}, claims()))


def test_part_that_was_cut_is_not_called_the_header() -> None:
    """Where a signature is no base64url of whole bytes, nobody is sent to look at the header for it."""
    assert "one of its parts is no base64url" in refusal("e30.e30.ab")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "é.é.é",
        "a b.c.d",
        "a.b.c\n",
        "a+/.b.c",
        "e30=.e30=.e30=",
        "\ud800",
    ],
)
def test_what_is_no_token(text: str) -> None:
    """Bad base64, too few parts or other letters are told as what they are."""
    with pytest.raises(TokenRefused, match="the token is no JWT"):
        judged(text)


def test_size_is_bounded() -> None:
    """A token of a megabyte is refused by its size, before anything in it is looked at."""
    assert refusal("a" * 1_000_000) == "the token has 1000000 bytes, the limit is 8192"
    assert refusal("é" * 5_000) == "the token has 10000 bytes, the limit is 8192"


@pytest.mark.parametrize(
    "payload",
    [
        b'{"user_id":"alice","user_id":"bob","exp":1}',
        b'{"exp":NaN}',
        b'{"exp":Infinity}',
        b'{"exp":' + b"9" * 5000 + b"}",
        b"[" * 5000,
        b"\xff\xfe",
        b" ",
        b"5",
        b'"text"',
        b"[]",
        b"null",
    ],
    ids=lambda payload: ascii(payload[:20]),
)
def test_claims_that_are_no_object(payload: bytes) -> None:
    """Repeated names, NaN, numbers without end, nesting and other JSON are refused, though the signature is right."""
    assert "the token's claims are no JSON" in refusal(raw(HS, payload))


def test_expiry_of_many_digits_over_the_whole_way() -> None:
    """An exp of 10^400 is a refusal like another one."""
    assert refusal(raw(HS, claims(exp=10**400))) == "exp: expected a time in seconds since 1970"
    assert refusal(raw(HS, b'{"user_id":"a","exp":1e400}')) == "exp: expected a time in seconds since 1970"


def test_changed_token() -> None:
    """One changed letter is enough."""
    head, payload, signature = token().split(".")
    other = "A" if payload[5] != "A" else "B"
    assert "signature is wrong" in refusal(f"{head}.{payload[:5]}{other}{payload[6:]}.{signature}")
    assert "signature is wrong" in refusal(token(key=OTHER_SECRET))


def test_several_keys_are_tried_each_by_its_algorithm() -> None:
    """With keys without names, the one that signed is found."""
    keys = [public_key(public_pem(key)) for key in (RSA, EC, ED)]
    assert [judged(token(key=key), *keys).user_id for key in (RSA, EC, ED)] == ["alice"] * 3
    assert "not signed with ES256 or EdDSA or RS256" in refusal(token(), *keys)


def test_claims_can_be_shown_unverified() -> None:
    """For a person to look at: claims of any key's token, and a sentence for what is no token."""
    assert unverified(token("bob", key=OTHER_SECRET), RULES)["user_id"] == "bob"
    with pytest.raises(TokenRefused):
        unverified("nonsense", RULES)


def test_tokens_of_the_library_itself() -> None:
    """What PyJWT makes with nothing but the claims is taken."""
    now = int(time.time())
    assert judged(jwt.encode({"sub": "carol", "exp": now + 60}, SECRET)).user_id == "carol"


# Anything at all.

JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NAMES: Final = ("exp", "iat", "nbf", "aud", "iss", "sub", "user_id", "jti", "permissions", "scopes", "scope")


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", fullmatch=True))
def test_any_text_is_refused(text: str) -> None:
    """Whatever is shown as a token, there is a sentence for it and nothing else."""
    with pytest.raises(TokenRefused):
        judged(text)


@given(JSON | st.binary(max_size=40), JSON | st.binary(max_size=40))
def test_any_signed_parts(header: Any, payload: Any) -> None:
    """Even with the right signature, any header and any claims end in a caller or a sentence."""
    with suppress(TokenRefused):
        judged(raw({"alg": "HS256", "extra": header} if not isinstance(header, bytes) else header, payload))


@given(st.dictionaries(st.sampled_from(NAMES), JSON), st.sampled_from([None, "edge"]), st.sampled_from([None, "me"]))
def test_any_claims(given_claims: dict[str, Any], audience: str | None, issuer: str | None) -> None:
    """Claims of any types and sizes end in a caller or a sentence."""
    rules = Rules(86_400, 8192, audience=audience, issuer=issuer)
    with suppress(TokenRefused):
        caller_of({"user_id": "alice", "exp": NOW_S + 60, **given_claims}, rules, NOW_S)

"""Tokens: anything may be shown, and only the refusal that is declared leaves; nobody else's signature is taken."""

import json
from contextlib import suppress
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from websockets.datastructures import Headers
from websockets.http11 import Request

from edges import EdgeSettings
from edges.auth.authenticator import Authenticator
from edges.auth.keyring import Key, Keyring
from edges.auth.keys import public_key, secret_key
from edges.auth.permissions import Caller
from edges.auth.tokens import Rules, TokenRefused, caller_of, claims_of, key_name, unverified
from edges.transport.bearer import chosen_subprotocol, shown_tokens
from tests.edges.signing import EC, ED, RSA, SECRET, claims, public_pem, raw, token
from tests.fuzz.bounds import JSON, VALUE

NOW_S: Final = 1_800_000_000.0
RULES: Final = Rules(max_lifetime_s=86_400, max_token_bytes=2_048, audience="edge", issuer="us")
ANY_RULES: Final = Rules(max_lifetime_s=86_400, max_token_bytes=8_192)
KEYS: Final[tuple[Key, ...]] = (secret_key(SECRET), *(public_key(public_pem(key)) for key in (RSA, EC, ED)))
VALID: Final = tuple(token("alice", ["admin"], key=key) for key in (SECRET, RSA, EC, ED))
SHORT: Final = 12
"""A text of fewer letters may stand in a sentence by chance."""
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
TEXTS: Final = st.text(max_size=60) | st.text(LETTERS + ".=+/ \n", max_size=60)
HOSTILE: Final[st.SearchStrategy[Any]] = st.sampled_from(
    [10**400, -(10**400), 2**64, -1, 0, 1e308, float("inf"), float("nan"), True, "", "\0", "a" * 257, [], {}, None]
)
NAMES: Final = st.sampled_from(
    ["user_id", "sub", "exp", "iat", "nbf", "aud", "iss", "jti", "permissions", "scopes", "scope"]
)
CLAIMS: Final = st.dictionaries(NAMES, HOSTILE | JSON | st.just(NOW_S + 60) | st.just("alice"), max_size=11)
HEADERS: Final = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jku", "x5u", "x5c", "jwk", "cty", "zip"]),
    st.sampled_from(["HS256", "none", "RS256", "HS512", "../../dev/null", "https://evil.example", "b64"])
    | HOSTILE
    | JSON,
    max_size=5,
)


def judged(text: str, keys: tuple[Key, ...] = KEYS, rules: Rules = RULES, now_s: float = NOW_S) -> Caller | str:
    """Return the caller of a token, as an authenticator finds it, or the sentence with which it is refused."""
    try:
        candidates = Keyring(keys).candidates(key_name(text, rules))
        return caller_of(claims_of(text, candidates), rules, now_s)
    except TokenRefused as refused:
        return str(refused)


def is_printable_refusal(found: Caller | str) -> bool:
    return isinstance(found, str) and found.isprintable() and found.isascii()


@VALUE
@given(TEXTS | st.builds("{}.{}.{}".format, TEXTS, TEXTS, TEXTS))
def test_any_text_is_refused_by_a_sentence(text: str) -> None:
    """What nobody signed is refused, and nothing but the refusal comes; also where no signature is asked for."""
    assert is_printable_refusal(judged(text))
    with suppress(TokenRefused):
        assert isinstance(unverified(text, RULES), dict)


@VALUE
@given(st.sampled_from(VALID), st.integers(0, 2_000), TEXTS, st.integers(0, 4))
def test_mangled_token_is_not_taken(valid: str, at: int, put: str, cut: int) -> None:
    """A token that was changed in any place is refused; only the very token is taken."""
    at %= len(valid) + 1
    mangled = valid[:at] + put + valid[at + cut :]
    found = judged(mangled, rules=ANY_RULES, now_s=float(claims()["iat"]))
    assert is_printable_refusal(found) != (mangled == valid)


@pytest.mark.parametrize("valid", VALID, ids=["HS256", "RS256", "ES256", "EdDSA"])
def test_no_other_signature_is_taken(valid: str) -> None:
    """Each letter of a signature matters, the bits behind its last byte included."""
    body, _, signature = valid.rpartition(".")
    now_s = float(claims()["iat"])
    assert isinstance(judged(valid, rules=ANY_RULES, now_s=now_s), Caller)  # the control
    for at, letter in enumerate(signature):
        other = LETTERS[LETTERS.index(letter) ^ 1]
        changed = f"{body}.{signature[:at]}{other}{signature[at + 1 :]}"
        assert is_printable_refusal(judged(changed, rules=ANY_RULES, now_s=now_s)), at


@VALUE
@given(st.sampled_from(VALID), st.sampled_from(VALID), st.integers(0, 2))
def test_parts_of_two_tokens_are_no_token(one: str, other: str, at: int) -> None:
    """A part of another token in the place of one's own is refused, unless they are the same."""
    parts = one.split(".")
    parts[at] = other.split(".")[at]
    found = judged(".".join(parts), rules=ANY_RULES, now_s=float(claims()["iat"]))
    assert is_printable_refusal(found) != (".".join(parts) in VALID)


GOOD: Final = {"user_id": "alice", "exp": NOW_S + 60}
ALGORITHMS: Final = st.sampled_from(["HS256", "RS256", "ES256", "EdDSA", "none"]).map(lambda name: {"alg": name})


@VALUE
@given(HEADERS | ALGORITHMS, CLAIMS | st.just(GOOD), st.sampled_from([b"", b"x", public_pem(RSA), public_pem(EC)]))
def test_any_header_with_a_secret_that_is_not_ours(
    header: dict[str, Any], found: dict[str, Any], secret: bytes
) -> None:
    """Whatever a header says, what was signed with an empty secret, or with what everybody knows, is refused."""
    assert is_printable_refusal(judged(raw(header, found, secret), rules=ANY_RULES))


@VALUE
@given(CLAIMS)
def test_any_claims_make_a_sound_caller_or_a_refusal(found: dict[str, Any]) -> None:
    """Of claims that are signed well, what is taken has a user, an end within the cap, and texts for permissions."""
    caller = judged(raw({"alg": "HS256"}, found), rules=ANY_RULES)
    if isinstance(caller, str):
        assert caller.isprintable()
        return
    assert caller.user_id
    assert caller.user_id.isprintable()
    assert caller.expires_at is not None
    assert caller.expires_at > NOW_S
    assert all(isinstance(it, str) for it in caller.permissions)
    assert caller.token_id is None or isinstance(caller.token_id, str)


@VALUE
@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()), st.binary(max_size=60))
def test_any_bytes_that_are_signed_well(payload: bytes, header: bytes) -> None:
    """A payload or a header that is not what it should be is refused, though the signature is right."""
    assert is_printable_refusal(judged(raw({"alg": "HS256"}, payload)))
    assert is_printable_refusal(judged(raw(header, claims())))


@VALUE
@given(TEXTS | st.sampled_from(VALID) | CLAIMS.map(lambda found: raw({"alg": "HS256"}, found)))
async def test_gate_lets_in_or_refuses(text: str) -> None:
    """The door itself raises nothing else, and never quotes what it was shown."""
    authenticator = Authenticator(EdgeSettings(auth_secret=SecretStr(SECRET)))
    sentence = ""
    try:
        assert (await authenticator.admit(text)).user_id
    except TokenRefused as refused:
        sentence = str(refused)
    assert len(text) < SHORT or text not in sentence


PLAIN: Final = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40)
SHOWN: Final = st.tuples(
    st.sampled_from(["Authorization", "Sec-WebSocket-Protocol", "authorization", "Cookie"]),
    PLAIN | PLAIN.map("Bearer {}".format) | PLAIN.map("edgebus.v1, {}".format),
)


@VALUE
@given(st.lists(SHOWN, max_size=4), st.text(max_size=40).map("/?token={}".format) | PLAIN, st.booleans())
def test_any_handshake_shows_tokens_or_none(headers: list[tuple[str, str]], path: str, in_query: bool) -> None:
    """Whatever stands in a handshake, what is found are texts, each once, and none from where tokens do not belong."""
    found = shown_tokens(Request(path, Headers(headers)), in_query=in_query)
    assert len(set(found)) == len(found)
    whole = " ".join(value for name, value in headers if name.lower() in ("authorization", "sec-websocket-protocol"))
    assert in_query or all(text in whole for text in found)
    offered = [item.strip() for _, value in headers for item in value.split(",")]
    assert chosen_subprotocol(offered) in (None, "edgebus.v1")


@VALUE
@given(
    st.text(LETTERS + ".", min_size=1, max_size=40), st.lists(SHOWN.filter(lambda it: it[0] == "Cookie"), max_size=3)
)
def test_token_is_found_in_each_place(shown: str, others: list[tuple[str, str]]) -> None:
    """The control: what stands where a token belongs is found as it is, whatever stands beside it."""
    for header in (("Authorization", f"Bearer {shown}"), ("Sec-WebSocket-Protocol", f"edgebus.v1, {shown}")):
        assert shown_tokens(Request("/", Headers([*others, header])), in_query=False) == [shown]
    assert shown_tokens(Request(f"/?token={shown}", Headers(others)), in_query=True) == [shown]

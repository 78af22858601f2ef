"""Rows of the table of bad input about who a client is and where it comes from: tokens, origins, addresses."""

import base64
import hmac
import json
import time
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.edges.bad_input_row import Row, Setup, request, rows, text
from tests.edges.peers import TEXT, frame, get, upgrade
from tests.edges.signing import EC, ED, OTHER_SECRET, RSA, SECRET, claims, jwk, jwks, public_pem, raw, token

__all__ = ["CONTROLS", "CROWDED", "PUBLISHED", "ROWS", "elsewhere"]

AUDIENCE: Final = "edges.example"
ISSUER: Final = "https://issuer.example"
HS: Final = {"alg": "HS256", "typ": "JWT"}
STRANGER: Final = rsa.generate_private_key(65537, 2048)
"""A key that no edge was given."""


def good(user: str = "alice", **more: Any) -> str:
    """Return a token that the edge with a secret takes, but for what is ``more``."""
    return token(user, ["workflow:read"], aud=AUDIENCE, iss=ISSUER, **more)


def claimed(**more: Any) -> str:
    """Return a token that is signed well, and whose claims are good but for ``more``; None takes one out."""
    found = {**claims(), "aud": AUDIENCE, "iss": ISSUER, **more}
    return raw(HS, {name: value for name, value in found.items() if value is not None})


def headed(secret: bytes = SECRET.encode(), **header: Any) -> str:
    """Return a token of good claims with this header, signed with ``secret``."""
    return raw(header, claims(aud=AUDIENCE, iss=ISSUER), secret)


def changed() -> str:
    """Return a good token with another's name put into it."""
    head, _, signature = good().split(".")
    body = json.dumps(claims("mallory", aud=AUDIENCE, iss=ISSUER)).encode()
    return f"{head}.{base64.urlsafe_b64encode(body).rstrip(b'=').decode()}.{signature}"


def longer() -> str:
    """Return a token of good claims, signed with the secret and HS512."""
    body = headed(alg="HS512").rpartition(".")[0]
    signature = base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), body.encode(), "sha512"))
    return f"{body}.{signature.rstrip(b'=').decode()}"


def signed(key: Any, algorithm: str, **header: Any) -> str:
    """Return a token of good claims; no audience, no issuer."""
    return jwt.encode(claims(), key, algorithm, header)


def elsewhere(url: str, name: str) -> str:
    """Return a token whose header says where the key is that it was signed with: ``jku`` or ``x5u``."""
    return signed(STRANGER, "RS256", kid="s", **{name: url})


def sent(shown: Any) -> bytes:
    """Return the message that shows a token."""
    return request("auth", token=shown)


def failed(sentence: str) -> str:
    """Return what comes back for a token that is not taken."""
    return f"AUTH_FAILED: {sentence}; close 1008"


NO_JWT: Final = failed("the token is no JWT: expected three parts of base64url letters, joined by dots")
NOT_READ: Final = failed("the token is no JWT: one of its parts is no base64url, or its header no object")
NO_OBJECT: Final = failed("the token's claims are no JSON object")
NO_JSON: Final = failed("the token's claims are no JSON, or name one twice")
NO_KEY: Final = failed("the token names no key (kid), or one that this edge does not have")
WRONG: Final = failed("the token's signature is wrong: another key made it, or it was changed")
NOT_HS256: Final = failed("the token is not signed with HS256, as this edge asks")
NOT_RS256: Final = failed("the token is not signed with RS256, as this edge asks")
NOT_ES256: Final = failed("the token is not signed with ES256, as this edge asks")
NOT_TAKEN: Final = failed("the token's header is not taken: kid is a text, and there are no extensions (crit)")
NO_TIME: Final = failed("exp: expected a time in seconds since 1970")
LIVES_LONG: Final = failed("exp: the token lives for longer than 86400 s; issue shorter ones")
NOT_YET: Final = "the token is not valid yet; are the clocks right?"
OTHERS: Final = failed("aud: the token is for others than this edge")
OTHER_ISSUER: Final = failed("iss: the token is of another issuer")
A_NAME: Final = "expected a text of 1 to 256 printable characters"
A_LIST: Final = "expected a list of texts"
SEVERAL: Final = failed("several tokens are shown in different places; show one")
REQUIRED: Final = "AUTH_REQUIRED: authenticate first: send an auth request with a token; close 1008"

WITH_SECRET: Final = Setup(
    "With `auth_required`, `auth_secret`, `auth_audience` and `auth_issuer`; the token is in an `auth` request.",
    {"auth_required": True, "auth_secret": SECRET, "auth_audience": AUDIENCE, "auth_issuer": ISSUER},
    headers=(f"Authorization: Bearer {good('neighbour')}",),
)
SIGNATURES: Final = (
    ("`alg` `none`, and no signature", NOT_HS256, sent(headed(alg="none").rpartition(".")[0] + ".")),
    ("`alg` `none`, and a signature", NOT_HS256, sent(headed(alg="none"))),
    ("`alg` `nOnE`", NOT_HS256, sent(headed(alg="nOnE"))),
    ("no `alg`", NOT_HS256, sent(headed(typ="JWT"))),
    ("a list for `alg`", NOT_HS256, sent(headed(alg=["HS256", "none"]))),
    ("`alg` `RS256` over a signature by the secret", NOT_HS256, sent(headed(alg="RS256"))),
    ("HS512 with the secret", NOT_HS256, sent(longer())),
    ("RS256 with a key of one's own", NOT_HS256, sent(signed(STRANGER, "RS256"))),
    ("another secret", WRONG, sent(token(key=OTHER_SECRET))),
    ("claims that were changed after signing", WRONG, sent(changed())),
    ("a signature that was cut", WRONG, sent(good()[:-3])),
    ("no signature", WRONG, sent(good().rpartition(".")[0] + ".")),
    (
        "`kid` with a path, signed with the empty file there",
        WRONG,
        sent(headed(b"", alg="HS256", kid="../../dev/null")),
    ),
    ("`kid` that breaks out of a query", WRONG, sent(headed(b"x", alg="HS256", kid="' UNION SELECT 'x"))),
    ("a number for `kid`", NOT_TAKEN, sent(headed(alg="HS256", kid=5))),
    ("a header with `crit`", NOT_TAKEN, sent(headed(alg="HS256", crit=["exp"]))),
    ("a header that says that the claims are no base64url (`b64`)", NOT_READ, sent(headed(alg="HS256", b64=False))),
    ("a header that is no object", NOT_READ, sent(raw([HS], claims()))),
    ("a header that is no JSON", NOT_READ, sent(raw(b"{", claims()))),
)
FORMS: Final = (
    ("nothing for a token", NO_JWT, sent("")),
    ("two dots", NO_JWT, sent("..")),
    ("one dot", NO_JWT, sent("a.b")),
    ("five parts, as if encrypted", NO_JWT, sent("a.b.c.d.e")),
    ("a space behind the token", NO_JWT, sent(good() + " ")),
    ("a newline in the token", NO_JWT, sent(good().replace(".", ".\n", 1))),
    ("a token that is padded with `=`", NO_JWT, sent(good() + "==")),
    ("letters that are no base64url", NO_JWT, sent(good().replace(".", ".!", 1))),
    ("letters of another script", NO_JWT, sent(good().replace(".", ".\u0430", 1))),
    ("bits too many at the end of the signature", NOT_READ, sent("e30.e30.ab")),
    ("base64url of no whole bytes", NOT_READ, sent("a.b.c")),
    ("8,193 bytes", failed("the token has 8193 bytes, the limit is 8192"), sent("x" * 8_193)),
    ("1 MB", "close 1009: a message has more than max_message_bytes", sent("x" * 1_000_000)),
    ("an object for a token", "INVALID_REQUEST: token: expected a text", sent({"toString": 1})),
    ("no token", "INVALID_REQUEST: token: expected a text", request("auth")),
    ("another request before a token", REQUIRED, request(channel="workflow:1")),
    (
        "a token of another user behind the first",
        failed("the token is another user's; open a new connection for it"),
        sent(good("alice")) + sent(good("bob")),
    ),
    ("a token that is no good behind the first", WRONG, sent(good()) + sent(token(key=OTHER_SECRET))),
)
CLAIMS: Final = (
    ("claims that are a list", NO_OBJECT, sent(raw(HS, [claims()]))),
    ("claims that are no JSON", NO_JSON, sent(raw(HS, b"{"))),
    ("claims that are not UTF-8", NO_JSON, sent(raw(HS, b'{"user_id":"\xff"}'))),
    ("claims that name one twice", NO_JSON, sent(raw(HS, b'{"user_id":"alice","user_id":"bob"}'))),
    ("claims that nest 2,000 deep", NO_JSON, sent(raw(HS, b'{"x":' + b"[" * 2_000 + b"]" * 2_000 + b"}"))),
    ("no `exp`", failed("exp: the token never expires; issue one that does"), sent(claimed(exp=None))),
    ("`exp` of 10^400", NO_TIME, sent(claimed(exp=10**400))),
    ("`exp` of 5,000 digits", NO_JSON, sent(raw(HS, b'{"exp":' + b"9" * 5_000 + b"}"))),
    ("`exp` of 1e400", NO_TIME, sent(raw(HS, b'{"exp":1e400}'))),
    ("`exp` of `NaN`", NO_JSON, sent(claimed(exp=float("nan")))),
    ("`exp` of `Infinity`", NO_JSON, sent(claimed(exp=float("inf")))),
    ("a text for `exp`", NO_TIME, sent(claimed(exp="9999999999"))),
    ("`true` for `exp`", NO_TIME, sent(claimed(exp=True))),
    ("an object for `exp`", NO_TIME, sent(claimed(exp={"toString": 1}))),
    ("`exp` before 1970", NO_TIME, sent(claimed(exp=-1))),
    ("`exp` in the past", failed("exp: the token has expired; get a new one"), sent(claimed(exp=time.time() - 1))),
    ("`exp` in a week", LIVES_LONG, sent(claimed(exp=time.time() + 7 * 86_400))),
    ("`exp` in a week, and no `iat`", LIVES_LONG, sent(claimed(exp=time.time() + 7 * 86_400, iat=None))),
    ("`nbf` in the future", failed(f"nbf: {NOT_YET}"), sent(claimed(nbf=time.time() + 3_000))),
    ("`iat` in the future", failed(f"iat: {NOT_YET}"), sent(claimed(iat=time.time() + 3_000))),
    ("a text for `nbf`", failed("nbf: expected a time in seconds since 1970"), sent(claimed(nbf="now"))),
    ("another `aud`", OTHERS, sent(claimed(aud="others.example"))),
    ("no `aud`", OTHERS, sent(claimed(aud=None))),
    ("an `aud` that ours begins", OTHERS, sent(claimed(aud=AUDIENCE + ".evil.example"))),
    ("an object for `aud`", OTHERS, sent(claimed(aud={AUDIENCE: 1}))),
    ("another `iss`", OTHER_ISSUER, sent(claimed(iss="https://evil.example"))),
    ("no `iss`", OTHER_ISSUER, sent(claimed(iss=None))),
    ("a list for `iss`", OTHER_ISSUER, sent(claimed(iss=[ISSUER]))),
    ("no user", failed("the token names no user: expected user_id or sub"), sent(claimed(user_id=None))),
    ("an object for `sub`", failed(f"sub: {A_NAME}"), sent(claimed(sub={"toString": 1}))),
    ("a user with a newline", failed(f"user_id: {A_NAME}"), sent(claimed(user_id="alice\n"))),
    ("a user of 257 characters", failed(f"user_id: {A_NAME}"), sent(claimed(user_id="a" * 257))),
    ("a `sub` that is not the `user_id`", failed("user_id, sub: the token names two users"), sent(claimed(sub="bob"))),
    ("a text for `permissions`", failed(f"permissions: {A_LIST}"), sent(claimed(permissions="admin"))),
    ("an object for `permissions`", failed(f"permissions: {A_LIST}"), sent(claimed(permissions={"admin": 1}))),
    ("numbers for `permissions`", failed(f"permissions: {A_LIST}"), sent(claimed(permissions=[1]))),
    (
        "a list for `scope`",
        failed("scope: expected one text, with spaces between permissions"),
        sent(claimed(scope=["admin"])),
    ),
    ("a number for `jti`", failed("jti: expected a text"), sent(claimed(jti=5))),
)


def shown(*headers: str, path: str = "/") -> bytes:
    """Return a handshake, and a request behind it."""
    return upgrade(path, *headers) + request(channel="workflow:1")


BEARER: Final = "Authorization: Bearer"
OFFER: Final = "Sec-WebSocket-Protocol:"
HANDSHAKES: Final = (
    ("no token", REQUIRED, shown()),
    ("the token in the query, where `auth_in_query` is off", REQUIRED, shown(path=f"/?token={good()}")),
    ("the token in a cookie", REQUIRED, shown(f"Cookie: token={good()}")),
    ("`Authorization: Basic` with the token", REQUIRED, shown(f"Authorization: Basic {good()}")),
    ("`Authorization: Bearer` and no token", REQUIRED, shown(BEARER)),
    ("`Authorization` with the token alone", REQUIRED, shown(f"Authorization: {good()}")),
    ("two `Authorization` headers", SEVERAL, shown(f"{BEARER} {good('a')}", f"{BEARER} {good('b')}")),
    ("two tokens in one header", NO_JWT, shown(f"{BEARER} {good('a')}, {good('b')}")),
    ("`Authorization: Bearer` with no JWT", NO_JWT, shown(f"{BEARER} nonsense")),
    ("`edgebus.v1` and no token", REQUIRED, shown(f"{OFFER} edgebus.v1")),
    ("a token without `edgebus.v1`", REQUIRED, shown(f"{OFFER} {good()}")),
    ("`edgebus.v1` and a token with another secret's", WRONG, shown(f"{OFFER} edgebus.v1, {token(key=OTHER_SECRET)}")),
    ("`edgebus.v1` and two tokens", SEVERAL, shown(f"{OFFER} edgebus.v1, {good('a')}, {good('b')}")),
    (
        "one token in the header and another beside `edgebus.v1`",
        SEVERAL,
        shown(f"{BEARER} {good('a')}", f"{OFFER} edgebus.v1, {good('b')}"),
    ),
    ("a token of 7 KB that is none", NO_JWT, shown(f"{BEARER} {'x' * 7_000}")),
    ("a token of 9 KB", "HTTP 431", shown(f"{BEARER} {'x' * 9_000}")),
)
HURRIED: Final = Setup(
    "With `auth_required`, `auth_secret` and `auth_deadline_s` 0.5.",
    {"auth_required": True, "auth_secret": SECRET, "auth_deadline_s": 0.5},
    headers=(f"{BEARER} {token('neighbour', ['workflow:read'])}",),
)
SILENCES: Final = (
    (
        "a frame that never ends, and no token",
        "AUTH_REQUIRED: no good token came in time; send an auth request with one first; close 1008",
        frame(TEXT, b"x" * 1_000)[:8],
    ),
)
TOO_BIG_YET: Final = "close 1009: before a token, a message has auth_max_token_bytes and 1 KiB"
STRANGERS: Final = (
    ("a request", REQUIRED, request()),
    ("a ping of 9 KB", "pong", text({"type": "ping", "x": "x" * 9_000})),
    ("a ping of 10 KB", TOO_BIG_YET, text({"type": "ping", "x": "x" * 10_000})),
    ("10 KB of a message that is not whole yet", TOO_BIG_YET, frame(TEXT, b"x" * 60_000)[:10_000]),
    ("10 KB in fragments", TOO_BIG_YET, frame(TEXT, b"x" * 5_000, fin=False) + frame(0, b"x" * 5_000, fin=False)),
    ("64 KB of `[],`", TOO_BIG_YET, text(b'{"type":"ping","x":[' + b"[]," * 21_000 + b"0]}")),
)
PEM: Final = public_pem(RSA)
WITH_PEM: Final = Setup(
    "With `auth_required` and `auth_key_file`, an RSA key.",
    {"auth_required": True},
    {"auth_key_file": PEM},
    (f"{BEARER} {token('neighbour', ['workflow:read'], key=RSA)}",),
)
CONFUSED: Final = (
    ("HS256 with the text of the public key for a secret", NOT_RS256, sent(raw(HS, claims(), PEM))),
    ("the same without its last newline", NOT_RS256, sent(raw(HS, claims(), PEM.strip()))),
    ("`alg` `RS256` over a signature by HMAC", WRONG, sent(raw({"alg": "RS256"}, claims(), PEM))),
    ("`alg` `none`, and no signature", NOT_RS256, sent(signed(None, "none"))),
    ("RS512 with the right key", NOT_RS256, sent(signed(RSA, "RS512"))),
    ("PS256 with the right key", NOT_RS256, sent(signed(RSA, "PS256"))),
    ("ES256 with a key of one's own", NOT_RS256, sent(signed(EC, "ES256"))),
    ("another RSA key", WRONG, sent(signed(STRANGER, "RS256"))),
    ("another RSA key, which stands in the header (`jwk`)", WRONG, sent(signed(STRANGER, "RS256", jwk=jwk(STRANGER)))),
)
PUBLISHED: Final = Setup(
    "With `auth_required` and `auth_jwks`, a file with an RSA key `r` and an EC key `e`. What a header points to is "
    "never fetched.",
    {"auth_required": True},
    {"auth_jwks": jwks(jwk(RSA, kid="r"), jwk(EC, kid="e"))},
    (f"{BEARER} {token('neighbour', ['workflow:read'], key=RSA, headers={'kid': 'r'})}",),
)
MODULUS: Final = str(jwk(RSA)["n"]).encode()
KIDS: Final = (
    ("no `kid`", NO_KEY, sent(signed(RSA, "RS256"))),
    ("a `kid` that is none of ours", NO_KEY, sent(signed(RSA, "RS256", kid="x"))),
    ("a `kid` with a path", NO_KEY, sent(signed(RSA, "RS256", kid="../../../../etc/passwd"))),
    ("a `kid` that is a URL", NO_KEY, sent(signed(STRANGER, "RS256", kid="https://evil.example/keys"))),
    ("a `kid` with NUL", NO_KEY, sent(signed(RSA, "RS256", kid="r\0"))),
    ("the `kid` of the other key", NOT_ES256, sent(signed(RSA, "RS256", kid="e"))),
    ("our `kid`, and another key", WRONG, sent(signed(STRANGER, "RS256", kid="r"))),
    ("our `kid`, and EdDSA", NOT_RS256, sent(signed(ED, "EdDSA", kid="r"))),
    ("our `kid`, and HS256 with the public key's number", NOT_RS256, sent(raw({**HS, "kid": "r"}, claims(), MODULUS))),
    ("`jku` with a key of one's own", NO_KEY, sent(elsewhere("https://evil.example/keys", "jku"))),
    ("`x5u` with a key of one's own", NO_KEY, sent(elsewhere("https://evil.example/certificate", "x5u"))),
    (
        "our `kid`, and `jku` with a key of one's own",
        WRONG,
        sent(signed(STRANGER, "RS256", kid="r", jku="https://evil.example/keys")),
    ),
)
PAGE: Final = "https://app.example.com"
NOT_LISTED: Final = (
    "HTTP 403: this origin may not connect; the operator lists the pages that may as allowed_origins, "
    "spelled as browsers do"
)
TWO: Final = "HTTP 403: the request has two Origin headers; send one"
LISTED: Final = Setup(
    "With `allowed_origins` `https://app.example.com`.", {"allowed_origins": PAGE}, headers=(f"Origin: {PAGE}",)
)


def from_page(*origins: str) -> bytes:
    """Return a handshake with these origins."""
    return upgrade("/", *(f"Origin: {origin}" for origin in origins))


ORIGINS: Final = (
    *(
        (what, NOT_LISTED, from_page(origin))
        for what, origin in (
            ("a page that is not listed", "https://evil.example"),
            ("`null`", "null"),
            ("nothing for an origin", ""),
            ("`*`", "*"),
            ("a slash behind it", PAGE + "/"),
            ("another port", PAGE + ":8443"),
            ("its own port, which browsers leave out", PAGE + ":443"),
            ("another scheme", "http://app.example.com"),
            ("large letters", "https://APP.example.com"),
            ("a name that ours begins", PAGE + ".evil.example"),
            ("a name that ours ends", "https://evil-app.example.com"),
            ("a user before it", "https://app.example.com@evil.example"),
            ("two in one header", f"{PAGE}, https://evil.example"),
        )
    ),
    ("two headers", TWO, from_page(PAGE, "https://evil.example")),
    ("the same one twice", TWO, from_page(PAGE, PAGE)),
    (
        "no origin",
        "HTTP 403: without an Origin only a valid token lets a client in, and this edge checks no tokens",
        upgrade(),
    ),
)
OTHER_MACHINE: Final = (
    "HTTP 403: only pages of this machine may connect to an edge that checks no tokens and listens for this machine "
    "alone; the operator lists others as allowed_origins, or sets up a key"
)
OTHER_NAME: Final = (
    "HTTP 403: this edge is for this machine alone, and answers to localhost, 127.0.0.1 and [::1] only; where a proxy "
    "in front sends another Host, start it with --insecure-behind-proxy"
)
ELSEWHERE: Final = (
    ("a page of elsewhere", OTHER_MACHINE, from_page("https://evil.example")),
    ("a sandboxed page or a file (`null`)", OTHER_MACHINE, from_page("null")),
    ("an extension of the browser", OTHER_MACHINE, from_page("chrome-extension://abcdefgh")),
    (
        "a page whose name was made to lead here",
        OTHER_NAME,
        upgrade("/", "Origin: http://localhost", host="evil.example"),
    ),
    ("a `Host` of elsewhere, and no page", OTHER_NAME, upgrade("/", host="evil.example:8690")),
    ("the address of no machine in particular", OTHER_NAME, upgrade("/", host="0.0.0.0")),  # noqa: S104
    ("two `Host` headers", OTHER_NAME, upgrade("/", "Host: evil.example")),
    ("plain HTTP for a `Host` of elsewhere", OTHER_NAME, get("/healthz", host="evil.example")),
)
LISTED_OR_TOKEN: Final = Setup(
    "With `allowed_origins` and `auth_secret`, and no token required of a listed page.",
    {"allowed_origins": PAGE, "auth_secret": SECRET, "anonymous_permissions": "workflow:read"},
    headers=(f"Origin: {PAGE}",),
)
NO_ORIGINS: Final = (
    ("no origin and no token", REQUIRED, shown()),
    ("no origin, and a token that is no good", WRONG, shown(f"{BEARER} {token(key=OTHER_SECRET)}")),
    ("a page that is not listed, and a good token", NOT_LISTED, shown("Origin: null", f"{BEARER} {token()}")),
)
CROWDED: Final = Setup(
    "With `max_connections_per_address` 1, and no `trusted_proxies`; the neighbour has the same address.",
    {"max_connections_per_address": 1},
)
ONE_ADDRESS: Final = "HTTP 429: max_connections_per_address: the limit is 1; try again later"
ADDRESSES: Final = (
    ("a second client", ONE_ADDRESS, upgrade()),
    ("one that `X-Forwarded-For` says is another", ONE_ADDRESS, upgrade("/", "X-Forwarded-For: 203.0.113.9")),
    ("one that `Forwarded` says is another", ONE_ADDRESS, upgrade("/", "Forwarded: for=203.0.113.9")),
    ("one that `X-Real-IP` says is another", ONE_ADDRESS, upgrade("/", "X-Real-IP: 203.0.113.9")),
)
BUSY: Final = Setup(
    "With `auth_required`, `auth_secret` and `max_connections_per_user` 1.",
    {"auth_required": True, "auth_secret": SECRET, "max_connections_per_user": 1},
    headers=(f"{BEARER} {token('neighbour', ['workflow:read'])}",),
)
ONE_USER: Final = "RATE_LIMIT_EXCEEDED: max_connections_per_user: the limit is 1; try again later; close 1013"
USERS: Final = (("a second client of the neighbour's user", ONE_USER, sent(token("neighbour"))),)

CONTROLS: Final[tuple[Row, ...]] = (
    *rows("Let in", (("claims", "response", sent(claimed())),), setup=WITH_SECRET),
    *rows("Let in", (("a header", "response", sent(headed(alg="HS256", kid="any"))),), setup=WITH_SECRET),
    *rows("Let in", (("a key", "response", sent(signed(RSA, "RS256"))),), setup=WITH_PEM),
    *rows("Let in", (("a kid", "response", sent(signed(RSA, "RS256", kid="r"))),), setup=PUBLISHED),
    *rows("Let in", (("a bearer", "response", shown(f"{BEARER} {good()}")),), is_handshake=True, setup=WITH_SECRET),
    *rows(
        "Let in",
        (("an offer", "response", shown(f"{OFFER} edgebus.v1, {good()}")),),
        is_handshake=True,
        setup=WITH_SECRET,
    ),
    *rows("Let in", (("a page", "response", shown(f"Origin: {PAGE}")),), is_handshake=True, setup=LISTED),
    *rows("Let in", (("a page of here", "response", shown("Origin: http://localhost:3000")),), is_handshake=True),
    *rows(
        "Let in",
        (("no page", "response", shown(f"{BEARER} {token('a', ['workflow:read'])}")),),
        is_handshake=True,
        setup=LISTED_OR_TOKEN,
    ),
    *rows("Let in", (("another user", "response", sent(token("a"))),), setup=BUSY),
)
"""What differs from rows in nothing but the fault, and is let in."""

ROWS: Final[tuple[Row, ...]] = (
    *rows("Signatures of tokens", SIGNATURES, setup=WITH_SECRET),
    *rows("Forms of tokens", FORMS, setup=WITH_SECRET),
    *rows("Claims of tokens", CLAIMS, setup=WITH_SECRET),
    *rows("Tokens in the handshake", HANDSHAKES, is_handshake=True, setup=WITH_SECRET),
    *rows("Before a token", STRANGERS, setup=WITH_SECRET),
    *rows("No token", SILENCES, setup=HURRIED),
    *rows("Tokens and a public key", CONFUSED, setup=WITH_PEM),
    *rows("Tokens and published keys", KIDS, setup=PUBLISHED),
    *rows("Two origins", (("two `Origin` headers", TWO, from_page(PAGE, "null")),), is_handshake=True),
    *rows("Pages of elsewhere", ELSEWHERE, is_handshake=True),
    *rows("Origins", ORIGINS, is_handshake=True, setup=LISTED),
    *rows("Origins and tokens", NO_ORIGINS, is_handshake=True, setup=LISTED_OR_TOKEN),
    *rows("Addresses", ADDRESSES, is_handshake=True, setup=CROWDED),
    *rows("Users", USERS, setup=BUSY),
)

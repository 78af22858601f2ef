import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest

from edges.auth.fetching import fetch
from edges.auth.jwks import Jwks
from edges.auth.keyring import KeysUnavailable
from tests.edges.signing import EC, RSA, jwk, jwks

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Issuer:
    """A place where keys are published, and a clock."""

    def __init__(self) -> None:
        self.document: bytes | None = jwks(jwk(RSA, kid="r"))
        self.asked: list[str] = []
        self.threads: set[int] = set()
        self.now = 1000.0

    def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        self.threads.add(threading.get_ident())
        if self.document is None:
            raise OSError("away")
        return self.document


@pytest.fixture
def issuer() -> Issuer:
    """Return an issuer with one key."""
    return Issuer()


@pytest.fixture
def published(issuer: Issuer) -> Jwks:
    """Return what is tested, on that issuer."""
    return Jwks("https://issuer/keys", fetch=issuer.fetch, clock=lambda: issuer.now)


def names(keys: object) -> list[str | None]:
    return [key.kid for key in keys]  # type: ignore[attr-defined]


async def test_fetched_once_off_the_loop_and_kept(issuer: Issuer, published: Jwks) -> None:
    """Many tokens cost one request, made in a thread of its own."""
    found = await asyncio.gather(*(published.keys("r") for _ in range(10)))
    assert {tuple(names(keys)) for keys in found} == {("r",)}
    assert issuer.asked == ["https://issuer/keys"]
    assert threading.get_ident() not in issuer.threads
    issuer.now += 1e6
    await published.keys("r")
    await published.keys(None)
    assert len(issuer.asked) == 1


async def test_unknown_name_fetches_anew_but_not_often(issuer: Issuer, published: Jwks) -> None:
    """A new key is found when a token names it; names that do not exist cost the issuer one request in 30 s."""
    await published.keys("r")
    issuer.document = jwks(jwk(RSA, kid="r"), jwk(EC, kid="e"))
    await later_or_never(published, "e", times=100)
    assert len(issuer.asked) == 1
    issuer.now += 30
    assert names(await published.keys("e")) == ["r", "e"]
    await later_or_never(published, "nobody", times=100)
    assert len(issuer.asked) == 2


async def later_or_never(published: Jwks, kid: str, *, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(KeysUnavailable):
            await published.keys(kid)


async def test_name_is_wrong_only_after_a_fetch_for_it(issuer: Issuer, published: Jwks) -> None:
    """While no fetch is allowed nobody can say that a name is none; a document fetched for it can, at once."""
    await published.keys("r")
    issuer.now += 30
    assert names(await published.keys("made-up")) == ["r"]  # somebody's nonsense used the fetch up
    issuer.document = jwks(jwk(RSA, kid="r"), jwk(EC, kid="e"))  # and the issuer changes its keys
    await later_or_never(published, "e")
    issuer.now += 30
    assert "e" in names(await published.keys("e"))


async def test_fetch_begun_for_another_says_nothing(issuer: Issuer, published: Jwks) -> None:
    """A document that was on its way before a name was asked for may be older than the key of that name."""
    await published.keys("r")
    issuer.now += 30
    found = await asyncio.gather(published.keys("a"), published.keys("b"), return_exceptions=True)
    assert names(found[0]) == ["r"]
    assert isinstance(found[1], KeysUnavailable)


async def test_issuer_that_is_away(issuer: Issuer, published: Jwks) -> None:
    """Without keys nobody can say anything; with old ones, what they signed is still taken."""
    issuer.document = None
    for _ in range(5):
        with pytest.raises(KeysUnavailable):
            await published.keys("r")
    assert len(issuer.asked) == 1
    issuer.now += 30
    issuer.document = jwks(jwk(RSA, kid="r"))
    assert names(await published.keys("r")) == ["r"]
    issuer.now += 30
    issuer.document = None
    with pytest.raises(KeysUnavailable):
        await published.keys("e")
    assert names(await published.keys("r")) == ["r"]


async def test_key_taken_back_is_gone_after_a_refresh(issuer: Issuer, published: Jwks) -> None:
    """What the issuer no longer publishes is no key any more; that it is none, a fetch for it says."""
    await published.keys("r")
    issuer.document = jwks(jwk(EC, kid="e"))
    await published.refresh()
    await later_or_never(published, "r")
    assert names(await published.keys("e")) == ["e"]
    issuer.now += 30
    assert names(await published.keys("r")) == ["e"]


@pytest.mark.parametrize("document", [b"", b"<html>", b'{"keys":[]}'])
async def test_document_that_is_none(issuer: Issuer, published: Jwks, document: bytes) -> None:
    """Anything but a JWKS counts as no answer, and changes nothing."""
    issuer.document = document
    with pytest.raises(KeysUnavailable):
        await published.keys("r")


async def test_address_that_cannot_be_asked() -> None:
    """An address that no resolver takes is a failed fetch, and no end of the edge."""
    for url in ("https://a..b/", "https://issuer:x/", "http://127.0.0.1:1/"):
        with pytest.raises(KeysUnavailable):
            await Jwks(url).keys(None)


@asynccontextmanager
async def site(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Run a site that gives everyone this answer, and keeps what was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys", asked


async def test_document_at_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """The document is what the address answers with; a proxy is not asked for what is on this machine."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with site(b"HTTP/1.1 200 OK\r\n\r\n{}") as (url, asked):
        assert await asyncio.to_thread(fetch, url) == b"{}"
    assert asked[0].startswith(b"GET /keys HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (256 * 1024 + 1),
        b"",
    ],
    ids=["redirect", "missing", "too large", "nothing"],
)
async def test_no_document_at_a_url(answer: bytes) -> None:
    """A redirect is not followed, and an answer without end not read."""
    async with site(answer) as (url, asked):
        with pytest.raises(OSError, match=r".+"):
            await asyncio.to_thread(fetch, url)
    assert len(asked) == 1


HEAD, BODY = b"HTTP/1.1 200 OK\r\nX-", b"HTTP/1.1 200 OK\r\n\r\n"


@asynccontextmanager
async def trickle(begins: bytes) -> AsyncIterator[int]:
    """Run a site that sends a byte now and then and never comes to an end; give its port."""
    is_over = asyncio.Event()
    ended = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.write(begins)
            while not is_over.is_set():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.transport.abort()
        ended.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield int(server.sockets[0].getsockname()[1])
        is_over.set()
        await ended.wait()


@pytest.mark.parametrize("begins", [b"", HEAD, BODY], ids=["status", "head", "body"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_answer_that_trickles_is_given_up(scheme: str, begins: bytes) -> None:
    """The deadline is for the whole: TLS that is never agreed on, a head or a body that comes byte by byte."""
    async with trickle(begins if scheme == "http" else b"\x16\x03\x03\x40\x00" + begins) as port:
        with pytest.raises(TimeoutError, match=r"more than 0\.2 s"):
            await asyncio.to_thread(partial(fetch, f"{scheme}://127.0.0.1:{port}/keys", deadline_s=0.2))


HANGS = """
import asyncio, threading
from edges.auth.jwks import Jwks

async def main():
    begun = threading.Event()
    def fetch(url):
        begun.set()
        threading.Event().wait()
    task = asyncio.create_task(Jwks("https://issuer/keys", fetch=fetch).refresh())
    while not begun.is_set():
        await asyncio.sleep(0)
    task.cancel()

asyncio.run(main())
print("ended")
"""


def test_fetch_that_hangs_holds_nobody() -> None:
    """A resolver that never answers keeps no edge from ending: the process is over with its loop."""
    ran = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stdout) == (0, "ended\n"), ran.stderr

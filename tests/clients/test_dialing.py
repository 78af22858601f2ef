"""The way to an edge: what proxies answer, where redirects lead, and what goes along."""

import asyncio
import os
import ssl

import pytest
from websockets.asyncio.server import serve

from clients import Dismissed, Interrupted, Recovered, Redirected, Unreachable, WrongAddress, connect
from clients.dialing import place
from clients.settings import ClientSettings
from tests.clients.fake_edge import CHANNEL, FakeEdge, Waiting, fake_edge, take

pytestmark = pytest.mark.virtual_time

TOKEN = "Bearer a-token"


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
async def test_redirect_to_another_origin_gets_nothing(status: int) -> None:
    """Neither the token nor even a connection: the error names the address, and the caller chooses."""
    async with fake_edge(status=status) as edge, fake_edge() as other:
        edge.headers = {"Location": f"ws://user:pw@127.0.0.1:{other.port}/x?token=secret"}
        settings = ClientSettings(headers={"X-Token": TOKEN})
        with pytest.raises(Redirected, match=rf"redirects to ws://127\.0\.0\.1:{other.port}/x,") as redirected:
            await connect(edge.url, token="t", settings=settings).__aenter__()
        assert other.requests == []
        assert "secret" not in str(redirected.value)


@pytest.mark.parametrize(
    "target",
    [
        "wss://127.0.0.1:{port}/",
        "https://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "ws://127.0.0.1:1/",
        "//evil.example/",
        "ftp://127.0.0.1:{port}/",
        "ws://[::1/",
        "ws://127.0.0.1:99999/",
    ],
)
async def test_redirect_that_is_not_followed_is_named(target: str) -> None:
    """Another scheme, host or port is another origin; and what is no address is none."""
    async with fake_edge(status=302) as edge:
        edge.headers = {"Location": target.format(port=edge.port)}
        with pytest.raises(Redirected, match="did not name"):
            await connect(edge.url).__aenter__()
        assert len(edge.requests) == 1


@pytest.mark.parametrize("target", ["/there", "there", "ws://127.0.0.1:{port}/there", "http://127.0.0.1:{port}/there"])
async def test_redirect_within_the_origin_is_followed(target: str) -> None:
    """With the headers, for they were given for this origin."""
    async with fake_edge() as edge:
        edge.statuses, edge.headers = [302, None], {"Location": target.format(port=edge.port)}
        settings = ClientSettings(headers={"Authorization": TOKEN})
        async with connect(edge.url, settings=settings):
            shown = [(request.path, request.headers["Authorization"]) for request in edge.requests]
    assert shown == [("/", TOKEN), ("/there", TOKEN)]


async def test_redirect_in_a_circle_ends() -> None:
    """Nobody follows for ever."""
    async with fake_edge(status=302) as edge:
        edge.headers = {"Location": "/again"}
        with pytest.raises(Unreachable, match="redirects"):
            await connect(edge.url).__aenter__()


async def test_redirect_without_a_place_is_an_answer() -> None:
    """Nothing to follow, and nothing said for good."""
    async with fake_edge(status=302) as edge:
        with pytest.raises(Unreachable, match="HTTP 302"):
            await connect(edge.url).__aenter__()


async def test_redirect_keeps_tls(served: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """From ``wss`` nothing leads to ``ws``, on the same host neither; a path on the same origin is followed."""
    edge = FakeEdge()
    async with serve(edge.serve, "127.0.0.1", 0, ssl=served, process_request=edge.answer) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        url, settings = f"wss://127.0.0.1:{port}", ClientSettings(tls=trusting)
        edge.statuses, edge.headers = [302], {"Location": f"ws://127.0.0.1:{port}/"}
        with pytest.raises(Redirected, match="redirects to ws://"):
            await connect(url, token="t", settings=settings).__aenter__()
        edge.statuses, edge.headers = [302, None], {"Location": f"https://127.0.0.1:{port}/there"}
        async with connect(url, settings=settings):
            assert edge.requests[-1].path == "/there"


async def test_redirect_on_a_reconnect_is_retried_rarely_and_told(caplog: pytest.LogCaptureFixture) -> None:
    """A proxy on a bad day; the log says once where it points to."""
    waiting = Waiting()
    async with fake_edge() as edge, connect(edge.url, settings=waiting.settings()) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        edge.statuses, edge.headers = [302, 302, None], {"Location": "https://127.0.0.1:1/login"}
        await talk.cut()
        await (await edge.accept()).resumes(0, 0)
        assert (await take(events, 2))[1] == Recovered(CHANNEL, 0)
    assert waiting.slept == [0.25, 30.0, 30.0]
    [told] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "wss://127.0.0.1:1/login" in told.reason  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 407, 410, 421, 426])
async def test_answer_of_a_proxy_is_for_good_on_the_first_connection_only(status: int) -> None:
    """A wrong address stays wrong; after a good connection it may be a proxy's whose edge restarts: tried rarely."""
    waiting = Waiting()
    async with fake_edge(status=status) as edge:
        with pytest.raises(Dismissed, match=str(status)):
            await connect(edge.url, retry_first=True, settings=waiting.settings()).__aenter__()
    async with fake_edge() as edge, connect(edge.url, settings=waiting.settings()) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        edge.statuses = [status, status, None]
        await talk.cut()
        await (await edge.accept()).resumes(0, 0)
        interrupted, recovered = await take(events, 2)
    assert waiting.slept == [0.25, 30.0, 30.0]
    assert isinstance(interrupted, Interrupted)
    assert recovered == Recovered(CHANNEL, 0)


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_heeded(status: int) -> None:
    """For as long as was asked, and a little more by the dice: all clients were told the same."""
    waiting = Waiting()
    async with fake_edge() as edge, connect(edge.url, settings=waiting.settings()):
        edge.statuses, edge.headers = [status, status, None], {"Retry-After": "7"}
        await (await edge.accept()).cut()
        await edge.accept()
    assert waiting.slept == [0.25, 7.25, 7.25]


async def test_retry_after_of_the_first_answer_is_heeded() -> None:
    """With ``retry_first`` the first answer may be an overloaded balancer's."""
    waiting = Waiting()
    async with fake_edge() as edge:
        edge.statuses, edge.headers = [503, None], {"Retry-After": "7"}
        async with connect(edge.url, retry_first=True, settings=waiting.settings()):
            await edge.accept()
    assert waiting.slept == [7.25]


def test_place_shows_no_secret() -> None:
    """Errors and logs name an address, and nothing that lets anybody in."""
    assert place("wss://user:pw@edge.example:8690/x?token=secret#y") == "wss://edge.example:8690/x"


@pytest.mark.parametrize("url", ["ws://a..b/", "ws://" + "a" * 70 + ".example/"])
async def test_host_that_is_no_name_is_unreachable(url: str) -> None:
    """What no resolver is even asked for is no other error than a host that is not there."""
    with pytest.raises(Unreachable):
        await connect(url).__aenter__()


async def test_proxy_that_nothing_here_speaks_to_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy in the environment wants a package that may not be there."""
    monkeypatch.setenv("socks_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(Unreachable, match=r"edge\.example.*socks_proxy"):
        await connect("ws://edge.example").__aenter__()


@pytest.mark.parametrize(
    ("variable", "proxy", "shown"),
    [
        ("https_proxy", "http://user:geheim@127.0.0.1:1", "http://…@127.0.0.1:1"),
        ("HTTPS_PROXY", "http://127.0.0.1:1/", "http://127.0.0.1:1/"),
        ("all_proxy", None, None),
        ("https_proxy", "ftp://user:geheim@127.0.0.1:1", "ftp://…@127.0.0.1:1"),
        ("https_proxy", "http://user:geheim@127.0.0.1:1/path", "http://…@127.0.0.1:1/path"),
    ],
)
async def test_proxy_of_the_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str | None, shown: str | None
) -> None:
    """An error says which proxy it came by, by which variable, and how to go past it; its password is not shown."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    if proxy is not None:
        monkeypatch.setenv(variable, proxy)
    with pytest.raises(Unreachable) as refused:
        await connect("wss://edge.invalid/x").__aenter__()
    sentence = str(refused.value)
    assert "geheim" not in sentence
    named = f"wss://edge.invalid/x by the proxy {shown} ({variable}; NO_PROXY=edge.invalid goes past it)"
    assert (named in sentence) == (proxy is not None), sentence


async def test_answer_of_a_proxy_is_told_as_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that wants a password of its own is no edge that does."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(
            Unreachable, match=r"edge\.invalid by the proxy http://127\.0\.0\.1:\d+ \(http_proxy.*HTTP 407"
        ):
            await connect("ws://edge.invalid").__aenter__()


@pytest.mark.parametrize(
    "url", ["http://user:geheim@h/?token=geheim", "ws://h/#geheim", "user:geheim@h", "ws://u:geheim@["]
)
def test_address_that_is_none_shows_no_secret(url: str) -> None:
    """What is refused for being no WebSocket URL may hold a password or a token all the same."""
    with pytest.raises(WrongAddress) as refused:
        connect(url)
    assert "geheim" not in str(refused.value)

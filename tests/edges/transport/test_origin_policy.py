"""Who may come in, first as values, then over real sockets."""

from typing import Any

import orjson
import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from edges import EdgeSettings
from edges.net.visitor import Visitor
from edges.session.context import Context
from edges.transport.connection import Connection
from edges.transport.origin_policy import admit
from edges.transport.routes import Routes
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, get, http, upgrade
from tests.edges.signing import SECRET, token

pytestmark = pytest.mark.virtual_time

NO_REDIS = "redis://127.0.0.1:1"
PAGE = "https://app.example.com"


def request(*headers: tuple[str, str]) -> Request:
    return Request("/", Headers(headers))


def entry(*headers: tuple[str, str], is_tls: bool = False, takes_tokens: bool = False, **given: Any) -> Any:
    settings = EdgeSettings(**given)
    return admit(request(*headers), "10.0.0.1", settings, is_tls=is_tls, takes_tokens=takes_tokens)


def test_visitor_of_an_open_edge() -> None:
    """Nothing configured: everybody comes in, and the socket's other end is who they are."""
    assert entry(("X-Forwarded-For", "1.1.1.1")) == Visitor("10.0.0.1", is_secure=False)
    assert entry(is_tls=True) == Visitor("10.0.0.1", is_secure=True)


def test_visitor_behind_a_listed_proxy() -> None:
    """A listed proxy's word is taken for the address and for https."""
    forwarded = (("X-Forwarded-For", "6.6.6.6, 203.0.113.9"), ("X-Forwarded-Proto", "https"))
    assert entry(*forwarded, trusted_proxies="10.0.0.0/8") == Visitor("203.0.113.9", is_secure=True)
    assert entry(*forwarded, trusted_proxies="10.9.0.0/16") == Visitor("10.0.0.1", is_secure=False)


def test_visitor_without_an_origin_needs_a_token() -> None:
    """With a list of pages, a client that names none comes in to show a token; where none is checked, not at all."""
    assert entry(allowed_origins=PAGE, takes_tokens=True) == Visitor("10.0.0.1", is_secure=False, needs_token=True)
    assert entry(("Origin", PAGE), allowed_origins=PAGE, takes_tokens=True) == Visitor("10.0.0.1", is_secure=False)
    refused = entry(allowed_origins=PAGE)
    assert isinstance(refused, Response)
    assert (refused.status_code, b"token" in refused.body) == (403, True)


def test_token_makes_up_for_no_origin_only() -> None:
    """A page that is not listed is refused, whether tokens are checked or not: it may hold a stolen one."""
    refused = entry(("Origin", "https://evil.example"), allowed_origins=PAGE, takes_tokens=True)
    assert isinstance(refused, Response)


EVIL = "https://evil.example"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_edge_for_this_machine_takes_its_pages_only(host: str) -> None:
    """On a loopback address, without listed pages and keys, a page of elsewhere that somebody visits is refused."""
    assert isinstance(entry(host=host), Visitor)
    assert isinstance(entry(("Origin", "http://localhost:3000"), ("Host", "localhost:8690"), host=host), Visitor)
    for headers in (
        [("Origin", EVIL)],
        [("Origin", "null")],
        [("Host", "evil.example")],
        [("Host", "evil.example:8690"), ("Origin", "http://evil.example:8690")],
        [("Host", "localhost"), ("Host", "localhost")],
    ):
        assert isinstance(refused := entry(*headers, host=host), Response)
        assert refused.status_code == 403


@pytest.mark.parametrize(
    "given",
    [
        {"takes_tokens": True},
        {"host": "0.0.0.0"},  # noqa: S104
        {"host": "192.0.2.7"},
        {"trusted_proxies": "127.0.0.1"},
        {"insecure_behind_proxy": True},
    ],
)
def test_edge_for_others_takes_every_page(given: dict[str, Any]) -> None:
    """With keys, elsewhere, or behind a proxy that its operator named, an edge without a list lets every page in."""
    assert isinstance(entry(("Origin", EVIL), ("Host", "bus.example.com"), **given), Visitor)


@pytest.mark.parametrize("settings", [{}, {"auth_secret": SECRET}])
async def test_page_of_elsewhere_over_a_socket(start_edge: StartEdge, settings: dict[str, Any]) -> None:
    """By its own name or by one that was made to lead here (DNS rebinding), for a WebSocket and for plain HTTP."""
    edge = await start_edge(redis_url=NO_REDIS, **settings)
    expected = {"page": 101, "name": 101, "plain": 200} if settings else {"page": 403, "name": 403, "plain": 403}
    found = {}
    for name, sent in (
        ("page", upgrade("/", f"Origin: {EVIL}")),
        ("name", upgrade("/", host=f"evil.example:{edge.port}")),
        ("plain", get("/healthz", host=f"evil.example:{edge.port}")),
    ):
        client = await Client.connect(edge.port)
        client.write(sent)
        found[name], _, _ = await client.head()
        if found[name] == 403:
            sentence = orjson.loads(await client.rest())["error"]
            assert ("allowed_origins" if name == "page" else "--insecure-behind-proxy") in sentence
        await client.close()
    assert found == expected
    assert edge.statistics()[0].strangers == (0 if settings else 3)
    assert (await http(edge.port, b"GET /healthz HTTP/1.0\r\n\r\n"))[0] == 200
    page = await Client.connect(edge.port)
    page.write(upgrade("/", "Origin: http://localhost:3000", host="localhost"))
    assert (await page.head())[0] == 101
    await page.close()


@pytest.mark.parametrize(
    ("origins", "status"),
    [
        ([PAGE], 101),
        (["http://localhost:3000"], 101),
        (["https://evil.example"], 403),
        (["null"], 403),
        ([], 403),
        ([PAGE, PAGE], 403),
        ([PAGE, "https://evil.example"], 403),
    ],
)
async def test_origin_over_a_socket(start_edge: StartEdge, origins: list[str], status: int) -> None:
    """The answer comes before the upgrade, as JSON that says why; the place is free again, and the edge goes on."""
    edge = await start_edge(redis_url=NO_REDIS, allowed_origins=(PAGE, "http://localhost:3000"))
    client = await Client.connect(edge.port)
    client.write(upgrade("/", *(f"Origin: {origin}" for origin in origins)))
    found, headers, _ = await client.head()
    assert found == status
    if status == 403:
        assert headers["content-type"] == "application/json"
        assert orjson.loads(await client.rest())["error"]
        assert (edge.health()["connections"], edge.statistics()[0].strangers) == (0, 1)
    await client.close()
    assert (await http(edge.port, get("/healthz", "Origin: https://evil.example")))[0] == 200


async def test_no_origin_takes_a_token_where_pages_do_not(start_edge: StartEdge) -> None:
    """With a list and keys, a client that names no page is locked until it shows a good token; a listed page is not."""
    edge = await start_edge(
        redis_url=NO_REDIS, allowed_origins=PAGE, auth_secret=SECRET, anonymous_permissions="workflow:read"
    )
    nobody, bearer, page = [await Client.connect(edge.port) for _ in range(3)]
    nobody.write(upgrade("/"))
    bearer.write(upgrade("/", f"Authorization: Bearer {token()}"))
    page.write(upgrade("/", f"Origin: {PAGE}"))
    for client in (nobody, bearer, page):
        assert (await client.head())[0] == 101
    nobody.request("subscribe", channel="workflow:x")
    assert (await nobody.message())["error_code"] == "AUTH_REQUIRED"
    assert await nobody.close_code() == 1008
    assert (await bearer.message())["data"]["authenticated"] is True
    assert (await page.message())["data"]["authenticated"] is False
    page.request("subscribe", channel="workflow:x")
    assert (await page.message())["error_code"] == "UNAVAILABLE"
    for client in (bearer, page):
        await client.close()


async def test_two_origins_without_a_list(start_edge: StartEdge) -> None:
    """Two Origin headers are refused by an edge that lets every page in, too."""
    edge = await start_edge(redis_url=NO_REDIS)
    status, _, body = await http(edge.port, upgrade("/", f"Origin: {PAGE}", f"Origin: {PAGE}"))
    assert (status, b"two Origin" in body) == (403, True)


async def test_neighbour_keeps_its_connection(start_edge: StartEdge, open_client: OpenClient) -> None:
    """A refused page is nobody else's trouble."""
    edge = await start_edge(redis_url=NO_REDIS, allowed_origins=PAGE)
    client = await Client.connect(edge.port)
    client.write(upgrade("/", f"Origin: {PAGE}"))
    assert (await client.head())[0] == 101
    await client.welcomed()
    for _ in range(20):
        assert (await http(edge.port, upgrade("/", "Origin: https://evil.example")))[0] == 403
    assert await client.marked() == []
    await client.close()


async def test_address_and_secure_through_a_proxy(start_edge: StartEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    """The welcome says `secure` when a listed proxy says https; the connection's address is the client's."""
    seen: list[Connection] = []

    class Recorded(Connection):
        def __init__(self, around: Context, routes: Routes) -> None:
            super().__init__(around, routes)
            seen.append(self)

    monkeypatch.setattr("edges.edge.Edge.connection", Recorded)
    edge = await start_edge(redis_url=NO_REDIS, trusted_proxies="127.0.0.1")
    client = await Client.connect(edge.port)
    client.write(upgrade("/", "X-Forwarded-For: 1.2.3.4, 203.0.113.9", "X-Forwarded-Proto: https"))
    await client.head()
    assert (await client.message())["data"]["secure"] is True
    assert [one.visitor.address for one in seen] == ["203.0.113.9"]
    await client.close()
    other = await Client.open(edge.port)
    assert (await other.message())["data"]["secure"] is False
    assert seen[1].visitor.address == "127.0.0.1"
    await other.close()

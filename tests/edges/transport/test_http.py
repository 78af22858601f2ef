import asyncio
import contextlib
import shutil

import orjson
import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request

from bus.broker.embedded import EmbeddedBroker
from edges import Edge
from edges.transport.http import answered, forbidden
from edges.transport.routes import Route, Routes, routes_of
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, eventually, get, http, upgrade
from tests.ports import free_port

NO_REDIS = "redis://127.0.0.1:1"


@pytest.fixture
async def edge(start_edge: StartEdge) -> Edge:
    """Lend an edge without a Redis."""
    return await start_edge(redis_url=NO_REDIS)


async def test_healthz(edge: Edge, open_client: OpenClient) -> None:
    """/healthz is 200 whatever Redis does, and counts clients and not itself."""
    await open_client(edge)
    status, headers, body = await http(edge.port, get("/healthz"))
    assert status == 200
    assert orjson.loads(body) == {"status": "healthy", "service": "mahavishnu", "connections": 1, "rooms": 0}
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == str(len(body))
    assert headers["connection"] == "close"


@pytest.mark.parametrize(("path", "asked"), [("/healthz", ["health"]), ("/readyz", ["ready"]), ("/else", [])])
def test_only_what_is_asked_for_is_found_out(path: str, asked: list[str]) -> None:
    """Anybody may send a GET, so one costs no more than its answer needs."""
    standing, request = Asked(), Request(path, Headers())
    routes_of(standing, lambda _: None).find(request).handler(request)
    assert standing.found == asked


class Asked:
    """An edge that notes what it was asked."""

    def __init__(self) -> None:
        self.found = list[str]()

    def body(self) -> dict[str, object]:
        self.found.append("health")
        return {}

    def not_ready(self) -> str:
        self.found.append("ready")
        return "not yet"

    def warning(self) -> None:
        self.found.append("warning")


TABLE = Routes(
    [
        Route("GET", "/metrics", lambda _: answered({"lines": 1}), lambda _: forbidden("with a token")),
        Route("POST", "/publish", lambda _: answered({"id": "x"}), lambda _: None),
    ],
    lambda _: None,
)


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/metrics", 200, None),
        ("HEAD", "/metrics?all", 200, None),
        ("POST", "/metrics", 405, "GET, HEAD"),
        ("POST", "/publish", 200, None),
        ("HEAD", "/publish", 405, "POST"),
        ("POST", "/elsewhere", 404, None),
        ("PUT", "/elsewhere", 405, "GET, HEAD, POST"),
    ],
)
def test_answer_is_from_the_table(method: str, path: str, status: int, allow: str | None) -> None:
    """A row is all that a path needs: HEAD, and the answers to another method and another path, follow from rows."""
    request = Request(path, Headers(), method)
    response = TABLE.find(request).handler(request)
    assert (response.status_code, response.headers.get("Allow")) == (status, allow)
    assert (not response.body) == (method == "HEAD")


def test_who_may_is_a_part_of_the_row() -> None:
    """Each row says who may have its answer; a path that is none is told to whoever may hear of that."""
    refused = [TABLE.find(it).guard(it) for it in (Request("/metrics", Headers()), Request("/else", Headers()))]
    assert [it and it.status_code for it in refused] == [403, None]


def test_paths_are_named_to_who_missed_them() -> None:
    """The sentence of a 404 lists what there is, from the table."""
    request = Request("/else", Headers())
    assert b"there are /metrics and /publish, and WebSocket" in TABLE.find(request).handler(request).body


async def test_readyz_without_redis(edge: Edge) -> None:
    """/readyz is 503 with a reason while Redis is away."""
    status, _, body = await http(edge.port, get("/readyz"))
    assert status == 503
    assert orjson.loads(body)["reason"]


async def test_readyz_with_redis(broker: EmbeddedBroker, start_edge: StartEdge) -> None:
    """/readyz is 200 once the link is up."""
    edge = await start_edge(broker)
    assert (await http(edge.port, get("/readyz")))[0] == 200


@pytest.mark.parametrize("path", ["/", "/healthz/x", "/healthy", "/%2e%2e/etc", "/?x=/healthz", "*"])
async def test_path_unknown(edge: Edge, path: str) -> None:
    """Anything else is 404."""
    assert (await http(edge.port, get(path)))[0] == 404


async def test_readyz_at_capacity(broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient) -> None:
    """/readyz is 503 while every place is taken, so that a balancer sends the next client elsewhere; then 200 again."""
    edge = await start_edge(broker, max_connections=1)
    client = await open_client(edge)
    await client.welcomed()
    status, _, body = await http(edge.port, get("/readyz"))
    assert (status, "max_connections" in orjson.loads(body)["reason"]) == (503, True)
    assert (await http(edge.port, get("/healthz")))[0] == 200
    await client.close()
    await eventually(lambda: edge.not_ready() is None)
    assert (await http(edge.port, get("/readyz")))[0] == 200


async def test_query_is_ignored(edge: Edge) -> None:
    """A load balancer may add a query."""
    assert (await http(edge.port, get("/healthz?probe=1")))[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_method_other(edge: Edge, method: str) -> None:
    """Other methods are 405 on every path, and learn which are allowed."""
    for path in ("/healthz", "/elsewhere"):
        status, headers, _ = await http(edge.port, get(path, method=method))
        assert (status, headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/health", 200), ("/readyz", 503), ("/else", 404)])
async def test_head_is_answered_as_get_without_a_body(edge: Edge, path: str, status: int) -> None:
    """HEAD, the default of wget and of many balancers, has GET's status and headers (RFC 9110, section 9.3.2)."""
    found, headers, body = await http(edge.port, get(path, method="HEAD"))
    asked, wanted, text = await http(edge.port, get(path))
    assert (found, asked, body) == (status, status, b"")
    assert headers["content-length"] == wanted["content-length"] == str(len(text))
    assert headers.keys() == wanted.keys()


async def test_health_is_another_name_of_healthz(edge: Edge) -> None:
    """/health, which the ecosystem's charts ask for, is /healthz."""
    answers = [await http(edge.port, get(path)) for path in ("/health", "/healthz")]
    assert [(status, body) for status, _, body in answers] == [(200, answers[0][2])] * 2


async def test_upgrade_by_head_is_a_plain_request(edge: Edge) -> None:
    """Only GET opens a WebSocket (RFC 6455, section 4.1); a HEAD that offers one is answered, not upgraded."""
    status, _, body = await http(edge.port, upgrade("/healthz").replace(b"GET", b"HEAD"))
    assert (status, body) == (200, b"")


async def test_http_1_0(edge: Edge) -> None:
    """An old load balancer's check works."""
    assert (await http(edge.port, get("/healthz", version="1.0")))[0] == 200
    assert (await http(edge.port, b"GET /healthz HTTP/1.0\r\n\r\n"))[0] == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /healthz HTTP/1.1\r\nHost: e\r\nContent-Length: 5\r\n\r\nhello",
        b"POST /healthz HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
    ids=["length", "chunked"],
)
async def test_method_other_with_a_body(edge: Edge, request_: bytes) -> None:
    """Another method is 405 with a body too."""
    assert (await http(edge.port, request_))[0] == 405


async def test_get_with_a_body(edge: Edge) -> None:
    """A GET with a body is answered, not just cut off, and nothing of the body is taken for a request."""
    body = get("/healthz")
    status, _, rest = await http(edge.port, get("/healthz", f"Content-Length: {len(body)}") + body)
    assert status in (200, 400)
    assert b"HTTP/1.1 " not in rest.replace(b"an HTTP/1.1 ", b"")


async def test_bytes_pipelined_behind_a_get(edge: Edge) -> None:
    """The first request is answered and the connection closed, whatever follows it."""
    status, _, rest = await http(edge.port, get("/healthz") + get("/readyz") + b"\x00" * 100_000)
    assert status == 200
    assert b"HTTP/1.1" not in rest


async def test_bytes_of_a_client_that_ends_its_half(edge: Edge) -> None:
    """A client that closes its half after the request, as nc does, is answered."""
    client = await Client.connect(edge.port)
    client.write(get("/healthz"))
    client.writer.write_eof()
    assert (await client.head())[0] == 200
    await client.close()


async def test_head_byte_by_byte(edge: Edge) -> None:
    """A request may come in pieces of any size."""
    client = await Client.connect(edge.port)
    for byte in get("/healthz"):
        client.write(bytes([byte]))
        await client.writer.drain()
    assert (await client.head())[0] == 200
    await client.close()


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
    ],
    ids=["nonsense", "tls", "version", "header", "path"],
)
async def test_malformed(edge: Edge, request_: bytes) -> None:
    """What is no request is told so, and the edge goes on."""
    assert 400 <= (await http(edge.port, request_))[0] < 600
    assert (await http(edge.port, get("/healthz")))[0] == 200


@pytest.mark.parametrize(
    "huge",
    [
        get("/healthz", "X: " + "x" * 9_000),
        get("/healthz", "X: " + "x" * 1_000_000),
        get("/healthz", *[f"X{number}: y" for number in range(5_000)]),
        get("/" + "x" * 70_000),
        b"x" * 1_000_000,
    ],
    ids=["one long", "one huge", "many", "path", "no end"],
)
async def test_head_huge(edge: Edge, huge: bytes) -> None:
    """A head beyond all measure is refused with an answer, not a reset."""
    assert 400 <= (await http(edge.port, huge))[0] < 500
    assert (await http(edge.port, get("/healthz")))[0] == 200


@pytest.mark.parametrize("path", ["/", "/ws", "/healthz", "/any/where?token=x"])
async def test_upgrade_on_any_path(edge: Edge, path: str) -> None:
    """A WebSocket upgrade is accepted on any path."""
    client = await Client.open(edge.port, path)
    assert (await client.message())["event"] == "session.created"
    await client.close()


async def test_upgrade_offers_of_extensions_and_subprotocols_are_declined(edge: Edge) -> None:
    """A client that offers compression or subprotocols is accepted without them."""
    client = await Client.connect(edge.port)
    client.write(upgrade("/", "Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Protocol: chat, other"))
    status, headers, _ = await client.head()
    assert status == 101
    assert not {"sec-websocket-extensions", "sec-websocket-protocol"} & headers.keys()
    await client.close()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b"Sec-WebSocket-Key", b"X-Key", {400}),
        (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 8", {400, 426}),
        (b"Connection: Upgrade", b"Connection: close", {400, 426}),
        (b"HTTP/1.1", b"HTTP/1.0", {505}),
        (b"GET", b"POST", {405}),
    ],
    ids=["no key", "version", "no connection", "http 1.0", "post"],
)
async def test_upgrade_wrong(
    edge: Edge, old: bytes, new: bytes, expected: set[int], caplog: pytest.LogCaptureFixture
) -> None:
    """An upgrade that is none is refused with a status that says why, takes no place, and is no fault of the edge."""
    status, _, _ = await http(edge.port, upgrade().replace(old, new))
    assert status in expected
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    assert orjson.loads((await http(edge.port, get("/healthz")))[2])["connections"] == 0


async def test_upgrade_to_something_else_is_a_plain_request(edge: Edge) -> None:
    """An offer of HTTP/2, as `curl --http2` makes it, does not hide the answer."""
    offer = get("/healthz", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    assert (await http(edge.port, offer))[0] == 200


async def test_frame_in_one_write_with_the_handshake(edge: Edge) -> None:
    """Bytes behind a handshake are the first frames."""
    client = await Client.connect(edge.port)
    client.write(upgrade())
    client.request("ping")
    assert (await client.head())[0] == 101
    assert [(await client.message())["type"] for _ in range(2)] == ["pong", "event"]
    await client.close()


async def test_handshake_that_never_completes(start_edge: StartEdge) -> None:
    """Who does not complete the handshake in time is cut off, and its place is free again."""
    edge = await start_edge(redis_url=NO_REDIS, open_timeout_s=0.2)
    client = await Client.connect(edge.port)
    client.write(b"GET / HT")
    await eventually(lambda: edge.health()["connections"] == 1)
    with contextlib.suppress(ConnectionError):
        assert await client.rest() == b""
    await eventually(lambda: edge.health()["connections"] == 0)
    await client.close()


async def test_curl_and_a_real_head(edge: Edge) -> None:
    """The answer satisfies a strict client."""
    if shutil.which("curl") is None:
        pytest.skip("no curl: apt-get install curl")
    process = await asyncio.create_subprocess_exec(
        *("curl", "-sS", "--fail", "-i", f"http://127.0.0.1:{edge.port}/healthz"), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 0
    assert output.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_port_taken(start_edge: StartEdge) -> None:
    """An edge on a taken port raises OSError and leaves nothing behind."""
    first = await start_edge(redis_url=NO_REDIS, port=free_port())
    with pytest.raises(OSError, match="address"):
        await start_edge(redis_url=NO_REDIS, port=first.port)
    assert (await http(first.port, get("/healthz")))[0] == 200

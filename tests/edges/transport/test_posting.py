"""``POST /publish``: the verb for programs without WebSocket, with the same checks, and a body under bounds."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from edges import Edge
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, get, http, upgrade
from tests.edges.session.test_publish import BOARD, DRAWN, WRITER, publish, stored, talk, watch
from tests.edges.signing import SECRET, token
from tests.edges.transport.test_tls import Files

EVENT: dict[str, Any] = {"event": "element.drawn", "data": DRAWN, "id": "p1"}
JSON = "Content-Type: application/json"


@pytest.fixture
async def edge(broker: EmbeddedBroker, start_edge: StartEdge) -> Edge:
    return await start_edge(broker, BOARD, auth_secret=SECRET)


def bearer(user: str = "alice", permissions: Any = WRITER) -> str:
    return f"Authorization: Bearer {token(user, permissions)}"


def post(
    body: Any = EVENT, *headers: str, path: str = "/publish", kind: str = JSON, length: str | None = None
) -> bytes:
    """Return a request as a client sends it."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    sizes = [f"Content-Length: {len(payload)}" if length is None else length]
    return get(path, kind, *sizes, *headers, method="POST") + payload


async def answer(edge: Edge, request: bytes) -> tuple[int, dict[str, str], Any]:
    status, headers, body = await http(edge.port, request)
    return status, headers, json.loads(body)


async def test_event_is_published_as_by_the_verb(edge: Edge, open_client: OpenClient, redis: Redis) -> None:
    """The same event, the same answer; a repetition over WebSocket is known, too."""
    bob = await talk(edge, open_client, "bob")
    await watch(bob, "diagram:d")
    status, headers, data = await answer(edge, post(EVENT, bearer()))
    event = await bob.event("element.drawn")
    assert (status, headers["content-type"], headers["connection"]) == (200, "application/json", "close")
    assert (data["status"], data["id"], data["position"]) == ("published", "p1", event["position"])
    assert event["data"]["user_id"] == "alice"
    again = await (await talk(edge, open_client)).ask(publish())
    assert again["data"] == data
    assert len(await stored(redis)) == 1


async def test_body_in_pieces_and_behind_a_word_to_go_on(edge: Edge, redis: Redis) -> None:
    """`curl` waits for `100 Continue` before a longer body; a body may come byte by byte."""
    body = json.dumps(EVENT).encode()
    head = get("/publish", JSON, f"Content-Length: {len(body)}", bearer(), "Expect: 100-continue", method="POST")
    client = await Client.connect(edge.port)
    client.write(head)
    assert (await client.head())[0] == 100
    for byte in body:
        client.write(bytes([byte]))
        await asyncio.sleep(0)
    assert (await client.head())[0] == 200
    await client.close()
    assert len(await stored(redis)) == 1


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        (post(EVENT), 403, "element.drawn needs a token with the permission diagram:write"),
        (post(EVENT, bearer("carol", ["board:read"])), 403, "element.drawn needs the permission diagram:write"),
        (post(EVENT, "Authorization: Bearer nonsense"), 401, "token"),
        (post({**EVENT, "data": {**DRAWN, "user_id": "bob"}}, bearer()), 403, "user_id: the token is of another user"),
        (post({"event": "diagram.saved", "data": {}}, bearer()), 403, "event: not open to clients"),
        (post({"data": {}}, bearer()), 400, "event: expected the name of an event"),
        (post({"event": "element.drawn", "data": 5}, bearer()), 400, "data: expected an object"),
        (post({**EVENT, "id": 5}, bearer()), 400, "id: expected a text"),
        (post([], bearer()), 400, "the message is not a JSON object"),
        (post(b"{", bearer()), 400, "the message is not JSON"),
        (post(b"", bearer()), 400, "the message is not JSON"),
        (post(EVENT, bearer(), kind="Content-Type: text/plain"), 415, "Content-Type: expected application/json"),
        (post(EVENT, bearer(), kind="X-None: 1"), 415, "Content-Type: expected application/json"),
        (post(b"0\r\n\r\n", bearer(), length="Transfer-Encoding: chunked"), 411, "Content-Length: wanted"),
        (post(EVENT, bearer(), length="X-None: 1"), 411, "Content-Length: wanted"),
        (post(EVENT, bearer(), length="Content-Length: 5\r\nContent-Length: 6"), 400, "Content-Length: expected one"),
        (post(EVENT, bearer(), length="Content-Length: -5"), 400, "Content-Length: expected one number"),
        (post(b"x", bearer(), length="Content-Length: 1000000"), 413, "max_publish_bytes: the body has 1000000 bytes"),
        (post(EVENT, bearer(), "Expect: a miracle"), 417, "Expect: only 100-continue"),
        (
            post(EVENT, bearer(), path="/elsewhere"),
            404,
            "not found; there are /healthz, /readyz, /publish, /events and /channels/",
        ),
        (post(EVENT, bearer(), path="/healthz"), 405, "method not allowed; use GET, HEAD"),
        (get("/publish", bearer()), 405, "method not allowed; use POST"),
    ],
)
async def test_refused_request_says_why_and_stores_nothing(
    edge: Edge, redis: Redis, request_: bytes, status: int, words: str
) -> None:
    """A status, a sentence, and an edge that answers the next."""
    got, _, body = await answer(edge, request_)
    assert (got, words in body["error"]) == (status, True), body
    assert await redis.keys("bus:log:*") == []
    assert (await answer(edge, post(EVENT, bearer())))[0] == 200


async def test_rate_is_counted_over_requests(broker: EmbeddedBroker, start_edge: StartEdge) -> None:
    """Each request is a connection of its own: the user's account holds."""
    edge = await start_edge(broker, BOARD, auth_secret=SECRET, publish_rate_limit_per_user=1)
    answers = [await answer(edge, post({**EVENT, "id": f"p{n}"}, bearer())) for n in range(3)]
    assert [status for status, _, _ in answers] == [200, 200, 429]
    assert answers[2][1]["retry-after"] == "1"
    assert answers[2][2]["code"] == "RATE_LIMIT_EXCEEDED"
    counted = edge._parts._requests.by_verb["publish"].outcomes  # noqa: SLF001 (what GET /metrics reads)
    assert (counted["ok"], counted["limited"]) == (2, 1)


async def test_page_of_elsewhere_may_not_publish(broker: EmbeddedBroker, start_edge: StartEdge) -> None:
    """A browser's request names the page, which is judged as for WebSocket; its question before has no good word."""
    edge = await start_edge(broker, BOARD)
    moved = {"event": "cursor.moved", "data": {"diagram_id": "d", "user_id": "guest", "x": 1}}
    assert (await answer(edge, post(moved)))[0] == 200
    refused = await answer(edge, post(moved, "Origin: https://evil.example"))
    assert (refused[0], "only pages of this machine" in refused[2]["error"]) == (403, True)
    status, headers, _ = await answer(edge, get("/publish", "Origin: https://evil.example", method="OPTIONS"))
    assert (status, "access-control-allow-origin" in headers) == (405, False)


async def test_required_token_is_asked_for(broker: EmbeddedBroker, start_edge: StartEdge) -> None:
    """Where tokens are required, a request without one is told so as HTTP does."""
    edge = await start_edge(broker, BOARD, auth_secret=SECRET, auth_required=True)
    status, headers, body = await answer(edge, post(EVENT))
    assert (status, headers["www-authenticate"]) == (401, "Bearer")
    assert body["code"] == "AUTH_FAILED"
    assert (await answer(edge, post(EVENT, bearer())))[0] == 200


async def test_outage_is_503(start_edge: StartEdge) -> None:
    """Without Redis the client is told to come again."""
    edge = await start_edge(None, BOARD, auth_secret=SECRET, redis_url="redis://127.0.0.1:1")
    status, headers, body = await answer(edge, post(EVENT, bearer()))
    assert (status, headers["retry-after"], body["code"]) == (503, "1", "UNAVAILABLE")


async def test_slow_body_is_cut_and_counted(broker: EmbeddedBroker, start_edge: StartEdge) -> None:
    """A body that does not come ends with the deadline of the handshake; the edge goes on."""
    edge = await start_edge(broker, BOARD, auth_secret=SECRET, open_timeout_s=0.2)
    client = await Client.connect(edge.port)
    client.write(get("/publish", JSON, "Content-Length: 100", bearer(), method="POST") + b"{")
    assert await client.rest() == b""
    await client.close()
    assert edge.statistics()[0].limited["open_timeout_s"] == 1
    assert (await answer(edge, post(EVENT, bearer())))[0] == 200


async def test_edge_without_events_for_clients_has_no_such_path(broker: EmbeddedBroker, start_edge: StartEdge) -> None:
    """As before: no request with a body, and no row."""
    edge = await start_edge(broker)
    assert (await answer(edge, post(EVENT)))[0] == 405
    assert (await answer(edge, get("/publish")))[0] == 404


async def test_upgrade_is_taken_on_the_path_too(edge: Edge) -> None:
    """WebSocket is spoken on any path."""
    client = await Client.connect(edge.port)
    client.write(upgrade("/publish"))
    assert (await client.head())[0] == 101
    await client.close()


async def test_pipelined_bytes_behind_the_body_are_no_second_request(edge: Edge, redis: Redis) -> None:
    """One answer, and the connection ends: what follows the body is dropped."""
    second = post({**EVENT, "id": "p2"}, bearer())
    assert (await answer(edge, post(EVENT, bearer()) + second))[0] == 200
    assert [it["id"] for it in await stored(redis)] == ["p1"]


async def test_token_that_has_ended_is_refused(edge: Edge, redis: Redis) -> None:
    """A token past its end publishes nothing, also where no token is required."""
    ended = token("alice", WRITER, exp=time.time() - 60)
    status, _, body = await answer(edge, post(EVENT, f"Authorization: Bearer {ended}"))
    assert (status, "expired" in str(body)) == (401, True)
    assert await stored(redis) == []


async def test_event_is_published_over_tls(
    broker: EmbeddedBroker, start_edge: StartEdge, redis: Redis, tmp_path: Path
) -> None:
    """The same port speaks HTTPS, and takes a body in two records."""
    files = Files(tmp_path)
    edge = await start_edge(broker, BOARD, auth_secret=SECRET, **files.settings)
    reader, writer = await asyncio.open_connection("localhost", edge.port, ssl=files.client())
    request = post(EVENT, bearer())
    writer.write(request[:-10])
    await writer.drain()
    writer.write(request[-10:])
    async with asyncio.timeout(10):
        found = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert found.startswith(b"HTTP/1.1 200 ")
    assert len(await stored(redis)) == 1

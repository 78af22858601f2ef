"""``GET /channels/NAME``: the past of a channel as JSON, and what pages of elsewhere may read of events."""

from typing import Any

import pytest

from bus.broker.embedded import EmbeddedBroker
from edges import Edge
from producers import Producer
from tests.edges.conftest import Listen, StartEdge
from tests.edges.peers import get, http
from tests.edges.signing import SECRET, token
from tests.edges.streams import events_path, refusal
from tests.edges.transport.test_stream import SERVICE, Moved, Newest, Step, numbers

PAGE = "https://app.example.com"


@pytest.fixture
async def edge(broker: EmbeddedBroker, start_edge: StartEdge) -> Edge:
    return await start_edge(broker, SERVICE, max_answer_bytes=2_000, allowed_origins=(PAGE,), auth_secret=SECRET)


def bearer(*permissions: str) -> str:
    return f"Authorization: Bearer {token('alice', permissions or ['workflow:read'])}"


async def past(edge: Edge, path: str) -> dict[str, Any]:
    status, headers, body = await refusal(edge, path, bearer(), f"Origin: {PAGE}")
    assert (status, headers["cache-control"]) == (200, "no-store")
    assert isinstance(body, dict)
    return body


async def test_past_and_what_follows(edge: Edge, producer: Producer, listen: Listen) -> None:
    """The newest events, oldest first, and a position at which a stream goes on without a hole."""
    empty = await past(edge, "/channels/workflow:a?last=2")
    assert (empty["channel"], empty["reason"], empty["events"]) == ("workflow:a", None, [])
    made = [await producer.publish(Step(number=number)) for number in (1, 2, 3)]
    body = await past(edge, "/channels/workflow:a?last=2")
    assert (numbers(body["events"]), body["reason"]) == ([2, 3], None)
    assert body["position"] == made[-1].positions["workflow:a"] == body["events"][-1]["position"]
    since = await past(edge, f"/channels/workflow:a?since={made[0].positions['workflow:a']}")
    assert numbers(since["events"]) == [2, 3]
    await producer.publish(Step(number=4))
    stream = await listen(edge, "workflow:a", since=body["position"], headers=(bearer(),))
    assert numbers(await stream.heard(1)) == [4]


async def test_past_is_bounded(edge: Edge, producer: Producer) -> None:
    """Past `max_answer_bytes` the oldest events are left out, and the answer says so."""
    for number in range(8):
        await producer.publish(Step(number=number, text="x" * 100))
    body = await past(edge, "/channels/workflow:a")
    assert body["reason"] == "limit"
    assert numbers(body["events"])[-1] == 7
    assert 1 < len(body["events"]) < 8


async def test_past_of_channels_without_a_log(edge: Edge, producer: Producer) -> None:
    """A live channel keeps nothing; a latest one its newest event."""
    for number in (1, 2):
        await producer.publish(Moved(number=number))
        await producer.publish(Newest(number=number))
    live: dict[str, Any] = {"channel": "cursor:a", "position": None, "reason": None, "events": []}
    status, _, body = await refusal(edge, "/channels/cursor:a", bearer("test:read"))
    assert (status, body) == (200, live)
    status, _, body = await refusal(edge, "/channels/newest:a", bearer("test:read"))
    assert (status, numbers(body["events"])) == (200, [2])


async def test_head_has_no_body(edge: Edge) -> None:
    """`HEAD` is answered as `GET`, and ends: of a stream, too."""
    for path, kind in ((events_path("workflow:a"), "text/event-stream"), ("/channels/workflow:a", "application/json")):
        status, headers, body = await http(edge.port, get(path, bearer(), method="HEAD"))
        assert (status, headers["content-type"], body) == (200, kind, b"")
        status, headers, body = await http(edge.port, get(path, method="HEAD"))
        assert (status, body) == (401, b"")
    assert edge.statistics()[0].connections == 0


@pytest.mark.parametrize("path", [events_path("workflow:a"), "/channels/workflow:a"])
async def test_page_of_a_listed_origin(edge: Edge, path: str) -> None:
    """A listed page may ask before, ask, and read, also a refusal; another page may not; no cookie plays a part."""
    asks = f"Origin: {PAGE}", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization"
    status, headers, body = await http(edge.port, get(path, *asks, method="OPTIONS"))
    assert (status, body, headers["access-control-allow-origin"]) == (204, b"", PAGE)
    assert {"Authorization", "Last-Event-ID"} < set(headers["access-control-allow-headers"].split(", "))
    assert "access-control-allow-credentials" not in headers
    status, headers, _ = await refusal(edge, path, f"Origin: {PAGE}")
    assert (status, headers["access-control-allow-origin"], headers["vary"]) == (403, PAGE, "Origin")
    for method in ("GET", "OPTIONS"):
        evil = "Origin: https://evil.example", asks[1]
        status, headers, _ = await refusal(edge, path, *evil, bearer(), method=method)
        assert (status, "access-control-allow-origin" in headers) == (403, False)


async def test_page_of_the_edges_own_origin(edge: Edge) -> None:
    """A browser sends no `Origin` to a page's own server; its page is judged by `Host`, where that is listed."""
    own = "Sec-Fetch-Site: same-origin"
    path = events_path("cursor:a")
    assert (await http(edge.port, get(path, own, host="app.example.com", method="HEAD")))[0] == 403  # no token at all
    assert (await http(edge.port, get(path, own, host="evil.example", method="HEAD")))[0] == 401
    assert (await http(edge.port, get(path, host="app.example.com", method="HEAD")))[0] == 401

"""``GET /events``: streams over real sockets, with the places, permissions, notices and bounds of a WebSocket."""

from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.channel import LATEST, LIVE, SKIP, Family
from bus.event import Event
from bus.redis.revocation import Revocations, of_user
from bus.service import Service
from edges import Edge
from edges.protocol import event_stream
from producers import Producer
from tests.edges.conftest import Listen, OpenClient, StartEdge
from tests.edges.peers import Client, get
from tests.edges.signing import SECRET, token
from tests.edges.streams import events_path, refusal

WORKFLOW = Family("workflow:{workflow_id}", permission="workflow:read")
NEWEST = Family("newest:{workflow_id}", LATEST)
CURSOR = Family("cursor:{workflow_id}", LIVE)
PAGE = Family("page:{workflow_id}", when_slow=SKIP)
SERVICE = Service("test", 1, "Connected to the test", (WORKFLOW, NEWEST, CURSOR, PAGE), (), ())


class Step(Event, event="step", channels=(WORKFLOW,)):
    workflow_id: str = "a"
    number: int
    text: str = ""


class Newest(Event, event="newest", channels=(NEWEST,)):
    workflow_id: str = "a"
    number: int


class Moved(Event, event="moved", channels=(CURSOR,)):
    workflow_id: str = "a"
    number: int


class Paged(Event, event="paged", channels=(PAGE,)):
    workflow_id: str = "a"
    number: int
    text: str = ""


@pytest.fixture
async def edge(broker: EmbeddedBroker, start_edge: StartEdge) -> Edge:
    return await start_edge(broker, SERVICE)


def numbers(values: list[dict[str, Any]]) -> list[int]:
    return [value["data"]["number"] for value in values]


# What comes


async def test_events_of_a_channel(edge: Edge, producer: Producer, open_client: OpenClient, listen: Listen) -> None:
    """A page's `onmessage` hears the line of a WebSocket, with its position as the id; the edge's words have names."""
    stream, websocket = await listen(edge, "workflow:a"), await open_client(edge)
    await websocket.subscribe("workflow:a")
    assert stream.status == 200
    assert stream.headers["content-type"] == "text/event-stream"
    assert "no-cache" in stream.headers["cache-control"]
    assert (stream.headers["x-accel-buffering"], stream.headers["connection"]) == ("no", "close")
    assert [(await stream.next()).name for _ in range(2)] == ["session.created", "subscribed"]
    assert 1_000 <= stream.retry_ms <= 3_000
    published = await producer.publish(Step(number=1))
    said = await stream.next()
    assert (said.name, said.last_id) == ("message", published.positions["workflow:a"])
    while (line := await websocket.text()) != said.data.encode():
        assert b"session.created" in line


async def test_line_is_encoded_once_for_all_streams(
    edge: Edge, producer: Producer, monkeypatch: pytest.MonkeyPatch, listen: Listen
) -> None:
    """Ten clients of one dialect cost one encoding of a line; another dialect costs one more."""
    encoded: list[bytes] = []
    streams = [await listen(edge, "workflow:a") for _ in range(10)]
    for stream in streams:
        await stream.named("subscribed")
    kind = type(event_stream.EVENT_STREAM)
    plain = kind.frame

    def counted(self: event_stream.StreamDialect, line: bytes) -> bytes | None:
        encoded.append(line)
        return plain(self, line)

    monkeypatch.setattr(kind, "frame", counted)
    await producer.publish(Step(number=1))
    for stream in streams:
        assert numbers(await stream.heard(1)) == [1]
    assert len(encoded) == 1


async def test_json_lines(edge: Edge, producer: Producer) -> None:
    """`Accept: application/x-ndjson` gives the same messages, one in each line."""
    client = await Client.connect(edge.port)
    client.write(get(events_path("workflow:a"), "Accept: application/x-ndjson"))
    assert (await client.head())[1]["content-type"] == "application/x-ndjson"
    values = [orjson.loads(await client.reader.readline()) for _ in range(2)]
    assert [it["event"] for it in values] == ["session.created", "subscribe"]
    await producer.publish(Step(number=1))
    value = orjson.loads(await client.reader.readline())
    assert (value["event"], value["room"], value["data"]["number"]) == ("step", "workflow:a", 1)
    await client.close()


async def test_typed_line_with_line_breaks_is_one_event(edge: Edge, redis: Redis, listen: Listen) -> None:
    """What somebody types into Redis cannot end an event and begin one of its own."""
    stream = await listen(edge, "workflow:a")
    await stream.named("subscribed")
    head = '{"position":"1795000000000-7","previous":"1795000000000-6",'
    forged = head + '"id":"x"\n\nid: forged\nevent: gap\ndata: {},"event":"step","data":{},"room":"workflow:a"}'
    await redis.publish("workflow:a", forged)
    broken = '{"event":"typed",\r\n\r\n"data":{"number":5}}'
    await redis.publish("workflow:a", broken)
    said = await stream.named("message")
    assert (said.value["event"], said.value["position"]) == ("typed", None)
    assert "forged" not in said.last_id


# Coming back


async def test_last_event_id_loses_nothing(edge: Edge, producer: Producer, listen: Listen) -> None:
    """Who comes back with the last id is given all events meanwhile, once. The control: without it, a hole is there."""
    stream, other = await listen(edge, "workflow:a"), await listen(edge, "workflow:a")
    await stream.named("subscribed")
    await other.named("subscribed")
    await producer.publish(Step(number=1))
    assert numbers(await stream.heard(1)) == [1]
    await stream.close()
    for number in (2, 3):
        await producer.publish(Step(number=number))
    assert numbers(await other.heard(3)) == [1, 2, 3], "the edge has them"
    back = await listen(edge, "workflow:a", headers=(f"Last-Event-ID: {stream.last_id}",))
    fresh = await listen(edge, "workflow:a")
    assert (await back.named("recovered")).value["data"]["replayed"] == 2
    await fresh.named("subscribed")
    await producer.publish(Step(number=4))
    assert numbers(await back.heard(3)) == [2, 3, 4]
    assert numbers(await fresh.heard(1)) == [4]


async def test_id_of_a_silent_stream_is_where_it_began(edge: Edge, producer: Producer, listen: Listen) -> None:
    """A client that heard no event yet comes back to the place at which it had subscribed."""
    await producer.publish(Step(number=1))
    stream = await listen(edge, "workflow:a")
    await stream.named("subscribed")
    await stream.close()
    await producer.publish(Step(number=2))
    back = await listen(edge, "workflow:a", headers=(f"Last-Event-ID: {stream.last_id}",))
    assert numbers(await back.heard(1)) == [2]


async def test_id_of_several_channels_is_a_place_in_each(edge: Edge, producer: Producer, listen: Listen) -> None:
    """One id brings back all channels of a stream, those without an event, too; a live channel has no place."""
    channels = "workflow:a", "cursor:a", "workflow:b", "workflow:c"
    stream = await listen(edge, *channels)
    for _ in channels:
        await stream.named("subscribed")
    await producer.publish(Step(workflow_id="b", number=1))
    await producer.publish(Moved(number=2))
    await producer.publish(Step(workflow_id="a", number=3))
    assert numbers(await stream.heard(3)) == [1, 2, 3]
    places = stream.last_id.split(",")
    assert len(places) == 4
    assert [bool(it) for it in places] == [True, False, True, True]
    await stream.close()
    for name, number in (("c", 4), ("a", 5), ("b", 6)):
        await producer.publish(Step(workflow_id=name, number=number))
    back = await listen(edge, *channels, headers=(f"Last-Event-ID: {stream.last_id}",))
    assert sorted(numbers(await back.heard(3))) == [4, 5, 6]
    assert len(back.last_id.split(",")) == 4
    again = await listen(edge, *channels, since=back.last_id)
    await producer.publish(Step(number=7))
    assert numbers(await again.heard(1)) == [7]


async def test_line_without_a_room_moves_its_place(
    edge: Edge, producer: Producer, redis: Redis, listen: Listen
) -> None:
    """Somebody appended a line with positions and no room: it follows the line before it, and so does the id."""
    first = (await producer.publish(Step(number=1))).positions["workflow:a"]
    place = f"Last-Event-ID: {first},"
    stream = await listen(edge, "workflow:a", "workflow:b", headers=(place,))
    for name in ("recovered", "subscribed"):
        await stream.named(name)
    typed: dict[str, Any] = {"position": f"{first}0", "previous": first, "event": "typed", "data": {}}
    await redis.publish("workflow:a", orjson.dumps(typed))
    assert (await stream.named("message")).last_id.split(",")[0] == f"{first}0"


async def test_gap_is_a_named_event(edge: Edge, producer: Producer, redis: Redis, listen: Listen) -> None:
    """What cannot be had is told, from where to where and why, and what there is follows."""
    await producer.publish(Step(number=1))
    stream = await listen(edge, "workflow:a", last="1")
    assert numbers(await stream.heard(1)) == [1]
    await stream.close()
    await redis.delete("bus:log:{workflow:a}")
    published = await producer.publish(Step(number=2))
    back = await listen(edge, "workflow:a", headers=(f"Last-Event-ID: {stream.last_id}",))
    gap = (await back.named("gap")).value
    assert (gap["event"], gap["room"]) == ("room.gap", "workflow:a")
    assert gap["data"]["from"] == stream.last_id
    assert gap["data"]["to"] == published.positions["workflow:a"]
    assert gap["data"]["reason"]
    assert numbers(await back.heard(1)) == [2]


async def test_latest_is_shown_again_unless_it_is_known(edge: Edge, producer: Producer, listen: Listen) -> None:
    """A newcomer is shown the latest event; who has it already, by the id, waits for the next."""
    await producer.publish(Newest(number=1))
    stream = await listen(edge, "newest:a")
    assert (await stream.named("subscribed")).last_id == ""
    assert numbers(await stream.heard(1)) == [1]
    back = await listen(edge, "newest:a", headers=(f"Last-Event-ID: {stream.last_id}",))
    await back.named("recovered")
    await producer.publish(Newest(number=2))
    assert numbers(await back.heard(1)) == [2]


async def test_since_and_last_begin_in_the_past(edge: Edge, producer: Producer, listen: Listen) -> None:
    """As with a `subscribe`: a span, a number of events; a header counts more than the query."""
    first, *_ = [await producer.publish(Step(number=number)) for number in (1, 2, 3)]
    span = await listen(edge, "workflow:a", since="-15m")
    assert numbers(await span.heard(3)) == [1, 2, 3]
    last = await listen(edge, "workflow:a", last="1")
    assert numbers(await last.heard(1)) == [3]
    place = f"Last-Event-ID: {first.positions['workflow:a']}"
    both = await listen(edge, "workflow:a", since="-15m", headers=(place,))
    assert numbers(await both.heard(2)) == [2, 3]


# Who gets in


async def test_token_and_permission(broker: EmbeddedBroker, start_edge: StartEdge, listen: Listen) -> None:
    """The token stands in the header; in the query only where the edge says so. A stranger learns no channel's name."""
    edge = await start_edge(broker, SERVICE, auth_secret=SECRET, auth_required=True)
    path, good, poor = events_path("workflow:a"), token("a", ["workflow:read"]), token("a", ["other:read"])
    status, headers, body = await refusal(edge, events_path("nonsense"))
    assert (status, headers["www-authenticate"], body["code"]) == (401, "Bearer", "AUTH_REQUIRED")
    assert (await refusal(edge, path, "Authorization: Bearer x"))[2]["code"] == "AUTH_FAILED"
    status, _, body = await refusal(edge, path, f"Authorization: Bearer {poor}")
    assert (status, body["code"]) == (403, "FORBIDDEN")
    status, _, body = await refusal(edge, f"{path}&token={good}")
    assert (status, body["code"], good in body["error"]) == (400, "INVALID_REQUEST", False)
    stream = await listen(edge, "workflow:a", headers=(f"Authorization: Bearer {good}",))
    assert (await stream.next()).value["data"]["authenticated"] is True
    assert edge.statistics()[0].connections == 1


async def test_token_in_the_query(
    broker: EmbeddedBroker, start_edge: StartEdge, caplog: pytest.LogCaptureFixture, listen: Listen
) -> None:
    """A browser's `EventSource` sends no header of its own; with `auth_in_query` the token never reaches a log."""
    caplog.set_level("DEBUG")
    edge = await start_edge(broker, SERVICE, auth_secret=SECRET, auth_required=True, auth_in_query=True)
    shown = token("a", ["workflow:read"])
    stream = await listen(edge, "workflow:a", token=shown)
    assert (await stream.named("subscribed")).value["room"] == "workflow:a"
    assert (await refusal(edge, events_path("workflow:a", token=shown[:-4] + "aaaa")))[0] == 401
    assert (await refusal(edge, f"/channels/workflow:a?token={shown}"))[0] == 200
    assert not [it for it in caplog.records if shown[:40] in str(vars(it))]


async def test_revoked_token_ends_the_stream(
    broker: EmbeddedBroker, start_edge: StartEdge, redis: Redis, listen: Listen
) -> None:
    """A client with a revoked token is told so and sent away; the same token brings it no further."""
    edge = await start_edge(broker, SERVICE, auth_secret=SECRET, auth_required=True)
    bearer = f"Authorization: Bearer {token('alice', ['workflow:read'])}"
    stream = await listen(edge, "workflow:a", headers=(bearer,))
    await stream.named("subscribed")
    revocations = Revocations(broker.url, name="test")
    await revocations.revoke(of_user("alice"))
    await revocations.drop()
    assert (await stream.named("refused")).value["error_code"] == "AUTH_FAILED"
    closed = (await stream.named("closed")).value["data"]
    assert (closed["code"], closed["come_back"]) == (1008, False)
    with pytest.raises(EOFError):
        await stream.next()
    for more in ((), ("Accept: text/event-stream",)):  # a browser, too, is to stay away
        assert (await refusal(edge, events_path("workflow:a"), bearer, *more))[0] == 401

"""Every verb over a real socket, against a real Redis."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import BaseModel
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.channel import Channel, Family
from bus.service import Request, Service
from edges import Edge
from producers import Producer
from producers.services.mahavishnu import Mahavishnu
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import EVENT_KEYS, NINE_KEYS, Client, eventually

LATER_MS = 60_000
SUBSCRIBE_FORMS: list[dict[str, Any]] = [
    {"type": "request", "event": "subscribe", "data": {"channel": "workflow:x"}, "id": "s"},
    {"type": "request", "event": "subscribe", "data": {"room": "workflow:x"}, "correlation_id": "s"},
    {"type": "subscribe", "data": {"channel": "workflow:x"}, "id": "s", "correlation_id": "other"},
    {"type": "event", "event": "subscribe", "data": {"room": "workflow:x"}, "id": "s", "correlation_id": "other"},
]


@pytest.fixture
async def edge(broker: EmbeddedBroker, start_edge: StartEdge) -> Edge:
    """Lend an edge that does not welcome the silent during a test."""
    return await start_edge(broker, welcome_delay_ms=LATER_MS)


@pytest.fixture
async def client(edge: Edge, open_client: OpenClient) -> Client:
    """Lend a client that has said nothing."""
    return await open_client(edge)


@pytest.mark.parametrize("message", SUBSCRIBE_FORMS)
async def test_subscribe_then_events(client: Client, producer: Producer, message: dict[str, Any]) -> None:
    """Reply, welcome, events: in this order, in every accepted form, with all their keys."""
    client.send(message)
    reply, welcome = await client.message(), await client.message()
    published = await Mahavishnu(producer).broadcast_workflow_started("x", {"adapter": "local"})
    event = await client.message()
    assert reply.keys() == NINE_KEYS
    assert (reply["type"], reply["event"], reply["correlation_id"]) == ("response", "subscribe", "s")
    assert reply["data"].keys() == {"status", "channel", "position"}
    assert (reply["data"]["status"], reply["data"]["channel"]) == ("subscribed", "workflow:x")
    assert welcome["event"] == "session.created"
    assert event.keys() == EVENT_KEYS
    assert (event["id"], event["room"], event["type"]) == (published.id, "workflow:x", "event")
    assert event["data"]["adapter"] == "local"
    assert (event["position"], event["previous"]) == (published.positions["workflow:x"], "0-0")
    assert await client.marked() == []


async def test_subscribe_tells_the_position(client: Client, producer: Producer) -> None:
    """The reply's position is that of the last event, and what follows links to it."""
    first = await Mahavishnu(producer).broadcast_workflow_started("x", {})
    await client.welcomed()
    reply = await client.subscribe("workflow:x")
    assert reply["data"]["position"] == first.positions["workflow:x"]
    await Mahavishnu(producer).broadcast_workflow_failed("x", "no")
    assert (await client.message())["previous"] == reply["data"]["position"]


async def test_subscribe_twice_is_answered_alike_and_changes_nothing(client: Client, producer: Producer) -> None:
    """A second subscription gets its reply, and every event still comes once."""
    await client.welcomed()
    for _ in range(2):
        assert (await client.subscribe("workflow:x"))["data"]["status"] == "subscribed"
    await Mahavishnu(producer).broadcast_workflow_failed("x", "no")
    assert len(await client.marked()) <= 1
    client.request("unsubscribe", channel="workflow:x")
    while (message := await client.message())["type"] == "event":
        assert message["event"] == "workflow.failed"
    assert message["data"] == {"status": "unsubscribed", "channel": "workflow:x"}


async def test_unsubscribe_of_a_room_never_joined(client: Client) -> None:
    """Leaving an unknown room is answered as leaving a known one."""
    await client.welcomed()
    client.send({"type": "unsubscribe", "data": {"room": "workflow:never"}, "id": "u"})
    reply = await client.message()
    assert (reply["type"], reply["event"], reply["correlation_id"]) == ("response", "unsubscribe", "u")
    assert reply["data"] == {"status": "unsubscribed", "channel": "workflow:never"}


async def test_unsubscribe_ends_the_events(
    client: Client, edge: Edge, producer: Producer, open_client: OpenClient
) -> None:
    """After the reply nothing of the room comes any more, and others in it notice nothing."""
    other = await open_client(edge)
    for one in (client, other):
        await one.welcomed()
        await one.subscribe("workflow:x")
    client.request("unsubscribe", channel="workflow:x")
    assert (await client.message())["data"]["status"] == "unsubscribed"
    await Mahavishnu(producer).broadcast_workflow_failed("x", "no")
    assert (await other.message())["event"] == "workflow.failed"
    assert await client.marked() == []


@pytest.mark.parametrize(
    "channel", ["test:x", "workflow", "workflow:", "global:mahavishnu", "bus:edge", "*", "workflow:*x\n", ""]
)
async def test_subscribe_to_no_channel_of_the_service(client: Client, channel: str) -> None:
    """A channel of no family is refused with the forms that are, and never reaches Redis as a pattern."""
    await client.welcomed()
    client.request("subscribe", channel=channel)
    reply = await client.message()
    assert (reply["type"], reply["event"], reply["error_code"]) == ("error", "subscribe", "INVALID_CHANNEL")
    assert "workflow:{workflow_id}" in reply["error_message"]
    assert reply["data"] == {}


async def test_auth_without_auth_configured(client: Client) -> None:
    """Without auth configured everybody is anonymous."""
    client.request("auth", token="t")
    reply = await client.message()
    assert (reply["type"], reply["event"], reply["data"]["status"]) == ("response", "auth", "anonymous")


async def test_request_of_the_service(client: Client, producer: Producer) -> None:
    """A request is answered from the log, and an unknown subject is not_found, not an error."""
    await Mahavishnu(producer).broadcast_workflow_started("x", {})
    await client.welcomed()
    for workflow_id, status in (("x", "running"), ("y", "not_found")):
        client.request("get_workflow_status", workflow_id=workflow_id)
        reply = await client.message()
        assert (reply["type"], reply["event"], reply["correlation_id"]) == ("response", "get_workflow_status", "r1")
        assert reply["data"]["status"] == status


@pytest.mark.parametrize("data", [{}, {"workflow_id": 5}, {"workflow_id": ""}, {"workflow_id": "x" * 300}])
async def test_request_wrong_names_the_field(client: Client, data: dict[str, Any]) -> None:
    """A field missing or wrong is named, and nothing of the inside leaks."""
    await client.welcomed()
    client.request("get_workflow_status", **data)
    reply = await client.message()
    assert (reply["error_code"], reply["event"]) == ("INVALID_REQUEST", "get_workflow_status")
    assert "workflow_id" in reply["error_message"]
    assert "Traceback" not in reply["error_message"]


async def test_rooms_up_to_the_limit(broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient) -> None:
    """One room too many is refused; leaving one makes room; a room one is in is never too many."""
    client = await open_client(await start_edge(broker, max_rooms=2))
    await client.welcomed()
    await client.subscribe("workflow:1")
    await client.subscribe("workflow:2")
    client.request("subscribe", channel="workflow:3")
    assert (await client.message())["error_code"] == "SUBSCRIPTION_LIMIT"
    await client.subscribe("workflow:2")
    client.request("unsubscribe", channel="workflow:1")
    await client.message()
    await client.subscribe("workflow:3")


async def test_commands_in_order_though_some_wait(client: Client) -> None:
    """Replies come in the order of the commands, whether they wait for Redis or not; some overtake, in their own."""
    verbs = [("subscribe", {"channel": "workflow:x"}), ("ping", {}), ("get_workflow_status", {"workflow_id": "x"})]
    verbs += [("unsubscribe", {"channel": "workflow:y"}), ("subscribe", {"channel": "nonsense"}), ("nonsense", {})]
    for number in range(60):
        verb, data = verbs[number % len(verbs)]
        client.request(verb, str(number), **data)
    replies = [message for _ in range(61) if (message := await client.message())["event"] != "session.created"]
    quick = [number for number in range(60) if verbs[number % len(verbs)][0] in ("ping", "unsubscribe")]
    rest = [number for number in range(60) if number not in quick]
    numbers = [int(reply["correlation_id"]) for reply in replies]
    assert sorted(numbers) == list(range(60))
    assert [it for it in numbers if it in quick] == quick
    assert [it for it in numbers if it in rest] == rest


async def test_commands_beyond_the_queue_wait_in_the_socket(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """While Redis hangs the edge stops reading behind what may wait, serves others, and answers all afterwards."""
    edge = await start_edge(broker, message_rate_limit=10_000)
    client, neighbour = await open_client(edge), await open_client(edge)
    for one in (client, neighbour):
        await one.welcomed()
    filler, count = "y" * 60_000, 700  # far more than the kernel holds between the two
    with paused(broker):
        client.request("get_workflow_status", "first", workflow_id="x")
        for number in range(count):
            client.request("subscribe", str(number), channel="nonsense", filler=filler)
        await drained_no_more(client)
        assert await neighbour.marked() == []
        assert client.writer.transport.get_write_buffer_size() > 0
        assert edge.statistics()[0].limited["max_waiting_command_bytes"] == 1
    replies = [await client.message() for _ in range(count + 1)]
    assert [reply["correlation_id"] for reply in replies] == ["first", *map(str, range(count))]


@contextmanager
def paused(broker: EmbeddedBroker) -> Iterator[None]:
    """Let Redis hang for a while."""
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(broker.pid, signal.SIGCONT)


async def drained_no_more(client: Client) -> None:
    """Wait until the edge takes nothing from this client any more: ten looks in a row find its buffer unchanged."""
    sizes = [0]

    def is_stuck() -> bool:
        sizes.append(client.writer.transport.get_write_buffer_size())
        return len(sizes) > 10 and len(set(sizes[-10:])) == 1

    await eventually(is_stuck)


async def test_hand_typed_line(client: Client, redis: Redis) -> None:
    """A line typed with redis-cli is completed to the nine keys, and stands at no position."""
    await client.welcomed()
    await client.subscribe("workflow:x")
    assert await redis.publish("workflow:x", '{"event":"e","data":{"a":1}}') == 1
    event = await client.message()
    assert event.keys() == EVENT_KEYS
    assert (event["type"], event["event"], event["data"], event["room"]) == ("event", "e", {"a": 1}, "workflow:x")
    assert (event["position"], event["previous"], event["correlation_id"]) == (None, None, None)
    assert isinstance(event["id"], str)
    assert isinstance(event["timestamp"], str)


@pytest.mark.parametrize(
    "line",
    [
        b"hello",
        b"[1]",
        b'{"event":"e"}',
        b"\xff",
        b'{"event":"e","data":{"x":"%b"}}' % (b"x" * 300_000),
        b'{"event":"e","data":{"a":' + b"[" * 400 + b"]" * 400 + b"}}",
    ],
    ids=["text", "list", "no data", "no utf-8", "long", "deep"],
)
async def test_hand_typed_nonsense_is_dropped(
    client: Client, edge: Edge, redis: Redis, producer: Producer, line: bytes
) -> None:
    """What is no event is dropped and counted; what comes after it is delivered, and the edge stays ready."""
    await client.welcomed()
    await client.subscribe("workflow:x")
    await redis.publish("workflow:x", line)
    await Mahavishnu(producer).broadcast_workflow_failed("x", "no")
    assert (await client.message())["event"] == "workflow.failed"
    assert edge.statistics()[1].dropped == 1
    assert edge.not_ready() is None


class Question(BaseModel):
    pass


def _fail(*_: object) -> Any:
    raise RuntimeError("secret of the inside")


BROKEN = Service(
    name="broken",
    port=1,
    welcome="w",
    families=(Family("things"),),
    events=(),
    requests=(Request("ask", Question, Question, lambda _: [Channel("things", "things")], _fail),),
)


async def test_bug_in_a_request_is_an_error_of_ours(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours is answered to the request that met it, without its text, logged, and the next one is served."""
    client = await open_client(await start_edge(broker, BROKEN))
    await client.welcomed()
    client.request("ask", "q")
    reply = await client.message()
    assert (reply["type"], reply["error_code"]) == ("error", "INTERNAL_ERROR")
    assert (reply["event"], reply["correlation_id"]) == ("ask", "q")
    assert "secret" not in reply["error_message"]
    assert "secret of the inside" in caplog.text
    assert await client.marked() == []


async def test_client_that_leaves_in_the_middle_of_a_command(
    edge: Edge, client: Client, broker: EmbeddedBroker
) -> None:
    """A client that goes while its subscription is under way is in no room afterwards."""
    await client.welcomed()
    with paused(broker):
        client.request("subscribe", channel="workflow:x")
        await client.close()
        await eventually(lambda: edge.health()["connections"] == 0)
    await eventually(lambda: not [task for task in asyncio.all_tasks() if task.get_name().startswith("command")])
    assert edge.health()["rooms"] == 0

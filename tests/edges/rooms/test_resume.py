"""Coming back with `since` or `last`, over real sockets, against a real Redis: whole, in order, nothing twice."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.channel import LATEST, LIVE, Family, Retention
from bus.event import Event
from bus.service import Service
from edges import Edge
from edges.rooms.pages import Lent
from producers import Producer
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, eventually
from tests.ports import free_port

WORKFLOW = Family("workflow:{workflow_id}")
SHORT = Family("short:{workflow_id}", Retention("history", max_events=1_000, expires_s=2))
NEWEST = Family("newest:{workflow_id}", LATEST)
TICK = Family("tick:{workflow_id}", LIVE)
SERVICE = Service("test", 1, "w", (WORKFLOW, SHORT, NEWEST, TICK), (), ())


class Step(Event, event="step", channels=(WORKFLOW,)):
    workflow_id: str = "x"
    number: int
    text: str = ""


class Short(Event, event="short", channels=(SHORT,)):
    workflow_id: str = "x"
    number: int


class Newest(Event, event="newest", channels=(NEWEST,)):
    workflow_id: str = "x"
    number: int


class Tick(Event, event="tick", channels=(TICK,)):
    workflow_id: str = "x"
    number: int


@pytest.fixture
async def edge(broker: EmbeddedBroker, start_edge: StartEdge) -> Edge:
    """Lend an edge that does not welcome the silent during a test."""
    return await start_edge(broker, SERVICE, welcome_delay_ms=60_000)


async def publish(producer: Producer, first: int, last: int, text: str = "") -> list[str]:
    """Publish events of these numbers; return their positions."""
    published = await asyncio.gather(
        *(producer.publish(Step(number=number, text=text)) for number in range(first, last + 1))
    )
    return [str(it.positions["workflow:x"]) for it in published]


async def resume(client: Client, channel: str = "workflow:x", **start: Any) -> dict[str, Any]:
    """Subscribe on a connection that was welcomed; return the reply's data."""
    client.request("subscribe", channel=channel, **start)
    reply = await client.message()
    assert reply["type"] == "response", reply
    data: dict[str, Any] = reply["data"]
    return data


async def numbers(client: Client, count: int) -> list[int]:
    """Return the numbers of the next events, which must be a chain."""
    messages = [await client.message() for _ in range(count)]
    for before, message in itertools.pairwise(messages):
        assert message["previous"] == before["position"]
    return [message["data"]["number"] for message in messages]


async def welcomed(edge: Edge, open_client: OpenClient, **options: Any) -> Client:
    client = await open_client(edge, **options)
    await client.welcomed()
    return client


async def test_reply_then_welcome_then_replayed_then_live(
    edge: Edge, open_client: OpenClient, producer: Producer
) -> None:
    """The order of protocol.md, for a client whose first message is its return."""
    positions = await publish(producer, 1, 5)
    client = await open_client(edge)
    client.request("subscribe", channel="workflow:x", since=positions[1])
    reply, welcome = await client.message(), await client.message()
    assert reply["data"] == {
        "status": "subscribed",
        "channel": "workflow:x",
        "position": positions[-1],
        "recovered": True,
        "reason": None,
        "replayed": 3,
    }
    assert welcome["event"] == "session.created"
    assert await numbers(client, 3) == [3, 4, 5]
    await publish(producer, 6, 7)
    assert await numbers(client, 2) == [6, 7]
    assert await client.marked() == []


async def test_crowd_that_missed_much_shares_the_pages_of_it(
    edge: Edge, open_client: OpenClient, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the third time on all are sent the same pages, answer and welcome in front."""
    from_pages, send = list[int](), Lent.send

    def counted(lent: Lent, plain: socket.socket, head: bytes) -> int:
        from_pages.append(send(lent, plain, head) - len(head))
        return from_pages[-1] + len(head)

    monkeypatch.setattr(Lent, "send", counted)
    positions = await publish(producer, 1, 11, "x" * 5_000)
    for _ in range(6):
        client = await open_client(edge)
        client.request("subscribe", channel="workflow:x", since=positions[0])
        assert (await client.message())["data"]["replayed"] == 10
        assert (await client.message())["event"] == "session.created"
        assert await numbers(client, 10) == list(range(2, 12))
    assert len(from_pages) == 4
    assert all(it > 50_000 for it in from_pages), from_pages


async def test_since_and_last_in_every_form(edge: Edge, open_client: OpenClient, producer: Producer) -> None:
    """A position, a span, a time and a number give what they say; nothing else comes."""
    positions = await publish(producer, 1, 4)
    starts: list[tuple[dict[str, Any], list[int]]] = [
        ({"since": positions[0]}, [2, 3, 4]),
        ({"since": positions[3]}, []),
        ({"since": "2100-01-01T00:00:00+00:00"}, []),
        ({"last": 2}, [3, 4]),
        ({"last": 0}, []),
        ({"last": 99}, [1, 2, 3, 4]),
    ]
    for start, expected in starts:
        client = await welcomed(edge, open_client)
        reply = await resume(client, **start)
        assert (reply["recovered"], reply["reason"], reply["replayed"]) == (True, None, len(expected))
        assert [message["data"]["number"] for message in await client.marked()] == expected


async def test_span_past_the_epoch_of_redis_is_whole_from_there(
    edge: Edge, open_client: OpenClient, producer: Producer
) -> None:
    """A window that reaches further than this Redis is no loss: the reply says when Redis began, and all follows."""
    await publish(producer, 1, 2)
    client = await welcomed(edge, open_client)
    reply = await resume(client, since="-1h")
    assert (reply["recovered"], reply["reason"], reply["replayed"]) == (True, None, 2)
    assert datetime.fromisoformat(reply["began"]).tzinfo is not None
    assert await numbers(client, 2) == [1, 2]


async def test_time_before_the_epoch_of_redis_is_unknown(
    edge: Edge, open_client: OpenClient, producer: Producer
) -> None:
    """Whoever names a time may have been there: what was before this Redis began is told as missing."""
    await publish(producer, 1, 2)
    client = await welcomed(edge, open_client)
    reply = await resume(client, since="2001-01-01T00:00:00+00:00")
    assert (reply["recovered"], reply["reason"], reply["replayed"]) == (False, "unknown", 2)
    assert datetime.fromisoformat(reply["began"]).year > 2001
    assert await numbers(client, 2) == [1, 2]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"since": "1-1", "last": 1}, "since, last"),
        ({"since": "2026-11-23T12:00:00"}, "since"),
        ({"since": "soon"}, "since"),
        ({"since": 5}, "since"),
        ({"since": ["1-1"]}, "since"),
        ({"last": -1}, "last"),
        ({"last": True}, "last"),
        ({"last": "5"}, "last"),
        ({"last": 1.5}, "last"),
    ],
)
async def test_start_of_another_form_is_refused(
    edge: Edge, open_client: OpenClient, data: dict[str, Any], field: str
) -> None:
    """Two starts, or one that is none, are an INVALID_REQUEST that names the field; nobody is in the room."""
    client = await welcomed(edge, open_client)
    client.request("subscribe", channel="workflow:x", **data)
    reply = await client.message()
    assert (reply["error_code"], reply["event"]) == ("INVALID_REQUEST", "subscribe")
    assert reply["error_message"].startswith(f"{field}:")
    assert edge.health()["rooms"] == 0


@pytest.mark.parametrize("start", [{"last": 5}, {"since": "-0s"}, {"since": "2100-01-01T00:00:00+00:00"}])
async def test_room_in_which_nothing_was_yet(
    edge: Edge, open_client: OpenClient, producer: Producer, start: dict[str, Any]
) -> None:
    """A client that asks for the past of a room without one is in it, heard, and gets its first event."""
    for _ in range(3):
        client = await welcomed(edge, open_client)
        reply = await resume(client, **start)
        assert (reply["recovered"], reply["replayed"]) == (True, 0)
        assert await client.marked() == []
    reads = edge.statistics()[1].reads
    assert reads <= 3, "nobody reads again and again"
    again = await welcomed(edge, open_client)
    assert (await resume(again, since=reply["position"]))["recovered"]
    await publish(producer, 1, 2)
    for one in (client, again):
        assert await numbers(one, 2) == [1, 2]


async def test_trimmed_diverged_and_unknown_are_told(
    edge: Edge, open_client: OpenClient, producer: Producer, redis: Redis
) -> None:
    """The rows of the table, at the edge: what there is follows each of them."""
    positions = await publish(producer, 1, 6)
    key = WORKFLOW.fill("x").log_key
    await redis.xtrim(key, maxlen=3, approximate=False)
    ms = positions[4].partition("-")[0]
    for since, reason, expected in (
        (positions[0], "trimmed", [4, 5, 6]),
        (f"{int(ms) + 60_000}-7", "diverged", [4, 5, 6]),
        ("5-5", "unknown", [4, 5, 6]),
        (positions[2], None, [4, 5, 6]),
    ):
        client = await welcomed(edge, open_client)
        reply = await resume(client, since=since)
        assert (reply["recovered"], reply["reason"]) == (reason is None, reason)
        assert await numbers(client, 3) == expected
    await redis.delete(key)
    client = await welcomed(edge, open_client)
    assert (await resume(client, since=positions[0]))["reason"] == "unknown"


async def test_second_subscribe_with_since_joins_anew(edge: Edge, open_client: OpenClient, producer: Producer) -> None:
    """Who is in a room and asks for its past is given it, and is in the room once."""
    client = await welcomed(edge, open_client)
    await client.subscribe("workflow:x")
    positions = await publish(producer, 1, 3)
    assert await numbers(client, 3) == [1, 2, 3]
    for _ in range(2):
        assert (await resume(client, since=positions[0]))["replayed"] == 2
        assert await numbers(client, 2) == [2, 3]
    await publish(producer, 4, 4)
    assert await numbers(client, 1) == [4]
    assert await client.marked() == []


async def test_latest_channel_gives_its_one_event(edge: Edge, open_client: OpenClient, producer: Producer) -> None:
    """Whatever the start, the newest event comes once, and no gap is reported."""
    first = await producer.publish(Newest(number=1))
    last = await producer.publish(Newest(number=2))
    for start, expected in (
        ({"since": first.positions["newest:x"]}, [2]),
        ({"since": last.positions["newest:x"]}, []),
        ({"since": "1-1"}, [2]),
        ({"last": 5}, [2]),
    ):
        client = await welcomed(edge, open_client)
        reply = await resume(client, "newest:x", **start)
        assert (reply["recovered"], reply["reason"], reply["replayed"]) == (True, None, len(expected))
        assert [message["data"]["number"] for message in await client.marked()] == expected
    await producer.publish(Newest(number=3))
    assert (await client.message())["data"]["number"] == 3


async def test_live_channel_recovers_nothing(edge: Edge, open_client: OpenClient, producer: Producer) -> None:
    """Of a channel that keeps nothing nobody knows what was missed."""
    client = await welcomed(edge, open_client)
    reply = await resume(client, "tick:x", since="-15m")
    assert (reply["recovered"], reply["reason"], reply["replayed"], reply["position"]) == (False, "unknown", 0, None)
    await producer.publish(Tick(number=1))
    assert (await client.message())["data"]["number"] == 1


async def test_client_that_knows_more_than_the_room(
    edge: Edge, open_client: OpenClient, producer: Producer, redis: Redis
) -> None:
    """A client comes from another edge with an event whose line this edge's room has not seen yet."""
    resident = await welcomed(edge, open_client)
    await resident.subscribe("workflow:x")
    positions = await publish(producer, 1, 3)
    assert await numbers(resident, 3) == [1, 2, 3]
    room = edge._parts.hub._rooms[b"workflow:x"]  # noqa: SLF001 (a room that is behind)
    held = room.sequencer.accept
    room.sequencer._look()  # noqa: SLF001 (no line flows past the next)
    room.sequencer.accept = lambda arrived: False  # type: ignore[method-assign]
    positions += await publish(producer, 4, 6)
    await redis.ping()
    client = await welcomed(edge, open_client)
    reply = await resume(client, since=positions[4])
    assert (reply["recovered"], reply["replayed"]) == (True, 1)
    assert await numbers(client, 1) == [6]
    room.sequencer.accept = held  # type: ignore[method-assign]
    await publish(producer, 7, 8)
    assert await numbers(client, 2) == [7, 8]
    assert await numbers(resident, 5) == [4, 5, 6, 7, 8]


@asynccontextmanager
async def flood(producer: Producer, per_second: int) -> AsyncIterator[list[int]]:
    """Publish at a rate until the block is left; yield the last number that was published."""
    last = [0]

    async def go_on() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            due = int((loop.time() - began) * per_second) - last[0]
            if due > 0:
                first, last[0] = last[0] + 1, last[0] + due
                await publish(producer, first, last[0])
            await asyncio.sleep(0.002)

    task = asyncio.create_task(go_on())
    try:
        yield last
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


async def test_no_hole_and_nothing_twice_while_events_pour_in(
    edge: Edge, open_client: OpenClient, producer: Producer
) -> None:
    """While events pour in a client comes back forty times: every event once, in order, always recovered.

    At 400 a second: the log holds 1,000, and on a busy machine a client may well be two seconds behind.
    """
    async with flood(producer, 400):
        client = await welcomed(edge, open_client)
        await client.subscribe("workflow:x")
        message = await client.message()
        at, number = message["position"], message["data"]["number"]
        for round_ in range(40):
            if round_ % 2:
                await client.close()
                client = await welcomed(edge, open_client)
            client.request("subscribe", channel="workflow:x", since=at)
            while (message := await client.message())["type"] != "response":
                at, number = message["position"], number + 1
                assert message["data"]["number"] == number
            if (
                message["data"]["replayed"] and not round_ % 2
            ):  # it was in the room: what came after `since` comes again
                number = None
            assert message["data"]["recovered"], message
            for _ in range(25):
                message = await client.message()
                number = message["data"]["number"] if number is None else number + 1
                assert message["data"]["number"] == number
                at = message["position"]
    assert edge.statistics()[1].gaps == 0


async def test_replay_larger_than_what_may_wait_is_paced(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer
) -> None:
    """A slow reader gets a replay of many times its bound, is not cut off, and nobody waits for it."""
    edge = await start_edge(broker, SERVICE, max_waiting_bytes=64 * 1024, send_buffer_bytes=16 * 1024)
    await publish(producer, 1, 150, "y" * 20_000)
    slow = await welcomed(edge, open_client, receive_buffer=4096)
    slow.request("subscribe", channel="workflow:x", last=150)
    assert (await slow.message())["data"]["replayed"] == 150
    neighbour = await welcomed(edge, open_client)
    await neighbour.subscribe("workflow:x")
    await publish(producer, 151, 160)
    assert await numbers(neighbour, 10) == list(range(151, 161))
    assert await numbers(slow, 160) == list(range(1, 161))
    assert edge.statistics()[0].slow == 0


async def test_replay_has_a_limit_and_says_so(edge: Edge, open_client: OpenClient, producer: Producer) -> None:
    """Past 4 MiB the oldest are left out, and the reply says `limit`."""
    positions = await publish(producer, 1, 60, "y" * 100_000)
    client = await welcomed(edge, open_client)
    reply = await resume(client, since=positions[0])
    assert (reply["recovered"], reply["reason"]) == (False, "limit")
    assert 35 <= reply["replayed"] <= 42
    assert await numbers(client, reply["replayed"]) == list(range(61 - reply["replayed"], 61))


async def test_room_closed_during_a_long_replay_is_opened_again(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    producer: Producer,
    redis: Redis,
) -> None:
    """A replay outlasts the room, which nobody else is in: what came meanwhile follows all the same."""
    edge = await start_edge(broker, SERVICE, send_buffer_bytes=16 * 1024)
    edge._parts.hub._linger_s = 0  # noqa: SLF001 (a second is long for a test)
    await publish(producer, 1, 100, "y" * 20_000)
    slow = await welcomed(edge, open_client, receive_buffer=4096)
    slow.request("subscribe", channel="workflow:x", last=100)
    assert (await slow.message())["data"]["replayed"] == 100
    await eventually(lambda: _is_unwatched(redis))
    await publish(producer, 101, 105)
    assert await numbers(slow, 105) == list(range(1, 106))
    await publish(producer, 106, 106)
    assert await numbers(slow, 1) == [106]


async def _is_unwatched(redis: Redis) -> bool:
    return (await redis.pubsub_numsub("workflow:x"))[0][1] == 0


async def test_since_while_redis_is_away_is_unavailable(
    start_edge: StartEdge, open_client: OpenClient, producer: Producer
) -> None:
    """A return while the link is down is refused with the time after which to repeat it."""
    port = free_port()
    with EmbeddedBroker(port=port) as broker:
        edge = await start_edge(broker, SERVICE)
        async with Producer(broker.url) as producer:
            positions = await publish(producer, 1, 2)
        client = await welcomed(edge, open_client)
        await client.subscribe("workflow:x")
    assert (await client.message(10))["event"] == "bus.degraded"
    for start in ({"since": positions[-1]}, {"since": positions[0]}, {"last": 5}):
        client.request("subscribe", channel="workflow:x", **start)
        reply = await client.message()
        assert (reply["error_code"], reply["event"]) == ("UNAVAILABLE", "subscribe")
        assert reply["data"]["retry_after_ms"] > 0
    assert edge.health()["rooms"] == 1, "it is still where it was"


async def test_log_of_a_watched_room_does_not_expire(
    edge: Edge, open_client: OpenClient, producer: Producer, redis: Redis
) -> None:
    """A family whose logs live two seconds: while somebody watches they live on, and whoever comes back is whole."""
    published = await producer.publish(Short(number=1))
    await redis.pexpire(SHORT.fill("x").log_key, 500)
    client = await welcomed(edge, open_client)
    await client.subscribe("short:x")
    key = SHORT.fill("x").log_key
    assert await redis.pttl(key) > 1_000, "opening the room began its life anew"
    other = await producer.publish(Short(workflow_id="y", number=1))
    await eventually(lambda: _is_gone(redis, SHORT.fill("y").log_key), 10)
    assert await redis.exists(key) == 1
    assert (await resume(client, "short:x", since=published.positions["short:x"]))["recovered"]
    assert (await resume(client, "short:y", since=other.positions["short:y"]))["reason"] == "unknown"


async def _is_gone(redis: Redis, key: str) -> bool:
    return await redis.exists(key) == 0


async def test_stop_in_the_middle_of_a_read_leaves_nothing(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edge that stops ends the reads of logs that are under way."""
    edge = await start_edge(broker, SERVICE, close_timeout_s=0.2)
    client = await welcomed(edge, open_client)
    hub, never = edge._parts.hub, asyncio.Event()  # noqa: SLF001 (a log that does not answer)

    async def hang(*_: object, **__: object) -> None:
        await never.wait()

    monkeypatch.setattr(hub.log_reads._log, "tail", hang)  # noqa: SLF001
    client.request("subscribe", channel="workflow:x", last=1)
    await eventually(lambda: hub.log_reads.tasks)
    await edge.stop()
    assert hub.log_reads.tasks == []

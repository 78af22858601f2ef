"""Clients that read slower than events come, over real sockets: each policy, and that nobody else notices."""

import asyncio
import contextlib
from typing import Any

import pytest

from bus.broker.embedded import EmbeddedBroker
from bus.channel import LATEST, LIVE, SKIP, Family, conflate
from bus.event import Event
from bus.position import Reason
from bus.service import Service
from edges import Edge
from edges.transport.connection import Connection
from producers import Producer
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import PING, Client, Closed, eventually, frame

WORKFLOW = Family("workflow:{workflow_id}")
PAGE = Family("page:{workflow_id}", when_slow=SKIP)
NEWEST = Family("newest:{workflow_id}", LATEST, when_slow=SKIP)
CURSOR = Family("cursor:{workflow_id}", LIVE, when_slow=conflate("user_id"))
SERVICE = Service("test", 1, "w", (WORKFLOW, PAGE, NEWEST, CURSOR), (), ())
NO_REDIS = "redis://127.0.0.1:1"
BOUND_BYTES = 256 * 1024
TEXT = "y" * 16_000
ENOUGH = 100
"""Events of that size: several times the bound."""


class Numbered(Event, event="numbered"):
    workflow_id: str = "x"
    user_id: str = "ada"
    number: int
    text: str = TEXT


class Step(Numbered, event="step", channels=(WORKFLOW,)): ...


class Page(Numbered, event="page", channels=(PAGE,)): ...


class Newest(Numbered, event="newest", channels=(NEWEST,)): ...


class Moved(Numbered, event="moved", channels=(CURSOR,)): ...


@pytest.fixture
async def edge(broker: EmbeddedBroker, start_edge: StartEdge) -> Edge:
    """Lend an edge with a small bound."""
    bounds = {"max_waiting_bytes": BOUND_BYTES, "send_buffer_bytes": 16 * 1024}
    return await start_edge(broker, SERVICE, welcome_delay_ms=60_000, **bounds)


@pytest.fixture
async def slow(edge: Edge, open_client: OpenClient) -> Client:
    """Lend a client that was welcomed, for which the kernel takes little."""
    client = await open_client(edge, receive_buffer=4096)
    await client.welcomed()
    return client


def stop_reading(client: Client) -> None:
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]


def read_on(client: Client) -> None:
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]


async def fill(producer: Producer, neighbour: Client, model: type[Numbered], first: int = 1, **data: Any) -> None:
    """Publish more than may wait for anybody, at the pace of a neighbour that reads all of it."""
    for number in range(first, first + ENOUGH):
        await producer.publish(model(number=number, **data))
        assert (await neighbour.message())["data"]["number"] == number


async def until(client: Client, number: int) -> list[dict[str, Any]]:
    """Return what a client reads, up to the event of that number."""
    read = [await client.message()]
    while read[-1]["data"].get("number") != number:
        read.append(await client.message())
    return read


async def closing(client: Client, numbers: list[int]) -> Closed:
    """Return how the edge closes a client, which takes note of the events before that."""
    try:
        while True:
            numbers.append((await client.message())["data"]["number"])
    except Closed as closed:
        return closed


async def neighbour_in(edge: Edge, open_client: OpenClient, channel: str) -> Client:
    client = await open_client(edge)
    await client.welcomed()
    await client.subscribe(channel)
    return client


async def test_close_tells_a_client_that_reads_on(
    edge: Edge, slow: Client, open_client: OpenClient, producer: Producer
) -> None:
    """Where history is kept, a slow client reads what was written, then 3008 with the setting's name."""
    await slow.subscribe("workflow:x")
    neighbour = await neighbour_in(edge, open_client, "workflow:x")
    stop_reading(slow)
    await fill(producer, neighbour, Step)
    assert edge.statistics()[0].slow == 1
    assert edge.statistics()[0].waiting_bytes > BOUND_BYTES // 2
    assert edge.statistics()[0].lagging == 1
    read_on(slow)
    numbers = list[int]()
    closed = await closing(slow, numbers)
    assert numbers == list(range(1, len(numbers) + 1))
    assert (closed.code, closed.reason) == (3008, "slow consumer: over max_waiting_bytes")
    assert edge.statistics()[0].limited["max_waiting_bytes"] == 1
    assert edge.statistics()[0].cut == 0
    await eventually(lambda: edge.statistics()[0].lagging == 0)
    again = await open_client(edge)
    await again.welcomed()
    again.request("subscribe", channel="workflow:x", last=ENOUGH)
    assert [it["data"].get("number") for it in await until(again, ENOUGH)][1:] == list(range(1, ENOUGH + 1))


async def test_close_cuts_off_a_client_that_reads_nothing(
    edge: Edge, slow: Client, open_client: OpenClient, producer: Producer
) -> None:
    """Whoever does not even read the close frame is cut off, and that is counted."""
    await slow.subscribe("workflow:x")
    neighbour = await neighbour_in(edge, open_client, "workflow:x")
    stop_reading(slow)
    await fill(producer, neighbour, Step)
    await eventually(lambda: edge.health()["connections"] == 1)
    statistics = edge.statistics()[0]
    assert (statistics.slow, statistics.cut) == (1, 1)


@pytest.mark.parametrize(("model", "channel"), [(Page, "page:x"), (Newest, "newest:x")])
async def test_skip_goes_on_with_the_newest_behind_a_gap(
    edge: Edge, slow: Client, open_client: OpenClient, producer: Producer, model: type[Numbered], channel: str
) -> None:
    """The gap ends at the newest event, which follows it, and the chain goes on from there."""
    await slow.subscribe(channel)
    neighbour = await neighbour_in(edge, open_client, channel)
    stop_reading(slow)
    await fill(producer, neighbour, model)
    assert (edge.statistics()[1].lagging["skip"], edge.statistics()[1].slowed["skip"]) == (1, 1)
    read_on(slow)
    read = await until(slow, ENOUGH)
    assert edge.statistics()[1].lagging["skip"] == 0
    assert edge.statistics()[1].told == {Reason.SLOW: 1}
    *before, gap, newest = read
    assert [it["data"]["number"] for it in before] == list(range(1, len(before) + 1))
    assert len(before) * len(TEXT) < BOUND_BYTES
    assert gap["event"] == "room.gap"
    assert gap["room"] == channel
    assert gap["data"] == {"from": before[-1]["position"], "to": newest["position"], "reason": "slow"}
    await producer.publish(model(number=0))
    assert (await slow.message())["previous"] == newest["position"]
    assert (edge.statistics()[0].slow, edge.statistics()[1].skipped) == (0, ENOUGH - len(before) - 1)


async def test_conflate_goes_on_with_the_newest_of_each_user(
    edge: Edge, slow: Client, open_client: OpenClient, producer: Producer
) -> None:
    """A slow client reads each user's newest position and no more, and nobody tells it of a gap."""
    await slow.subscribe("cursor:x")
    neighbour = await neighbour_in(edge, open_client, "cursor:x")
    stop_reading(slow)
    await fill(producer, neighbour, Moved, user_id="ada")
    await fill(producer, neighbour, Moved, user_id="bob", first=ENOUGH + 1)
    read_on(slow)
    read = await until(slow, 2 * ENOUGH)
    assert {it["event"] for it in read} == {"moved"}
    assert [it["data"]["number"] for it in read[-2:]] == [ENOUGH, 2 * ENOUGH]
    assert len(read) * len(TEXT) < BOUND_BYTES
    assert (edge.statistics()[0].slow, edge.statistics()[1].conflated) == (0, 2 * ENOUGH - len(read))
    assert await slow.marked() == []


@pytest.mark.parametrize(("rooms", "is_slow"), [(4, False), (5, True)])
async def test_conflate_in_many_rooms_is_bounded(
    edge: Edge, slow: Client, open_client: OpenClient, producer: Producer, rooms: int, is_slow: bool
) -> None:
    """What rooms keep for one client is bounded for all of them together, by what may wait for it."""
    neighbour = await neighbour_in(edge, open_client, "cursor:x")
    channels = [f"cursor:{number}" for number in range(rooms)]
    for channel in channels:
        await neighbour.subscribe(channel)
    for channel in ("cursor:x", *channels):
        await slow.subscribe(channel)
    stop_reading(slow)
    await fill(producer, neighbour, Moved)
    for room in range(rooms):
        for user in range(8):
            event = Moved(workflow_id=str(room), user_id=str(user), number=user, text="y" * 15_000)
            await producer.publish(event)
            assert (await neighbour.message())["data"]["number"] == user
    now = asyncio.get_running_loop().time()
    for connection in edge._parts.registry:  # noqa: SLF001
        connection.check_deadlines(now)
    assert edge.statistics()[0].slow == is_slow


async def test_policies_of_several_rooms_apply_room_by_room(
    edge: Edge, slow: Client, open_client: OpenClient, producer: Producer
) -> None:
    """What may be left out takes no place from what may not: of a history, every event comes."""
    for channel in ("cursor:x", "workflow:x", "page:x"):
        await slow.subscribe(channel)
    neighbour = await neighbour_in(edge, open_client, "cursor:x")
    stop_reading(slow)
    await fill(producer, neighbour, Moved)
    for number in range(1, 6):
        await producer.publish(Step(number=number))
        await producer.publish(Page(number=number))
    await fill(producer, neighbour, Moved, first=ENOUGH + 1)
    read_on(slow)
    rooms: dict[str, list[Any]] = {"cursor:x": [], "workflow:x": [], "page:x": []}
    while not (rooms["cursor:x"][-1:] == [2 * ENOUGH] and rooms["page:x"][-1:] == [5]):
        message = await slow.message()
        rooms[message["room"]].append(message["data"].get("number", message["data"].get("reason")))
    assert rooms["workflow:x"] == [1, 2, 3, 4, 5]
    assert rooms["page:x"] == ["slow", 5]
    assert await slow.marked() == []
    assert edge.statistics()[0].slow == 0


async def test_room_joined_while_behind_is_left_out_too(
    edge: Edge, slow: Client, open_client: OpenClient, producer: Producer
) -> None:
    """A room that allows it is left out from the start when its new member has too much before it."""
    await slow.subscribe("cursor:x")
    neighbour = await neighbour_in(edge, open_client, "cursor:x")
    reader = await neighbour_in(edge, open_client, "page:x")
    stop_reading(slow)
    await fill(producer, neighbour, Moved)
    slow.request("subscribe", "late", channel="page:x")
    await eventually(lambda: edge.statistics()[1].rooms == 2)
    await neighbour.marked()
    await fill(producer, reader, Page, first=1_001)
    read_on(slow)
    while (await slow.message())["correlation_id"] != "late":
        pass
    pages = [it for it in await until(slow, 1_000 + ENOUGH) if it["room"] == "page:x"]
    assert [it["event"] for it in pages] == ["room.gap", "page"]
    assert edge.statistics()[0].slow == 0


@pytest.mark.parametrize("asks", [False, True])
async def test_deadline_on_what_waits_getting_less(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer, asks: bool
) -> None:
    """Whoever reads nothing is closed in the end, though less than the bound waits, and though it goes on asking."""
    edge = await start_edge(broker, SERVICE, slow_deadline_s=0.5, close_timeout_s=0.2, send_buffer_bytes=16 * 1024)
    slow = await open_client(edge, receive_buffer=4096)
    await slow.subscribe("workflow:x")
    neighbour = await neighbour_in(edge, open_client, "workflow:x")
    stop_reading(slow)
    for number in range(10):
        await producer.publish(Step(number=number))
        await neighbour.message()

    async def is_gone() -> bool:
        if asks:
            with contextlib.suppress(ConnectionError):
                slow.request("ping")
        return edge.health()["connections"] == 1

    await eventually(is_gone)
    statistics = edge.statistics()[0]
    assert (statistics.slow, statistics.cut, statistics.limited["slow_deadline_s"]) == (1, 1, 1)


async def test_keepalive_ends_a_client_that_stopped_reading(start_edge: StartEdge, open_client: OpenClient) -> None:
    """A silent client that does not read our ping either is gone after the ping's timeout."""
    edge = await start_edge(redis_url=NO_REDIS, ping_interval_s=0.2, ping_timeout_s=0.2, close_timeout_s=0.2)
    client = await open_client(edge)
    stop_reading(client)
    await eventually(lambda: edge.health()["connections"] == 0, 10)


async def test_pongs_for_a_client_that_does_not_read_are_bounded(
    start_edge: StartEdge, open_client: OpenClient
) -> None:
    """Answers to ping frames wait within the bound and its reserve, like other answers."""
    bounds = {"max_waiting_bytes": 64 * 1024, "send_buffer_bytes": 8 * 1024, "control_rate_limit": 1_000_000}
    edge = await start_edge(redis_url=NO_REDIS, **bounds)
    client = await open_client(edge, receive_buffer=4096)
    stop_reading(client)
    with contextlib.suppress(ConnectionError):
        for _ in range(3_000):
            client.write(frame(PING, b"x" * 125))
            await client.writer.drain()
    await eventually(lambda: edge.statistics()[0].slow == 1)


async def test_client_we_do_not_read_is_not_taken_for_silent(
    start_edge: StartEdge, broker: EmbeddedBroker, open_client: OpenClient
) -> None:
    """While an edge lets a client's bytes wait, no answer to a ping is expected from it."""
    pings = {"ping_interval_s": 0.2, "ping_timeout_s": 0.2, "close_timeout_s": 0.2}
    edge = await start_edge(broker, SERVICE, max_waiting_commands=1, max_replays=1, **pings)
    client, neighbour = await open_client(edge), await open_client(edge)
    await client.welcomed()
    neighbour.answers_pings = False
    async with edge._parts.hub.replay_slots.slot(""):  # noqa: SLF001 (the one there is, so that a command has to wait)
        client.request("subscribe", "waits", channel="page:x", last=1)
        client.request("ping")
        await eventually(lambda: edge.statistics()[0].limited["max_waiting_commands"] == 1)
        assert await neighbour.close_code() == 1011
    assert (await client.message())["correlation_id"] == "waits"
    assert (await client.message())["type"] == "pong"


def waiting_bytes(edge: Edge) -> int:
    """Return the most that waits for any client."""
    connections = (it for it in edge._parts.registry if isinstance(it, Connection))  # noqa: SLF001
    return max(it._transport.get_write_buffer_size() for it in connections)  # noqa: SLF001


@pytest.mark.parametrize("gives_way", [True, False])
async def test_replays_for_clients_that_do_not_read_keep_nobody_waiting(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    producer: Producer,
    monkeypatch: pytest.MonkeyPatch,
    gives_way: bool,
) -> None:
    """As many as there are turns stop reading: another has its replay soon, and they have theirs when they read on."""
    if not gives_way:  # the control
        monkeypatch.setattr("edges.limits.replay_slots.Slot.is_over", False)
    edge = await start_edge(broker, SERVICE, max_replays=3, send_buffer_bytes=16 * 1024)
    for number in range(1, ENOUGH + 1):
        await producer.publish(Step(number=number))
    stuck = [await open_client(edge, receive_buffer=4096) for _ in range(3)]
    for client in stuck:
        await client.welcomed()
        client.request("subscribe", "s", channel="workflow:x", last=ENOUGH)
        assert (await client.message())["correlation_id"] == "s"
        stop_reading(client)
    other = await open_client(edge)
    await other.welcomed()
    other.request("subscribe", "o", channel="workflow:x", last=1)
    if not gives_way:
        with pytest.raises(TimeoutError):
            await other.message(2.0)
        return
    assert (await other.message(2.0))["correlation_id"] == "o"
    assert (await other.message())["data"]["number"] == ENOUGH
    await producer.publish(Step(number=ENOUGH + 1))
    for client in stuck:
        read_on(client)
        numbers = [it["data"]["number"] for it in await until(client, ENOUGH + 1)]
        assert numbers == list(range(1, ENOUGH + 2))
    assert edge.statistics()[0].slow == 0


@pytest.mark.parametrize("is_bounded", [True, False])
async def test_what_waits_is_bounded(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer, is_bounded: bool
) -> None:
    """No more than the bound ever waits for a client; with the bound taken out, all of it does."""
    bound = BOUND_BYTES if is_bounded else 100 * BOUND_BYTES
    edge = await start_edge(broker, SERVICE, max_waiting_bytes=bound, send_buffer_bytes=16 * 1024)
    never, neighbour = await open_client(edge, receive_buffer=4096), await neighbour_in(edge, open_client, "workflow:x")
    await never.subscribe("workflow:x")
    stop_reading(never)
    most = 0
    for number in range(ENOUGH):
        await producer.publish(Step(number=number))
        await neighbour.message()
        most = max(most, waiting_bytes(edge))
    assert (most <= BOUND_BYTES + 200) == is_bounded
    assert edge.statistics()[0].slow == is_bounded

"""What is the edge's own to send at length: large answers, large repairs, the newest events of many rooms at once."""

import asyncio
from typing import Any, Final

import orjson
import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.channel import LATEST, Family
from bus.event import Event
from bus.service import Service
from edges.limits.replay_slots import Slots
from edges.session.pacing import Pacing
from edges.transport.connection import Connection
from edges.transport.outgoing import Outgoing
from producers import Producer
from producers.services.akosha import SERVICE as AKOSHA
from producers.services.akosha import PatternDetected
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, Closed, eventually

WORKFLOW: Final = Family("workflow:{workflow_id}")
NEWEST: Final = Family("newest:{workflow_id}", LATEST)


class Step(Event, event="step", channels=(WORKFLOW,)):
    workflow_id: str = "x"
    number: int
    text: str = ""


class Newest(Event, event="newest", channels=(NEWEST,)):
    workflow_id: str
    text: str


SERVICE: Final = Service("test", 1, "w", (WORKFLOW, NEWEST), (Step, Newest))
TEXT: Final = "y" * 16_000
MANY: Final = 180
"""Steps of that size: three megabytes, thrice the bound."""


async def detect(producer: Producer, count: int, size: int) -> None:
    for number in range(count):
        pattern: dict[str, Any] = {"pattern_type": "t", "description": "x" * size, "confidence": 0.5}
        await producer.publish(PatternDetected(pattern_id=f"p{number}", **pattern))


@pytest.mark.parametrize("is_own", [True, False])
async def test_answers_over_the_bound_reach_a_client_that_reads(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    producer: Producer,
    monkeypatch: pytest.MonkeyPatch,
    is_own: bool,
) -> None:
    """Two megabytes each, asked for all at once, and each comes once; an event of a room comes behind one of them."""
    if not is_own:
        monkeypatch.setattr(Outgoing, "waiting_bytes", lambda it: it._transport.get_write_buffer_size())  # noqa: SLF001
    await detect(producer, 20, 100_000)
    edge = await start_edge(broker, AKOSHA)
    client = await open_client(edge)
    await client.welcomed()
    await client.subscribe("metrics")
    for number in range(13):
        client.request("get_patterns", f"q{number}", limit=1_000)
    if not is_own:  # the control
        with pytest.raises((Closed, asyncio.IncompleteReadError, ConnectionError)):
            await client.message(20)
        return
    answers = [await client.message(20) for _ in range(13)]
    assert [it["correlation_id"] for it in answers] == [f"q{number}" for number in range(13)]
    assert {it["type"] for it in answers} == {"response"}
    assert {it["data"]["count"] for it in answers} == {20}
    assert await client.marked() == []
    assert edge.statistics()[0].slow == 0


async def test_answer_too_large_is_told(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer
) -> None:
    """An answer over max_answer_bytes is an error with a code, it is counted, and a smaller question is answered."""
    await detect(producer, 20, 1_000)
    edge = await start_edge(broker, AKOSHA, max_answer_bytes=10_000)
    client = await open_client(edge)
    await client.welcomed()
    client.request("get_patterns", "large", limit=1_000)
    client.request("get_patterns", "small", limit=5)
    refusal, answer = await client.message(), await client.message()
    assert (refusal["correlation_id"], refusal["error_code"]) == ("large", "ANSWER_TOO_LARGE")
    assert "max_answer_bytes" in refusal["error_message"]
    assert (answer["correlation_id"], answer["data"]["count"]) == ("small", 5)
    assert edge.statistics()[0].limited["max_answer_bytes"] == 1


async def lose(redis: "Redis", producer: Producer, count: int, *, marked: int | None = None) -> None:
    """Append steps that nobody is sent, as if the link had been away, and then one that is; mark a fork behind one."""
    channel = WORKFLOW.fill("x")
    newest: Any = (await redis.xrevrange(channel.log_key, count=1))[0]  # type: ignore[index]
    previous, template = newest[0].decode(), newest[1]
    for number in range(count):
        line = orjson.loads(template[b"line"])
        line["data"] |= {"number": number, "text": TEXT}
        fields = {**template, b"previous": previous.encode(), b"line": orjson.dumps(line)}
        added: Any = await redis.xadd(channel.log_key, fields)
        previous = added.decode()
        if number == marked:
            await redis.zadd(channel.forks_key, {previous: 1})
    await producer.publish(Step(number=count))


async def steps(client: Client, last: int) -> list[int]:
    """Return the numbers of the steps up to the last one; nothing else comes between."""
    found = list[int]()
    while not found or found[-1] != last:
        message = await client.message(20)
        assert message["event"] == "step", message
        found.append(message["data"]["number"])
    return found


@pytest.mark.parametrize("is_paced", [True, False])
async def test_repair_over_the_bound_reaches_members_that_read(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    producer: Producer,
    redis: "Redis",
    monkeypatch: pytest.MonkeyPatch,
    is_paced: bool,
) -> None:
    """Three megabytes that a room lacked come whole and in order to every member; written in one piece, to none."""
    if not is_paced:  # the control
        monkeypatch.setattr("edges.transport.connection.Connection.takes", lambda *_: True)
    edge = await start_edge(broker, SERVICE)
    members = [await open_client(edge) for _ in range(5)]
    for member in members:
        await member.welcomed()
        await member.subscribe("workflow:x")
    await producer.publish(Step(number=-1))
    for member in members:
        assert (await member.message())["data"]["number"] == -1
    await lose(redis, producer, MANY)
    if not is_paced:
        await eventually(lambda: edge.statistics()[0].slow == 5)
        return
    for found in await asyncio.gather(*(steps(member, MANY) for member in members)):
        assert found == list(range(MANY + 1))
    await producer.publish(Step(number=MANY + 1))
    for member in members:
        assert (await member.message())["data"]["number"] == MANY + 1
        assert await member.marked() == []
    assert edge.statistics()[0].slow == 0
    assert edge.statistics()[1].rooms == 1


async def test_repair_after_a_takeover_begins_where_members_stood(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer, redis: "Redis"
) -> None:
    """What a new primary lacks is told, and what it has since comes at length; nothing from before comes again."""
    for number in range(-5, -1):
        await producer.publish(Step(number=number))
    edge = await start_edge(broker, SERVICE)
    client = await open_client(edge)
    await client.welcomed()
    await client.subscribe("workflow:x")
    lost = await producer.publish(Step(number=-1))
    assert (await client.message())["data"]["number"] == -1
    await redis.xdel(WORKFLOW.fill("x").log_key, lost.positions["workflow:x"] or "")
    await lose(redis, producer, MANY)
    assert (await client.message())["data"]["reason"] == "diverged"
    assert await steps(client, MANY) == list(range(MANY + 1))


async def test_repair_after_two_takeovers_tells_of_both(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer, redis: "Redis"
) -> None:
    """The member stands where the log never was, and passes a place where another edge had what is lost: two gaps."""
    for number in range(-5, -1):
        await producer.publish(Step(number=number))
    edge = await start_edge(broker, SERVICE)
    client = await open_client(edge)
    await client.welcomed()
    await client.subscribe("workflow:x")
    lost = await producer.publish(Step(number=-1))
    assert (await client.message())["data"]["number"] == -1
    await redis.xdel(WORKFLOW.fill("x").log_key, lost.positions["workflow:x"] or "")
    await lose(redis, producer, MANY, marked=MANY // 2)
    assert (await client.message())["data"]["reason"] == "diverged"
    assert await steps(client, MANY // 2) == list(range(MANY // 2 + 1))
    told = (await client.message())["data"]
    assert told["reason"] == "diverged"
    assert (await redis.zrange(WORKFLOW.fill("x").forks_key, 0, 0)) == [told["from"].encode()]
    assert await steps(client, MANY) == list(range(MANY // 2 + 1, MANY + 1))


async def test_repair_ends_with_leaving_the_room(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer, redis: "Redis"
) -> None:
    """Whoever leaves in the middle of a repair is given no more of it, and not put into the room again."""
    edge = await start_edge(broker, SERVICE, send_buffer_bytes=16 * 1024)
    client = await open_client(edge, receive_buffer=4096)
    await client.welcomed()
    await client.subscribe("workflow:x")
    await producer.publish(Step(number=-1))
    assert (await client.message())["data"]["number"] == -1
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await lose(redis, producer, MANY)
    await eventually(lambda: edge.statistics()[1].repaired)
    client.request("unsubscribe", "leave", channel="workflow:x")
    await eventually(lambda: not edge.statistics()[1].rooms)
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]
    found = list[int]()
    while (message := await client.message())["correlation_id"] != "leave":
        found.append(message["data"]["number"])
    assert found == list(range(len(found)))
    assert len(found) < MANY
    await producer.publish(Step(number=MANY + 1))
    assert all(it["data"]["number"] < MANY for it in await client.marked())


@pytest.mark.parametrize("waits", [True, False])
async def test_newest_events_of_many_rooms_wait_for_the_client(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    producer: Producer,
    monkeypatch: pytest.MonkeyPatch,
    waits: bool,
) -> None:
    """Thirty rooms entered in one breath, each with a newest event of 100 KB: all come, each behind its answer."""
    names = [f"n{number}" for number in range(30)]
    for name in names:
        await producer.publish(Newest(workflow_id=name, text="x" * 100_000))
    edge = await start_edge(broker, SERVICE)
    first, client = await open_client(edge), await open_client(edge)
    for one in (first, client):
        await one.welcomed()
    for name in names:  # they are open by then
        await first.subscribe(f"newest:{name}")
        await first.message()
    if not waits:  # the control
        monkeypatch.setattr(Connection, "takes_more", True)
    for name in names:
        client.request("subscribe", name, channel=f"newest:{name}")
    if not waits:
        await eventually(lambda: edge.statistics()[0].slow == 1)
        return
    for name in names:
        assert (await client.message())["correlation_id"] == name
        assert (await client.message())["room"] == f"newest:{name}"
    assert edge.statistics()[0].slow == 0


class Reader:
    """A client that reads when a test says so."""

    def __init__(self) -> None:
        self.takes_more = True
        self.is_closed = False

    async def drained(self) -> None:
        await asyncio.Event().wait()

    def close_slow(self) -> None:
        self.is_closed = True


async def test_large_answer_that_is_not_read_gives_its_turn_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is closed for taking long while no other waits for the turn; then it is."""
    monkeypatch.setattr("edges.session.pacing._LOOK_S", 0.01)
    monkeypatch.setattr("edges.session.pacing._LONGEST_S", 0.05)
    slots, reader = Slots("max_replays", 1, slice_s=0.05), Reader()
    pacing = Pacing(reader, slots, at_once_bytes=10, network="a")  # type: ignore[arg-type]

    async def drained() -> None:
        if reader.takes_more:
            return
        await asyncio.Event().wait()

    reader.drained = drained  # type: ignore[method-assign]

    async def say() -> None:
        async with pacing.room_for(100):
            reader.takes_more = False

    saying = asyncio.create_task(say())
    for _ in range(20):  # many turns of the loop, in which nothing ends it
        await asyncio.sleep(0)
    assert not saying.done()
    assert not reader.is_closed
    async with asyncio.timeout(5), slots.slot("b"):
        assert reader.is_closed
    await saying

"""Two edges on a Redis that loses its newest events, as a primary does whose replica takes over with lag."""

from datetime import UTC, datetime
from typing import Any

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.channel import LATEST, Channel, Family
from bus.event import Event
from bus.log import forks
from bus.position import milliseconds
from bus.service import Service
from edges import Edge
from edges.lifecycle import redis_link
from producers import Producer
from producers.services.mahavishnu import WORKFLOW, Mahavishnu
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, eventually

CHANNEL = WORKFLOW.fill("x")


async def step(producer: Producer, *numbers: int) -> str:
    """Publish these; return the position of the last one."""
    for number in numbers:
        published = await Mahavishnu(producer).broadcast_workflow_stage_completed("x", str(number), {})
    return published.positions["workflow:x"] or ""


async def resumed(edge: Edge, open_client: OpenClient, since: str) -> dict[str, Any]:
    """Return what a client is told that comes back to ``edge``."""
    client = await open_client(edge)
    await client.welcomed()
    client.request("subscribe", channel="workflow:x", since=since)
    return dict((await client.message())["data"])


async def member(edge: Edge, open_client: OpenClient) -> Client:
    client = await open_client(edge)
    await client.welcomed()
    await client.subscribe("workflow:x")
    return client


def is_back(edge: Edge) -> bool:
    return edge.not_ready() is None and edge._parts.subscriber.statistics().generation == 2  # noqa: SLF001 (nothing else tells)


async def lose(redis: Redis, dump: bytes, channel: Channel = CHANNEL) -> None:
    """Let the log be again what it was, and cut the links."""
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.delete(channel.log_key)
        pipeline.restore(channel.log_key, 0, dump)
        pipeline.client_kill_filter(_type="pubsub")
        await pipeline.execute()


async def test_client_of_another_edge_is_told_what_one_edge_had(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    producer: Producer,
    redis: Redis,
    monkeypatch: Any,
) -> None:
    """A client stood at 3 and went; 4 and 5 came to one edge and are in no log: the other edge tells the client."""
    one, other = await start_edge(broker), await start_edge(broker)
    watching = await member(one, open_client)
    stood = await step(producer, 1, 2, 3)
    dump = await redis.dump(CHANNEL.log_key) or b""
    await step(producer, 4, 5)
    for _ in range(5):
        await watching.message()
    await lose(redis, dump)
    await eventually(lambda: all(is_back(edge) for edge in (one, other)))
    reply = await resumed(other, open_client, stood)
    assert (reply["recovered"], reply["reason"]) == (False, "diverged")
    assert (await redis.zrange(CHANNEL.forks_key, 0, -1)) == [stood.encode()]
    later = await step(producer, 6)
    assert (await resumed(other, open_client, later))["reason"] == "diverged", "its edge may not have known yet"
    monkeypatch.setattr(forks, "_LOOKS_MS", 0)
    assert (await resumed(other, open_client, later))["recovered"], "edges have looked for marks"
    assert (await resumed(other, open_client, stood))["reason"] == "diverged"


async def test_client_that_passed_a_fork_unknown_to_its_edge_is_told_the_range(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer, redis: Redis
) -> None:
    """It comes back from behind the fork: the reply speaks of what follows its position, and a gap of what was before.

    A client that stands at the fork is told by the reply alone.
    """
    edge = await start_edge(broker)
    stood = await step(producer, 1)
    later = await step(producer, 2)
    await redis.zadd(CHANNEL.forks_key, {stood: int(later.partition("-")[0])})
    for since, told in ((later, [(stood, later, "diverged")]), (stood, [2])):
        client = await open_client(edge)
        await client.welcomed()
        client.request("subscribe", channel="workflow:x", since=since)
        assert (await client.message())["data"]["reason"] == "diverged"
        assert [_short(await client.message()) for _ in told] == told
    newest = await step(producer, 3)
    assert (await client.message())["position"] == newest


async def test_members_of_an_edge_that_compared_first_are_told_later(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    producer: Producer,
    redis: Redis,
    monkeypatch: Any,
) -> None:
    """Another edge leaves its mark when this one has compared already: its members are told by the next look."""
    monkeypatch.setattr(redis_link, "_LOOK_AFTER_S", (0.05,) * 100)
    edge = await start_edge(broker)
    watching = await member(edge, open_client)
    stood = await step(producer, 1)
    assert (await watching.message())["position"] == stood
    await redis.client_kill_filter(_type="pubsub")
    assert [(await watching.message(10))["event"] for _ in range(2)] == ["bus.degraded", "bus.restored"]
    await redis.zadd(CHANNEL.forks_key, {stood: 1})
    told = await watching.message()
    assert (told["event"], told["data"]["from"], told["data"]["reason"]) == ("room.gap", stood, "diverged")


async def lose_after_five(edge: Edge, open_client: OpenClient, producer: Producer, redis: Redis) -> dict[int, str]:
    """Let 6 and 7 come to a member of ``edge`` and get lost, then publish 8; return positions by number."""
    watching = await member(edge, open_client)
    at = {number: await step(producer, number) for number in range(1, 6)}
    dump = await redis.dump(CHANNEL.log_key) or b""
    for number in (6, 7):
        at[number] = await step(producer, number)
    for _ in at:
        await watching.message()
    await lose(redis, dump)
    await eventually(lambda: is_back(edge))
    at[8] = await step(producer, 8)
    return at


@pytest.mark.parametrize("start", ["since", "last", "time"])
async def test_gap_stands_where_the_events_are_gone(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    producer: Producer,
    redis: Redis,
    start: str,
) -> None:
    """Of 6 and 7 only one edge knew: who comes back to either and stood before 5 is told the gap behind 5, not sooner.

    The reply says that not all was recovered, and up to where nothing is missing.
    """
    one, other = await start_edge(broker), await start_edge(broker)
    at = await lose_after_five(one, open_client, producer, redis)
    await eventually(lambda: is_back(other))
    third = datetime.fromtimestamp(milliseconds(at[3]) / 1000, UTC).isoformat()
    starts: dict[str, dict[str, Any]] = {"since": {"since": at[2]}, "last": {"last": 4}, "time": {"since": third}}
    expected = [3, 4, 5, (at[5], at[8], "diverged"), 8]
    for edge in (one, other):
        client = await open_client(edge)
        await client.welcomed()
        client.request("subscribe", channel="workflow:x", **starts[start])
        reply = (await client.message())["data"]
        assert (reply["recovered"], reply["reason"], reply["gap_after"]) == (False, "diverged", at[5])
        assert reply["position"] == at[8]
        told = [_short(message) for message in await client.marked()]
        assert told[-len(expected) :] == expected
        assert len(told) == len(expected) or start == "time"  # an earlier one may be of the same millisecond
    again = await resumed(other, open_client, at[5])
    assert (again["reason"], "gap_after" in again) == ("diverged", False)


async def test_gap_at_the_end_of_what_there_is(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer, redis: Redis
) -> None:
    """Nothing came after the lost events yet: the gap stands behind the last one that is left, up to there."""
    edge = await start_edge(broker)
    watching = await member(edge, open_client)
    at = {number: await step(producer, number) for number in (1, 2)}
    dump = await redis.dump(CHANNEL.log_key) or b""
    await step(producer, 3)
    for _ in range(3):
        await watching.message()
    await lose(redis, dump)
    await eventually(lambda: is_back(edge))
    client = await open_client(edge)
    await client.welcomed()
    client.request("subscribe", channel="workflow:x", since=at[1])
    reply = (await client.message())["data"]
    assert (reply["replayed"], reply["gap_after"]) == (1, at[2])
    at[4] = await step(producer, 4)
    assert [_short(await client.message()) for _ in range(3)] == [2, (at[2], at[2], "diverged"), 4]


def _short(message: dict[str, Any]) -> Any:
    """Return an event's number, or what a gap says."""
    data = message["data"]
    if message["event"] == "room.gap":
        return data["from"], data["to"], data["reason"]
    return int(data["stage_name"])


# A latest channel: its one event may be an older one again.

NEWEST = Family("newest:{name}", LATEST)


class Newest(Event, event="newest", channels=(NEWEST,)):
    """An event that stands for all before it."""

    name: str = "x"
    number: int


LATEST_SERVICE = Service("test", 1, "w", (NEWEST,), (Newest,), ())
NEWEST_CHANNEL = NEWEST.fill("x")


async def newest(producer: Producer, number: int) -> str:
    """Publish an event; return its position."""
    published = await producer.publish(Newest(number=number))
    return published.positions["newest:x"] or ""


async def test_latest_channel_goes_back_for_everybody_and_is_told(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer, redis: Redis
) -> None:
    """The log went back from 3 to 2: who stayed and who comes back from 3 hear of it, and all are shown 2 again."""
    edge = await start_edge(broker, LATEST_SERVICE)
    stayed = await open_client(edge)
    await stayed.welcomed()
    await stayed.subscribe("newest:x")
    second = await newest(producer, 2)
    dump = await redis.dump(NEWEST_CHANNEL.log_key) or b""
    third = await newest(producer, 3)
    await lose(redis, dump, NEWEST_CHANNEL)
    await eventually(lambda: is_back(edge))
    said = [message for message in await stayed.marked() if not message["event"].startswith("bus.")]
    assert [_newest(message) for message in said] == [2, 3, (third, second, "diverged"), 2]
    for since, recovered, expected in ((third, False, [(third, second, "diverged"), 2]), (second, True, [])):
        client = await open_client(edge)
        await client.welcomed()
        client.request("subscribe", channel="newest:x", since=since)
        reply = (await client.message())["data"]
        assert (reply["recovered"], reply["position"]) == (recovered, second)
        assert [_newest(message) for message in await client.marked()] == expected
    newcomer = await open_client(edge)
    await newcomer.welcomed()
    await newcomer.subscribe("newest:x")
    assert [_newest(message) for message in await newcomer.marked()] == [2]


def _newest(message: dict[str, Any]) -> Any:
    return message["data"]["number"] if message["event"] == "newest" else tuple(message["data"].values())

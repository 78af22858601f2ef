"""What people do to logs by hand holds no room up: it is told as a gap, and events go on."""

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.position import milliseconds
from producers import Producer
from producers.services.mahavishnu import WORKFLOW
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import eventually
from tests.edges.rooms.test_failover import member, step

KEY = WORKFLOW.fill("x").log_key


async def test_typed_entry_is_told_and_passed(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer, redis: Redis
) -> None:
    """An entry typed with XADD lies between two events: members are told that something does, and get the second."""
    edge = await start_edge(broker)
    client = await member(edge, open_client)
    stood = await step(producer, 1)
    assert (await client.message())["position"] == stood
    await redis.xadd(KEY, {"note": "typed"}, id=f"{milliseconds(stood) + 1}-1")
    await step(producer, 2)
    told, event = await client.message(), await client.message()
    assert (told["event"], told["data"]["from"], told["data"]["to"]) == ("room.gap", stood, event["position"])
    await step(producer, 3)
    assert (await client.message())["previous"] == event["position"]


async def test_key_of_another_type_holds_up_no_other_room(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer, redis: Redis
) -> None:
    """Somebody SET the key of one log; after the link was cut the other rooms are compared, and the edge is ready."""
    edge = await start_edge(broker)
    spoilt, other = await member(edge, open_client), await open_client(edge)
    await other.welcomed()
    await other.subscribe("workflow:y")
    stood = await step(producer, 1)
    assert (await spoilt.message())["position"] == stood
    await redis.set(KEY, "by hand")
    await redis.client_kill_filter(_type="pubsub")
    events = [(await spoilt.message(10))["event"] for _ in range(3)]
    assert events == ["bus.degraded", "room.gap", "bus.restored"]
    assert [(await other.message(10))["event"] for _ in range(2)] == ["bus.degraded", "bus.restored"]
    await eventually(lambda: edge.not_ready() is None)
    await redis.delete(KEY)
    again = await step(producer, 2)
    assert (await spoilt.message())["position"] == again


@pytest.mark.parametrize("far", ["9007199254740993-5", "18446744073709551615-18446744073709551615"])
async def test_room_goes_on_behind_an_id_that_no_clock_gives(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer, redis: Redis, far: str
) -> None:
    """Nobody's events end with an entry typed far in the future; who subscribed behind that is told, and goes on."""
    edge = await start_edge(broker)
    before = await member(edge, open_client)
    stood = await step(producer, 1)
    assert (await before.message())["position"] == stood
    await redis.xadd(KEY, {"note": "typed"}, id=far)
    behind = await member(edge, open_client)
    newest = await step(producer, 2)
    event = await before.message()
    assert (event["position"], event["previous"]) == (newest, stood)
    assert (await behind.message())["position"] == newest
    beyond = await open_client(edge)
    await beyond.welcomed()
    beyond.request("subscribe", channel="workflow:x", since=far)
    assert (await beyond.message())["data"]["reason"] == "diverged"

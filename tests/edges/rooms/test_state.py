"""Subscribing with the state of a channel, over real sockets, against a real Redis: the state, then the tail."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.channel import LIVE, Family, Retention
from bus.event import Event
from bus.keyed import Keyed
from bus.service import Service
from edges import Edge
from producers import Producer
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, eventually

KEYED = Keyed({"thing.set": "thing:{thing}"}, removed={"thing.gone": "thing:{thing}"}, max_keys=1_000)
ROOM = Family("room:{room}", Retention("history", max_events=100), keyed=KEYED)
PLAIN = Family("plain:{room}")
TICK = Family("tick:{room}", LIVE)


class Set(Event, event="thing.set", channels=(ROOM,)):
    room: str = "x"
    thing: str
    text: str = ""


class Gone(Event, event="thing.gone", channels=(ROOM,)):
    room: str = "x"
    thing: str


class Said(Event, event="thing.said", channels=(ROOM,)):
    room: str = "x"
    number: int


SERVICE = Service("test", 1, "w", (ROOM, PLAIN, TICK), (Set, Gone, Said), ())


@pytest.fixture
async def edge(broker: EmbeddedBroker, start_edge: StartEdge) -> Edge:
    return await start_edge(broker, SERVICE, welcome_delay_ms=60_000)


@pytest.fixture
async def client(edge: Edge, open_client: OpenClient) -> Client:
    client = await open_client(edge)
    await client.welcomed()
    return client


async def publish(producer: Producer, *events: Event) -> list[str]:
    return [str((await producer.publish(it)).positions["room:x"]) for it in events]


async def ask(client: Client, channel: str = "room:x", **data: Any) -> dict[str, Any]:
    client.request("subscribe", channel=channel, state=True, **data)
    reply = await client.message()
    assert reply["type"] == "response", reply
    found: dict[str, Any] = reply["data"]
    return found


async def lines(client: Client, count: int) -> list[tuple[str, str]]:
    """Return event and position of the next lines."""
    messages = [await client.message() for _ in range(count)]
    return [(it["event"], it["position"]) for it in messages]


async def test_newcomer_has_the_state_and_then_the_tail(client: Client, producer: Producer) -> None:
    """However old a key, and however short the log: each key's newest event by position, then what comes, chained."""
    at = await publish(producer, Set(thing="old"), Set(thing="a"), Set(thing="a"), Gone(thing="b"))
    said = await publish(producer, *(Said(number=number) for number in range(300)))
    reply = await ask(client)
    assert reply == {"status": "subscribed", "channel": "room:x", "position": said[-1], "state": 3}
    assert await lines(client, 3) == [("thing.set", at[0]), ("thing.set", at[2]), ("thing.gone", at[3])]
    [live] = await publish(producer, Set(thing="a"))
    message = await client.message()
    assert (message["position"], message["previous"]) == (live, said[-1])


async def test_empty_channel_has_an_empty_state(client: Client, producer: Producer) -> None:
    """Nothing yet is a state, too; the first event follows."""
    reply = await ask(client)
    assert (reply["state"], reply["position"].endswith("-0")) == (0, True)
    [live] = await publish(producer, Set(thing="a"))
    assert await lines(client, 1) == [("thing.set", live)]


async def test_resume_that_the_log_can_serve_has_no_state(client: Client, producer: Producer) -> None:
    """The missed events are less than the state, and all that the client needs."""
    at = await publish(producer, Set(thing="a"), Set(thing="b"), Said(number=1))
    reply = await ask(client, since=at[0])
    assert {key: reply[key] for key in ("recovered", "reason", "replayed", "state")} == {
        "recovered": True,
        "reason": None,
        "replayed": 2,
        "state": 0,
    }
    assert [position for _, position in await lines(client, 2)] == at[1:]


@pytest.mark.parametrize("reason", ["trimmed", "unknown", "diverged"])
async def test_resume_that_is_too_old_has_the_state(
    client: Client, producer: Producer, redis: Redis, reason: str
) -> None:
    """In place of a part of the tail the whole state comes, with the reason; then live events, without a hole."""
    at = await publish(producer, Set(thing="a"), Set(thing="b"))
    said = await publish(producer, *(Said(number=number) for number in range(300)))
    since = {"trimmed": at[0], "unknown": "5-5", "diverged": f"{said[-1].partition('-')[0]}-7"}[reason]
    reply = await ask(client, since=since)
    assert (reply["recovered"], reply["reason"], reply["replayed"], reply["state"]) == (False, reason, 0, 2)
    assert reply["position"] == said[-1]
    assert [position for _, position in await lines(client, 2)] == at
    [live] = await publish(producer, Set(thing="c"))
    message = await client.message()
    assert (message["position"], message["previous"]) == (live, said[-1])


async def test_resume_behind_a_failover_has_the_state_of_the_new_primary(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer, redis: Redis
) -> None:
    """The replica lacks the newest events: the client is told, and given the state and the tail of what there is."""
    await redis.config_set("repl-diskless-sync-delay", 0)
    with EmbeddedBroker(port=0, extra=("--replicaof", "127.0.0.1", str(broker.port))) as other:
        async with Redis.from_url(other.url) as new, Producer(other.url) as later:
            await eventually(lambda: is_replica(new))
            async with Producer(broker.url, wait_replicas=1) as careful:
                kept = await publish(careful, Set(thing="a"), Set(thing="b"), Gone(thing="b"), Set(thing="c"))
            await new.replicaof("NO", "ONE")
            [lost] = await publish(producer, Set(thing="a", text="lost with the primary"))
            edge = await start_edge(other, SERVICE, welcome_delay_ms=60_000)
            client = await open_client(edge)
            await client.welcomed()
            reply = await ask(client, since=lost)
            assert (reply["recovered"], reply["reason"], reply["position"]) == (False, "diverged", kept[-1])
            assert reply["state"] == 3
            assert await lines(client, 3) == [("thing.set", kept[0]), ("thing.gone", kept[2]), ("thing.set", kept[3])]
            [tail] = await publish(later, Set(thing="a"))
            message = await client.message()
            assert (message["position"], message["previous"]) == (tail, kept[-1])


async def is_replica(new: Redis) -> bool:
    return bool((await new.info("replication")).get("master_link_status") == "up")


async def test_events_during_the_state_come_behind_it(edge: Edge, client: Client, producer: Producer) -> None:
    """Events published while a newcomer is being given the state come once, in order."""
    await publish(producer, *(Set(thing=f"t{number}", text="x" * 2_000) for number in range(200)))
    client.request("subscribe", channel="room:x", state=True)
    live = await publish(producer, *(Said(number=number) for number in range(20)))
    reply = await client.message()
    count = reply["data"]["state"]
    assert count == 200
    await lines(client, count)
    at = reply["data"]["position"]
    rest = live if at not in live else live[live.index(at) + 1 :]
    assert [position for _, position in await lines(client, len(rest))] == rest


async def test_truncated_state_says_so(client: Client, producer: Producer, redis: Redis) -> None:
    """Keys that went are no secret."""
    await publish(producer, Set(thing="a"))
    await redis.hset("bus:state:{room:x}", "bus:evicted", "1-1")
    reply = await ask(client)
    assert (reply["state"], reply["truncated"]) == (1, True)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"channel": "plain:x", "state": True}, "state: plain:x keeps no state; leave the key out"),
        ({"channel": "tick:x", "state": True}, "state: tick:x keeps no state"),
        ({"channel": "room:x", "state": "yes"}, "state: expected true or false"),
        ({"channel": "room:x", "state": 1}, "state: expected true or false"),
        ({"channel": "room:x", "state": True, "last": 5}, "state: goes with a position in 'since', or alone"),
        ({"channel": "room:x", "state": True, "since": "-15m"}, "state: goes with a position in 'since', or alone"),
    ],
)
async def test_odd_wishes_are_refused_by_name(client: Client, data: dict[str, Any], sentence: str) -> None:
    """A client learns what is wrong, and is in no room."""
    client.request("subscribe", **data)
    reply = await client.message()
    assert reply["error_code"] == "INVALID_REQUEST"
    assert sentence in reply["error_message"]


async def test_thousand_newcomers_share_a_few_reads(edge: Edge, open_client: OpenClient, producer: Producer) -> None:
    """The state is read once for all who come at one moment."""
    await publish(producer, *(Set(thing=f"t{number}") for number in range(20)))
    some = [await open_client(edge) for _ in range(30)]
    for one in some:
        await one.welcomed()
    before = edge.statistics()[1].reads
    assert {(await it)["state"] for it in asyncio.as_completed([ask(one) for one in some])} == {20}
    assert edge.statistics()[1].reads - before < 15

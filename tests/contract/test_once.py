"""A client's publish is stored once, whoever repeats it, and only for as long as a repetition may come."""

import asyncio
from dataclasses import replace

import pytest

from bus.errors import PublishError
from bus.log.appending import Appended, Entry
from bus.log.memory import MemoryLog
from bus.log.once import ONCE_MS, once_name
from tests.appending_log import AppendingLog
from tests.contract.brokers import Broker, Cli, Receiver, also_fake
from tests.contract.events import SKILL, TICK, WORKFLOW, ElementAdded, Skill, Stage, Tick, entries

NAME = once_name("alice", "1", "workflow.stage", {"number": 1})
CHANNEL = WORKFLOW.fill("a")
KEY = f"bus:once:{{workflow:a}}:{NAME}"


def entry(number: int = 1, *, once: str = NAME, event_id: str = "1") -> Entry:
    """Return a client's publish; clients number their requests from 1."""
    [one] = entries(Stage(workflow_id="a", number=number))
    return replace(one, id=event_id, once=once)


async def stored(redis: Cli) -> list[bytes]:
    return [fields[b"id"] for _, fields in await redis.xrange(CHANNEL.log_key)]


async def appended(log: AppendingLog | MemoryLog, one: Entry) -> Appended:
    [outcome] = await log.append([one])
    assert isinstance(outcome, Appended), outcome
    return outcome


@also_fake
async def test_repetition_by_another_edge_is_answered_with_the_first_position(
    broker: Broker, redis: Cli, receiver: Receiver
) -> None:
    """Two edges are asked for one publish: it is stored and sent once, and both answer with the position."""
    await receiver.subscribe(CHANNEL.redis)
    async with (
        AppendingLog(broker.url, name="edge-a", once=True) as one,
        AppendingLog(broker.url, name="edge-b", once=True) as other,
    ):
        first = await appended(one, entry())
        again = await appended(other, entry())
        marker = await appended(other, entry(once="marker", event_id="2"))
    assert again == Appended(first.position, 0)
    assert await stored(redis) == [b"1", b"2"]
    assert len(await receiver.of(CHANNEL.redis, 2)) == 2
    assert first.position != marker.position


@also_fake
async def test_publish_without_the_memory_is_stored_twice(broker: Broker, redis: Cli) -> None:
    """The negative control: a producer's publish, repeated by a process that does not know of the first."""
    async with AppendingLog(broker.url, name="edge-a") as one, AppendingLog(broker.url, name="edge-b") as other:
        await appended(one, entry(once=""))
        await appended(other, entry(once=""))
    assert await stored(redis) == [b"1", b"1"]


async def test_one_id_of_two_clients_or_two_contents_is_two_events(broker: Broker, redis: Cli) -> None:
    """Clients number their requests from 1, each of them: the user, the event and the data count as well."""
    names = [
        NAME,
        once_name("bob", "1", "workflow.stage", {"number": 1}),
        once_name(None, "1", "workflow.stage", {"number": 1}),
        once_name("alice", "1", "workflow.stage", {"number": 2}),
        once_name("alice", "1", "workflow.other", {"number": 1}),
    ]
    async with AppendingLog(broker.url, name="edge-a", once=True) as log:
        # A repeated attempt of the second looks for no event by the id "1": it would find the first client's.
        positions = [(await appended(log, replace(entry(once=name), since_ms=0))).position for name in names]
    assert len(set(positions)) == len(names)
    assert await stored(redis) == [b"1"] * len(names)


def test_name_does_not_hang_on_the_order_of_keys() -> None:
    """A client that composes its message anew may order the keys of the data otherwise."""
    assert once_name("a", "1", "e", {"x": 1, "y": 2}) == once_name("a", "1", "e", {"y": 2, "x": 1})


async def test_memory_of_a_publish_ends_and_can_be_read(broker: Broker, redis: Cli) -> None:
    """The key holds the position, and goes by itself."""
    async with AppendingLog(broker.url, name="edge-a", once=True) as log:
        first = await appended(log, entry())
        assert (await redis.get(KEY)).decode() == first.position
        assert 0 < await redis.pttl(KEY) <= ONCE_MS
        await redis.delete(KEY)  # its time is over
        later = await appended(log, entry())
    assert later.position != first.position


@pytest.mark.parametrize("typed", ["text", "hash"])
async def test_key_typed_by_hand_is_written_over(broker: Broker, redis: Cli, typed: str) -> None:
    """What is no position does not answer for an event that nobody stored."""
    await (redis.set(KEY, "no position") if typed == "text" else redis.hset(KEY, "a", "b"))
    async with AppendingLog(broker.url, name="edge-a", once=True) as log:
        first = await appended(log, entry())
        assert await appended(log, entry()) == Appended(first.position, 0)
    assert await stored(redis) == [b"1"]


async def test_lost_memory_right_refuses_before_the_log_has_the_event(broker: Broker, redis: Cli) -> None:
    """Stored and remembered, or neither: a user without the key's right stores no event."""
    await redis.execute_command(
        "ACL", "SETUSER", "narrow", "on", ">pw", "~bus:log:*", "&*", "+@all", "(%R~bus:once:* +get)", "%R~bus:once:*"
    )
    url = broker.url.replace("redis://", "redis://narrow:pw@")
    async with AppendingLog(url, name="edge-a", once=True) as log:
        [outcome] = await log.append([entry()])
    assert isinstance(outcome, PublishError)
    assert await redis.exists(CHANNEL.log_key) == 0


async def test_script_flushed_is_loaded_again(broker: Broker, redis: Cli) -> None:
    """After `SCRIPT FLUSH` the publish is repeated with the script."""
    async with AppendingLog(broker.url, name="edge-a", once=True) as log:
        await appended(log, entry())
        await redis.script_flush()
        await appended(log, entry(once="other"))
    assert len(await stored(redis)) == 2


async def test_latest_remembers_and_live_does_not(broker: Broker) -> None:
    """A `latest` channel stores once; a `live` one has no log to store in, and may be heard twice."""
    async with AppendingLog(broker.url, name="edge-a", once=True) as log:
        for event, family in ((Skill(workflow_id="a"), SKILL), (Tick(workflow_id="a"), TICK)):
            [one] = [replace(it, once=NAME) for it in entries(event)]
            first, again = await appended(log, one), await appended(log, one)
            assert again.position == first.position
            assert (first.position is None) == (family is TICK)


async def test_memory_log_answers_alike() -> None:
    """The log of a test answers as Redis does."""
    log = MemoryLog()
    first = await appended(log, entry())
    assert await appended(log, entry()) == first
    assert (await appended(log, entry(once="other", event_id="2"))).position != first.position
    assert len(log.lines["workflow:a"]) == 2


async def test_a_message_of_several_channels_is_completed_by_a_repetition(broker: Broker, redis: Cli) -> None:
    """A channel that has the event answers with its position; another stores it then."""
    async with AppendingLog(broker.url, name="edge-a", once=True) as log:
        both = [entry(), replace(entry(), channel=WORKFLOW.fill("b"))]
        first = await appended(log, both[0])
        outcomes = await asyncio.wait_for(log.append(both), 10)
    assert [isinstance(it, Appended) for it in outcomes] == [True, True]
    assert outcomes[0] == Appended(first.position, 0)
    assert await redis.xlen("bus:log:{workflow:b}") == 1


async def test_state_of_a_channel_is_written_once_with_the_event(broker: Broker, redis: Cli) -> None:
    """A channel with a state keeps the client's event there, and a repetition writes nothing more."""
    [one] = [replace(it, once=NAME) for it in entries(ElementAdded(diagram_id="a", element_id="e"))]
    async with AppendingLog(broker.url, name="edge-a", once=True) as log:
        first = await appended(log, one)
        state = await redis.hgetall("bus:state:{diagram:a}")
        assert await appended(log, one) == Appended(first.position, 0)
    assert any(key.startswith(b"element:") for key in state)
    assert await redis.hgetall("bus:state:{diagram:a}") == state
    assert await redis.xlen(one.channel.log_key) == 1

"""Channels are subscribed while somebody wants them: exactly those, confirmed, and in few commands."""

import asyncio
import json

import pytest

from bus.errors import BusUnavailable
from tests.appending_log import AppendingLog
from tests.contract.brokers import Broker, Cli, Receiver, also_fake, eventually
from tests.contract.events import Stage, entries


async def watched(redis: Cli) -> set[bytes]:
    """Return the channels that anybody is subscribed to."""
    return set(await redis.pubsub_channels())


def room(line: bytes) -> str:
    return str(json.loads(line)["room"])


@also_fake
async def test_only_what_is_wanted_is_subscribed(receiver: Receiver, redis: Cli) -> None:
    """Redis knows exactly the channels that were asked for, each once, and no pattern."""
    await receiver.until_up()
    assert await watched(redis) == set()
    await receiver.subscribe("workflow:a", "workflow:b")
    assert await watched(redis) == {b"workflow:a", b"workflow:b"}
    assert await redis.pubsub_numsub("workflow:a", "workflow:b", "workflow:c") == [
        (b"workflow:a", 1),
        (b"workflow:b", 1),
        (b"workflow:c", 0),
    ]
    assert await redis.pubsub_numpat() == 0
    await receiver.subscriber.unsubscribe("workflow:a")
    assert await watched(redis) == {b"workflow:b"}
    assert receiver.subscriber.statistics().channels == 1


async def test_lines_of_other_channels_do_not_come(receiver: Receiver, log: AppendingLog) -> None:
    """A channel whose name begins or ends like a subscribed one stays unheard."""
    await receiver.subscribe("workflow:a", "workflow:marker")
    await log.append(entries(*(Stage(workflow_id=name) for name in ("ab", "A", "*", "a.", "a", "marker"))))
    await receiver.of("workflow:marker", 1)
    assert [name for name, _ in receiver.lines] == ["workflow:a", "workflow:marker"]


async def test_glob_characters_are_no_pattern(receiver: Receiver, log: AppendingLog, redis: Cli) -> None:
    """A name with glob characters, which the grammar refuses before, would be a channel of that very name."""
    await receiver.subscribe("workflow:*", "workflow:[ab]", "workflow:marker")
    assert await redis.pubsub_numpat() == 0
    await log.append(entries(Stage(workflow_id="a"), Stage(workflow_id="marker")))
    await receiver.of("workflow:marker", 1)
    assert [name for name, _ in receiver.lines] == ["workflow:marker"]


async def test_subscribe_returns_when_redis_confirmed(receiver: Receiver, log: AppendingLog) -> None:
    """An event published the moment subscribe returned is received, every time."""
    await receiver.until_up()
    await log.ping()
    for number in range(50):
        await receiver.subscriber.subscribe(f"workflow:now{number}")
        await log.append(entries(Stage(workflow_id=f"now{number}")))
    await receiver.until(lambda: len(receiver.lines) >= 50)
    assert [room(line) for _, line in receiver.lines] == [f"workflow:now{number}" for number in range(50)]


@also_fake
async def test_confirmation_comes_behind_the_lines_before(receiver: Receiver, log: AppendingLog) -> None:
    """What was published before a channel is subscribed once more has arrived when that is confirmed, every time."""
    await receiver.subscribe("workflow:before")
    for number in range(1, 21):
        await log.append(entries(*(Stage(workflow_id="before", number=it) for it in range(5))))
        await receiver.subscriber.subscribe("workflow:before")
        assert len(receiver.lines) == 5 * number


async def test_unsubscribe_stops_the_lines(receiver: Receiver, log: AppendingLog) -> None:
    """After unsubscribe returned nothing of the channel comes, while others go on; subscribing again resumes."""
    await receiver.subscribe("workflow:a", "workflow:marker")
    await log.append(entries(Stage(workflow_id="a", number=1)))
    await receiver.of("workflow:a", 1)
    await receiver.subscriber.unsubscribe("workflow:a")
    await log.append(entries(Stage(workflow_id="a", number=2), Stage(workflow_id="marker")))
    await receiver.of("workflow:marker", 1)
    await receiver.subscriber.subscribe("workflow:a")
    await log.append(entries(Stage(workflow_id="a", number=3)))
    assert [json.loads(line)["data"]["number"] for line in await receiver.of("workflow:a", 2)] == [1, 3]


async def test_unsubscribe_of_what_was_never_subscribed_is_confirmed(receiver: Receiver, redis: Cli) -> None:
    """Leaving a channel twice, or one never joined, is answered and harms nobody."""
    await receiver.until_up()
    await receiver.subscriber.unsubscribe("workflow:never")
    await receiver.subscribe("workflow:a")
    await receiver.subscriber.unsubscribe("workflow:never")
    assert await watched(redis) == {b"workflow:a"}


async def test_channel_subscribed_twice_is_delivered_once(receiver: Receiver, log: AppendingLog) -> None:
    """Two who want one channel at one moment, or one after another, make one subscription."""
    await receiver.subscribe("workflow:a", "workflow:a")
    await receiver.subscriber.subscribe("workflow:a")
    await receiver.subscribe("workflow:marker")
    await log.append(entries(Stage(workflow_id="a"), Stage(workflow_id="marker")))
    await receiver.of("workflow:marker", 1)
    assert len(await receiver.of("workflow:a", 1)) == 1


async def test_forgotten_channel_is_left_without_waiting(receiver: Receiver, redis: Cli) -> None:
    """`forget` leaves a channel that nobody came to use."""
    await receiver.subscribe("workflow:a", "workflow:b")
    receiver.subscriber.forget("workflow:a")
    assert receiver.subscriber.statistics().channels == 1
    await receiver.subscriber.subscribe("workflow:c")
    assert await watched(redis) == {b"workflow:b", b"workflow:c"}


async def test_last_word_of_one_moment_counts(receiver: Receiver, log: AppendingLog, redis: Cli) -> None:
    """Subscribe, unsubscribe and subscribe of one moment end subscribed: commands go out in the order of the calls."""
    await receiver.until_up()
    subscriber = receiver.subscriber
    await asyncio.gather(
        subscriber.subscribe("workflow:a"), subscriber.unsubscribe("workflow:a"), subscriber.subscribe("workflow:a")
    )
    assert await watched(redis) == {b"workflow:a"}
    await log.append(entries(Stage(workflow_id="a")))
    await receiver.of("workflow:a", 1)


async def test_thousand_channels_take_few_commands(receiver: Receiver, log: AppendingLog, redis: Cli) -> None:
    """1,000 channels wanted at one moment are subscribed by a handful of commands, and each of them works."""
    names = [f"workflow:n{number}" for number in range(1_000)]
    await receiver.subscribe(*names)
    assert await watched(redis) == {name.encode() for name in names}
    assert (await redis.info("commandstats"))["cmdstat_subscribe"]["calls"] <= 4
    for start in range(0, 1_000, 250):
        await log.append(entries(*(Stage(workflow_id=f"n{number}") for number in range(start, start + 250))))
    await receiver.until(lambda: len(receiver.lines) >= 1_000)
    assert [name for name, _ in receiver.lines] == names == [room(line) for _, line in receiver.lines]
    await asyncio.gather(*map(receiver.subscriber.unsubscribe, names))
    assert await watched(redis) == set()


async def test_two_receivers_get_the_same(broker: Broker, receiver: Receiver, log: AppendingLog) -> None:
    """Every edge that is subscribed gets the same bytes, and the sender learns how many there were."""
    async with Receiver(broker.url) as other:
        await receiver.subscribe("workflow:both")
        await other.subscribe("workflow:both")
        outcomes = await log.append(entries(*(Stage(workflow_id="both", number=number) for number in range(20))))
        assert {getattr(outcome, "receivers", outcome) for outcome in outcomes} == {2}
        assert await receiver.of("workflow:both", 20) == await other.of("workflow:both", 20)


async def test_statistics_count_lines_and_channels(receiver: Receiver, log: AppendingLog) -> None:
    """The counters say what was delivered, what is subscribed, and how often the link came up."""
    await receiver.subscribe("workflow:a", "workflow:b")
    await log.append(entries(*(Stage(workflow_id="a") for _ in range(5))))
    await receiver.of("workflow:a", 5)
    statistics = receiver.subscriber.statistics()
    assert (statistics.is_up, statistics.generation, statistics.lost) == (True, 1, 0)
    assert (statistics.channels, statistics.lines) == (2, 5)


async def test_closed_subscriber_holds_nothing_in_redis(broker: Broker, redis: Cli) -> None:
    """Closing ends the connection and with it every subscription; it may be repeated, and refuses what comes later."""
    receiver = Receiver(broker.url)
    async with receiver:
        await receiver.subscribe("workflow:a")
    await receiver.subscriber.close()

    async def is_left() -> bool:
        return bool(await redis.pubsub_numsub("workflow:a") == [(b"workflow:a", 0)])

    await eventually(is_left)
    with pytest.raises(BusUnavailable):
        await receiver.subscriber.subscribe("workflow:b")


async def test_line_typed_by_hand_arrives_as_typed(receiver: Receiver, redis: Cli) -> None:
    """What somebody publishes with redis-cli is delivered as it is, whatever it is; judging it is not the link's."""
    await receiver.subscribe("workflow:hand")
    typed = [b"hello", b"", b"\xff\x00", b'{"event":"note","data":{}}']
    for line in typed:
        assert await redis.publish("workflow:hand", line) == 1
    assert await receiver.of("workflow:hand", len(typed)) == typed


async def test_connections_carry_their_names(broker: Broker, redis: Cli) -> None:
    """`CLIENT LIST` shows who is who."""
    name = "edgebus-edge-mahavishnu-8690"
    async with (
        Receiver(broker.url, name=name) as receiver,
        AppendingLog(broker.url, name="edgebus-producer-mahavishnu") as log,
    ):
        await receiver.subscribe("workflow:a")
        await log.ping()
        names = {client["name"] for client in await redis.client_list()}
    assert {name, "edgebus-producer-mahavishnu"} <= names

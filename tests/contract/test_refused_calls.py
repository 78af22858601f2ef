"""What Redis' access lists refuse in the middle of a publish: stored and published, or neither, and one id once."""

import json
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from bus.errors import PublishError, PublishIncomplete
from bus.log.appending import SCRIPT
from bus.log.several import SEVERAL
from producers import Producer
from tests.contract.brokers import Broker, Cli, Receiver
from tests.contract.events import Many, Stage, Started

ALL = "on >pw ~* &* +@all"
NO_CHANNELS = "on >pw ~* +@all"
"""What a person types who knows Redis 6: a new user of Redis 7 has no channels."""
CALLS = ("time", "xrevrange", "xadd", "pexpire", "publish")
"""What the script calls on its usual way."""
LOG = "bus:log:{workflow:w}"


@pytest.fixture
async def admin(real: Broker) -> AsyncIterator[Cli]:
    async with Redis.from_url(real.url) as client:
        yield client


@pytest.fixture
async def listener(real: Broker) -> AsyncIterator[Receiver]:
    async with Receiver(real.url) as receiver:
        await receiver.subscribe("workflow:w", "workflow:end")
        yield receiver


def url_of(broker: Broker) -> str:
    return broker.url.replace("//", "//svc:pw@")


async def become(admin: Cli, rules: str) -> None:
    await admin.execute_command("ACL", "SETUSER", "svc", "reset", *rules.split())


async def ids(admin: Cli) -> list[str]:
    return [fields[b"id"].decode() for _, fields in await admin.xrange(LOG)]


async def heard(listener: Receiver, admin: Cli) -> list[str]:
    """Return the ids that were published, up to a marker that is published now."""
    await admin.publish("workflow:end", "{}")
    await listener.of("workflow:end", 1)
    return [json.loads(line)["id"] for channel, line in listener.lines if channel == "workflow:w"]


@pytest.mark.parametrize(
    "rules",
    [
        NO_CHANNELS,
        "on >pw ~* resetchannels &other:* +@all",
        "on >pw %R~* &* +@all",
        "on >pw %W~* &* +@all",
        *(f"{ALL} -{call}" for call in CALLS),
        f"{ALL} -@write",
        f"{ALL} -@pubsub",
    ],
)
async def test_refused_event_is_nowhere_and_its_repeats_are_one(
    real: Broker, admin: Cli, listener: Receiver, rules: str
) -> None:
    """Whatever is refused: the event is neither stored nor published; permitted later, its repeats are one event."""
    await become(admin, rules)
    async with Producer(url_of(real)) as producer:
        event = Stage(workflow_id="w")
        for repeated in (False, True, True):
            with pytest.raises(PublishError):
                await producer.publish(event, repeated=repeated)
        assert await ids(admin) == []
        await become(admin, ALL)
        published = await producer.publish(event, repeated=True)
        assert (await producer.publish(event, repeated=True)).id == published.id
    assert await ids(admin) == [published.id]
    assert await heard(listener, admin) == [published.id]


@pytest.mark.parametrize("rules", [NO_CHANNELS, "on >pw %R~* &* +@all", *(f"{ALL} -{call}" for call in CALLS)])
async def test_refused_events_together_are_nowhere(real: Broker, admin: Cli, listener: Receiver, rules: str) -> None:
    """Events that go together are refused together: each is told, and none is stored or published."""
    await become(admin, rules)
    async with Producer(url_of(real)) as producer:
        with pytest.raises(PublishError):
            await producer.publish_all([Stage(workflow_id="w") for _ in range(5)])
    assert await ids(admin) == await heard(listener, admin) == []


@pytest.mark.parametrize(
    "rights", ["~bus:log:{workflow:w*", "~* resetchannels &workflow:w*", "~bus:log:{workflow:w* %R~*"]
)
async def test_channel_that_is_refused_leaves_the_others_their_events(real: Broker, admin: Cli, rights: str) -> None:
    """Of events that go together those on a refused channel are nowhere and told; those on other channels are there."""
    await become(admin, f"on >pw &* ~bus:epoch {rights} +@all")
    names = ["w", "closed", "w2", "closed", "w3", "w"]
    async with Producer(url_of(real)) as producer:
        with pytest.raises(PublishError) as told:
            await producer.publish_all([Stage(workflow_id=name) for name in names])
    assert [isinstance(it, PublishError) for it in told.value.results or ()] == [name == "closed" for name in names]
    assert [await admin.xlen(f"bus:log:{{workflow:{name}}}") for name in ("w", "w2", "w3", "closed")] == [2, 1, 1, 0]


@pytest.mark.parametrize("rules", [NO_CHANNELS, f"{ALL} -pexpire", f"{ALL} -publish"])
async def test_refused_event_leaves_a_log_as_it_was(real: Broker, admin: Cli, listener: Receiver, rules: str) -> None:
    """What is there keeps its events, their chain and its life; whoever watches gets the good ones only."""
    async with Producer(real.url) as good, Producer(url_of(real)) as refused:
        first = await good.publish(Stage(workflow_id="w"))
        await become(admin, rules)
        for _ in range(5):
            refused.emit(Stage(workflow_id="w"))
        await refused.flush()
        assert refused.statistics().dropped == {"refused": 5}
        second = await good.publish(Stage(workflow_id="w"))
    assert await ids(admin) == await heard(listener, admin) == [first.id, second.id]
    assert json.loads(listener.lines[1][1])["previous"] == first.positions["workflow:w"]


@pytest.mark.parametrize("call", ["xadd", "pexpire", "publish"])
async def test_refused_user_does_not_take_a_log_apart(real: Broker, admin: Cli, call: str) -> None:
    """A log that ends beyond all clocks is written anew by whoever may append to it, and by nobody else."""
    await admin.xadd(LOG, {"previous": "0-0", "id": "kept", "event": "e", "line": "{}"}, id="1-1")
    await admin.xadd(LOG, {"a": "b", "id": "typed"}, id="18446744073709551615-1")
    await become(admin, f"{ALL} -{call}")
    async with Producer(url_of(real)) as producer:
        event = Stage(workflow_id="w")
        for repeated in (False, True):
            with pytest.raises(PublishError):
                await producer.publish(event, repeated=repeated)
    assert await ids(admin) == ["kept", "typed"]


async def test_refused_life_of_what_is_there_already_is_no_refusal(real: Broker, admin: Cli) -> None:
    """A repeat finds its event: whether the log's life may be begun anew does not change that it is there."""
    await become(admin, ALL)
    async with Producer(url_of(real)) as producer:
        event = Stage(workflow_id="w")
        published = await producer.publish(event)
        await become(admin, f"{ALL} -pexpire -publish")
        assert (await producer.publish(event, repeated=True)).positions == published.positions
    assert await ids(admin) == [published.id]


async def test_channel_that_is_refused_is_named_beside_those_that_have_the_event(real: Broker, admin: Cli) -> None:
    """An event of two channels, one of which is closed to the user: it is on the other, and the error names both."""
    await become(admin, "on >pw ~* resetchannels &workflow:* +@all")
    async with Producer(url_of(real)) as producer:
        with pytest.raises(PublishIncomplete, match="permission") as told:
            await producer.publish(Started(workflow_id="w"))
    assert list(told.value.positions) == ["workflow:w"]
    assert list(told.value.missing) == ["global"]
    assert len(await ids(admin)) == 1
    assert not await admin.exists("bus:log:{global:mahavishnu}", "bus:log:{global:contract}")


async def test_script_that_may_not_be_loaded_refuses_what_needs_it(real: Broker, admin: Cli) -> None:
    """What needs no script was published by the same pipeline: it is not told to be refused with the rest."""
    await become(admin, f"{ALL} -script|load")
    await admin.script_flush()
    async with Producer(url_of(real)) as producer:
        with pytest.raises(PublishIncomplete) as told:
            await producer.publish(Many(workflow_id="w"))
    assert list(told.value.positions) == ["tick:w"]
    assert list(told.value.missing) == ["workflow:w", "skill:w"]
    assert await ids(admin) == []


def test_calls_are_those_of_the_script() -> None:
    """The table above names what the scripts call on their usual way."""
    assert all(f"call('{call.upper()}'" in script for call in CALLS for script in (SCRIPT, SEVERAL))

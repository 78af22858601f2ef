"""The producer, against a real server: what it answers, what it refuses, and what becomes of calls when Redis goes."""

import asyncio
import math
import secrets
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import orjson
import pytest
from pydantic import ValidationError
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.errors import (
    AddressError,
    BusError,
    BusNotReady,
    BusTimeout,
    BusUnavailable,
    EventError,
    PublishError,
    PublishIncomplete,
)
from bus.log.appender import Appender
from bus.log.appending import Appended, Entry
from producers import Producer, Published
from producers.services.crackerjack import TestCaseCompleted, TestCompleted, TestFailed, TestStarted
from producers.services.mahavishnu import WorkflowStageCompleted
from tests.appending_log import append_by

DEADLINE_S = 20.0
SHORT_S = 0.2


@pytest.fixture
def run_id() -> str:
    return secrets.token_hex(8)


@pytest.fixture
async def redis(broker_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(broker_url) as client:
        yield client


@pytest.fixture
async def producer(broker_url: str) -> AsyncIterator[Producer]:
    async with asyncio.timeout(DEADLINE_S), Producer(broker_url, name=secrets.token_hex(4)) as producer:
        yield producer


@pytest.fixture
def deaf() -> Iterator[str]:
    """Lend the URL of somebody who takes the call and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make Redis' time for an answer short enough to wait for."""
    monkeypatch.setattr("bus.redis.address.ANSWER_DEADLINE_S", SHORT_S)


def case(run_id: str, name: object = "t") -> TestCaseCompleted:
    return TestCaseCompleted(run_id=run_id, test_name=str(name), outcome="passed", duration_seconds=0.5)


async def log(redis: Redis, channel: str) -> dict[str, dict[bytes, bytes]]:
    """Return the entries of a channel, by position."""
    entries: Any = await redis.xrange(f"bus:log:{{{channel}}}")
    return {position.decode(): fields for position, fields in entries}


async def lines(redis: Redis, channel: str) -> list[dict[str, Any]]:
    return [orjson.loads(fields[b"line"]) for fields in (await log(redis, channel)).values()]


async def names(redis: Redis, run_id: str) -> list[str]:
    return [line["data"]["test_name"] for line in await lines(redis, f"test:{run_id}")]


async def test_publish_answers_with_the_position_and_the_receivers_of_every_channel(
    producer: Producer, redis: Redis, run_id: str
) -> None:
    """What publish returns is what Redis has: one id, a position per channel, and who heard it."""
    async with redis.pubsub() as listener:
        await listener.subscribe(f"test:{run_id}")
        await listener.get_message(timeout=DEADLINE_S)
        published = await producer.publish(TestStarted(run_id=run_id, test_suite="s", total_tests=1))
        heard = await listener.get_message(ignore_subscribe_messages=True, timeout=DEADLINE_S)
    assert list(published.positions) == [f"test:{run_id}", "global"]
    assert published.receivers == 1
    [(position, fields)] = (await log(redis, f"test:{run_id}")).items()
    assert (position, fields[b"id"].decode()) == (published.positions[f"test:{run_id}"], published.id)
    assert orjson.loads(heard["data"])["id"] == published.id


async def test_global_carries_the_service_on_redis_only(producer: Producer, redis: Redis, run_id: str) -> None:
    """The shared name is `global:<service>` on Redis, and `global` in the line and in the answer."""
    published = await producer.publish(
        TestCompleted(run_id=run_id, tests_completed=1, tests_failed=0, duration_seconds=1)
    )
    [line] = [line for line in await lines(redis, "global:crackerjack") if line["id"] == published.id]
    assert (line["room"], line["event"], line["data"]["run_id"]) == ("global", "test.completed", run_id)
    assert not await redis.exists("bus:log:{global}")


async def test_an_invalid_event_is_refused_by_field_before_anything_is_sent(
    producer: Producer, redis: Redis, run_id: str
) -> None:
    """One invalid event among several: the error names its field, and none of them is sent."""
    wrong = TestFailed.model_construct(run_id=run_id, test_name=7, error="e", traceback="")  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="test_name"):
        await producer.publish_all([case(run_id), wrong])
    assert not await redis.exists(f"bus:log:{{test:{run_id}}}")


async def test_an_event_that_was_changed_after_it_was_made_is_checked_again(
    producer: Producer, redis: Redis, run_id: str
) -> None:
    """An event is frozen, what it holds is not: NaN put into its dictionary later is refused by its path."""
    result: dict[str, Any] = {"files": {"count": 1.0}}
    event = WorkflowStageCompleted(workflow_id=run_id, stage_name="hash", result=result)
    event.result["files"]["count"] = math.nan
    with pytest.raises(ValidationError, match=r"files\.count is nan"):
        await producer.publish(event)
    assert not await redis.exists(f"bus:log:{{workflow:{run_id}}}")


async def test_a_line_above_the_limit_is_refused(broker_url: str, redis: Redis, run_id: str) -> None:
    """The limit is on the whole line, in bytes; a line of exactly that many is sent."""
    async with Producer(broker_url) as producer:
        await producer.publish(TestFailed(run_id=run_id, test_name="t", error="e", traceback="é"))
    [size] = [len(fields[b"line"]) for fields in (await log(redis, f"test:{run_id}")).values()]
    async with Producer(broker_url, limit_bytes=size) as producer:
        await producer.publish(TestFailed(run_id=run_id, test_name="t", error="e", traceback="é"))
        with pytest.raises(EventError, match=f"{size + 1} bytes; the limit is {size}"):
            await producer.publish(TestFailed(run_id=run_id, test_name="t", error="e", traceback="é."))
    assert len(await lines(redis, f"test:{run_id}")) == 2


async def test_a_thousand_publishes_at_once_share_one_connection(broker_url: str, redis: Redis, run_id: str) -> None:
    """1,000 concurrent calls each get their own answer, over the one connection that CLIENT LIST shows by name."""
    name = f"edgebus-producer-{run_id}"
    async with asyncio.timeout(DEADLINE_S), Producer(broker_url, name=run_id) as producer:
        published = await asyncio.gather(*(producer.publish(case(run_id, number)) for number in range(1_000)))
        mine = [it for it in await redis.client_list() if it["name"] == name]
    positions = {fields[b"id"].decode(): position for position, fields in (await log(redis, f"test:{run_id}")).items()}
    assert len(mine) == 1
    assert {it.id: it.positions[f"test:{run_id}"] for it in published} == positions
    assert len(positions) == 1_000
    assert name not in [it["name"] for it in await redis.client_list()]


async def test_events_of_one_task_keep_their_order(producer: Producer, redis: Redis, run_id: str) -> None:
    """Each task's events stand in the log in the order of its calls, however many tasks there are."""

    async def publish(task: int) -> None:
        for step in range(20):
            await producer.publish(case(run_id, f"{task:02} {step:02}"))
        await producer.publish_all([case(run_id, f"{task:02} {step:02}") for step in range(20, 40)])

    await asyncio.gather(*(publish(task) for task in range(10)))
    got = await names(redis, run_id)
    assert sorted(got, key=lambda name: name.split()[0]) == sorted(got)
    assert len(got) == 400


async def test_publish_all_of_more_than_a_pipeline_carries(producer: Producer, redis: Redis, run_id: str) -> None:
    """Past the number and the size of one pipeline the order is that of the list still."""
    many = [case(run_id, f"a{number:03}") for number in range(300)]
    large = [
        TestFailed(run_id=run_id, test_name=f"b{number:03}", error="e", traceback="x" * 200_000) for number in range(30)
    ]
    published = await producer.publish_all([*many, *large])
    assert await names(redis, run_id) == [event.model_dump()["test_name"] for event in (*many, *large)]
    assert [it.positions[f"test:{run_id}"] for it in published] == list(await log(redis, f"test:{run_id}"))
    assert await producer.publish_all([]) == []


async def test_an_event_that_some_channels_refuse_is_told_as_incomplete(
    producer: Producer, redis: Redis, run_id: str
) -> None:
    """The error names the channels that have the event and those that do not; its neighbours are not concerned."""
    await redis.set(f"bus:log:{{test:{run_id}}}", "not a stream")
    event = TestStarted(run_id=run_id, test_suite="s", total_tests=1)
    refused, neighbour = await asyncio.gather(
        producer.publish(event), producer.publish(case(f"{run_id}-2")), return_exceptions=True
    )
    assert isinstance(refused, PublishIncomplete)
    assert isinstance(neighbour, Published)
    assert list(refused.positions) == ["global"]
    assert list(refused.missing) == [f"test:{run_id}"]
    assert f"test:{run_id}" in str(refused)
    assert "WRONGTYPE" in str(refused)
    with pytest.raises(PublishError, match="WRONGTYPE") as alone:
        await producer.publish(case(run_id))
    assert not isinstance(alone.value, PublishIncomplete)


async def test_a_redis_that_takes_no_writes_is_not_ready(run_id: str) -> None:
    """A server that takes no writes at all is told like one that refuses this event, with its own words."""
    async with (
        EmbeddedBroker(port=0, extra=("--replicaof", "127.0.0.1 1")) as replica,
        Producer(replica.url, deadline_s=0) as producer,
    ):
        with pytest.raises(BusNotReady, match="read only"):
            await producer.publish(case(run_id))


async def test_no_redis_is_told_with_the_line_that_starts_one(run_id: str) -> None:
    """Where nothing listens, the error holds the command to type, and no password."""
    async with Producer("redis://me:secret@127.0.0.1:1", deadline_s=0) as producer:
        with pytest.raises(BusUnavailable, match="edgebus broker") as refused:
            await producer.publish(case(run_id))
    assert "127.0.0.1:1" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is not None


def test_a_url_that_cannot_be_used_is_refused_at_once() -> None:
    """Pub/sub knows no databases, so a URL with a number is refused before anything is connected."""
    with pytest.raises(AddressError, match="database 0 only"):
        Producer("redis://127.0.0.1/5")


@pytest.mark.usefixtures("short_deadline")
async def test_a_redis_that_never_answers_keeps_nobody_waiting_in_turns(
    deaf: str, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call is told at its deadline, wherever it waits: 1,000 calls after one deadline, not five."""
    append, attempts = Appender.append, []

    async def counted(log: Appender, entries: Sequence[Entry]) -> list[Appended | BusError]:
        attempts.append(len(entries))
        return await append(log, entries)

    append_by(counted, monkeypatch)
    async with asyncio.timeout(DEADLINE_S), Producer(deaf, deadline_s=SHORT_S) as producer:
        calls = [producer.publish(case(run_id, number)) for number in range(1_000)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {BusTimeout}
    assert len({id(outcome) for outcome in outcomes}) == 1_000
    assert attempts[0] == 200


async def test_after_a_restart_of_redis_the_next_publish_succeeds(run_id: str) -> None:
    """A connection that was closed before anything was written is made anew, and so are script and epoch."""
    async with asyncio.timeout(DEADLINE_S), EmbeddedBroker(port=0) as broker, Producer(broker.url) as producer:
        await producer.publish(case(run_id, "before"))
        await broker.stop()
        async with EmbeddedBroker(port=broker.port) as again, Redis.from_url(again.url) as redis:
            await producer.publish(case(run_id, "after"))
            assert await names(redis, run_id) == ["after"]
            assert await redis.exists("bus:epoch")
            assert "errorstat_NOSCRIPT" not in await redis.info("errorstats")


async def test_a_redis_that_lost_its_scripts_gets_the_script_again(run_id: str) -> None:
    """After SCRIPT FLUSH, which does not end the connection, the next publish succeeds and stores each event once."""
    async with EmbeddedBroker(port=0) as broker, Redis.from_url(broker.url) as redis, Producer(broker.url) as producer:
        await producer.publish(case(run_id, "before"))
        await redis.script_flush()
        await producer.publish_all([case(run_id, "after"), case(run_id, "later")])
        assert await names(redis, run_id) == ["before", "after", "later"]


async def test_one_of_many_calls_is_cancelled(producer: Producer, redis: Redis, run_id: str) -> None:
    """The others get their own answers, and what was cancelled before its turn is not sent."""
    calls = [asyncio.create_task(producer.publish(case(run_id, number))) for number in range(50)]
    await asyncio.sleep(0)  # all of them wait for the sender now
    calls[20].cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    stored = {line["id"]: line["data"]["test_name"] for line in await lines(redis, f"test:{run_id}")}
    assert isinstance(outcomes.pop(20), asyncio.CancelledError)
    told = [stored[outcome.id] for outcome in outcomes if isinstance(outcome, Published)]
    assert told == [str(number) for number in range(50) if number != 20]
    assert len(stored) == 49


async def test_a_call_cancelled_while_redis_has_it_disturbs_nobody(
    producer: Producer, redis: Redis, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event may be published all the same; the rest of its pipeline, and later calls, get their answers."""
    asked, answer = asyncio.Event(), asyncio.Event()
    append = Appender.append

    async def slow(log: Appender, entries: Sequence[Entry]) -> list[Appended | BusError]:
        outcomes = await append(log, entries)
        asked.set()
        await answer.wait()
        return outcomes

    append_by(slow, monkeypatch)
    calls = [asyncio.create_task(producer.publish(case(run_id, number))) for number in range(3)]
    await asked.wait()
    calls[1].cancel()
    answer.set()
    first, second, third = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(first, Published)
    assert isinstance(second, asyncio.CancelledError)
    assert isinstance(third, Published)
    await producer.publish(case(run_id, 3))
    assert await names(redis, run_id) == ["0", "1", "2", "3"]


async def test_an_error_of_ours_ends_the_producer_loudly(
    broker_url: str, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting calls fail at once and do not hang, later ones are refused, and closing raises what it was."""

    async def broken(_log: Appender, _entries: Sequence[Entry]) -> list[Appended | BusError]:
        raise RuntimeError("a bug")

    append_by(broken, monkeypatch)
    producer = await Producer(broker_url).__aenter__()
    async with asyncio.timeout(DEADLINE_S):
        outcomes = await asyncio.gather(
            *(producer.publish(case(run_id, number)) for number in range(300)), return_exceptions=True
        )
        assert {str(outcome) for outcome in outcomes} == {
            "the producer ended before Redis answered; whether the event is there is not known"
        }
        with pytest.raises(BusError, match="has failed"):
            await producer.publish(case(run_id))
        with pytest.raises(RuntimeError, match="a bug"):
            await producer.close()


async def test_closing_lets_calls_end(broker_url: str, redis: Redis, run_id: str) -> None:
    """What was called before the close is published, and answered, before close returns."""
    async with asyncio.timeout(DEADLINE_S), Producer(broker_url) as producer:
        calls = [asyncio.create_task(producer.publish(case(run_id, number))) for number in range(500)]
        await asyncio.sleep(0)  # the calls have begun
    assert len(await asyncio.gather(*calls)) == 500
    assert len(await names(redis, run_id)) == 500


async def test_cancelling_the_close_gives_the_calls_up(deaf: str, run_id: str) -> None:
    """A close that is cancelled ends at once, and so do the calls it waited for."""
    async with asyncio.timeout(DEADLINE_S):
        producer = await Producer(deaf).__aenter__()
        call = asyncio.create_task(producer.publish(case(run_id)))
        await asyncio.sleep(0)  # the call has begun
        closing = asyncio.create_task(producer.close())
        await asyncio.sleep(0)  # and so has the close
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(BusError, match="ended before Redis answered"):
            await call


async def test_a_producer_is_used_while_it_is_open(broker_url: str, redis: Redis, run_id: str) -> None:
    """Before it is opened and after it is closed it says how to open it; it may be opened again, not twice at once."""
    producer = Producer(broker_url)
    with pytest.raises(BusError, match="async with Producer"):
        await producer.publish(case(run_id))
    async with producer:
        await producer.publish(case(run_id, 1))
        with pytest.raises(BusError, match="open already"):
            await producer.__aenter__()
        await producer.publish(case(run_id, 2))
    await producer.close()
    with pytest.raises(BusError, match="async with Producer"):
        await producer.publish(case(run_id))
    async with producer:
        await producer.publish(case(run_id, 3))
    assert await names(redis, run_id) == ["1", "2", "3"]


def test_a_producer_may_be_opened_in_one_loop_after_another(broker_url: str, run_id: str) -> None:
    """Nothing of a loop that has ended stays in the producer; unopened there, it refuses the second loop's calls."""
    producer = Producer(broker_url)

    async def use() -> Published:
        async with asyncio.timeout(DEADLINE_S), producer:
            return await producer.publish(case(run_id))

    assert asyncio.run(use()).id != asyncio.run(use()).id


async def test_a_call_from_another_loop_is_refused(producer: Producer, run_id: str) -> None:
    """A thread with a loop of its own gets an error instead of waiting for a sender that cannot wake it."""
    with pytest.raises(BusError, match="another event loop"):
        await asyncio.to_thread(lambda: asyncio.run(producer.publish(case(run_id))))


async def test_publish_every_goes_on_until_something_is_raised(producer: Producer, redis: Redis, run_id: str) -> None:
    """It publishes what it is given, from start to start, and an exception of whoever makes the events ends it."""
    made = iter(range(5))

    def make() -> list[TestCaseCompleted]:
        return [case(run_id, next(made))]

    loop = asyncio.get_running_loop()
    began_s = loop.time()
    with pytest.raises(RuntimeError):  # what StopIteration becomes in a coroutine
        await producer.publish_every(0.01, make)
    assert await names(redis, run_id) == ["0", "1", "2", "3", "4"]
    assert loop.time() - began_s >= 0.05

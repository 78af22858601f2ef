"""Emitting: nobody waits for Redis, the bound holds, and what is dropped is counted and told."""

import asyncio
import logging
import secrets
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import ValidationError
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.errors import BusError, EventError, OutboxFull, PublishError
from bus.event import Event
from producers import DropReason, OutboxSettings, Producer, Published
from producers.outbox import Policy
from producers.services.crackerjack import TestCaseCompleted, TestFailed
from tests.leaks import ours
from tests.producers.proxies import Proxy

DEADLINE_S = 20.0
NOBODY = "redis://127.0.0.1:1"


@pytest.fixture
def run_id() -> str:
    return secrets.token_hex(8)


@pytest.fixture
async def redis(broker_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(broker_url) as client:
        yield client


class Drops:
    """Keeps what it is told, and fails nobody."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def __call__(self, event: Event, reason: DropReason) -> None:
        self.told.append((event.model_dump()["test_name"], reason.value))


def case(run_id: str, name: object = "t") -> TestCaseCompleted:
    return TestCaseCompleted(run_id=run_id, test_name=str(name), outcome="passed", duration_seconds=0.5)


async def names(redis: Redis, run_id: str) -> list[str]:
    entries: Any = await redis.xrange(f"bus:log:{{test:{run_id}}}")
    return [orjson.loads(fields[b"line"])["data"]["test_name"] for _, fields in entries]


def settings(policy: Policy, *, max_events: int = 10, close_s: float = 0.0) -> OutboxSettings:
    return OutboxSettings(max_events=max_events, policy=policy, close_s=close_s)


async def test_emitted_events_are_sent_in_order_with_published_ones(broker_url: str, redis: Redis, run_id: str) -> None:
    """Emit does not wait, and a publish behind it comes behind it; flush returns when all is with Redis."""
    async with asyncio.timeout(DEADLINE_S), Producer(broker_url) as producer:
        for number in range(0, 300, 3):
            assert producer.emit(case(run_id, number))
            assert producer.emit(case(run_id, number + 1))
            await producer.publish(case(run_id, number + 2))
        assert producer.emit(case(run_id, 300))
        assert await producer.flush(DEADLINE_S)
        assert await names(redis, run_id) == [str(number) for number in range(301)]
        told = producer.statistics()
    assert (told.published, told.outbox_events, told.outbox_bytes, told.dropped) == (301, 0, 0, {})


async def test_emit_while_redis_is_away_is_kept_until_it_is_back(tmp_path: Path, run_id: str) -> None:
    """P7: what the outbox holds is sent when Redis is back, once and in order."""
    async with asyncio.timeout(DEADLINE_S):
        broker = EmbeddedBroker(port=0, directory=tmp_path)
        await broker.start()
        async with Producer(broker.url) as producer:
            await producer.publish(case(run_id, 0))
            await broker.stop()
            for number in range(1, 500):
                producer.emit(case(run_id, number))
            assert not await producer.flush(0.2)
            assert producer.statistics().is_away
            assert producer.statistics().outbox_events == 499
            async with (
                EmbeddedBroker(port=broker.port, directory=tmp_path) as again,
                Redis.from_url(again.url) as redis,
            ):
                assert await producer.flush(DEADLINE_S)
                assert await names(redis, run_id) == [str(number) for number in range(500)]
            assert not producer.statistics().is_away


async def test_emitted_events_survive_a_lost_answer(broker_url: str, redis: Redis, run_id: str) -> None:
    """A pipeline of emitted events whose answer is lost is repeated, and stands there once."""
    async with asyncio.timeout(DEADLINE_S), Proxy(broker_url) as proxy, Producer(proxy.url) as producer:
        proxy.lose_answers()
        for number in range(100):
            producer.emit(case(run_id, number))
        assert await producer.flush(DEADLINE_S)
    assert await names(redis, run_id) == [str(number) for number in range(100)]


@pytest.mark.parametrize(
    ("policy", "kept"), [("drop_oldest", range(15, 25)), ("drop_new", range(10))], ids=["drop_oldest", "drop_new"]
)
async def test_full_outbox_drops_by_its_policy(run_id: str, policy: Policy, kept: range) -> None:
    """25 events into room for 10: the policy says which 15 go; each is told, and so are the others at the close."""
    drops = Drops()
    async with asyncio.timeout(DEADLINE_S), Producer(NOBODY, outbox=settings(policy), on_drop=drops) as producer:
        taken = [producer.emit(case(run_id, number)) for number in range(25)]
        assert taken == [policy == "drop_oldest" or number < 10 for number in range(25)]
        assert not await producer.flush(0.1)
        assert (producer.statistics().outbox_events, producer.statistics().dropped) == (10, {"full": 15})
        full = [str(number) for number in range(25) if number not in kept]
        assert drops.told == [(name, "full") for name in full]
    assert drops.told[15:] == [(str(number), "closed") for number in kept]
    assert producer.statistics().dropped == {"full": 15, "closed": 10}
    assert (producer.statistics().outbox_events, producer.statistics().outbox_bytes) == (0, 0)


async def test_drop_oldest_keeps_the_newest_while_redis_is_away(broker_url: str, redis: Redis, run_id: str) -> None:
    """An attempt that failed leaves no privilege: what it carried is the oldest again, and gives way first."""
    drops = Drops()
    outbox = settings("drop_oldest", close_s=5)
    async with (
        asyncio.timeout(DEADLINE_S),
        Proxy(broker_url) as proxy,
        Producer(proxy.url, outbox=outbox, on_drop=drops) as producer,
    ):
        await producer.publish(case(f"{run_id}-before"))
        proxy.hold()
        for number in range(10):
            producer.emit(case(run_id, number))
        await proxy.held.wait()
        for number in range(10, 25):
            producer.emit(case(run_id, number))
        assert producer.statistics().outbox_events == 20
        proxy.reset()
        assert await producer.flush(DEADLINE_S)
    assert drops.told == [(str(number), "full") for number in (*range(10, 15), *range(10))]
    assert await names(redis, run_id) == [str(number) for number in range(15, 25)]


async def test_full_outbox_with_the_policy_error(run_id: str) -> None:
    """The event is not taken, and whoever emitted it is told."""
    async with Producer(NOBODY, outbox=settings("error")) as producer:
        for number in range(10):
            producer.emit(case(run_id, number))
        with pytest.raises(OutboxFull, match="10 events"):
            producer.emit(case(run_id, 10))
        assert producer.statistics().dropped == {}


async def test_policy_block_waits_for_room_and_emit_is_refused(broker_url: str, redis: Redis, run_id: str) -> None:
    """Under `block` no event is dropped: `emit_wait` waits, and `emit`, which never waits, names it."""
    async with asyncio.timeout(DEADLINE_S), Producer(broker_url, outbox=settings("block", close_s=5)) as producer:
        with pytest.raises(BusError, match=r"await producer\.emit_wait"):
            producer.emit(case(run_id))
        for number in range(100):
            assert await producer.emit_wait(case(run_id, number))
    assert await names(redis, run_id) == [str(number) for number in range(100)]
    async with asyncio.timeout(DEADLINE_S), Producer(NOBODY, outbox=settings("block")) as alone:
        for number in range(10):
            await alone.emit_wait(case(run_id, number))
        with pytest.raises(OutboxFull):
            await alone.emit_wait(case(run_id), timeout_s=0.05)
        assert alone.statistics().dropped == {}


async def test_bound_in_bytes(run_id: str) -> None:
    """Ten events of 1 KB fit into 10 KB no more than nine or so; one larger than all is dropped alone."""
    drops = Drops()
    outbox = OutboxSettings(max_bytes=10_000, close_s=0)
    async with Producer(NOBODY, outbox=outbox, on_drop=drops) as producer:
        for number in range(10):
            producer.emit(TestFailed(run_id=run_id, test_name=str(number), error="e", traceback="x" * 1_000))
        held = producer.statistics()
        assert held.outbox_bytes <= 10_000
        assert 6 <= held.outbox_events <= 9
        assert not producer.emit(TestFailed(run_id=run_id, test_name="large", error="e", traceback="x" * 20_000))
        assert producer.statistics().outbox_events == held.outbox_events


async def test_validation_is_the_callers_and_redis_is_not(run_id: str) -> None:
    """Emit raises for an event that cannot travel, and never for a Redis that is not there."""
    async with Producer(NOBODY, limit_bytes=500, outbox=settings("drop_oldest")) as producer:
        with pytest.raises(ValidationError, match="test_name"):
            producer.emit(TestCaseCompleted.model_construct(run_id=run_id, test_name=7))  # type: ignore[arg-type, call-arg]
        with pytest.raises(EventError, match="the limit is 500"):
            producer.emit(case(run_id, "x" * 500))
        assert producer.emit(case(run_id))


async def test_what_redis_refuses_is_told_and_does_not_stop_the_rest(
    broker_url: str, redis: Redis, run_id: str
) -> None:
    """An event whose log somebody replaced by a text is dropped as refused; its neighbours are sent."""
    drops = Drops()
    await redis.set(f"bus:log:{{test:{run_id}-wrong}}", "a text")
    async with Producer(broker_url, on_drop=drops) as producer:
        for number in range(3):
            producer.emit(case(run_id, number))
            producer.emit(case(f"{run_id}-wrong", number))
        assert await producer.flush(DEADLINE_S)
    assert drops.told == [(str(number), "refused") for number in range(3)]
    assert await names(redis, run_id) == ["0", "1", "2"]


async def test_error_in_on_drop_is_logged_and_kills_nobody(
    broker_url: str, redis: Redis, run_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the callback does, the sender goes on; it may emit, too."""
    calls = []

    def broken(event: Event, reason: DropReason) -> None:
        calls.append(reason)
        producer.emit(case(run_id, f"told {len(calls)}"))
        raise LookupError("theirs")

    await redis.set(f"bus:log:{{test:{run_id}-wrong}}", "a text")
    with caplog.at_level(logging.ERROR, "edgebus.producers"):
        async with Producer(broker_url, on_drop=broken) as producer:
            producer.emit(case(f"{run_id}-wrong"))
            assert await producer.flush(DEADLINE_S)
            assert await producer.flush(DEADLINE_S)
            await producer.publish(case(run_id, "after"))
    assert calls == [DropReason.REFUSED]
    assert await names(redis, run_id) == ["told 1", "after"]
    assert [record.message for record in ours(caplog.records)] == ["on_drop raised"]


async def test_on_drop_that_emits_into_a_full_outbox_ends(run_id: str) -> None:
    """It is called from the event loop and not from inside emit, so it cannot call itself without end."""
    told, enough = 0, asyncio.Event()

    def again(event: Event, reason: DropReason) -> None:
        nonlocal told
        told += 1
        if told == 50:
            enough.set()
        if reason is DropReason.FULL and told < 50:
            producer.emit(event)

    async with asyncio.timeout(DEADLINE_S), Producer(NOBODY, outbox=settings("drop_new"), on_drop=again) as producer:
        for number in range(11):
            producer.emit(case(run_id, number))
        assert told == 0
        await asyncio.wait_for(enough.wait(), DEADLINE_S)


async def test_emit_from_another_thread(broker_url: str, redis: Redis, run_id: str) -> None:
    """Emit may be called from any thread; the rest belongs to the loop."""
    async with asyncio.timeout(DEADLINE_S), Producer(broker_url) as producer:
        thread = threading.Thread(target=lambda: [producer.emit(case(run_id, number)) for number in range(100)])
        thread.start()
        await asyncio.to_thread(thread.join)
        assert await producer.flush(DEADLINE_S)
    assert await names(redis, run_id) == [str(number) for number in range(100)]


async def test_close_sends_what_waits(broker_url: str, redis: Redis, run_id: str) -> None:
    """Leaving the block flushes; nothing is dropped where Redis is there."""
    async with asyncio.timeout(DEADLINE_S), Producer(broker_url) as producer:
        for number in range(1_000):
            producer.emit(case(run_id, number))
    assert producer.statistics().dropped == {}
    assert len(await names(redis, run_id)) == 1_000
    with pytest.raises(BusError, match="not open"):
        producer.emit(case(run_id))


async def test_close_ends_within_its_bound_and_says_what_was_lost(run_id: str) -> None:
    """With no Redis the close gives up after `close_s`; every event is told, every caller has an error."""
    drops = Drops()
    async with asyncio.timeout(5):
        async with Producer(NOBODY, outbox=settings("drop_oldest", close_s=0.2), on_drop=drops) as producer:
            producer.emit(case(run_id, "emitted"))
            call = asyncio.create_task(producer.publish(case(run_id, "published"), deadline_s=60))
            await asyncio.sleep(0)  # the call has begun
        with pytest.raises(BusError, match="ended before Redis answered"):
            await call
    assert drops.told == [("emitted", "closed")]


async def test_batch_gives_each_event_its_result(broker_url: str, redis: Redis, run_id: str) -> None:
    """One pipeline; results in the order of the events, an error among them is raised when all were tried."""
    async with Producer(broker_url) as producer:
        async with producer.batch() as batch:
            for number in range(100):
                batch.add(case(run_id, number))
        assert [isinstance(it, Published) for it in batch.results] == [True] * 100
        assert await names(redis, run_id) == [str(number) for number in range(100)]
        await redis.set(f"bus:log:{{test:{run_id}-wrong}}", "a text")
        mixed = producer.batch()
        mixed.add(case(f"{run_id}-wrong"))
        mixed.add(case(run_id, 100))
        with pytest.raises(PublishError, match="WRONGTYPE"):
            await mixed.publish()
        assert [type(it) for it in mixed.results] == [PublishError, Published]
        with pytest.raises(ValidationError):  # noqa: PT012 (the block is what is tested)
            async with producer.batch() as invalid:
                invalid.add(case(run_id, 101))
                invalid.add(TestCaseCompleted.model_construct(run_id=run_id, test_name=7))  # type: ignore[arg-type, call-arg]
    assert len(await names(redis, run_id)) == 101


def test_settings_that_could_hold_nothing_are_refused() -> None:
    """A bound of nothing and a policy that there is not are mistakes to be told at once."""
    with pytest.raises(ValueError, match="at least 1"):
        OutboxSettings(max_events=0)
    with pytest.raises(ValueError, match="is no policy"):
        OutboxSettings(policy="drop")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 0"):
        Producer(NOBODY, deadline_s=-1)

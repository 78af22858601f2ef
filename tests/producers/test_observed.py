"""A broadcast never stops the observed: it waits for nobody, raises nothing, and counts and tells what is lost."""

import asyncio
import math
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from pydantic import ValidationError
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.errors import BusError
from producers import CapturingProducer, OutboxSettings, Producer, blocking
from producers.capturing import BlockingCapturingProducer
from producers.services.mahavishnu import Mahavishnu
from producers.services.session_buddy import SessionBuddy

DEADLINE_S: Final = 30.0
NOBODY: Final = "redis://127.0.0.1:1"
OUTAGE_S: Final = 13.0


def skill(name: str, **changed: Any) -> dict[str, Any]:
    figures = {"total_invocations": 1, "completion_rate": 50.0, "avg_duration_seconds": 1.0}
    return {"skill_name": name, **figures, **changed}


@pytest.fixture
def run_id() -> str:
    return secrets.token_hex(8)


# Broadcasts that do not wait


async def test_broadcast_without_waiting_may_be_awaited_dropped_or_made_a_task(broker_url: str, run_id: str) -> None:
    """All forms of the old calls send: awaited, not awaited, and as a task; each says whether the event was taken."""
    async with asyncio.timeout(DEADLINE_S), Producer(broker_url) as producer:
        events = Mahavishnu(producer, wait=False)
        assert await events.broadcast_workflow_started(run_id, {}) is True
        events.broadcast_workflow_failed(run_id, "first")
        assert await asyncio.create_task(events.broadcast_workflow_failed(run_id, "second")) is True
        assert all(await asyncio.gather(events.broadcast_workflow_failed(run_id, "third")))
        assert await producer.flush()
        assert producer.statistics().published == 4


async def test_broadcast_without_waiting_returns_at_once_without_redis() -> None:
    """Nobody listens at the address: a thousand calls take no turn of the loop, and raise nothing."""
    async with Producer(NOBODY, outbox=OutboxSettings(max_events=100, close_s=0)) as producer:
        events = Mahavishnu(producer, wait=False)
        turns: list[int] = []
        asyncio.get_running_loop().call_soon(turns.append, 1)
        for number in range(1000):
            assert await events.broadcast_workflow_failed("wf", str(number))
        assert turns == []
        assert producer.statistics().outbox_events == 100
        assert producer.statistics().dropped == {"full": 900}


async def test_wrong_arguments_stop_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """NaN, a key that is taken, an id that is none: not raised, counted as invalid, and told once for each kind."""
    producer = CapturingProducer()
    events = Mahavishnu(producer, wait=False)
    wrong: Any = 5
    for _ in range(3):
        assert await events.broadcast_workflow_failed("", "e") is False
        assert await events.broadcast_workflow_started("wf", {"cost": math.nan}) is False
        assert await events.broadcast_workflow_started("wf", {"workflow_id": "another"}) is False
        assert await events.broadcast_workflow_started("wf", wrong) is False
    assert await events.broadcast_workflow_failed("wf", "x" * 300_000) is False
    assert await tool(events, 1) == 1
    assert producer.statistics().dropped == {"invalid": 13}
    assert [it.event_name for it in producer.events] == ["workflow.failed"]
    told = [it.getMessage() for it in caplog.records]
    assert len(told) == 5
    assert all(text.startswith("workflow.") for text in told)


async def test_an_outbox_that_raises_and_a_closed_producer_stop_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The policy `error`, a producer not yet open and one that is closed: False, counted and told."""
    producer = Producer(NOBODY, outbox=OutboxSettings(max_events=1, policy="error", close_s=0))
    events = Mahavishnu(producer, wait=False)
    assert await events.broadcast_pool_closed("p") is False
    async with producer:
        assert await events.broadcast_pool_closed("p") is True
        assert await events.broadcast_pool_closed("p") is False
    assert await events.broadcast_pool_closed("p") is False
    assert producer.statistics().dropped == {"closed": 3, "full": 1}
    assert "the producer is not open" in caplog.text


def test_a_policy_that_waits_is_refused_where_the_broadcaster_is_made() -> None:
    """Under `block` an event without room waits; a broadcaster that never waits says so before the first event."""
    producer = Producer(NOBODY, outbox=OutboxSettings(policy="block"))
    with pytest.raises(BusError, match="the policy is block"):
        Mahavishnu(producer, wait=False)


def test_blocking_twin_answers_whether_the_event_was_taken(broker_url: str, run_id: str) -> None:
    """Code without asyncio gets True or False, at once."""
    with blocking.Producer(broker_url) as producer:
        events = Mahavishnu(producer, wait=False)
        assert events.broadcast_workflow_started(run_id, {}) is True
        assert events.broadcast_workflow_started(run_id, {"x": math.nan}) is False
        assert SessionBuddy(producer, wait=False).broadcast_metrics([skill(run_id)], []) is True
        assert producer.flush()
        assert producer.statistics().published == 3
        assert producer.statistics().dropped == {"invalid": 1}
    assert events.broadcast_workflow_started(run_id, {}) is False


async def test_broadcaster_that_waits_still_raises() -> None:
    """The awaited form keeps its errors: the caller asked to know."""
    with pytest.raises(ValidationError):
        await Mahavishnu(CapturingProducer()).broadcast_workflow_failed("", "e")


# Streams of metrics


def rows(producer: CapturingProducer) -> list[tuple[list[str], int]]:
    return [
        ([it["skill_name"] for it in event.model_dump()["top_skills"]], len(event.model_dump()["anomalies"]))
        for event in producer.events
    ]


@pytest.mark.parametrize("wait", [True, False])
async def test_stream_metrics_goes_on_over_a_row_that_does_not_validate(
    wait: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A row that is wrong is left out, counted and told with its fault; all others go out, in each round."""
    producer, reads = CapturingProducer(), iter(range(2))
    wrong = [skill("b", completion_rate=101.0), skill("c" * 200), {"skill_name": "d"}, 5, skill("")]

    def read() -> tuple[list[Any], list[Any]]:
        next(reads)
        return [skill("a"), *wrong, skill("e")], [{"skill_name": "a"}, None]

    buddy: Any = SessionBuddy(producer) if wait else SessionBuddy(producer, wait=False)
    with pytest.raises(RuntimeError):  # the third read raises: errors of the caller's own end the stream
        await buddy.stream_metrics(read, interval_s=0)
    assert rows(producer) == [(["a", "e"], 0), (["a"], 0), (["e"], 0)] * 2
    assert producer.statistics().dropped == {"invalid": 14}
    assert "completion_rate" in caplog.text
    assert len(caplog.records) == 7  # each kind once, and not in each round


async def test_broadcast_metrics_that_waits_refuses_the_whole_call() -> None:
    """The awaited call names the row, and sends nothing."""
    producer = CapturingProducer()
    with pytest.raises(ValidationError, match=r"skills\.1\.completion_rate"):
        await SessionBuddy(producer).broadcast_metrics([skill("a"), skill("b", completion_rate=101.0)], [])
    assert producer.events == []


async def test_broadcast_metrics_without_waiting_leaves_a_wrong_row_out() -> None:
    """What does not wait does not raise either: the other rows go out."""
    producer = CapturingProducer()
    assert await SessionBuddy(producer, wait=False).broadcast_metrics([skill("a"), skill("b", more=1)], []) is True
    assert rows(producer) == [(["a"], 0), (["a"], 0)]
    assert producer.statistics().dropped == {"invalid": 1}


async def metrics(redis: Redis, name: str) -> list[Any]:
    entries: Any = await redis.xrange(f"bus:log:{{skill:{name}}}")
    return [orjson.loads(fields[b"line"])["data"]["top_skills"][0]["total_invocations"] for _, fields in entries]


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    broker = EmbeddedBroker(port=0, directory=tmp_path)
    await broker.start()
    yield broker
    await broker.stop()


class Clock:
    """The clock of the test's loop, put forward by hand: as much waits for Redis as does in reality."""

    def __init__(self, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed_s = 0.0
        real = loop.time
        monkeypatch.setattr(loop, "time", lambda: real() + self.passed_s)

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Let time pass, a quarter of a second a turn, until a fact is true."""
        async with asyncio.timeout(600):  # most of which does not really pass
            while not is_true():
                self.passed_s += 0.25
                await asyncio.sleep(0.001)


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(asyncio.get_running_loop(), monkeypatch)


@pytest.mark.parametrize("wait", [True, False])
async def test_an_outage_of_13_s_stops_neither_a_stream_nor_a_tool(
    broker: EmbeddedBroker, tmp_path: Path, clock: Clock, wait: bool
) -> None:
    """Longer than a publish is tried: the stream goes on, the tool's errors wait, both arrive when Redis is back."""
    producer, reads = Producer(broker.url), 0

    def read() -> tuple[list[Any], list[Any]]:
        nonlocal reads
        reads += 1
        return [skill("a", total_invocations=reads)], []

    async with producer, asyncio.TaskGroup() as group:
        buddy: Any = SessionBuddy(producer) if wait else SessionBuddy(producer, wait=False)
        streaming = group.create_task(buddy.stream_metrics(read))
        await clock.until(lambda: producer.statistics().published > 4)
        await broker.stop()
        await clock.until(lambda: producer.statistics().is_away)
        began_s, before = clock.passed_s, reads
        done = await tool(Mahavishnu(producer, wait=False), 13)
        assert clock.passed_s == began_s
        await clock.until(lambda: clock.passed_s > began_s + OUTAGE_S)
        assert producer.statistics().failed >= 1 if wait else reads >= before + OUTAGE_S - 1
        async with EmbeddedBroker(port=broker.port, directory=tmp_path) as again:
            back, published = reads, producer.statistics().published
            await clock.until(lambda: reads > back + 2 and producer.statistics().published > published + done + 4)
            assert not streaming.done()
            streaming.cancel()
            assert await producer.flush()
            async with Redis.from_url(again.url) as redis:
                assert (await metrics(redis, "a"))[-1] > back
                assert await redis.xlen("bus:log:{workflow:wf}") == done


async def tool(events: Mahavishnu[Any, Any, Any], calls: int) -> int:
    """Fail, and broadcast that from the `except`, as tools do; return how often the end was reached."""
    done = 0
    for _ in range(calls):
        try:
            orjson.loads(b"")
        except ValueError as error:
            await events.broadcast_workflow_failed("wf", str(error))
        done += 1
    return done


# Open and close beside `with`


async def test_open_and_close_beside_with(broker_url: str, run_id: str) -> None:
    """What has no block to stand in (a notebook, a hook) opens and closes by calls, again and again."""
    producer = Producer(broker_url)
    for _ in range(2):
        assert await producer.open() is producer
        with pytest.raises(BusError, match="open already"):
            await producer.open()
        await Mahavishnu(producer).broadcast_workflow_started(run_id, {})
        await producer.close()
    with pytest.raises(BusError, match="not open"):
        await Mahavishnu(producer).broadcast_workflow_started(run_id, {})


def test_blocking_open_and_close_beside_with(broker_url: str, run_id: str) -> None:
    """The same for code without asyncio, such as Celery's hooks."""
    producer = blocking.Producer(broker_url).open()
    with pytest.raises(BusError, match="open already"):
        producer.open()
    Mahavishnu(producer).broadcast_workflow_started(run_id, {})
    producer.close()
    producer.close()
    with pytest.raises(BusError, match="not open"):
        Mahavishnu(producer).broadcast_workflow_started(run_id, {})


async def test_capturing_producers_open_and_close_too() -> None:
    """Code under test that opens its producer finds the capturing ones alike."""
    captured, blocked = CapturingProducer(), BlockingCapturingProducer()
    assert await captured.open() is captured
    assert blocked.open() is blocked
    blocked.close()

"""What a producer tells the log of a Redis that is away: what waits, how long, what was sent and what was lost."""

import asyncio
import logging
from typing import Any

import pytest

from bus.broker.embedded import EmbeddedBroker
from bus.errors import BusUnavailable
from bus.log.absence import Absence, Standing
from producers import OutboxSettings, Producer
from producers.services.mahavishnu import WorkflowStarted
from tests.contract.brokers import eventually
from tests.leaks import ours
from tests.ports import free_port

FIELDS = ("waiting", "after_s", "sent", "failed", "dropped")


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, Any]]]:
    """Return level and fields of each line about Redis' absence."""
    records = [it for it in ours(caplog.records) if "producer" in vars(it)]
    return [(it.levelname, {name: vars(it)[name] for name in FIELDS if name in vars(it)}) for it in records]


async def test_outage_from_first_event_to_the_last(caplog: pytest.LogCaptureFixture) -> None:
    """Fifteen events are emitted without Redis, ten have room: the log ends with ten sent and five dropped."""
    caplog.set_level(logging.INFO, "edgebus.producers")
    port = free_port()
    settings = OutboxSettings(max_events=10, policy="drop_new")
    async with asyncio.timeout(20), Producer(f"redis://127.0.0.1:{port}", outbox=settings) as producer:
        producer.emit(WorkflowStarted(workflow_id="wf", adapter="local"))

        async def is_away() -> bool:
            return producer.statistics().is_away

        await eventually(is_away)
        for _ in range(14):
            producer.emit(WorkflowStarted(workflow_id="wf", adapter="local"))
        with await asyncio.to_thread(EmbeddedBroker, port):
            assert await producer.flush()
            lines = told(caplog)
    (away, began), (back, ended), (over, whole) = lines
    assert (away, began) == ("WARNING", {"waiting": 1})
    assert (back, ended["waiting"]) == ("INFO", 10)
    assert (over, whole["sent"], whole["failed"], whole["dropped"]) == ("WARNING", 10, 0, 5)
    assert whole["after_s"] >= ended["after_s"] > 0


def test_redis_that_goes_again_is_one_story(caplog: pytest.LogCaptureFixture) -> None:
    """Where Redis goes again before all was sent, the last line counts from the first loss."""
    caplog.set_level(logging.INFO, "edgebus.producers")
    standing, now_s = Standing(waiting=3), 0.0
    logger = logging.getLogger("edgebus.producers")
    absence = Absence("p", logger, lambda: standing, lambda: now_s)
    absence.began(BusUnavailable("connection refused"))
    now_s = 4.0
    absence.ended()
    standing = Standing(waiting=2, published=1)
    absence.look()
    absence.began(BusUnavailable("connection refused"))
    now_s = 20.0
    absence.ended()
    standing = Standing(published=3)
    absence.look()
    assert [it.getMessage() for it in caplog.records] == [
        "Redis is away, and 3 events wait: connection refused",
        "Redis is back after 4.0 s, and 3 events are sent now",
        "Redis is away, and 2 events wait: connection refused",
        "Redis is back after 20.0 s, and 2 events are sent now",
        "caught up with Redis' absence after 20.0 s: 3 events sent, 0 failed, 0 dropped",
    ]
    assert not absence.is_untold

"""A producer's numbers in a registry of Prometheus."""

import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from bus.broker.embedded import EmbeddedBroker
from bus.errors import BusError
from producers import Producer, blocking
from producers.metrics import COUNTERS, DROPPED, DURATION, GAUGES
from producers.producer import DropReason, OutboxSettings
from producers.services.mahavishnu import WorkflowStarted
from tests.journeys.processes import program

NO_REDIS = "redis://127.0.0.1:1"


def event(name: str = "w") -> WorkflowStarted:
    return WorkflowStarted(workflow_id=name, adapter="local")


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


async def test_numbers_are_those_of_the_producer(broker: EmbeddedBroker) -> None:
    """A publish is counted with its duration, and a failure apart; the outbox is seen while events wait."""
    registry = CollectorRegistry()
    async with Producer(broker.url, metrics=registry) as producer:
        await producer.publish(event())
        assert value(registry, "edgebus_published_total") == 1
        assert value(registry, "edgebus_publish_duration_seconds_count") == 1
    async with Producer(NO_REDIS, metrics=registry, outbox=OutboxSettings(close_s=0)) as producer:
        with pytest.raises(BusError):
            await producer.publish(event(), deadline_s=0)
        producer.emit(event())
        assert value(registry, "edgebus_outbox_events") == 1
        assert (value(registry, "edgebus_outbox_bytes") or 0) > 100
        assert value(registry, "edgebus_producers_away") == 1
    assert value(registry, "edgebus_publish_failures_total") == 1
    assert value(registry, "edgebus_publish_duration_seconds_count") == 2
    assert value(registry, "edgebus_outbox_dropped_total", reason="closed") == 1
    assert value(registry, "edgebus_outbox_events") == 0


async def test_producers_of_a_registry_are_summed_and_stay_counted(broker: EmbeddedBroker) -> None:
    """A counter never falls: not when a producer is opened again, and not when one is gone."""
    registry = CollectorRegistry()
    first, second = (Producer(broker.url, metrics=registry) for _ in range(2))
    for producer in (first, second, first):
        async with producer:
            await producer.publish(event())
    del first, second, producer
    assert value(registry, "edgebus_published_total") == 3


def test_blocking_twin_has_the_same(broker: EmbeddedBroker) -> None:
    """The twin hands the registry on; scraped from another thread than the producer's."""
    registry = CollectorRegistry()
    with blocking.Producer(broker.url, metrics=registry) as producer:
        producer.publish(event())
        assert value(registry, "edgebus_published_total") == 1


def test_promtool_finds_nothing_to_say() -> None:
    """Names, units and help are as Prometheus wants them, also before the first event, with every reason."""
    registry = CollectorRegistry()
    producer = Producer(NO_REDIS, metrics=registry)
    text = generate_latest(registry)
    checked = subprocess.run(
        [program("promtool", "prometheus"), "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
    for reason in DropReason:
        assert value(registry, DROPPED[0], reason=reason.value) == 0
    names = {name for name, _ in [*COUNTERS.values(), *GAUGES.values(), DROPPED, DURATION]}
    assert all(f"# TYPE {name} ".encode() in text for name in names)
    del producer


@pytest.mark.parametrize("wrong", [True, "registry", object()])
def test_what_is_no_registry_is_refused(wrong: object) -> None:
    """A slip is told where it is written."""
    with pytest.raises(TypeError, match="CollectorRegistry is wanted"):
        Producer(NO_REDIS, metrics=wrong)  # type: ignore[arg-type]


def test_library_is_not_loaded_unasked() -> None:
    """A program without metrics pays nothing for them."""
    code = (
        "import sys, producers, producers.blocking; producers.Producer(); sys.exit('prometheus_client' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

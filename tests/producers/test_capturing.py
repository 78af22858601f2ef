"""The producer for tests: the same surface, the same refusals, and no Redis."""

import asyncio
import inspect
import multiprocessing
import threading
import warnings

import orjson
import pytest
from pydantic import ValidationError

from bus.errors import EventError, PublishUncertain
from producers import CapturingProducer, Producer, ProducerStatistics, blocking
from producers.capturing import BlockingCapturingProducer
from producers.services.crackerjack import TestCaseCompleted
from producers.services.mahavishnu import Mahavishnu, WorkflowStarted


def case(name: str = "t") -> TestCaseCompleted:
    return TestCaseCompleted(run_id="r", test_name=name, outcome="passed", duration_seconds=0.5)


async def test_broadcaster_works_with_it() -> None:
    """What a service broadcasts is there as events, and as the lines that subscribers would have read."""
    async with CapturingProducer() as producer:
        published = await Mahavishnu(producer).broadcast_workflow_started("wf_1", {"adapter": "local"})
    assert producer.events == [WorkflowStarted.model_validate({"workflow_id": "wf_1", "adapter": "local"})]
    assert list(published.positions) == list(producer.lines) == ["workflow:wf_1", "global"]
    [line] = [orjson.loads(line) for line in producer.lines["workflow:wf_1"]]
    assert (line["id"], line["position"], line["previous"]) == (
        published.id,
        published.positions["workflow:wf_1"],
        "0-0",
    )
    assert (line["room"], line["data"]["adapter"]) == ("workflow:wf_1", "local")
    assert set(published.positions.values()) == {"1000000000000-1"}  # the same in every run


async def test_positions_are_a_chain() -> None:
    """Each line names the one before it, as in a log."""
    producer = CapturingProducer()
    await producer.publish_all([case(str(number)) for number in range(3)])
    lines = [orjson.loads(line) for line in producer.lines["test:r"]]
    assert [line["previous"] for line in lines] == ["0-0", lines[0]["position"], lines[1]["position"]]


async def test_every_way_to_publish_is_captured() -> None:
    """Publish, publish_all, emit, emit_wait and batch; a repeated event is there once; clear forgets."""
    producer, event = CapturingProducer(), case("a")
    first = await producer.publish(event)
    assert await producer.publish(event, repeated=True) == first
    await producer.publish_all([case("b")], deadline_s=1)
    assert producer.emit(case("c"))
    assert await producer.emit_wait(case("d"))
    async with producer.batch() as batch:
        batch.add(case("e"))
        assert len(producer.events) == 4
    assert await producer.flush(1)
    assert [it.model_dump()["test_name"] for it in producer.events] == ["a", "b", "c", "d", "e"]
    assert (len(batch.results), producer.statistics().published) == (1, 5)
    producer.clear()
    assert (producer.events, dict(producer.lines)) == ([], {})


async def test_refusals_are_those_of_the_real_one() -> None:
    """An invalid event and one that is too large are refused, and nothing of their list is kept."""
    producer = CapturingProducer(limit_bytes=400)
    with pytest.raises(ValidationError, match="test_name"):
        await producer.publish_all([case(), TestCaseCompleted.model_construct(run_id="r", test_name=7)])  # type: ignore[arg-type, call-arg]
    with pytest.raises(EventError, match="the limit is 400"):
        producer.emit(case("x" * 400))
    with pytest.raises(LookupError):  # noqa: PT012 (the block is what is tested)
        async with producer.batch() as batch:
            batch.add(case())
            raise LookupError
    assert producer.events == []


async def test_publish_every_ends_with_an_exception() -> None:
    """As the real one does."""
    producer, made = CapturingProducer(), iter(range(3))
    with pytest.raises(RuntimeError):
        await producer.publish_every(0, lambda: [case(str(next(made)))])
    assert len(producer.events) == 3


def test_blocking_variant() -> None:
    """The same without asyncio, for code that uses `producers.blocking`."""
    made = iter(range(2))
    with BlockingCapturingProducer() as producer:
        Mahavishnu(producer).broadcast_workflow_started("wf_1", {})
        producer.publish_all([case("a")])
        assert producer.emit_wait(case("b"))
        with producer.batch() as batch:
            batch.add(case("c"))
        with pytest.raises(StopIteration):
            producer.publish_every(0, lambda: [case(str(next(made)))])
        assert producer.flush()
    assert len(producer.events) == 6
    assert len(batch.results) == 1


def test_emit_needs_no_event_loop() -> None:
    """Code without asyncio that emits finds its events at once, from several threads too."""
    producer = CapturingProducer()
    threads = [threading.Thread(target=lambda: [producer.emit(case()) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [orjson.loads(line) for line in producer.lines["test:r"]]
    assert len(producer.events) == 200
    assert [line["previous"] for line in lines] == ["0-0", *(line["position"] for line in lines[:-1])]
    assert producer.statistics() == ProducerStatistics(published=200)


def test_one_producer_in_several_event_loops() -> None:
    """A fixture may outlive the loop of a test."""
    producer = CapturingProducer()
    for number in range(2):
        asyncio.run(producer.publish(case(str(number))))
    assert len(producer.events) == 2


async def test_repetition_is_told_as_the_real_one_tells() -> None:
    """An event that its log has lost since cannot be told apart from one that never came there."""
    producer, first = CapturingProducer(), case("first")
    await producer.publish(first)
    await producer.publish_all([case() for _ in range(1_000)])
    with pytest.raises(PublishUncertain, match="test:r has the event cannot be told any more"):
        await producer.publish(first, repeated=True)


def test_child_goes_on_with_a_copy() -> None:
    """A process that was forked captures for itself, with asyncio and without."""
    producer, blocking_one = CapturingProducer(), BlockingCapturingProducer()
    producer.emit(case())
    blocking_one.publish(case())

    def child() -> None:
        assert producer.emit(case())
        blocking_one.publish(case())
        assert (len(producer.events), len(blocking_one.events)) == (2, 2)

    process = multiprocessing.get_context("fork").Process(target=child)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads is what is tested
        process.start()
    process.join(20)
    assert process.exitcode == 0
    blocking_one.close()
    assert len(producer.events) == 1


@pytest.mark.parametrize(
    ("real", "capturing"), [(Producer, CapturingProducer), (blocking.Producer, BlockingCapturingProducer)]
)
def test_surface_is_the_same(real: type, capturing: type) -> None:
    """Every public method of the real producer is there, with the same arguments."""
    assert issubclass(capturing, real)
    public = [name for name in dir(real) if not name.startswith("_")]
    assert [name for name in public if not hasattr(capturing, name)] == []
    for name in public:
        ours, theirs = (inspect.signature(getattr(it, name)).parameters for it in (capturing, real))
        assert list(ours) == list(theirs), name

"""What an event carries of its trace, and the spans of publishes."""

import json
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bus import spans
from bus.errors import EventError
from bus.traceparent import EXAMPLE, check_traceparent
from producers import CapturingProducer
from producers.capturing import BlockingCapturingProducer
from producers.services.mahavishnu import Mahavishnu, WorkflowStarted
from tests.spans import exported

STARTED = WorkflowStarted(workflow_id="wf_1", adapter="local")


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Lend the spans of one test."""
    with exported(monkeypatch) as spans:
        yield spans


def carried(producer: Any) -> list[str | None]:
    return [json.loads(line).get("traceparent") for lines in producer.lines.values() for line in lines]


def written(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


async def test_event_without_a_trace_is_as_ever() -> None:
    """No key is added, and the line begins with its id."""
    async with CapturingProducer() as producer:
        await producer.publish(STARTED)
    lines = [line for lines in producer.lines.values() for line in lines]
    assert len(lines) == 2
    assert all(b'","id":"' in line[:120] and b"traceparent" not in line for line in lines)


async def test_module_that_is_being_imported_has_no_span(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may import OpenTelemetry at the very moment of a publish."""
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", ModuleType("opentelemetry.trace"))
    assert spans.current() == ""


async def test_given_one_is_carried_on_every_channel() -> None:
    """The argument stands in the lines of all channels, by every way of publishing."""
    async with CapturingProducer() as producer:
        await producer.publish(STARTED, traceparent=EXAMPLE)
        await producer.publish_all([STARTED], traceparent=EXAMPLE)
        await producer.publish_raw("code", "build.done", {}, traceparent=EXAMPLE)
        producer.emit(STARTED, traceparent=EXAMPLE)
        await producer.emit_wait(STARTED, traceparent=EXAMPLE)
    assert set(carried(producer)) == {EXAMPLE}


def test_blocking_producer_takes_the_same() -> None:
    """Code without asyncio has the same arguments."""
    with BlockingCapturingProducer() as producer:
        producer.publish(STARTED, traceparent=EXAMPLE)
        producer.publish_all([STARTED], traceparent=EXAMPLE)
        producer.publish_raw("code", "build.done", {}, traceparent=EXAMPLE)
        producer.emit(STARTED, traceparent=EXAMPLE)
        producer.emit_wait(STARTED, traceparent=EXAMPLE)
    assert set(carried(producer)) == {EXAMPLE}


@pytest.mark.parametrize("wrong", ["", "hello", EXAMPLE.replace("00-", "ff-", 1)])
async def test_wrong_one_is_refused_before_anything_is_sent(wrong: str) -> None:
    """A text that is no trace context is the caller's mistake."""
    async with CapturingProducer() as producer:
        with pytest.raises(EventError, match="traceparent"):
            await producer.publish(STARTED, traceparent=wrong)
        with pytest.raises(EventError, match="traceparent"):
            producer.emit(STARTED, traceparent=wrong)
    assert not producer.lines


async def test_trace_is_asked_for() -> None:
    """``trace=True`` makes a sampled trace with the event's own name, or has the given one sampled."""
    async with CapturingProducer() as producer:
        published = await producer.publish(STARTED, trace=True)
        (made, *others) = carried(producer)
        producer.clear()
        await producer.publish(STARTED, trace=True, traceparent=f"{EXAMPLE[:-2]}00")
        assert set(carried(producer)) == {EXAMPLE}
    assert made is not None
    assert set(others) == {made}
    assert check_traceparent(made).split("-")[1::2] == [published.id.replace("-", ""), "01"]


async def test_repeated_attempt_carries_the_same() -> None:
    """A repetition is the same event, in the same trace, whatever the caller says then."""
    event = WorkflowStarted(workflow_id="wf_1", adapter="local")
    async with CapturingProducer() as producer:
        await producer.publish(event, trace=True)
        await producer.publish(event, repeated=True, traceparent=EXAMPLE)
    (line,) = set(carried(producer))
    assert line != EXAMPLE


async def test_active_span_is_the_parent_of_the_publish(exporter: InMemorySpanExporter) -> None:
    """A publish has a span of its own in the active one, and the event carries that span."""
    async with CapturingProducer() as producer:
        with trace.get_tracer("test").start_as_current_span("work") as work:
            published = await producer.publish(STARTED)
    publish, outer = exporter.get_finished_spans()
    assert set(carried(producer)) == {written(publish)}
    assert outer.name == "work"
    assert publish.parent == work.get_span_context()
    assert (publish.name, publish.kind) == ("publish workflow:*", trace.SpanKind.PRODUCER)
    assert dict(publish.attributes or {}) == {
        "messaging.system": "edgebus",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": "workflow:wf_1",
        "messaging.destination.template": "workflow:*",
        "messaging.message.id": published.id,
        "edgebus.event": "workflow.started",
        "edgebus.channels": ("workflow:wf_1", "global"),
    }


async def test_given_one_is_the_parent_where_opentelemetry_is_loaded(exporter: InMemorySpanExporter) -> None:
    """The argument wins over the active span."""
    async with CapturingProducer() as producer:
        with trace.get_tracer("test").start_as_current_span("work"):
            await producer.publish(STARTED, traceparent=EXAMPLE)
    publish, _ = exporter.get_finished_spans()
    assert publish.parent is not None
    assert f"{publish.parent.trace_id:032x}" == EXAMPLE.split("-")[1]
    assert set(carried(producer)) == {written(publish)}


async def test_no_span_without_an_active_one(exporter: InMemorySpanExporter) -> None:
    """A publish outside of any trace begins none."""
    async with CapturingProducer() as producer:
        await producer.publish(STARTED)
        producer.emit(STARTED)
    assert exporter.get_finished_spans() == ()
    assert set(carried(producer)) == {None}


async def test_every_way_of_publishing_is_in_the_active_span(exporter: InMemorySpanExporter) -> None:
    """Broadcasts, emitted events and batches carry the trace of the code that makes them."""
    async with CapturingProducer() as producer:
        with trace.get_tracer("test").start_as_current_span("work") as work:
            await Mahavishnu(producer).broadcast_workflow_started("wf_1", {})
            Mahavishnu(producer, wait=False).broadcast_workflow_started("wf_1", {})
            producer.emit(STARTED)
            async with producer.batch() as batch:
                batch.add(STARTED)
    trace_id = f"{work.get_span_context().trace_id:032x}"
    assert {str(it).split("-")[1] for it in carried(producer)} == {trace_id}
    assert [it.name for it in exporter.get_finished_spans()] == ["publish workflow:*"] * 3 + ["work"]


def test_blocking_publish_is_in_the_span_of_the_calling_thread(exporter: InMemorySpanExporter) -> None:
    """The thread of the event loop has no span of its own; the caller's counts."""
    with BlockingCapturingProducer() as producer, trace.get_tracer("test").start_as_current_span("work") as work:
        producer.publish(STARTED)
    publish = next(it for it in exporter.get_finished_spans() if it.name.startswith("publish"))
    assert publish.parent == work.get_span_context()


async def test_refused_publish_is_an_error_of_its_span(exporter: InMemorySpanExporter) -> None:
    """The span of an event that was not sent says why, and none stays open."""
    async with CapturingProducer(limit_bytes=10) as producer:
        with trace.get_tracer("test").start_as_current_span("work"):
            with pytest.raises(EventError):
                await producer.publish(STARTED)
            with pytest.raises(EventError):
                producer.emit(STARTED)
    *publishes, _ = exporter.get_finished_spans()
    assert [(it.attributes or {})["error.type"] for it in publishes] == ["EventError", "EventError"]
    assert all("limit is 10" in (it.status.description or "") for it in publishes)


def test_no_span_is_active_before_opentelemetry_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for the active span then gets none, and imports nothing."""
    monkeypatch.delitem(sys.modules, "opentelemetry.trace")
    assert (spans.is_loaded(), spans.current()) == (False, "")

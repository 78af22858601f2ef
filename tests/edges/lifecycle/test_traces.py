"""The stages of traced events in an edge: bounded, written by a task of its own, with a span each."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bus.envelope import compose, splice
from bus.errors import BusUnavailable
from bus.event import Attempt
from bus.traceparent import EXAMPLE
from bus.traces.lines import Marked
from bus.traces.stages import Handover
from bus.traces.store import TraceStore
from edges.lifecycle.traces import Traces
from edges.limits.mishaps import Mishaps
from edges.rooms.traced import TracedLine
from producers import raw_event
from tests.spans import exported

SECOND_NS = 1_000_000_000


class FakeStore:
    def __init__(self) -> None:
        self.told: list[tuple[Marked, Handover]] = []
        self.is_away = False

    async def add(self, told: Sequence[tuple[Marked, Handover]]) -> None:
        if self.is_away:
            raise BusUnavailable("away")
        self.told += told


def line(number: int = 1, traceparent: str = EXAMPLE, size: int = 0) -> TracedLine:
    made = Attempt(f"id-{number}", "2026-01-01T00:00:00+00:00", traceparent=traceparent)
    (_, text), *_ = compose(raw_event("code", "build.done", {"x": "x" * size}), made=made).lines
    return TracedLine(splice(text, "5-1000", "4-4"), "code", 5 * SECOND_NS, 6 * SECOND_NS, 12, False)


def traces_on(store: FakeStore, offset_ms: float | None = None) -> Traces:
    return Traces(cast(TraceStore, store), "edge-1", lambda: offset_ms)


async def test_stages_are_by_redis_clock() -> None:
    """The difference of clocks, as far as the edge knows it, is taken out."""
    store = FakeStore()
    traces = traces_on(store, offset_ms=1_500.0)
    traces.note(line())
    await traces.write()
    ((marked, handover),) = store.told
    assert (marked.id, marked.position, marked.traceparent) == ("id-1", "5-1000", EXAMPLE)
    assert handover == Handover(
        "edge-1", "code", "1970-01-01T00:00:03.500000+00:00", "1970-01-01T00:00:04.500000+00:00", 12
    )


async def test_flood_is_bounded() -> None:
    """So many lines and bytes wait, so many are written a round, and the rest is counted."""
    store = FakeStore()
    traces = traces_on(store)
    for number in range(1_500):
        traces.note(line(number))
    assert traces.left_out == 500
    await traces.write()
    assert (len(store.told), traces.left_out) == (25, 500 + 975)
    for number in range(30):
        traces.note(line(number, size=200_000))
    assert traces.left_out == 500 + 975 + 10


@pytest.mark.virtual_time
async def test_task_goes_on_over_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    """What was noted while Redis is away is lost without a word of its own, and later events are written."""
    caplog.set_level(logging.INFO)
    store, mishaps = FakeStore(), Mishaps()
    traces = traces_on(store)
    store.is_away = True
    task = asyncio.create_task(traces.run(mishaps))
    traces.note(line(1))
    await asyncio.sleep(1)
    store.is_away = False
    traces.note(line(2))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    assert [it.id for it, _ in store.told] == ["id-2"]
    assert caplog.records == []


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Lend the spans of one test."""
    with exported(monkeypatch) as spans:
        yield spans


async def test_hand_over_has_one_span(exporter: InMemorySpanExporter) -> None:
    """A child of the publish, with the times of the hand-over; an event that was drawn by its position has none."""
    traces = traces_on(FakeStore())
    traces.note(line(1))
    traces.note(line(2, traceparent=""))
    await traces.write()
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.kind) == ("deliver code", trace.SpanKind.CONSUMER)
    assert (span.start_time, span.end_time) == (5 * SECOND_NS, 6 * SECOND_NS)
    assert span.parent is not None
    assert f"00-{span.parent.trace_id:032x}-{span.parent.span_id:016x}-01" == EXAMPLE
    attributes: dict[str, Any] = dict(span.attributes or {})
    assert attributes["messaging.operation.type"] == "process"
    assert (attributes["messaging.message.id"], attributes["edgebus.clients"]) == ("id-1", 12)
    assert attributes["messaging.client.id"] == "edge-1"


async def test_spans_come_though_redis_is_away(exporter: InMemorySpanExporter) -> None:
    """The two have nothing to do with each other."""
    store = FakeStore()
    store.is_away = True
    traces = traces_on(store)
    traces.note(line())
    with pytest.raises(BusUnavailable):
        await traces.write()
    assert len(exporter.get_finished_spans()) == 1

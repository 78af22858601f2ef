"""The flow: what a page is shown, bounded and sampled, whatever lines come."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from edgebus.dashboard.flow import Filter, Flow, Viewer
from edgebus.dashboard.names import HEADS, Names
from producers.services import NAMES, load

SERVICES = [load(name) for name in NAMES]


class Clock:
    """A clock that stands until it is set."""

    ms = 1_700_000_000_000.0

    def __call__(self) -> float:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def flow(clock: Clock) -> Flow:
    return Flow(Names(SERVICES), clock)


def line(event: str = "workflow.started", **data: Any) -> bytes:
    """Return a line as Redis publishes it."""
    return orjson.dumps({"position": "1700000000000-7", "event": event, "data": data, "id": "e1", "timestamp": "x"})


def watching(flow: Flow, **wanted: Any) -> Viewer:
    """Have a page watch."""
    return flow.viewers.setdefault(str(wanted), Viewer(Filter.of(wanted)))


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({}, 3),
        ({"service": "mahavishnu"}, 2),
        ({"channel": "workflow:"}, 1),
        ({"channel": "pool:b", "exact": True}, 0),
        ({"event": "anomaly"}, 1),
        ({"text": "ÜBER"}, 1),
        ({"text": "workflow.started"}, 0),  # stands in the line, and not in the data
        ({"service": ["no", "text"], "channel": 7}, 0),
    ],
)
def test_filters(flow: Flow, clock: Clock, wanted: dict[str, Any], count: int) -> None:
    """A page is shown the lines that fit all of its conditions."""
    viewer = watching(flow, **wanted)
    flow.take("workflow:a", line(note="über"))
    flow.take("pool:big", line("pool.spawned"))
    flow.take("anomalies", line("anomaly.detected"))
    assert len(viewer.answer(flow.names, clock())["rows"]) == count


def test_many_events_are_sampled_and_the_share_is_said(flow: Flow, clock: Clock) -> None:
    """Of 500 a second one in ten is shown, of each kind."""
    viewer = watching(flow)
    shown = 0
    for number in range(3_000):
        clock.ms += 2  # 500 a second
        flow.take(("pool:a", "worker:a")[number % 2], line())
        if number % 100 == 99:
            answer = viewer.answer(flow.names, clock())
            shown += len(answer["rows"]) * (number > 1_000)
            assert answer["every"] == (10 if number > 1_000 else answer["every"])
            channels = {row["channel"] for row in answer["rows"]}
            assert channels == {"pool:a", "worker:a"}  # also where two kinds come in turn
    assert viewer.matched == 3_000
    assert 150 <= shown <= 250  # a tenth of 2,000


def test_what_waits_and_what_is_kept_is_bounded(flow: Flow, clock: Clock) -> None:
    """Long lines and many of them cost bounded memory."""
    viewer = watching(flow)
    for number in range(2_000):
        flow.take(f"workflow:{number}", line(blob="x" * 200_000))
    assert len(viewer.pending) <= 150
    assert flow.kept(2_000) is not None
    assert flow.kept(1) is None
    kept = [it for number in range(1_700, 2_001) if (it := flow.kept(number)) is not None]
    assert sum(len(it.line) for it in kept) <= 17_000_000
    row = viewer.answer(flow.names, clock())["rows"][-1]
    assert len(row["preview"]) == 400
    assert row["size"] > 200_000


@pytest.mark.parametrize(
    "text",
    [b"hello", b"[1]", b"null", b"{}", b'{"event":7,"data":[]}', b"\xff\xfe", b'{"event":"a","data":{},"id":[1]}'],
)
def test_lines_that_are_no_events_are_rows_too(flow: Flow, clock: Clock, text: bytes) -> None:
    """A line of any form is shown, and said to be no event."""
    viewer = watching(flow)
    flow.take("workflow:a", text)
    (row,) = viewer.answer(flow.names, clock())["rows"]
    assert row["isEvent"] is (text.startswith(b'{"event":"a"'))
    assert orjson.dumps(row)


@pytest.mark.parametrize("channel", ["bus:probe:x", "__keyspace@0__:a", "Other", "", "a" * 400])
def test_channels_of_others_are_passed_over(flow: Flow, channel: str) -> None:
    """The bus's own channels, and those of other programs, are not shown."""
    flow.take(channel, line())
    assert flow.total == 0


def test_latency_is_of_the_last_minute(flow: Flow, clock: Clock) -> None:
    """Times are of the last minute; impossible ones are left out."""
    said: Callable[[str], bytes] = lambda at: orjson.dumps({"event": "a.b", "data": {}, "timestamp": at})  # noqa: E731
    for text in ("2023-11-14T22:13:19.900+00:00", "never", "9999-12-31T23:59:59+00:00"):
        clock.ms += 25
        flow.take("workflow:a", said(text))
    assert flow.latencies() == {"p50": 125.0, "p99": 125.0, "count": 2}
    clock.ms += 61_000
    assert flow.latencies()["p50"] is None


def test_idle_pages_are_forgotten(flow: Flow, clock: Clock) -> None:
    """A page that asks no more leaves nothing behind."""
    watching(flow).answer(flow.names, clock())
    clock.ms += 6_000
    flow.forget(5_000)
    assert not flow.viewers


def test_rows_name_the_service(flow: Flow) -> None:
    """A channel names its service by catalogue, by its own name, or by what was learned; bounded."""
    names = flow.names
    assert [names.service(it) for it in ("workflow:a", "global:crackerjack", "station:a")] == [
        "mahavishnu",
        "crackerjack",
        "",
    ]
    names.learn("station:a", "weather")
    assert names.service("station:b") == "weather"
    for number in range(2 * HEADS):
        names.service(f"x{number}:a")
    assert len(names.unknown) == HEADS

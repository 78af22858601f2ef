"""How late events are handed on, from a sample."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from bus.channel import Channel
from bus.envelope import compose, end_of
from bus.event import Attempt
from edges.rooms.tallies import Tallies
from producers.services.mahavishnu import WorkflowStarted
from tests.edges.hub_redis import Member, Redis, X, of

END = end_of("workflow:w")


def line(timestamp: str) -> bytes:
    """Return a line as a producer makes it."""
    event = WorkflowStarted(workflow_id="w", adapter="local")
    return compose(event, made=Attempt("an-id", timestamp)).lines[0][1]


def made(ago_s: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=ago_s)).isoformat(timespec="microseconds")


@pytest.mark.parametrize(
    ("timestamp", "odd"),
    [
        (made(-3_600), "ahead"),
        (made(7_200), "old"),
        ("yesterday, shortly before the end of the day...", "unreadable"),
        ("0001-01-01T00:00:00.000000+23:59", "old"),
    ],
    ids=["ahead", "old", "unreadable", "before all"],  # names that are the same in each process of a run
)
def test_timestamp_that_says_nothing_of_the_bus_is_counted_apart(timestamp: str, odd: str) -> None:
    """A producer with a wrong clock, or a text of its own, neither makes the bus fast nor spoils the sum."""
    tallies = Tallies(["workflow"])
    tally = tallies.of(Channel("workflow:w", "workflow:w"))
    tallies.sample(line(timestamp), END, tally, time.time())
    assert (tallies.odd[odd], sum(tallies.odd.values()), tally.latency.count) == (1, 1, 0)


def test_lateness_is_from_the_timestamp_of_the_event() -> None:
    """An event of a minute ago is beyond the last bucket, and in the sum."""
    tallies = Tallies(["workflow"])
    tally = tallies.by_family["workflow"]
    tallies.sample(line(made(60)), END, tally, time.time())
    assert (tally.latency.counts[-1], tally.latency.count) == (1, 1)
    assert tally.latency.sum_s >= 60


def test_line_of_other_writers_is_passed_over() -> None:
    """A typed line has no timestamp in the place of ours."""
    tallies = Tallies()
    tallies.sample(b'{"event":"e","data":{}}', END, tallies.by_family["other"], time.time())
    assert (tallies.by_family["other"].latency.count, sum(tallies.odd.values())) == (0, 0)


def test_families_are_those_of_the_catalogue() -> None:
    """A room of any other name counts with all others of that kind."""
    tallies = Tallies(["workflow", "global"])
    names = ["workflow:a", "workflow:b", "global", "a-room-of-a-class:c", "workflows"]
    found = [tallies.of(Channel(name, name)) for name in names]
    by_family = tallies.by_family
    assert found == [by_family[it] for it in ("workflow", "workflow", "global", "other", "other")]
    assert set(by_family) == {"workflow", "global", "other"}


async def test_events_and_bytes_are_counted_once_per_room() -> None:
    """Three members and two events of one read: two events, six deliveries, three writes."""
    redis = Redis()
    await redis.hub.open(X)
    members = [Member() for _ in range(3)]
    for member in members:
        redis.hub.join_now(X, member)
    redis.publish(1, 2)
    redis.hub.deliver([redis.on_the_way.pop(0) for _ in range(2)])
    found = redis.hub.statistics()
    size = sum(len(frame) for member in members for frame in member.frames)
    assert (found.events, found.deliveries, found.writes, found.sent_bytes) == ({"other": 2}, 6, 3, size)
    assert found.subscriptions == 3


async def test_frames_joined_over_rooms_are_one_write() -> None:
    """A member of three rooms that keeps frames until the end of a read is written to once."""
    redis, member = Redis(), Keeping()
    for number in range(3):
        await redis.hub.open(of(number))
        redis.hub.join_now(of(number), member)
    for number in range(3):
        redis.publish(1, channel=of(number))
    redis.hub.deliver(list(redis.on_the_way))
    found = redis.hub.statistics()
    assert (found.deliveries, found.writes) == (3, 1)


class Keeping(Member):
    """Keeps frames until ``uncork``, as a connection in several rooms does."""

    def deliver(self, frames: bytes) -> bool:
        self.frames.append(frames)
        return len(self.frames) == 1

    def uncork(self) -> int:
        return len(self.frames)


async def test_dropped_lines_are_counted_by_reason() -> None:
    """A line of no room, one that no client could read, and one that is too large."""
    redis = Redis()
    await redis.hub.open(X)
    name = X.redis.encode()
    large = b'{"event":"e","data":{"text":"%b"}}' % (b"x" * 300_000)
    redis.hub.deliver([(b"workflow:gone", b"{}"), (name, b"no JSON"), (name, b'{"event":"\xff"}'), (name, large)])
    found = redis.hub.statistics()
    assert found.drops == {"no_room": 1, "unreadable": 2, "too_large": 1, "bug": 0}
    assert found.dropped == 4


async def test_samples_are_a_millisecond_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of reads costs a look at the clock each; a clock that is set back does not end the samples."""
    redis, now_s = Redis(), [1_000_000.0]
    await redis.hub.open(X)
    redis.hub.join_now(X, Member())
    samples = list[float]()
    monkeypatch.setattr("edges.rooms.sampler.time.time", lambda: now_s[0])
    monkeypatch.setattr(redis.hub.tallies, "sample", lambda *given: samples.append(given[-1]))
    for number, now_s[0] in enumerate([10.0, 10.0004, 10.0009, 10.0011, 5.0, 5.0001], start=1):
        redis.send(X, number)
    assert samples == [10.0, 10.0011, 5.0]

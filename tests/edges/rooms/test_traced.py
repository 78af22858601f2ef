"""Lines with a trace in the hub: handed on as any other, and told once they were written."""

import re

import pytest

from bus.channel import Channel
from bus.envelope import compose, splice
from bus.event import Attempt
from bus.traceparent import EXAMPLE
from edges.rooms.hub import Hub
from edges.rooms.traced import TracedLine, TracedLines
from producers import raw_event
from tests.edges.hub_redis import Member, Redis, X, join
from tests.edges.peers import eventually


def traced(position: str, previous: str, traceparent: str = EXAMPLE, channel: Channel = X) -> tuple[bytes, bytes]:
    made = Attempt(f"id-{position}", "t", traceparent=traceparent)
    (_, line), *_ = compose(raw_event(channel, "e", {"n": int(position.split("-")[0])}), made=made).lines
    return channel.redis.encode(), splice(line, position, previous)


def got(member: Member) -> list[int]:
    return [int(number) for number in re.findall(rb'"data":\{"n":(\d+)', b"".join(member.frames))]


@pytest.fixture
def told() -> list[TracedLine]:
    return []


@pytest.fixture
def redis(told: list[TracedLine]) -> Redis:
    redis = Redis()
    redis.hub._arrivals.traced = TracedLines(told.append)  # noqa: SLF001 (the hub's own, with a listener)
    return redis


async def test_traced_line_reaches_clients_and_is_told(redis: Redis, told: list[TracedLine]) -> None:
    """Clients get the line as it is, in its order; what is told has the number of clients and the two times."""
    members = [await join(redis) for _ in range(3)]
    redis.hub.deliver([traced("1-1", "0-0", ""), traced("2-2", "1-1"), traced("3-3", "2-2", "")])
    assert [got(it) for it in members] == [[1, 2, 3]] * 3
    (one,) = told
    assert (one.channel, one.clients, one.is_held, b'"id-2-2"' in one.line) == (X.name, 3, False, True)
    assert 0 < one.read_ns <= one.written_ns


async def test_drawn_line_is_told_and_unsampled_one_is_not(redis: Redis, told: list[TracedLine]) -> None:
    """One position in a thousand is told without a trace; a trace that is not sampled costs no word."""
    member = await join(redis)
    redis.hub.deliver([traced("1-1000", "0-0", ""), traced("2-2", "1-1000", f"{EXAMPLE[:-2]}00")])
    assert got(member) == [1, 2]
    assert [b'"id-1-1000"' in it.line for it in told] == [True]


async def test_line_behind_a_gap_is_told_as_held(redis: Redis, told: list[TracedLine]) -> None:
    """An event whose predecessor is missing waits for the log, and nobody has it yet."""
    member = await join(redis)
    redis.hub.deliver([traced("5-5", "4-4")])
    assert [(it.clients, it.is_held) for it in told] == [(0, True)]
    await eventually(lambda: member.frames)


async def test_line_of_another_room_or_writer_is_none_of_ours(redis: Redis, told: list[TracedLine]) -> None:
    """A front with a trace on the wrong channel is judged as any typed line: dropped, counted, and not told."""
    await join(redis)
    _, line = traced("1-1", "0-0", channel=Channel("workflow:y", "workflow:y"))
    redis.hub.deliver([(X.redis.encode(), line), (X.redis.encode(), line[:-5])])
    assert redis.hub.statistics().dropped == 2
    assert told == []


async def test_hub_without_a_listener_delivers_all_the_same() -> None:
    """Nobody need listen."""
    redis = Redis()
    member = await join(redis)
    redis.hub.deliver([traced("1-1", "0-0")])
    assert isinstance(redis.hub, Hub)
    assert got(member) == [1]

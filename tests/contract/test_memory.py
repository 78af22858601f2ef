"""Appending on every server, and on the log in memory that captures what tests publish: one contract for both."""

import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, TypeAlias

import pytest

from bus.channel import Channel
from bus.envelope import splice
from bus.errors import PublishUncertain
from bus.log.appending import Appended, Entry, Replicas
from bus.log.memory import MemoryLog
from bus.log.publisher import AppendLog
from tests.appending_log import AppendingLog
from tests.contract.brokers import FAKE, REAL, Broker, Receiver
from tests.contract.conftest import serve
from tests.contract.events import SHORT, SKILL, TICK, WORKFLOW, Many, Short, Skill, Stage, Tick, entries, front, parts

MEMORY: Final = "memory"
Lines: TypeAlias = Callable[[Channel, int], Awaitable[list[bytes]]]
"""The lines of a channel that subscribers read, when there are so many."""


@dataclass(frozen=True, slots=True)
class Place:
    """A log, and an id that no other test uses."""

    log: AppendLog
    id: str
    watch: Callable[[Channel], Awaitable[Lines]]


@pytest.fixture(params=[*REAL, MEMORY])
def server(request: pytest.FixtureRequest) -> Iterator[Broker | None]:
    """Lend a server of each kind, and None for the log that needs none."""
    if request.param == MEMORY:
        yield None
        return
    yield from serve(request.param)


@pytest.fixture
async def place(server: Broker | None) -> AsyncIterator[Place]:
    async with _on(server) as (log, watch):
        yield Place(log, secrets.token_hex(4), watch)


@asynccontextmanager
async def _on(server: Broker | None) -> AsyncIterator[tuple[AppendLog, Callable[[Channel], Awaitable[Lines]]]]:
    if server is None:
        memory = MemoryLog()
        yield memory, lambda channel: _kept_by(memory)
        return
    async with AppendingLog(server.url, name="edgebus-producer-test") as log, Receiver(server.url) as receiver:

        async def watch(channel: Channel) -> Lines:
            await receiver.subscribe(channel.redis)
            return lambda it, count: receiver.of(it.redis, count)

        yield log, watch


async def _kept_by(memory: MemoryLog) -> Lines:
    async def of(channel: Channel, count: int) -> list[bytes]:
        lines = memory.lines[channel.name]
        assert len(lines) >= count
        return list(lines)

    return of


def repeated(entry: Entry, since_ms: int | None, *, after: str = "") -> Entry:
    """Return what a repeated attempt sends for ``entry``."""
    assert since_ms is not None
    return replace(entry, since_ms=since_ms, after=after)


async def appended(log: AppendLog, *some: Entry) -> list[Appended]:
    """Append what must succeed."""
    outcomes = [it for it in await log.append(some) if isinstance(it, Appended)]
    assert len(outcomes) == len(some)
    return outcomes


async def test_lines_are_a_chain_that_subscribers_read(place: Place) -> None:
    """Each line has its position and the one before it at its front, from 0-0 on, in order and byte for byte."""
    channel = WORKFLOW.fill(place.id)
    lines = await place.watch(channel)
    some = entries(*(Stage(workflow_id=place.id, number=number) for number in range(20)))
    positions = [it.position for it in await appended(place.log, *some)]
    got = await lines(channel, 20)
    assert [front(line) for line in got] == list(zip(positions, ["0-0", *positions], strict=False))
    assert got == [splice(entry.line, *front(line)) for entry, line in zip(some, got, strict=True)]
    assert all(parts(one) < parts(other) for one, other in pairwise(positions))


async def test_each_kind_of_channel_has_its_position(place: Place) -> None:
    """One event on a history, a latest and a live channel: two positions, and none where nothing is kept."""
    positions = [it.position for it in await appended(place.log, *entries(Many(workflow_id=place.id)))]
    assert [position is None for position in positions] == [False, False, True]


@pytest.mark.parametrize("server", [*REAL, FAKE, MEMORY], indirect=True)
async def test_repetition_is_found_and_not_sent_again(place: Place) -> None:
    """What is there keeps its position, has no further receiver, and stands once in the lines."""
    channel = WORKFLOW.fill(place.id)
    lines = await place.watch(channel)
    one, other = entries(*(Stage(workflow_id=place.id, number=number) for number in range(2)))
    [first] = await appended(place.log, one)
    since_ms = place.log.sent_ms
    assert await appended(place.log, repeated(one, since_ms)) == [Appended(first.position, 0)]
    await appended(place.log, other)
    assert [json.loads(line)["id"] for line in await lines(channel, 2)] == [one.id, other.id]


async def test_repetition_of_what_did_not_arrive_is_stored(place: Place) -> None:
    """A log that was not trimmed since tells that the event is not there."""
    channel = WORKFLOW.fill(place.id)
    lines = await place.watch(channel)
    one, lost = entries(*(Stage(workflow_id=place.id, number=number) for number in range(2)))
    [first] = await appended(place.log, one)
    [second] = await appended(place.log, repeated(lost, place.log.sent_ms))
    assert front((await lines(channel, 2))[-1]) == (second.position, first.position)


async def test_repetition_behind_a_trim_is_uncertain(place: Place) -> None:
    """Where entries of the time since are gone, nobody can tell whether the event was among them."""
    channel = SHORT.fill(place.id)
    lost, *others = entries(*(Short(workflow_id=place.id, number=number) for number in range(400)))
    await appended(place.log, others[0])
    since_ms = place.log.sent_ms
    await appended(place.log, *others[1:])
    [outcome] = await place.log.append([repeated(lost, since_ms)])
    assert isinstance(outcome, PublishUncertain)
    assert f"whether {channel.name} has the event cannot be told any more" in str(outcome)


async def test_repetition_follows_the_value_of_its_own_producer(place: Place) -> None:
    """On a latest channel the value before it, of the same producer, gives way."""
    before, lost = entries(*(Skill(workflow_id=place.id, number=number) for number in range(2)))
    [first] = await appended(place.log, before)
    [second] = await appended(place.log, repeated(lost, place.log.sent_ms, after=before.id))
    assert first.position != second.position


async def test_repetition_does_not_overwrite_a_newer_value(place: Place) -> None:
    """On a latest channel the value that another sent since the first attempt stays."""
    [lost] = entries(Skill(workflow_id=place.id))
    [(older, _), (newer, _)] = [await _value(place), await _value(place)]
    while older == newer:  # both came in one millisecond
        older, (newer, _) = newer, await _value(place)
    [outcome] = await place.log.append([repeated(lost, newer)])
    assert isinstance(outcome, PublishUncertain)
    assert str(outcome).startswith(f"{SKILL.fill(place.id).name} has a newer value")


async def _value(place: Place) -> tuple[int, int]:
    [one] = await appended(place.log, *entries(Skill(workflow_id=place.id)))
    return parts(one.position)


async def test_repetition_on_a_live_channel_is_seen_twice(place: Place) -> None:
    """Nothing is kept there, so nothing can be found."""
    channel = TICK.fill(place.id)
    lines = await place.watch(channel)
    [tick] = entries(Tick(workflow_id=place.id))
    await appended(place.log, tick)
    await appended(place.log, repeated(tick, place.log.sent_ms))
    assert await lines(channel, 2) == [splice(tick.line, None, None)] * 2


async def test_replicas_that_are_not_there_confirm_nothing(place: Place) -> None:
    """Asked for replicas, a log without any answers that none has the event."""
    [outcome] = await place.log.append(entries(Stage(workflow_id=place.id)), replicas=Replicas(1, 1))
    assert isinstance(outcome, Appended)
    assert outcome.replicas == 0

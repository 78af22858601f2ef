"""Producers of earlier versions beside this one, on one channel: a rolling upgrade, forwards and backwards.

The scripts in ``earlier`` are those of before decisions/0159 and 0166, to the byte.
"""

import dataclasses
import itertools
import uuid
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from bus.channel import Channel
from bus.envelope import splice
from bus.log.appending import Appended, Entry, salt
from bus.log.replay import Since
from tests.appending_log import AppendingLog
from tests.contract.brokers import Cli, Receiver
from tests.contract.events import Short, Skill, Stage, entries, front, parts

EARLIER: Final = Path(__file__).with_name("earlier")
EVENTS: Final = 240

Publish = Callable[[AppendingLog, Cli, Sequence[Entry]], Awaitable[list[str]]]
"""Publishes entries of one channel in a version's way; returns their positions."""


def _bounds(channel: Channel) -> tuple[int, int]:
    return channel.retention.max_events, channel.retention.life_ms


async def before_0159(_: AppendingLog, redis: Cli, some: Sequence[Entry]) -> list[str]:
    script, positions = (EARLIER / "publish-0158.lua").read_text(), []
    for one in some:
        words = (one.id, one.event, one.line, salt(), *_bounds(one.channel), one.channel.redis)
        position, _receivers = await redis.eval(script, 1, one.channel.log_key, *words)
        positions.append(position.decode())
    return positions


async def before_0166(_: AppendingLog, redis: Cli, some: Sequence[Entry]) -> list[str]:
    script, positions = (EARLIER / "publish-0165.lua").read_text(), []
    for one in some:
        words = (one.id, one.event, one.line, salt(), *_bounds(one.channel))
        answer = await redis.eval(script, 1, one.channel.log_key, *words)
        positions.append(answer.decode().split()[0])
    return positions


async def together_before_0166(log: AppendingLog, redis: Cli, some: Sequence[Entry]) -> list[str]:
    channel = some[0].channel
    words = [word for one in some for word in (one.id, one.event, one.line, salt())]
    script = (EARLIER / "several-0165.lua").read_text()
    answer = await redis.eval(script, 1, channel.log_key, *_bounds(channel), *words)
    positions = [place.split()[0] for place in answer.decode().split(",") if place]
    return positions + await before_0166(log, redis, some[len(positions) :])


async def now(log: AppendingLog, _: Cli, some: Sequence[Entry]) -> list[str]:
    return [position for one in some for position in await now_together(log, _, [one])]


async def now_together(log: AppendingLog, _: Cli, some: Sequence[Entry]) -> list[str]:
    outcomes = await log.append(some)
    return [outcome.position or "" for outcome in outcomes if isinstance(outcome, Appended)]


WAYS: Final = (before_0159, now, before_0166, now_together, together_before_0166)


@pytest.mark.parametrize("event", [Stage, Short, Skill])
async def test_versions_publish_by_turns_into_one_chain(
    log: AppendingLog, receiver: Receiver, redis: Cli, event: type[Stage | Short | Skill]
) -> None:
    """Whoever publishes next goes on from whoever was before: one chain, in the log, on the wire and for readers."""
    [one] = entries(event(workflow_id="both"))
    channel = one.channel
    await receiver.subscribe(channel.redis)
    await log.tail(channel)  # Redis has an epoch from now on
    sizes, turns = itertools.cycle((1, 3, 2, 7)), itertools.cycle(WAYS)
    sent: list[Entry] = []
    positions: list[str] = []
    while len(sent) < EVENTS:
        some = [dataclasses.replace(one, id=str(uuid.uuid4())) for _ in range(next(sizes))]
        positions += await next(turns)(log, redis, some)
        sent += some
    lines = await receiver.of(channel.redis, len(sent))
    fronts = [front(line) for line in lines]
    assert [position for position, _ in fronts] == positions
    assert fronts[0][1] == "0-0"
    assert all(previous == before for (before, _), (_, previous) in pairwise(fronts))
    assert all(parts(before) < parts(position) for before, position in pairwise(positions))
    assert lines == [splice(one.line, *at) for one, at in zip(sent, fronts, strict=True)]
    stored = await redis.xrange(channel.log_key)
    assert [list(fields) for _, fields in stored] == [[b"previous", b"id", b"event", b"line"]] * len(stored)
    assert [fields[b"id"].decode() for _, fields in stored] == [one.id for one in sent[-len(stored) :]]
    if event is Skill:  # of `latest` the log has the last event alone
        assert len(stored) == 1
        return
    tail = await log.tail(channel)
    assert [(line.position, line.previous) for line in tail.lines] == fronts[-len(stored) :]
    for at in range(len(fronts) - len(stored), len(fronts)):
        replay = tail.replay(Since(positions[at]))
        assert (replay.reason, [line.position for line in replay.lines]) == (None, positions[at + 1 :])


@pytest.mark.parametrize("repeat", [before_0159, before_0166])
async def test_repetition_by_an_earlier_version_finds_the_event(log: AppendingLog, redis: Cli, repeat: Publish) -> None:
    """An event that this version stored, repeated by the last version in another process, is there once; and back."""
    [one] = entries(Stage(workflow_id="again"))
    [first] = await log.append([one])
    assert isinstance(first, Appended)
    script = (EARLIER / ("publish-0158.lua" if repeat is before_0159 else "publish-0165.lua")).read_text()
    since = log.sent_ms or 0
    named = (one.channel.redis,) if repeat is before_0159 else ()
    words = (one.id, one.event, one.line, salt(), *_bounds(one.channel), *named, since, since - 10_000, "")
    answer = await redis.eval(script, 1, one.channel.log_key, *words)
    assert (answer[0] if isinstance(answer, list) else answer.split()[0]) == (first.position or "").encode()
    other = dataclasses.replace(one, id="other")
    [position] = await repeat(log, redis, [other])
    assert await log.append([dataclasses.replace(other, since_ms=since)]) == [Appended(position, 0)]
    assert await redis.xlen(one.channel.log_key) == 2

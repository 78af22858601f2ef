"""How the past of a log that is known goes on: only what came since is read."""

import pytest

from bus.log.history import History
from tests.appending_log import AppendingLog
from tests.contract.brokers import Cli
from tests.contract.events import WORKFLOW, Stage, entries
from tests.contract.test_read import fill

CHANNEL = WORKFLOW.fill("advanced")


def numbers(history: History) -> list[int]:
    return [event.data["number"] for event in history.events]


async def test_known_history_without_news_is_the_same(log: AppendingLog) -> None:
    """Where nothing came since, the very object is returned: what was made of it stays good."""
    nothing = await log.history(CHANNEL)
    assert await log.history(CHANNEL, nothing) is nothing
    await fill(log, "advanced", 3)
    history = await log.history(CHANNEL, nothing)
    assert numbers(history) == [0, 1, 2]
    assert await log.history(CHANNEL, history) is history


@pytest.mark.parametrize("more", [1, 16, 17, 100])
async def test_known_history_goes_on_by_what_came_since(log: AppendingLog, more: int) -> None:
    """What is known is not read again, and what came is all there, once."""
    await fill(log, "advanced", 40)
    known = await log.history(CHANNEL)
    await fill(log, "advanced", more)
    history = await log.history(CHANNEL, known)
    assert numbers(history) == [*range(40), *range(more)]
    assert not history.truncated
    assert history.events[0] is known.events[0]


async def test_known_history_loses_what_the_log_lost(log: AppendingLog, redis: Cli) -> None:
    """Trimmed events are gone from what is known, too, whether others came or not; so all edges answer alike."""
    await fill(log, "advanced", 10)
    known = await log.history(CHANNEL)
    await redis.xtrim(CHANNEL.log_key, maxlen=6, approximate=False)
    trimmed = await log.history(CHANNEL, known)
    assert (numbers(trimmed), trimmed.truncated) == ([4, 5, 6, 7, 8, 9], True)
    assert trimmed.events[0] is known.events[4]
    await fill(log, "advanced", 2)
    await redis.xtrim(CHANNEL.log_key, maxlen=3, approximate=False)
    history = await log.history(CHANNEL, trimmed)
    assert (numbers(history), history.truncated) == ([9, 0, 1], True)
    await redis.xtrim(CHANNEL.log_key, maxlen=0, approximate=False)
    assert numbers(await log.history(CHANNEL, history)) == []


async def test_known_history_is_read_anew_where_the_log_is_another(log: AppendingLog, redis: Cli) -> None:
    """A log that was deleted, or lacks an entry by hand, or does not go on from what is known, is read anew."""
    await fill(log, "advanced", 5)
    known = await log.history(CHANNEL)
    await redis.xdel(CHANNEL.log_key, known.events[2].position)
    assert numbers(await log.history(CHANNEL, known)) == [0, 1, 3, 4]
    await redis.delete(CHANNEL.log_key)
    assert (await log.history(CHANNEL, known)).events == []
    await fill(log, "advanced", 7)
    assert numbers(await log.history(CHANNEL, known)) == list(range(7))


async def test_known_history_crosses_no_fork(log: AppendingLog, redis: Cli) -> None:
    """Where another server lost the end of what is known and went on, that end is gone."""
    await fill(log, "advanced", 3)
    dump = await redis.dump(CHANNEL.log_key)
    await fill(log, "advanced", 2)
    known = await log.history(CHANNEL)
    await redis.restore(CHANNEL.log_key, 0, dump, replace=True)
    assert numbers(await log.history(CHANNEL, known)) == [0, 1, 2]
    await log.append(entries(Stage(workflow_id="advanced", number=9)))
    assert numbers(await log.history(CHANNEL, known)) == [0, 1, 2, 9]


async def test_known_history_stays_bounded(log: AppendingLog) -> None:
    """What goes on is bounded as what is read anew: the oldest go."""
    await fill(log, "advanced", 5, text="x" * 1_000)
    known = await log.history(CHANNEL, limit_bytes=10_000)
    await fill(log, "advanced", 5, text="x" * 1_000)
    history = await log.history(CHANNEL, known, limit_bytes=10_000)
    anew = numbers(await log.history(CHANNEL, limit_bytes=10_000))
    assert numbers(history) == anew
    assert len(anew) < 10
    assert history.truncated
    assert await log.history(CHANNEL, history, limit_bytes=10_000) is history


@pytest.mark.parametrize("text", ["[" + ",".join(["[]"] * 20_000) + "]", "[" * 60 + "]" * 60])
async def test_history_passes_over_what_is_too_wide_or_deep(log: AppendingLog, redis: Cli, text: str) -> None:
    """An entry that costs more to read than an event may is no event, however it came into the log."""
    await fill(log, "advanced", 1)
    line = '{"id":"x","event":"workflow.stage","data":{"number":5,"text":' + text + '},"timestamp":"t"}'
    await redis.xadd(CHANNEL.log_key, {"previous": "1-1", "id": "x", "event": "workflow.stage", "line": line})
    await fill(log, "advanced", 1)
    assert numbers(await log.history(CHANNEL)) == [0, 0]
    assert log.unreadable == 1


async def test_tail_knows_whether_there_is_more(log: AppendingLog) -> None:
    """A tail that ends with the log's first entry is not cut, though nothing was read to learn that."""
    await fill(log, "advanced", 5)
    assert not (await log.tail(CHANNEL, limit_events=5)).is_cut
    assert (await log.tail(CHANNEL, limit_events=4)).is_cut

import asyncio
import itertools
from collections.abc import AsyncIterator

import orjson
import pytest

from bus.broker.embedded import EmbeddedBroker
from bus.errors import EventError
from edgebus.commands.replaying import replay
from producers import Producer
from producers.services.mahavishnu import WORKFLOW, WorkflowStarted

CHANNEL = WORKFLOW.fill("r")


class Clock:
    """Stands for the loop's sleep: notes what would be waited for."""

    def __init__(self) -> None:
        self.slept_s: list[float] = []

    async def sleep(self, delay: float) -> None:
        self.slept_s.append(delay)


@pytest.fixture
async def published() -> AsyncIterator[tuple[str, list[str]]]:
    """Lend a server with five events, some milliseconds apart, and their positions."""
    async with EmbeddedBroker(port=0) as broker, Producer(broker.url) as producer:
        positions: list[str] = []
        for number in range(5):
            result = await producer.publish(WorkflowStarted(workflow_id="r", number=number))
            positions.append(result.positions["workflow:r"] or "")
            while len(positions) < 5 and not await _clock_moved(broker.url, positions[-1]):
                pass
        yield broker.url, positions


async def _clock_moved(url: str, position: str) -> bool:
    from tests.appending_log import AppendingLog

    async with AppendingLog(url, name="test") as log:
        return (await log.tail(CHANNEL)).now_ms > int(position.partition("-")[0]) + 20


def shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [orjson.loads(line)["position"] for line in capsys.readouterr().out.splitlines()]


async def test_replay_shows_what_follows_a_position(
    published: tuple[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """``--since`` is exclusive where it is a position, ``--until`` inclusive; the lines are those of the log."""
    url, positions = published
    await replay(url, CHANNEL, since=positions[0], until=positions[3], speed=None)
    assert shown(capsys) == positions[1:4]


async def test_replay_of_a_span_shows_everything_in_it(
    published: tuple[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """A span longer than this Redis lives says when Redis began, and shows all since."""
    url, positions = published
    await replay(url, CHANNEL, since="-15m", until=None, speed=None)
    output = capsys.readouterr()
    assert [orjson.loads(line)["position"] for line in output.out.splitlines()] == positions
    assert "this Redis began at 20" in output.err
    assert "may lack" not in output.err


async def test_replay_of_a_time_before_this_redis_may_lack_events(
    published: tuple[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever names a time is told that there may have been more."""
    url, positions = published
    await replay(url, CHANNEL, since="2001-01-01T00:00:00Z", until=None, speed=None)
    output = capsys.readouterr()
    assert [orjson.loads(line)["position"] for line in output.out.splitlines()] == positions
    assert "(unknown: what this Redis holds began later than --since)" in output.err


async def test_replay_keeps_the_pace_of_the_log(
    published: tuple[str, list[str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events are as far apart as they were, divided by the speed."""
    url, positions = published
    clock = Clock()
    monkeypatch.setattr(asyncio, "sleep", clock.sleep)
    await replay(url, CHANNEL, since=positions[0], until=None, speed=4)
    times = [int(position.partition("-")[0]) for position in positions[1:]]
    expected = [(time - times[0]) / 4000 for time in times]
    assert len(clock.slept_s) == len(expected)
    assert all(slept <= due for slept, due in zip(clock.slept_s, expected, strict=True))
    assert all(later > sooner - 1 for sooner, later in itertools.pairwise(clock.slept_s))
    assert shown(capsys) == positions[1:]


@pytest.mark.parametrize("text", ["yesterday", "2026-01-01T00:00:00", "15m", ""])
async def test_replay_refuses_other_forms(text: str) -> None:
    """What is no position, time or span is refused before Redis is asked."""
    with pytest.raises(EventError, match="--since"):
        await replay("redis://127.0.0.1:1", CHANNEL, since=text, until=None, speed=None)

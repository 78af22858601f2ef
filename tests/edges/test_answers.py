import asyncio
from collections.abc import Sequence
from datetime import date
from typing import cast

import pytest
from pydantic import BaseModel, ConfigDict

from bus.channel import Channel, Family
from bus.errors import BusUnavailable
from bus.log import History, Log
from bus.service import PastEvent, Request
from edges.answers import Answers
from edges.protocol import Code, Refused

THINGS = Family("things:{thing}")
OTHERS = Family("others")


class Question(BaseModel):
    thing: str


class Answer(BaseModel):
    events: list[str]


def fold(_: Question, past: Sequence[PastEvent]) -> Answer:
    """Return the names of the events."""
    return Answer(events=[event.event for event in past])


ASK = Request("ask", Question, Answer, lambda question: [THINGS.fill(question.thing)], fold)
BOTH = Request("both", Question, Answer, lambda question: [THINGS.fill(question.thing), OTHERS.fill()], fold)


class FakeLog:
    """Answers when it may, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.error: Exception | None = None
        self.histories: dict[str, History] = {}

    async def history(self, channel: Channel) -> History:
        self.asked.append(channel.redis)
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return self.histories.get(channel.redis, History([], truncated=False))


@pytest.fixture
def log() -> FakeLog:
    """Return a log."""
    return FakeLog()


@pytest.fixture
def answers(log: FakeLog) -> Answers:
    """Return what is tested, on that log."""
    return Answers(cast(Log, log))


def anybody(_: Sequence[Channel]) -> None:
    """Let everybody ask."""


def event(name: str, timestamp: str) -> PastEvent:
    """Return a past event."""
    return PastEvent(name, {}, timestamp, "1-1")


async def test_equal_requests_of_one_moment_share_the_read(answers: Answers, log: FakeLog) -> None:
    """Many that ask about one channel at once cost Redis one read; a later one costs another."""
    log.may_answer.clear()
    asking = [asyncio.create_task(answers.answer(ASK, {"thing": "a"}, None, anybody)) for _ in range(10)]
    asking.append(asyncio.create_task(answers.answer(ASK, {"thing": "b"}, None, anybody)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    log.may_answer.set()
    await asyncio.gather(*asking)
    assert sorted(log.asked) == ["things:a", "things:b"]
    await answers.answer(ASK, {"thing": "a"}, None, anybody)
    assert log.asked.count("things:a") == 2


async def test_one_that_gives_up_does_not_spoil_the_others(answers: Answers, log: FakeLog) -> None:
    """Who shared the read and was cancelled takes nothing from the rest."""
    log.may_answer.clear()
    first, second = (asyncio.create_task(answers.answer(ASK, {"thing": "a"}, None, anybody)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    log.may_answer.set()
    assert await second == {"events": []}


async def test_failure_reaches_everybody_and_is_not_remembered(answers: Answers, log: FakeLog) -> None:
    """A failed read is told to all who waited for it, and the next question reads anew."""
    log.error = BusUnavailable("away")
    outcomes = await asyncio.gather(
        *(answers.answer(ASK, {"thing": "a"}, None, anybody) for _ in range(2)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [BusUnavailable] * 2
    log.error = None
    assert await answers.answer(ASK, {"thing": "a"}, None, anybody) == {"events": []}


async def test_events_of_several_logs_are_merged_by_time(answers: Answers, log: FakeLog) -> None:
    """A request that names several logs sees one past, oldest first."""
    log.histories["things:a"] = History([event("one", "T1"), event("three", "T3")], truncated=False)
    log.histories["others"] = History([event("two", "T2")], truncated=False)
    assert await answers.answer(BOTH, {"thing": "a"}, None, anybody) == {"events": ["one", "two", "three"]}


class Dated(BaseModel):
    model_config = ConfigDict(strict=True)

    thing: str
    day: date


async def test_question_is_validated_as_the_json_that_it_is(answers: Answers) -> None:
    """A strict model may ask for a date: JSON has it as a text."""
    dated = Request(
        "dated", Dated, Answer, lambda question: [THINGS.fill(question.thing)], lambda *_: Answer(events=[])
    )
    assert await answers.answer(dated, {"thing": "a", "day": "2026-01-02"}, None, anybody) == {"events": []}
    with pytest.raises(Refused, match="day"):
        await answers.answer(dated, {"thing": "a", "day": 5}, None, anybody)


async def test_truncated_is_said_only_when_it_is_so(answers: Answers, log: FakeLog) -> None:
    """A log that no longer holds its beginning adds truncated; a whole one adds nothing."""
    assert "truncated" not in await answers.answer(ASK, {"thing": "a"}, None, anybody)
    log.histories["things:a"] = History([event("one", "T1")], truncated=True)
    assert await answers.answer(ASK, {"thing": "a"}, None, anybody) == {"events": ["one"], "truncated": True}


@pytest.mark.parametrize("data", [{}, {"thing": 5}, {"thing": ""}, {"thing": "x" * 500}])
async def test_question_wrong_names_the_field(answers: Answers, log: FakeLog, data: dict[str, object]) -> None:
    """A question that is not of its model is an INVALID_REQUEST that names the field, and reads nothing."""
    with pytest.raises(Refused) as caught:
        await answers.answer(ASK, data, "r", anybody)
    refusal = caught.value.refusal
    assert (refusal.code, refusal.verb, refusal.reply_to) == (Code.INVALID_REQUEST, "ask", "r")
    assert "thing" in refusal.sentence
    assert "xxxx" not in refusal.sentence
    assert log.asked == []

import asyncio
from collections.abc import Sequence
from datetime import date
from typing import Any, cast

import orjson
import pytest
from pydantic import BaseModel, ConfigDict

from bus.channel import Channel, Family
from bus.errors import BusUnavailable
from bus.log.history import History, Known
from bus.log.log import Log
from bus.service import PastEvent, Request
from edges.protocol.messages import Code, Refused
from edges.rooms.log_reads import LogReads
from edges.session.requests import Answers

pytestmark = pytest.mark.virtual_time

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


class Asked:
    """Answers, read as their clients do."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    async def answer(self, *question: Any) -> Any:
        return orjson.loads(await self.answers.answer(*question))


@pytest.fixture
def answers(log: FakeLog) -> Asked:
    """Return what is tested, on that log."""
    return Asked(Answers(LogReads(cast(Log, log))))


def anybody(_: Sequence[Channel]) -> None:
    """Let everybody ask."""


def event(name: str, timestamp: str) -> PastEvent:
    """Return a past event."""
    return PastEvent(name, {}, timestamp, "1-1")


async def test_equal_requests_of_one_moment_share_the_read(answers: Asked, log: FakeLog) -> None:
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


async def test_one_that_gives_up_does_not_spoil_the_others(answers: Asked, log: FakeLog) -> None:
    """Who shared the read and was cancelled takes nothing from the rest."""
    log.may_answer.clear()
    first, second = (asyncio.create_task(answers.answer(ASK, {"thing": "a"}, None, anybody)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    log.may_answer.set()
    assert await second == {"events": []}


async def test_failure_reaches_everybody_and_is_not_remembered(answers: Asked, log: FakeLog) -> None:
    """A failed read is told to all who waited for it, and the next question reads anew."""
    log.error = BusUnavailable("away")
    outcomes = await asyncio.gather(
        *(answers.answer(ASK, {"thing": "a"}, None, anybody) for _ in range(2)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [BusUnavailable] * 2
    log.error = None
    assert await answers.answer(ASK, {"thing": "a"}, None, anybody) == {"events": []}


async def test_events_of_several_logs_are_merged_by_time(answers: Asked, log: FakeLog) -> None:
    """A request that names several logs sees one past, oldest first."""
    log.histories["things:a"] = History([event("one", "T1"), event("three", "T3")], truncated=False)
    log.histories["others"] = History([event("two", "T2")], truncated=False)
    assert await answers.answer(BOTH, {"thing": "a"}, None, anybody) == {"events": ["one", "two", "three"]}


class Dated(BaseModel):
    model_config = ConfigDict(strict=True)

    thing: str
    day: date


async def test_question_is_validated_as_the_json_that_it_is(answers: Asked) -> None:
    """A strict model may ask for a date: JSON has it as a text."""
    dated = Request(
        "dated", Dated, Answer, lambda question: [THINGS.fill(question.thing)], lambda *_: Answer(events=[])
    )
    assert await answers.answer(dated, {"thing": "a", "day": "2026-01-02"}, None, anybody) == {"events": []}
    with pytest.raises(Refused, match="day"):
        await answers.answer(dated, {"thing": "a", "day": 5}, None, anybody)


async def test_truncated_is_said_only_when_it_is_so(answers: Asked, log: FakeLog) -> None:
    """A log that no longer holds its beginning adds truncated; a whole one adds nothing."""
    assert "truncated" not in await answers.answer(ASK, {"thing": "a"}, None, anybody)
    log.histories["things:a"] = History([event("one", "T1")], truncated=True)
    assert await answers.answer(ASK, {"thing": "a"}, None, anybody) == {"events": ["one"], "truncated": True}


@pytest.mark.parametrize("data", [{}, {"thing": 5}, {"thing": ""}, {"thing": "x" * 500}])
async def test_question_wrong_names_the_field(answers: Asked, log: FakeLog, data: dict[str, object]) -> None:
    """A question that is not of its model is an INVALID_REQUEST that names the field, and reads nothing."""
    with pytest.raises(Refused) as caught:
        await answers.answer(ASK, data, "r", anybody)
    refusal = caught.value.refusal
    assert (refusal.code, refusal.verb, refusal.reply_to) == (Code.INVALID_REQUEST, "ask", "r")
    assert "thing" in refusal.sentence
    assert "xxxx" not in refusal.sentence
    assert log.asked == []


def known(*events: PastEvent, last: str = "1-1") -> History:
    """Return a history that a log goes on from."""
    return History(list(events), truncated=False, known=Known(last, "0-0", (), 100, is_cut=False))


class Counting:
    """A fold that counts its calls, and says who else runs between two of them."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, question: Question, past: Sequence[PastEvent]) -> Answer:
        self.calls += 1
        return fold(question, past)

    def request(self) -> Request[Question, Answer]:
        return Request("counted", Question, Answer, lambda question: [THINGS.fill(question.thing)], self)


class GoingOn(FakeLog):
    """A log that says when nothing came since."""

    async def history(self, channel: Channel, known: History | None = None) -> History:
        read = await super().history(channel)
        return known if known is not None and known.known == read.known else read


async def test_answer_is_kept_until_something_comes() -> None:
    """Equal questions are folded once, for as long as the log stands still; another question is another answer."""
    log, counting = GoingOn(), Counting()
    answers, request = Asked(Answers(LogReads(cast(Log, log)))), counting.request()
    for name in ("a", "b"):
        log.histories[f"things:{name}"] = known(event("one", "T1"))
    for _ in range(3):
        assert await answers.answer(request, {"thing": "a"}, None, anybody) == {"events": ["one"]}
    assert (counting.calls, len(log.asked)) == (1, 3)
    await answers.answer(request, {"thing": "b"}, None, anybody)
    assert counting.calls == 2
    log.histories["things:a"] = known(event("one", "T1"), event("two", "T2"), last="2-1")
    assert await answers.answer(request, {"thing": "a"}, None, anybody) == {"events": ["one", "two"]}
    assert counting.calls == 3


async def test_answer_too_large_is_an_error_that_names_the_setting(log: FakeLog) -> None:
    """What would be larger than the bound is refused with a code, and kept like any other answer."""
    log.histories["things:a"] = History([event("x" * 100, "T1")], truncated=False)
    answers = Answers(LogReads(cast(Log, log)), limit_bytes=100)
    with pytest.raises(Refused) as caught:
        await answers.answer(ASK, {"thing": "a"}, "r", anybody)
    refusal = caught.value.refusal
    assert (refusal.code, refusal.verb, refusal.reply_to) == (Code.ANSWER_TOO_LARGE, "ask", "r")
    assert "max_answer_bytes is 100" in refusal.sentence
    assert await Asked(Answers(LogReads(cast(Log, log)), limit_bytes=120)).answer(ASK, {"thing": "a"}, None, anybody)


async def test_network_with_few_questions_waits_for_no_other(log: FakeLog) -> None:
    """Of those that wait, the one from a network without a turn is next, however many came before it."""
    log.may_answer.clear()
    answers = Asked(Answers(LogReads(cast(Log, log)), limit=2))
    order = list[str]()

    async def ask(network: str, thing: str) -> None:
        await answers.answer(ASK, {"thing": thing}, None, anybody, network)
        order.append(network)

    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(ask("many", f"m{number}"))
        await asyncio.sleep(0)
        group.create_task(ask("few", "f"))
        while len(log.asked) < 2:
            await asyncio.sleep(0)
        log.may_answer.set()
    assert order.index("few") <= 2


async def test_fold_lets_others_go_on_for_as_long_as_it_took(log: FakeLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two answers passes as much time as one took: no number of them takes more than half of the loop."""
    slept = list[float]()
    clock = iter(range(0, 1_000, 5))

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("bus.slices.time.perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr("bus.slices.asyncio.sleep", sleep)
    answers = Answers(LogReads(cast(Log, log)))
    for thing in ("a", "b"):
        await answers.answer(ASK, {"thing": thing}, None, anybody)
    assert slept == [5.0, 5.0]

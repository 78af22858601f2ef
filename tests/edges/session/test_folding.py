"""Requests on logs that hold what today's models do not know."""

from collections.abc import Sequence

import pytest
from pydantic import BaseModel, Field

from bus.channel import Channel, Family
from bus.event import Event
from bus.service import PastEvent, Request
from edges.session.folding import fold_what_fits

THINGS = Family("things")


class Counted(Event, event="thing.counted", channels=(THINGS,), extra="forbid"):
    number: int
    whose: str | None = Field(exclude=True)


MODELS = {"thing.counted": Counted}


class Question(BaseModel):
    pass


class Sum(BaseModel):
    numbers: list[int]


folds: list[int] = []


def fold(_: Question, past: Sequence[PastEvent]) -> Sum:
    """Return the numbers of those that were counted."""
    folds.append(len(past))
    return Sum(numbers=[it.data["number"] + 0 for it in past if it.event == "thing.counted"])


def ask(past: Sequence[PastEvent]) -> tuple[list[int], list[str]]:
    """Return the numbers of the answer, and the positions of what was left out."""
    request = Request("ask", Question, Sum, lambda _: [Channel("things", "things")], fold)
    answer, left_out = fold_what_fits(request, Question(), past, MODELS.get)
    assert isinstance(answer, Sum)
    return answer.numbers, [it.position for it in left_out]


def past(*data: object, name: str = "thing.counted") -> list[PastEvent]:
    """Return past events with these data, in order."""
    return [PastEvent(name, dict(it), "then", f"{place}-1") for place, it in enumerate(data)]  # type: ignore[call-overload]


def test_good_events_are_folded_once() -> None:
    """Where nothing fails nothing is looked at."""
    folds.clear()
    assert ask(past({"number": 1}, {"number": 2, "timestamp": "then"})) == ([1, 2], [])
    assert folds == [2]


@pytest.mark.parametrize("odd", [{}, {"number": "1"}, {"number": None}, {"count": 1}], ids=str)
def test_event_of_an_older_model_is_left_out(odd: dict[str, object]) -> None:
    """It costs that event, wherever it stands; a newer one with more in it stays."""
    assert ask(past(odd, {"number": 1}, odd, {"number": 2, "unit": "m"}, odd)) == ([1, 2], ["0-1", "2-1", "4-1"])


def test_log_of_older_events_alone_is_answered() -> None:
    """All thousand are left out at the cost of two folds."""
    folds.clear()
    numbers, left_out = ask(past(*[{}] * 1_000))
    assert (numbers, len(left_out), folds) == ([], 1_000, [1_000, 0])


def test_event_that_fits_its_model_and_fails_the_fold_is_found() -> None:
    """What the model lets through and the fold does not expect is searched, and others stay."""
    numbers = [{"number": number} for number in range(100)]
    odd = [*past(*numbers[:40]), PastEvent("thing.counted", {"number": 10**400}, "then", "odd-1"), *past(*numbers[40:])]
    request = Request(
        "ask",
        Question,
        Sum,
        lambda _: [],
        lambda _, them: Sum(numbers=[round(float(it.data["number"])) for it in them]),
    )
    answer, left_out = fold_what_fits(request, Question(), odd, lambda _: None)
    assert isinstance(answer, Sum)
    assert (answer.numbers, [it.position for it in left_out]) == (list(range(100)), ["odd-1"])


def test_fold_that_is_wrong_by_itself_says_so() -> None:
    """A bug of the fold's is no event's fault: it is raised, for whoever logs it."""
    request = Request("ask", Question, Sum, lambda _: [], lambda _, __: Sum(numbers=[1 // 0]))
    with pytest.raises(ZeroDivisionError):
        fold_what_fits(request, Question(), past({"number": 1}), lambda _: None)

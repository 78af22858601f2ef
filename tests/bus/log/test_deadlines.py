"""One timer for publications that have the same time left, and each is given up at its own deadline."""

import asyncio
from typing import Any

import pytest

from bus.envelope import Message
from bus.event import Attempt
from bus.log.deadlines import Deadlines
from bus.log.publication import Publication


def publication(deadline_s: float) -> Publication:
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    return Publication(Message("an-id", "a.b", ()), Attempt("an-id", ""), done=done, deadline_s=deadline_s)


async def test_each_is_given_up_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the deadlines; those with an outcome by then are passed over, and one timer stands at a time."""
    loop, given_up, timers = asyncio.get_running_loop(), list[Publication](), list[tuple[float, Any, Any]]()
    monkeypatch.setattr(loop, "call_at", lambda when, call, *rest: timers.append((when, call, rest)))
    clock = 100.0
    monkeypatch.setattr(loop, "time", lambda: clock)
    deadlines: Deadlines[Publication] = Deadlines(
        lambda items: given_up.extend(it for it in items if not it.is_given_up)
    )
    first, second, third = (publication(at) for at in (110.0, 111.0, 112.0))
    for item in (first, second, third):
        deadlines.add(item, 10.0)
    assert [when for when, *_ in timers] == [110.0]
    assert second.done is not None
    second.done.set_result(None)  # type: ignore[arg-type]
    for clock, expected in ((110.0, [first]), (112.0, [first, third])):
        when, call, rest = timers.pop()
        assert when == clock
        call(*rest)
        assert given_up == expected
    assert not timers


async def test_other_times_have_other_timers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short deadline does not wait behind a long one."""
    loop, timers = asyncio.get_running_loop(), list[float]()
    monkeypatch.setattr(loop, "call_at", lambda when, *_: timers.append(when))
    deadlines: Deadlines[Publication] = Deadlines(lambda _: None)
    deadlines.add(publication(500.0), 10.0)
    deadlines.add(publication(401.0), 1.0)
    assert timers == [500.0, 401.0]

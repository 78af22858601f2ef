"""The one policy of repetition: how long the pauses are, and what ends a row of attempts."""

from collections.abc import Awaitable, Callable

import pytest

from bus.errors import BusError, BusUnavailable
from bus.retrying import attempts_after, until_true

PAUSES_S = 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record pauses in place of waiting; the dice give the upper bound."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr("asyncio.sleep", sleep)
    monkeypatch.setattr("random.uniform", lambda _, high: high)
    return found


def failing(times: int, error: Exception) -> Callable[[], Awaitable[int]]:
    """Return work that fails so often, then returns how often the work was begun."""
    begun = 0

    async def work() -> int:
        nonlocal begun
        begun += 1
        if begun <= times:
            raise error
        return begun

    return work


async def test_pauses_double_to_a_second(pauses: list[float]) -> None:
    """Each pause may be twice the one before, and none is longer than a second."""
    work = failing(len(PAUSES_S), BusUnavailable("away"))
    async for attempt in attempts_after(BusError):
        with attempt:
            assert await work() == len(PAUSES_S) + 1
    assert pauses == pytest.approx(PAUSES_S)


async def test_other_errors_are_not_repeated(pauses: list[float]) -> None:
    """A bug is no reason to try again."""
    work = failing(1, LookupError("a bug"))

    async def repeat() -> None:
        async for attempt in attempts_after(BusError):
            with attempt:
                await work()

    with pytest.raises(LookupError):
        await repeat()
    assert pauses == []


async def test_each_failure_is_told(pauses: list[float]) -> None:
    """Whoever repeats can say why, once per failed attempt."""
    told: list[str] = []
    work = failing(2, BusUnavailable("away"))
    async for attempt in attempts_after(
        BusError, tell=lambda state: told.append(str(state.outcome and state.outcome.exception()))
    ):
        with attempt:
            await work()
    assert told == ["away", "away"]


async def test_until_true_begins_without_a_pause(pauses: list[float]) -> None:
    """An attempt that goes well at once costs no pause; each repetition has one in front."""
    answers = iter([True, False, False, True])

    async def attempt() -> bool:
        return next(answers)

    await until_true(attempt)
    assert pauses == []
    await until_true(attempt)
    assert pauses == pytest.approx([0.05, 0.1])

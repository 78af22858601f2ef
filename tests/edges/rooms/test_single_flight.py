import asyncio

import pytest

from edges.rooms.single_flight import SingleFlight


class Work:
    """Work that ends when it may, and counts how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_end = asyncio.Event()
        self.fails = False

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        await self.may_end.wait()
        if self.fails:
            raise LookupError("nothing there")
        return number


@pytest.fixture
def work() -> Work:
    """Return work that waits."""
    return Work()


async def begun(flight: SingleFlight[str, int], work: Work, count: int = 1) -> "list[asyncio.Task[int]]":
    """Let so many callers want the same."""
    callers = [asyncio.create_task(flight.share("a", work, "work")) for _ in range(count)]
    for _ in range(3):
        await asyncio.sleep(0)
    return callers


async def test_callers_of_one_key_share_the_work(work: Work) -> None:
    """However many there are; another key is other work, and what is over is begun anew."""
    flight = SingleFlight[str, int]()
    callers = await begun(flight, work, 100)
    other = asyncio.create_task(flight.share("b", work, "other"))
    await asyncio.sleep(0)
    work.may_end.set()
    assert {await caller for caller in callers} == {1}
    assert await other == 2
    assert await flight.share("a", work, "work") == 3
    assert flight.tasks == []


async def test_failure_is_every_callers(work: Work) -> None:
    """And it is not remembered."""
    flight = SingleFlight[str, int]()
    callers = await begun(flight, work, 3)
    work.fails = True
    work.may_end.set()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [LookupError] * 3
    work.fails = False
    assert await flight.share("a", work, "work") == 2


async def test_caller_that_gives_up_ends_the_work_for_nobody(work: Work) -> None:
    """Not even the one who began it; and where all have, a failure is no complaint of the event loop."""
    flight = SingleFlight[str, int]()
    first, second = await begun(flight, work, 2)
    first.cancel()
    await asyncio.wait([first])
    (task,) = flight.tasks
    second.cancel()
    await asyncio.wait([second])
    work.fails = True
    work.may_end.set()
    await asyncio.wait([task])


async def test_result_that_is_too_old_is_not_shared(work: Work) -> None:
    """Who has seen more than the work under way shares one that began later; both are there to be ended."""
    flight = SingleFlight[str, int]()
    (first,) = await begun(flight, work)
    old = flight.under_way("a")
    later = [asyncio.create_task(flight.share("a", work, "work", after=old)) for _ in range(2)]
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(flight.tasks) == 2
    work.may_end.set()
    assert [await first, *[await caller for caller in later]] == [1, 2, 2]
    assert flight.under_way("a") is None

import asyncio

import pytest

from edges.limits.rates import LimitReached
from edges.limits.replay_slots import Turns
from tests.edges.peers import eventually


async def hold(turns: Turns, until: asyncio.Event, order: list[int], number: int, who: str = "") -> None:
    async with turns.turn(who):
        order.append(number)
        await until.wait()


async def test_turns_come_first_first() -> None:
    """So many at once; the others in the order in which they came."""
    turns, ends, order = Turns("max_replays", 2), [asyncio.Event() for _ in range(4)], list[int]()
    async with asyncio.TaskGroup() as group:
        for number, end in enumerate(ends):
            group.create_task(hold(turns, end, order, number))
        await eventually(lambda: turns.waiting == 2)
        assert order == [0, 1]
        ends[1].set()
        await eventually(lambda: order == [0, 1, 2])
        for end in ends:
            end.set()
    assert (order, turns.waiting, turns.waited) == ([0, 1, 2, 3], 0, 2)


async def test_turns_nobody_waits_for_ever() -> None:
    """Whoever finds no turn in time is told which setting it is, and the turns are as they were."""
    turns, end = Turns("max_replays", 1, wait_s=0.01), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(hold(turns, end, [], 0))
        await asyncio.sleep(0)
        with pytest.raises(LimitReached, match="max_replays: 1 are under way"):
            await hold(turns, end, [], 1)
        end.set()
    async with turns.turn(""):
        assert turns.waiting == 0


async def test_turns_are_over_after_a_while_if_somebody_waits() -> None:
    """A turn lasts as long as its holder likes, but only its time where somebody waits."""
    turns, end = Turns("max_replays", 1, slice_s=0.02), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        async with turns.turn("") as turn:
            await asyncio.sleep(0.03)
            assert not turn.is_over
            group.create_task(hold(turns, end, [], 1))
            await eventually(lambda: turns.waiting == 1)
            assert turn.is_over
        await eventually(lambda: turns.waiting == 0)
        end.set()


async def test_turns_lasting_less_than_their_time() -> None:
    """Nobody gives way at once."""
    turns, end = Turns("max_replays", 1, slice_s=60), asyncio.Event()
    end.set()
    async with asyncio.TaskGroup() as group, turns.turn("") as turn:
        group.create_task(hold(turns, end, [], 1))
        await eventually(lambda: turns.waiting == 1)
        assert not turn.is_over


async def test_turns_go_to_the_network_with_the_fewest() -> None:
    """Who came from one address in numbers waits for the one who came later from another."""
    turns, order = Turns("max_replays", 2), list[int]()
    comers = [(0, "many"), (1, "many"), (2, "many"), (3, "many"), (4, "one"), (5, "other")]
    ends = [asyncio.Event() for _ in comers]
    async with asyncio.TaskGroup() as group:
        for number, who in comers:
            group.create_task(hold(turns, ends[number], order, number, who))
        await eventually(lambda: turns.waiting == 4)
        ends[0].set()
        await eventually(lambda: order == [0, 1, 4])
        ends[4].set()
        await eventually(lambda: order == [0, 1, 4, 5])
        for end in ends:
            end.set()
    assert (order, turns.waiting) == ([0, 1, 4, 5, 2, 3], 0)


@pytest.mark.parametrize("is_given", [False, True])
async def test_turns_of_who_goes_away_are_not_lost(is_given: bool) -> None:
    """Who stops waiting, even in the moment in which it is given a turn, holds none."""
    turns, first, second = Turns("max_replays", 1), asyncio.Event(), asyncio.Event()
    holder = asyncio.create_task(hold(turns, first, [], 0))
    await asyncio.sleep(0)
    waiter = asyncio.create_task(hold(turns, second, [], 1))
    await eventually(lambda: turns.waiting == 1)
    if is_given:
        first.set()
        await eventually(lambda: turns.waiting == 0)
    waiter.cancel()
    await asyncio.wait([waiter])
    first.set()
    await holder
    assert turns.waiting == 0
    async with asyncio.timeout(1), turns.turn(""):
        pass

import asyncio

import pytest

from edges.limits import LimitReached
from edges.turns import Turns
from tests.edges.peers import eventually


async def hold(turns: Turns, until: asyncio.Event, order: list[int], number: int) -> None:
    async with turns.turn(until.set):
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
    async with turns.turn(end.set):
        assert turns.waiting == 0


async def test_turns_held_too_long_give_way_if_somebody_waits() -> None:
    """A turn is taken from whoever holds it too long, but only for somebody who waits."""
    turns, first, second = Turns("max_replays", 1), asyncio.Event(), asyncio.Event()
    began = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as group:
        group.create_task(hold(turns, first, [], 0))
        await asyncio.sleep(0)
        turns.check_deadlines(began + 100, 10)
        assert not first.is_set()
        group.create_task(hold(turns, second, [], 1))
        await eventually(lambda: turns.waiting == 1)
        turns.check_deadlines(began + 9, 10)
        assert not first.is_set()
        turns.check_deadlines(began + 100, 10)
        assert first.is_set()
        await eventually(lambda: turns.waiting == 0)
        second.set()

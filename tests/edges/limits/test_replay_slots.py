import asyncio

import pytest

from edges.limits.rates import LimitReached
from edges.limits.replay_slots import Slots
from tests.edges.peers import eventually

pytestmark = pytest.mark.virtual_time


async def hold(slots: Slots, until: asyncio.Event, order: list[int], number: int, who: str = "") -> None:
    async with slots.slot(who):
        order.append(number)
        await until.wait()


async def test_slots_come_first_first() -> None:
    """So many at once; the others in the order in which they came."""
    slots, ends, order = Slots("max_replays", 2), [asyncio.Event() for _ in range(4)], list[int]()
    async with asyncio.TaskGroup() as group:
        for number, end in enumerate(ends):
            group.create_task(hold(slots, end, order, number))
        await eventually(lambda: slots.waiting == 2)
        assert order == [0, 1]
        ends[1].set()
        await eventually(lambda: order == [0, 1, 2])
        for end in ends:
            end.set()
    assert (order, slots.waiting, slots.waited, slots.held) == ([0, 1, 2, 3], 0, 2, 0)
    assert slots.waits.count == 4
    assert slots.waits.counts[0] >= 2, "two found a slot free"


async def test_slots_nobody_waits_for_ever() -> None:
    """Whoever finds no slot in time is told which setting it is, and the slots are as they were."""
    slots, end = Slots("max_replays", 1, wait_s=0.01), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(hold(slots, end, [], 0))
        await asyncio.sleep(0)
        with pytest.raises(LimitReached, match="max_replays: 1 are under way"):
            await hold(slots, end, [], 1)
        end.set()
    async with slots.slot(""):
        assert slots.waiting == 0


async def test_slots_are_over_after_a_while_if_somebody_waits() -> None:
    """A slot lasts as long as its holder likes, but only its time where somebody waits."""
    slots, end = Slots("max_replays", 1, slice_s=0.02), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        async with slots.slot("") as slot:
            await asyncio.sleep(0.03)
            assert not slot.is_over
            group.create_task(hold(slots, end, [], 1))
            await eventually(lambda: slots.waiting == 1)
            assert slot.is_over
        await eventually(lambda: slots.waiting == 0)
        end.set()


async def test_slots_lasting_less_than_their_time() -> None:
    """Nobody gives way at once."""
    slots, end = Slots("max_replays", 1, slice_s=60), asyncio.Event()
    end.set()
    async with asyncio.TaskGroup() as group, slots.slot("") as slot:
        group.create_task(hold(slots, end, [], 1))
        await eventually(lambda: slots.waiting == 1)
        assert not slot.is_over


async def test_slots_go_to_the_network_with_the_fewest() -> None:
    """Who came from one address in numbers waits for the one who came later from another."""
    slots, order = Slots("max_replays", 2), list[int]()
    comers = [(0, "many"), (1, "many"), (2, "many"), (3, "many"), (4, "one"), (5, "other")]
    ends = [asyncio.Event() for _ in comers]
    async with asyncio.TaskGroup() as group:
        for number, who in comers:
            group.create_task(hold(slots, ends[number], order, number, who))
        await eventually(lambda: slots.waiting == 4)
        ends[0].set()
        await eventually(lambda: order == [0, 1, 4])
        ends[4].set()
        await eventually(lambda: order == [0, 1, 4, 5])
        for end in ends:
            end.set()
    assert (order, slots.waiting) == ([0, 1, 4, 5, 2, 3], 0)


@pytest.mark.parametrize("is_given", [False, True])
async def test_slots_of_who_goes_away_are_not_lost(is_given: bool) -> None:
    """Who stops waiting, even in the moment in which it is given a slot, holds none."""
    slots, first, second = Slots("max_replays", 1), asyncio.Event(), asyncio.Event()
    holder = asyncio.create_task(hold(slots, first, [], 0))
    await asyncio.sleep(0)
    waiter = asyncio.create_task(hold(slots, second, [], 1))
    await eventually(lambda: slots.waiting == 1)
    if is_given:
        first.set()
        await eventually(lambda: slots.waiting == 0)
    waiter.cancel()
    await asyncio.wait([waiter])
    first.set()
    await holder
    assert slots.waiting == 0
    async with asyncio.timeout(1), slots.slot(""):
        pass

"""Silent clients are welcomed when their delay is over, and no client that was heard before."""

import asyncio

import pytest

from edges.session.silences import Silences

pytestmark = pytest.mark.virtual_time


async def test_clients_are_welcomed_in_the_order_of_their_delays() -> None:
    """Each at its time, whichever timer runs; a client that comes meanwhile is not forgotten."""
    silences, loop, told = Silences(), asyncio.get_running_loop(), list[tuple[str, float]]()

    def wait(name: str, delay_s: float) -> None:
        silences.wait(name, loop.time() + delay_s, lambda: told.append((name, round(loop.time(), 3))))

    wait("first", 1.0)
    await asyncio.sleep(0.5)
    wait("second", 1.0)
    await asyncio.sleep(0.7)
    assert told == [("first", 1.0)]
    wait("third", 1.0)
    wait("early", 0.1)
    assert silences.is_waiting("early")
    await asyncio.sleep(2.0)
    assert [name for name, _ in told] == ["first", "early", "second", "third"]


async def test_client_that_is_heard_is_not_welcomed_as_silent() -> None:
    """A client that was heard waits no more; others go on waiting."""
    silences, loop, told = Silences(), asyncio.get_running_loop(), list[str]()
    for name, delay_s in (("talks", 1.0), ("silent", 1.0), ("once more", 0.5)):
        silences.wait(name, loop.time() + delay_s, lambda name=name: told.append(name))  # type: ignore[misc]
    silences.stop("talks")
    silences.stop("once more")
    silences.stop("stranger")
    assert not silences.is_waiting("talks")
    assert silences.is_waiting("silent")
    await asyncio.sleep(2)
    assert told == ["silent"]
    assert not silences.is_waiting("silent")


async def test_fault_of_one_welcome_is_not_the_others() -> None:
    """A welcome that fails is told by the loop; the clients behind are welcomed."""
    silences, loop, told, faults = Silences(), asyncio.get_running_loop(), list[str](), list[str]()
    loop.set_exception_handler(lambda _, context: faults.append(type(context["exception"]).__name__))

    def fail() -> None:
        raise LookupError

    silences.wait("broken", loop.time() + 1, fail)
    silences.wait("whole", loop.time() + 1, lambda: told.append("whole"))
    await asyncio.sleep(2)
    loop.set_exception_handler(None)
    assert (faults, told) == (["LookupError"], ["whole"])

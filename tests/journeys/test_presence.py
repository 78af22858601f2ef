"""Who is in a room of three replicas, while one of them is killed, and while one is told to end."""

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from bus.broker.embedded import EmbeddedBroker
from clients import Client, Joined, Left, Value, connect
from clients.subscription import Subscription
from tests.edges.peers import eventually
from tests.journeys.processes import DEADLINE_S, Processes, edgebus

ROOM = "room:1"
SERVICE = "tests.journeys.meeting:SERVICE"


class Meeting:
    """Clients of three replicas in one room."""

    def __init__(self, ports: list[int], stack: AsyncExitStack) -> None:
        self.ports, self._stack = ports, stack

    async def client(self, replica: int) -> Client:
        return await self._stack.enter_async_context(connect(f"ws://127.0.0.1:{self.ports[replica]}"))

    async def enter(self, replica: int, user: str, *, is_told: bool = False) -> tuple[Client, Subscription]:
        """Come into the room at a replica."""
        client = await self.client(replica)
        subscription = client.subscribe(ROOM, presence={"user": user, "notices": is_told})
        return client, await self._stack.enter_async_context(subscription)

    async def until_seen(self, client: Client, *users: str) -> None:
        """Wait until exactly these are in the room."""

        async def is_so() -> bool:
            return [it.user for it in (await client.presence(ROOM)).members] == sorted(users)

        await eventually(is_so, DEADLINE_S)


async def told_until(subscription: Subscription, last: Value | str) -> list[Value]:
    """Return all values up to one, or up to the coming of a user."""
    values: list[Value] = []
    async with asyncio.timeout(DEADLINE_S):
        async for value in subscription:
            values.append(value)
            if value == last or (isinstance(value, Joined) and value.user == last):
                return values
    raise AssertionError(values)


async def test_replicas_are_killed_and_told_to_end(
    processes: Processes, broker: EmbeddedBroker, figure: Callable[[str], Any]
) -> None:
    """Only whoever stays away is told as gone, once; of a replica that ends in order, before its process has ended.

    How long a kill takes is asserted with a clock of the test's own (tests/edges/rooms/presence/test_model.py).
    """
    edges = processes.edges(SERVICE, broker.url, 3)
    async with AsyncExitStack() as stack:
        meeting = Meeting([port for _, port in edges], stack)
        watching, watcher = await meeting.enter(0, "watcher", is_told=True)
        for replica, user in ((1, "alice"), (2, "alice"), (1, "bob"), (1, "carol")):
            await meeting.enter(replica, user)
        await meeting.until_seen(watching, "watcher", "alice", "bob", "carol")
        edges[1][0].signal(signal.SIGKILL)
        began_s = time.monotonic()
        await meeting.enter(2, "carol")
        told = await told_until(watcher, Left(ROOM, "bob"))
        took_s = time.monotonic() - began_s
        await meeting.until_seen(watching, "watcher", "alice", "carol")
        await meeting.enter(2, "marker")
        told += await told_until(watcher, "marker")
        assert lefts(told) == ["bob"]
        joined = [it.user for it in told if isinstance(it, Joined) and it.user != "watcher"]
        assert sorted(joined) == ["alice", "bob", "carol", "marker"]

        await meeting.enter(0, "alice")
        await meeting.enter(0, "carol")
        edges[2][0].signal(signal.SIGTERM)
        assert await asyncio.to_thread(edges[2][0].exit_code) == 0
        assert lefts(await told_until(watcher, Left(ROOM, "marker"))) == ["marker"]
        shown = await asyncio.to_thread(edgebus, "presence", ROOM, "--url", f"ws://127.0.0.1:{meeting.ports[0]}")
    assert shown.stdout.startswith("room:1  3 present, 3 connection(s)\nalice  since "), shown
    figure(f"presence: told of a user of an edge killed with SIGKILL after {took_s:.1f} s")


def lefts(told: list[Value]) -> list[str]:
    return [it.user for it in told if isinstance(it, Left)]

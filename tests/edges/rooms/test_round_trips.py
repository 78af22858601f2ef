"""How many round trips to Redis a way into a closed room takes: counted on the wire, whatever the clock says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from bus.broker.embedded import EmbeddedBroker
from bus.channel import HISTORY, LATEST, LIVE, Channel, Retention
from bus.keyed import Keyed
from bus.log.appending import Entry
from bus.log.log import Log
from bus.log.replay import FromState, Last, Replay, Since, Start
from bus.redis.link import Batch
from bus.redis.subscriber import Subscriber
from edgebus.lab.stage.proxy import Proxy
from edges.rooms.hub import Hub
from tests.appending_log import AppendingLog
from tests.edges.peers import eventually

_LIMIT: Final = 3
"""Subscribe, read the log's end, and learn that every line up to there has arrived."""
_WAY_S: Final = 0.025
"""Half of a round trip of 50 ms, for the figures."""


@dataclass(frozen=True, slots=True)
class Path:
    """A hub, and the way to its Redis."""

    hub: Hub
    log: AppendingLog
    proxy: Proxy

    async def publish(self, channel: Channel, count: int) -> list[str]:
        """Publish so many events, and return their positions."""
        some = [Entry(channel, str(number), "e", b'{"event":"e","data":{}}') for number in range(count)]
        return [getattr(it, "position", None) or "" for it in await self.log.append(some)]

    async def takes(self, work: Callable[[], Awaitable[Any]]) -> tuple[int, float]:
        """Return how many round trips some work takes, and how long at 50 ms for each."""
        self.proxy.delay(_WAY_S)
        before, began_s = self.proxy.round_trips, asyncio.get_running_loop().time()
        await work()
        took_s = asyncio.get_running_loop().time() - began_s
        self.proxy.delay(0)
        return self.proxy.round_trips - before, took_s


@pytest.fixture
async def path(broker: EmbeddedBroker) -> AsyncIterator[Path]:
    """Lend a hub whose link is up, and whose connections have begun."""
    tasks: set[asyncio.Task[None]] = set()

    def spawn(work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        task = asyncio.create_task(work, name=name)
        tasks.add(task)
        return task

    async with (
        Proxy(int(broker.url.rpartition(":")[2])) as proxy,
        AppendingLog(broker.url, name="edgebus-test") as publishing,
    ):
        url = f"redis://127.0.0.1:{proxy.port}"
        async with Log(url, name="edgebus-edge-test") as log:
            hubs: list[Hub] = []

            def deliver(batch: Batch) -> None:
                hubs[0].deliver(batch)

            link = Subscriber(url, name="edgebus-edge-test", deliver=deliver)
            hubs.append(Hub(log, link, spawn))
            async with link:
                await eventually(lambda: link.is_up)
                await hubs[0].compare()
                async with log.connected() as redis:  # in the first test of a process `compare` asked nothing yet
                    await redis.ping()
                yield Path(hubs[0], publishing, proxy)
            await asyncio.gather(*tasks, *hubs[0].log_reads.tasks)


def channel(name: str, retention: Retention = HISTORY) -> Channel:
    return Channel(f"workflow:{name}", f"workflow:{name}", retention)


@pytest.mark.parametrize(
    ("kind", "count"),
    [(HISTORY, 20), (HISTORY, 0), (LATEST, 2), (LATEST, 0), (LIVE, 0)],
    ids=["history", "no log", "latest", "no latest", "live"],
)
async def test_cold_subscribe(path: Path, figure: Callable[[str], None], kind: Retention, count: int) -> None:
    """The first client of a room: subscribed, confirmed, and told where the log ends."""
    x = channel("x", kind)
    await path.publish(x, count)
    round_trips, took_s = await path.takes(lambda: path.hub.open(x))
    figure(f"cold subscribe, {kind.kind}, {count} events: {round_trips} round trips, {took_s * 1_000:.0f} ms")
    assert path.hub.channels == [x]
    assert round_trips <= _LIMIT


@pytest.mark.parametrize(("missed", "stored"), [(0, 1), (3, 10), (3, 500), (14, 500)])
async def test_resume_in_a_closed_room(path: Path, figure: Callable[[str], None], missed: int, stored: int) -> None:
    """A client that comes back to a room without members, and missed a few events, however long the log is."""
    x = channel("x")
    positions = await path.publish(x, stored)
    replays: list[Replay] = []

    async def resume() -> None:
        replays.append(await path.hub.replay(x, Since(positions[-1 - missed])))

    round_trips, took_s = await path.takes(resume)
    figure(f"resume behind {missed} of {stored} events: {round_trips} round trips, {took_s * 1_000:.0f} ms")
    assert [line.position for line in replays[0].lines] == positions[stored - missed :]
    assert replays[0].reason is None
    assert round_trips <= _LIMIT


@pytest.mark.parametrize("count", [0, 20])
async def test_cold_subscribe_with_state(path: Path, figure: Callable[[str], None], count: int) -> None:
    """The first client of a room, who wants the state, too: the read that opens the room brings it."""
    x = replace(channel("x"), keyed=Keyed({"e": "only"}))
    positions = await path.publish(x, count)
    replays: list[Replay] = []

    async def subscribe() -> None:
        replays.append(await path.hub.replay(x, FromState()))

    round_trips, took_s = await path.takes(subscribe)
    figure(f"cold subscribe with state, {count} events: {round_trips} round trips, {took_s * 1_000:.0f} ms")
    assert [line.position for line in replays[0].lines] == positions[-1:]
    assert replays[0].is_state
    assert round_trips <= _LIMIT


@pytest.mark.parametrize(
    ("kind", "start", "count"),
    [
        (HISTORY, Last(5), 5),
        (HISTORY, Last(0), 0),
        (HISTORY, Since("1-0"), 0),
        (LATEST, Since("1-0"), 1),
        (LATEST, Last(1), 1),
    ],
)
async def test_resume_from_elsewhere(
    path: Path, figure: Callable[[str], None], kind: Retention, start: Start, count: int
) -> None:
    """The same for the newest events, for a client that stood where no log was, and for the one event of a latest."""
    x = channel("x", kind)
    await path.publish(x, 10 if count else 0)
    replays: list[Replay] = []

    async def resume() -> None:
        replays.append(await path.hub.replay(x, start))

    round_trips, took_s = await path.takes(resume)
    figure(f"resume, {kind.kind}, {start}: {round_trips} round trips, {took_s * 1_000:.0f} ms")
    assert len(replays[0].lines) == count
    assert round_trips <= _LIMIT


async def test_many_rooms_at_once_share_round_trips(path: Path, figure: Callable[[str], None]) -> None:
    """What is wanted at one moment goes out together: an edge that fills up again waits for no room by itself."""
    rooms = [channel(f"n{number}") for number in range(200)]
    await path.publish(rooms[7], 3)
    round_trips, took_s = await path.takes(lambda: asyncio.gather(*map(path.hub.open, rooms)))
    figure(f"cold subscribe to 200 rooms at once: {round_trips} round trips, {took_s * 1_000:.0f} ms")
    assert len(path.hub.channels) == 200
    assert round_trips <= _LIMIT + 1, "large commands may be cut once"


async def test_many_clients_of_one_room_share_round_trips(path: Path, figure: Callable[[str], None]) -> None:
    """However many come back to one closed room, to the same few places, its log is read as if one did."""
    x = channel("x")
    positions = await path.publish(x, 100)
    starts = [Since(positions[-1 - number % 5]) for number in range(200)]
    round_trips, took_s = await path.takes(lambda: asyncio.gather(*(path.hub.replay(x, start) for start in starts)))
    figure(f"resume of 200 clients at once: {round_trips} round trips, {took_s * 1_000:.0f} ms")
    assert round_trips <= _LIMIT + 1, "a log is kept from expiring behind the answers"

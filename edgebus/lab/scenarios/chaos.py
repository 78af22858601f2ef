"""Faults drawn from a seed and composed: edges, a primary and a replica, and several faults at once.

A schedule is a value, made by the seed alone: names of faults, their times, durations and targets. Time is not
repeated: a seed with a broken promise is run again some times before a conclusion is drawn.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from bus.tasks import end
from bus.values import frozen
from edgebus.lab.judge.records import Demands, EdgeEnd
from edgebus.lab.stage.proxy import Proxy
from edgebus.lab.stage.publisher import Publisher
from edgebus.lab.stage.servers import EdgeProcess, RedisServer
from edgebus.lab.stage.site import Site

__all__ = ["Stroke", "draw", "run_schedule"]

ROOMS: Final = ("lab:one", "lab:two", "lab:three")
QUIET: Final = "lab:quiet"
EDGES: Final = 3
_CLIENTS: Final = 9
_WHOLE_S: Final = 10.0
"""After the last fault: the longest of a probe, a deadline of one command and a client's return."""
_SILENCE_S: Final = 1.0
_SYNC_S: Final = 10.0
_AT_ONCE: Final = ("--repl-diskless-sync-delay", "0")  # by default a primary waits 5 s for more replicas to come
_ANSWERS: Final = (b"EVALSHA", b"XREVRANGE", b"XRANGE", b"SUBSCRIBE", b"GET")


@frozen
class Stroke:
    """One fault of a schedule: its begin and duration in seconds; ``at`` chooses one of several targets."""

    fault: str
    begins_s: float
    lasts_s: float
    at: int

    def __str__(self) -> str:
        """Return the line of a schedule."""
        return f"{self.begins_s:5.1f} s  {self.fault} ({self.at}) for {self.lasts_s:.1f} s"


def draw(seed: int, seconds: float) -> list[Stroke]:
    """Return the schedule of a seed: a fault every second or two, each for up to three seconds: some meet."""
    dice = random.Random(seed)  # noqa: S311 (a schedule, no secret)
    strokes: list[Stroke] = []
    begins_s = dice.uniform(0.3, 1.0)
    while begins_s < seconds:
        fault = dice.choices(list(FAULTS), [it.weight for it in FAULTS.values()])[0]
        strokes.append(Stroke(fault, round(begins_s, 2), round(dice.uniform(0.1, 3.0), 2), dice.randrange(1_000)))
        begins_s += dice.expovariate(0.8)
    return strokes


async def run_schedule(site: Site, strokes: Sequence[Stroke]) -> None:
    """Let faults happen while events flow, heal all of them, and let a last event close each room's line."""
    site.demands = Demands(whole_within_s=_WHOLE_S)
    async with asyncio.TaskGroup() as group:
        chaos = await _Chaos.make(site)
        publisher = await site.publisher(f"redis://127.0.0.1:{chaos.to_producers.port}")
        await site.listen(_CLIENTS, [edge.url for edge in chaos.edges], [*ROOMS, QUIET])
        await publisher.publish(QUIET, 2)
        site.sample()
        began_s = site.now_s
        async with publisher.steadily(ROOMS, 150):
            for stroke in strokes:
                await asyncio.sleep(began_s + stroke.begins_s - site.now_s)
                group.create_task(FAULTS[stroke.fault].run(chaos, stroke), name=str(stroke))
                await chaos.publish_quietly(publisher)
            await chaos.heal(max(it.begins_s + it.lasts_s for it in strokes) + began_s)
        await publisher.publish(QUIET, 2)
        for room in ROOMS:
            await publisher.publish(room, 3)
        await site.settle()
        await site.record(chaos.primary, "redis", from_s=chaos.reigns_since_s)
        await end(chaos.quiet)


class _Chaos:
    """The targets of faults: the primary of the moment, and the path of each edge and producer to the primary."""

    def __init__(
        self, site: Site, primary: RedisServer, replica: RedisServer, replication: Proxy, to_producers: Proxy
    ) -> None:
        self.site, self.primary, self.replica, self.replication = site, primary, replica, replication
        self.to_producers = to_producers
        self.to_edges: list[Proxy] = []
        self.edges: list[EdgeProcess] = []
        self.reigns_since_s = 0.0
        self.reign = asyncio.Lock()
        self.edge_turns = [asyncio.Lock() for _ in range(EDGES)]
        self.quiet: list[asyncio.Task[object]] = []
        self.under_way = 0
        self._reigns = 1

    @classmethod
    async def make(cls, site: Site) -> "_Chaos":
        """Start a primary, a replica and some edges; replication and each edge have a separate path."""
        primary = await site.redis(extra=_AT_ONCE)
        replication = await site.proxy(primary.port)
        replica = await site.redis(extra=(*_AT_ONCE, "--replicaof", "127.0.0.1", str(replication.port)))
        chaos = cls(site, primary, replica, replication, await site.proxy(primary.port))
        site.require("the replica has found its primary", await chaos.linked())
        for _ in range(EDGES):
            path = await site.proxy(primary.port)
            chaos.to_edges.append(path)
            chaos.edges += await site.edge_processes(f"redis://127.0.0.1:{path.port}", 1, drain_notice_s=0.2)
        return chaos

    async def linked(self) -> bool:
        """Wait until the replica is in step with the primary; False when the deadline was first."""

        async def is_up() -> bool:
            return bool((await self.replica.ask("INFO", "replication")).get("master_link_status") == "up")

        return await self.site.until_true(is_up, _SYNC_S)

    async def publish_quietly(self, publisher: Publisher) -> None:
        """Publish in the quiet room, whether Redis is there or not: only a comparison can find such an event."""
        self.quiet = [task for task in self.quiet if not task.done()]
        self.quiet.append(asyncio.create_task(publisher.publish(QUIET), name="quiet publish"))
        await asyncio.sleep(0)

    async def heal(self, after_s: float) -> None:
        """Wait until every fault is over, make every path harmless, and note the time."""
        await asyncio.sleep(after_s - self.site.now_s)
        await self.site.until(lambda: self.under_way == 0, 60.0)
        for path in self.paths:
            path.accept()
            path.heal()
        self.site.heal()
        self.site.require_ready(self.site.now_s, within_s=_WHOLE_S)
        # Longer than clients may take: what the quiet room lacks is found by a comparison, and by no next event.
        await self.site.last(_WHOLE_S + _SILENCE_S)

    @property
    def paths(self) -> list[Proxy]:
        """Every path to a server but replication's."""
        return [*self.to_edges, self.to_producers]

    def note_end(self, number: int, *, is_killed: bool) -> None:
        """Record that the process of an edge has ended."""
        self.site.ends.append(EdgeEnd(self.site.now_s, f"edge {self.edges[number].port}", is_killed))

    def path(self, stroke: Stroke) -> Proxy:
        """Return the path of a fault: an edge's, or the producers'."""
        return self.paths[stroke.at % len(self.paths)]

    async def hand_over(self, *, keeps_old: bool) -> None:
        """Make the replica the primary, lead new connections there, and have the old primary follow."""
        old, new = self.primary, self.replica
        self._reigns += 1
        await self.site.record(old, f"primary {self._reigns - 1}", from_s=self.reigns_since_s, until_s=self.site.now_s)
        if not keeps_old:
            for path in self.paths:  # first the paths: an answer of a primary that is dying would not be in its record
                path.cut()
            await old.kill()
        self.site.takeovers.append(self.site.now_s)  # a publish across this moment may be stored twice: decisions/0059
        await new.ask("REPLICAOF", "NO", "ONE")
        for path in self.paths:
            path.lead_to(new.port)
        self.replication.lead_to(new.port)
        self.replication.heal()
        self.replication.cut()
        self.primary, self.replica = new, old
        if not keeps_old:
            await old.start_again()
        await old.ask("REPLICAOF", "127.0.0.1", self.replication.port)
        # A demoted primary lives on, and acknowledges to producers until their connection notices (decisions/0050).
        self.reigns_since_s = self.site.now_s + _SYNC_S / 5 if keeps_old else self.site.now_s
        await self.linked()


Run = Callable[[_Chaos, Stroke], Awaitable[None]]


@frozen
class Fault:
    """One kind of fault: an action, and a weight in the draw."""

    act: Run
    weight: int = 2

    async def run(self, chaos: _Chaos, stroke: Stroke) -> None:
        """Let the fault happen, from begin to end."""
        chaos.under_way += 1
        try:
            await self.act(chaos, stroke)
        finally:
            chaos.under_way -= 1


async def _kill_edge(chaos: _Chaos, stroke: Stroke) -> None:
    number = stroke.at % EDGES
    async with chaos.edge_turns[number]:  # a second fault of the same edge waits: a dead process cannot be killed
        await chaos.edges[number].kill()
        chaos.note_end(number, is_killed=True)
        await asyncio.sleep(stroke.lasts_s)
        await chaos.edges[number].start()


async def _drain_edge(chaos: _Chaos, stroke: Stroke) -> None:
    number = stroke.at % EDGES
    async with chaos.edge_turns[number]:
        await chaos.edges[number].drain()
        chaos.note_end(number, is_killed=False)
        await asyncio.sleep(stroke.lasts_s / 3)
        await chaos.edges[number].start()


async def _cut(chaos: _Chaos, stroke: Stroke) -> None:
    path = chaos.path(stroke)
    path.refuse()
    path.cut()
    await asyncio.sleep(stroke.lasts_s)
    path.accept()


async def _swallow(chaos: _Chaos, stroke: Stroke) -> None:
    path = chaos.path(stroke)
    path.swallow(up=stroke.at % 3 != 1, down=stroke.at % 3 != 2)
    await asyncio.sleep(stroke.lasts_s)
    path.heal()


async def _slow(chaos: _Chaos, stroke: Stroke) -> None:
    path = chaos.path(stroke)
    path.delay(0.02 + stroke.at % 10 * 0.02)
    await asyncio.sleep(stroke.lasts_s)
    path.delay(0)


async def _stall(chaos: _Chaos, stroke: Stroke) -> None:
    path = chaos.path(stroke)
    path.stall()
    await asyncio.sleep(stroke.lasts_s)
    path.go_on()


async def _reset(chaos: _Chaos, stroke: Stroke) -> None:
    chaos.path(stroke).reset_behind(_ANSWERS[stroke.at % len(_ANSWERS)], times=1 + stroke.at % 3)


async def _lose_answer(chaos: _Chaos, stroke: Stroke) -> None:
    chaos.path(stroke).lose_answer(_ANSWERS[stroke.at % len(_ANSWERS)])


async def _kill_links(chaos: _Chaos, _: Stroke) -> None:
    async with chaos.reign:
        await chaos.primary.ask("CLIENT", "KILL", "TYPE", "pubsub")


async def _pause(chaos: _Chaos, stroke: Stroke) -> None:
    async with chaos.reign:
        chaos.primary.pause()
        await asyncio.sleep(stroke.lasts_s)
        chaos.primary.resume()


async def _fail_over(chaos: _Chaos, stroke: Stroke) -> None:
    async with chaos.reign:
        chaos.replication.swallow()
        await asyncio.sleep(stroke.lasts_s / 3)
        await chaos.hand_over(keeps_old=False)


async def _demote(chaos: _Chaos, _: Stroke) -> None:
    async with chaos.reign:
        await chaos.hand_over(keeps_old=True)


async def _flap(chaos: _Chaos, stroke: Stroke) -> None:
    gone = [it for index, it in enumerate(chaos.site.listeners) if (index + stroke.at) % 3 == 0]
    for listener in gone:
        listener.leave()
    await asyncio.sleep(stroke.lasts_s)
    for listener in gone:
        listener.come_back()


FAULTS: Final[Mapping[str, Fault]] = {
    "edge-killed": Fault(_kill_edge),
    "edge-drained": Fault(_drain_edge, 1),
    "path-cut": Fault(_cut),
    "path-deaf": Fault(_swallow),
    "path-slow": Fault(_slow),
    "path-stalled": Fault(_stall, 1),
    "connection-reset": Fault(_reset),
    "answer-lost": Fault(_lose_answer),
    "links-killed": Fault(_kill_links, 1),
    "redis-paused": Fault(_pause, 1),
    "failover": Fault(_fail_over, 1),
    "demotion": Fault(_demote, 1),
    "clients-away": Fault(_flap),
}

"""The site of one run: processes started, preconditions asserted, and records for the judge."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, TypeVar

from bus.tasks import end
from bus.values import frozen
from edgebus.lab.judge.records import Attempt, Away, Demands, EdgeEnd, Evidence, Sample, Snapshot
from edgebus.lab.stage.listener import Listener
from edgebus.lab.stage.proxy import Proxy
from edgebus.lab.stage.publisher import Publisher
from edgebus.lab.stage.servers import PROBE_INTERVAL_S, EdgeProcess, RedisServer, edge_here, get_status
from edges import Edge

__all__ = ["Precondition", "PreconditionFailed", "Site", "Size"]

T = TypeVar("T")

_POLL_S: Final = 0.02
_SAMPLE_S: Final = 0.1
_JOIN_DEADLINE_S: Final = 20.0
_NOTICE_S: Final = 0.4
"""Beside two probe intervals (delivery.md): the time in which an edge must be red, and a sample must show it."""
_READY_AGAIN_S: Final = 5.0


@frozen
class Size:
    """The amount of work of a run: ``small`` fits into the tests, ``full`` is the measure of a promise.

    Attributes:
        settle_s: the longest wait for clients and edges at the end.
        patience: the factor of every time that is promised; above 1 on a machine with other work to do.

    """

    name: Literal["small", "full"]
    settle_s: float
    patience: float = 1.0

    def of(self, small: int, full: int) -> int:
        """Return the number for this size."""
        return small if self.name == "small" else full


@frozen
class Precondition:
    """A fact without which a run means nothing, with the measurement."""

    text: str
    holds: bool


class PreconditionFailed(Exception):
    """The fault was another one than meant: the run allows no conclusion."""


class Site:
    """All processes, clients and records of one run; ended with the ``async with``."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.preconditions: list[Precondition] = []
        self.attempts: list[Attempt] = []
        self.listeners: list[Listener] = []
        self.healed_s: float | None = None
        self.demands = Demands()
        self.retries = 0
        self.takeovers: list[float] = []
        self.ends: list[EdgeEnd] = []
        self._promises: list[tuple[str, bool]] = []
        self._numbers: dict[str, int] = {}
        self._snapshots: list[Snapshot] = []
        self._samples: list[Sample] = []
        self._away: list[Away] = []
        self._edges: list[Edge | EdgeProcess] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = AsyncExitStack()
        self._loop = asyncio.get_running_loop()

    async def __aenter__(self) -> Self:
        """Return the site, with no process yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything, last started first."""
        await end(self._tasks)  # first: a sample of an edge that is being ended would read as an outage
        await self._stack.aclose()

    @property
    def now_s(self) -> float:
        """The clock of all records."""
        return self._loop.time()

    @property
    def notice_s(self) -> float:
        """How soon an edge must be red after the loss of Redis."""
        return 2 * PROBE_INTERVAL_S + _NOTICE_S * self.size.patience

    # Starting things.

    def directory(self) -> Path:
        """Return a new folder, removed at the end."""
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="edgebus-lab-")))

    async def redis(
        self, *, directory: Path | None = None, binary: Path | None = None, extra: Sequence[str] = ()
    ) -> RedisServer:
        """Start a Redis server."""
        server = RedisServer(directory=directory, binary=binary, extra=extra)
        return await self._stack.enter_async_context(server)

    async def start(self, thing: AbstractAsyncContextManager[T]) -> T:
        """Start another part of the run."""
        return await self._stack.enter_async_context(thing)

    def at_end(self, stop: Callable[[], object], gone: Callable[[], Awaitable[object]]) -> None:
        """Have a process ended with the run."""

        async def end_process() -> None:
            stop()
            await gone()

        self._stack.push_async_callback(end_process)

    async def proxy(self, port: int) -> Proxy:
        """Start a proxy to a port."""
        return await self._stack.enter_async_context(Proxy(port))

    async def edge(self, redis_url: str, **settings: object) -> str:
        """Start an edge in this process; return the address for clients."""
        edge = edge_here(redis_url, **settings)
        await self._stack.enter_async_context(edge)
        self._edges.append(edge)
        watch = asyncio.create_task(self._watch(edge), name=f"watch of edge {edge.port}")
        self._tasks.append(watch)
        await self._up(edge.port)
        return f"ws://127.0.0.1:{edge.port}/"

    async def _watch(self, edge: Edge) -> None:
        """Record the failure of a part of an edge: ``edgebus edge`` would end with that."""
        try:
            await edge.wait()
        except Exception as error:  # noqa: BLE001 (whatever it was is the finding)
            self._samples.append(Sample(self.now_s, f"edge {edge.port} ended with {error!r}", "/healthz", 0))
            self._away.append(Away(self.now_s - 1, self.now_s + 1, 1e9, 1e9))

    async def edge_processes(self, redis_url: str, count: int, **settings: object) -> list[EdgeProcess]:
        """Start edges, one process each."""
        made = [EdgeProcess(redis_url, settings) for _ in range(count)]
        for edge in made:  # before the start: of several that start at once, one may fail, and the others run
            self._stack.push_async_exit(edge)
        await asyncio.gather(*(edge.start() for edge in made))
        self._edges += made
        await asyncio.gather(*(self._up(edge.port) for edge in made))
        return made

    async def _up(self, port: int) -> None:
        async def is_ready() -> bool:
            return (await get_status(port, "/readyz", self.now_s)).status == 200

        self.require("the edge is ready", await self.until_true(is_ready, _JOIN_DEADLINE_S), is_worth_telling=False)

    async def publisher(self, redis_url: str) -> Publisher:
        """Open a producer whose calls are recorded."""
        return await self._stack.enter_async_context(Publisher(redis_url, self.attempts, self._numbers))

    async def listen(self, count: int, urls: Sequence[str], rooms: Sequence[str], *, each: int = 0) -> list[Listener]:
        """Start clients and wait until all have joined: all of ``rooms``, or ``each`` of them in turn."""
        made = await self.listen_soon(count, urls, rooms, each=each)
        joined = await self.until(lambda: all(it.is_joined for it in made), _JOIN_DEADLINE_S)
        self.require(f"{count} clients are in their rooms", joined)
        return made

    async def listen_soon(
        self, count: int, urls: Sequence[str], rooms: Sequence[str], *, each: int = 0
    ) -> list[Listener]:
        """Start clients, without waiting for an edge."""
        made = []
        for index in range(count):
            # Each client begins with another edge, and has all of them to go to: as behind a balancer, evenly.
            turned = [*urls[index % len(urls) :], *urls[: index % len(urls)]]
            some = [rooms[(index + it) % len(rooms)] for it in range(each or len(rooms))]
            made.append(Listener(f"client {len(self.listeners) + index}", turned, some))
        self.listeners += made
        for listener in made:
            await self._stack.enter_async_context(listener)
        return made

    # Watching.

    def require(self, text: str, holds: bool, *, is_worth_telling: bool = True) -> None:
        """Record a precondition.

        Raises:
            PreconditionFailed: the precondition does not hold.

        """
        if is_worth_telling or not holds:
            self.preconditions.append(Precondition(text, holds))
        if not holds:
            raise PreconditionFailed(text)

    def promise(self, text: str, holds: bool) -> None:
        """Record a promise of this scenario's own, and whether it was kept."""
        self._promises.append((text, holds))

    async def until(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Wait for a fact; False when the deadline was first."""
        deadline_s = self.now_s + within_s
        while not condition():
            if self.now_s >= deadline_s:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    async def until_true(self, ask: Callable[[], Awaitable[bool]], within_s: float) -> bool:
        """Ask until the answer is yes; False when the deadline was first."""
        deadline_s = self.now_s + within_s
        while not await ask():
            if self.now_s >= deadline_s:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    async def last(self, seconds: float) -> None:
        """Let a fault last, or a flow flow: the only wait for time itself, not for a fact."""
        await asyncio.sleep(seconds)

    def count(self, room: str) -> int:
        """Return the number of events published in a room so far."""
        return self._numbers.get(room, 0)

    def all_have(self, room: str, listeners: Sequence[Listener] | None = None) -> bool:
        """Tell whether clients have every event acknowledged in a room since their coming."""
        owed = self._owed().get(room, [])
        return all(_missing(it, room, owed) == 0 for it in listeners or self.listeners)

    def _owed(self) -> dict[str, list[Attempt]]:
        owed: dict[str, list[Attempt]] = {}
        for attempt in self.attempts:
            if attempt.outcome == "acknowledged":
                owed.setdefault(attempt.channel, []).append(attempt)
        return owed

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Record an outage of Redis for the edges, as long as the block."""
        began_s = self.now_s
        yield
        self._away.append(Away(began_s, self.now_s, self.notice_s, _READY_AGAIN_S * self.size.patience))

    def sample(self) -> None:
        """Begin to ask the edges for their health and readiness."""
        self._tasks.append(asyncio.create_task(self._sample(), name="lab samples"))

    async def _sample(self) -> None:
        while True:
            asked = [get_status(it.port, path, self.now_s) for it in self._edges for path in ("/healthz", "/readyz")]
            self._samples += await asyncio.gather(*asked)
            await asyncio.sleep(_SAMPLE_S)

    def require_ready(self, from_s: float, within_s: float) -> None:
        """Demand that every edge is ready within a time, whatever edges said before."""
        self._away.append(Away(from_s, from_s, 0.0, within_s * self.size.patience))

    def heal(self) -> None:
        """Record the end of the fault: all servers can be reached again."""
        self.healed_s = self.now_s

    # The end.

    async def settle(self) -> None:
        """Wait until clients have every owed event or a gap for it, and edges are ready again."""
        await self.until(self._is_settled, self.size.settle_s)

    def _is_settled(self) -> bool:
        owed = self._owed()
        return self._is_ready() and all(_has_all(listener, owed) for listener in self.listeners)

    def _is_ready(self) -> bool:
        newest = {it.edge: it for it in self._samples if it.path == "/readyz"}
        after_s = self.healed_s or 0.0  # an answer from before the end of the fault proves no return
        return not self._samples or all(it.status == 200 and it.at_s > after_s for it in newest.values())

    async def record(
        self, server: RedisServer, name: str, *, from_s: float = 0.0, until_s: float = float("inf")
    ) -> dict[str, Snapshot]:
        """Record a server's log of every room with events."""
        taken = [await server.snapshot(name, room, from_s, until_s) for room in self._numbers]
        self._snapshots += taken
        return {snapshot.channel: snapshot for snapshot in taken}

    async def conclude(self, server: RedisServer, *, from_s: float = 0.0) -> None:
        """Settle, and record the logs of Redis in the end."""
        await self.settle()
        await self.record(server, "redis", from_s=from_s)

    def evidence(self) -> Evidence:
        """Return all records."""
        return Evidence(
            tuple(self.attempts),
            tuple(listener.log for listener in self.listeners),
            tuple(self._snapshots),
            tuple(self._samples),
            tuple(self._away),
            self.healed_s,
            replace(self.demands, whole_within_s=self.demands.whole_within_s * self.size.patience),
            self.retries,
            tuple(self.takeovers),
            tuple(self.ends),
            tuple(self._promises),
        )


def _has_all(listener: Listener, owed: Mapping[str, Sequence[Attempt]]) -> bool:
    """Tell whether a client has every owed event; after a gap was reported, the newest is enough."""
    for room, have in listener.have.items():
        newest = max((it.n for it in owed.get(room, ())), default=None)
        is_told = room in listener.told and (newest is None or newest in have)
        if not is_told and _missing(listener, room, owed.get(room, ())):
            return False
    return listener.is_joined


def _missing(listener: Listener, room: str, owed: Sequence[Attempt]) -> int:
    """Return the number of events a client lacks, of all published since the client came."""
    have, since_s = listener.have[room], listener.since_s.get(room, 0.0)
    return sum(1 for it in owed if it.n not in have and it.began_s > since_s)

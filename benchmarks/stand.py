"""A server under load: a Redis, the server and a crowd, each pinned to a core."""

import os
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from redis import Redis

from benchmarks.generator import Answer, Generator, LoadError
from benchmarks.machine import Cores, Watch, cpu_seconds, memory_kb, packets_of
from benchmarks.peer import Peer, Running, Tls
from benchmarks.works import Shape
from bus.broker.embedded import EmbeddedBroker

__all__ = ["Stand", "Turn", "pin"]

_AT_ONCE = 64
_CONNECT_DEADLINE_S = 120.0
_LOOK_S = 0.2
_LOOKS = 25
_CALM = 0.05
"""The share of a core below which a server is idle."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of a server at a work.

    Attributes:
        answer: the generator's report.
        cpu_s: processor time of the server's processes, and of the kernel for the packets of the server's core.
        redis_cpu_s: of Redis.
        load_cpu_s: of the generator, with the process that publishes at a rate.
        foreign: the share of other programs in the server's core.
        load_foreign: the share of programs in the core of load that are neither Redis nor the generator.

    """

    answer: Answer
    cpu_s: float
    redis_cpu_s: float
    load_cpu_s: float
    foreign: float
    load_foreign: float = 0.0

    @property
    def per_cpu_s(self) -> float:
        """Deliveries per second of the server's processor time."""
        return float(self.answer["received"]) / self.cpu_s if self.cpu_s else 0.0

    def check(self) -> None:
        """Refuse a turn with an event that got lost, came twice, or came out of order.

        Raises:
            LoadError: with the counts.

        """
        wrong = {it: self.answer[it] for it in ("lost", "doubled", "out_of_order", "foreign", "bad_frames", "closed")}
        if any(wrong.values()):
            said = ", ".join(f"{number} {name}" for name, number in wrong.items() if number)
            raise LoadError(f"of {self.answer['expected']} deliveries: {said} {self.answer['reason']}".strip())


@dataclass(slots=True)
class Stand:
    """A peer with a crowd. Everything ends with ``stack``."""

    peer: Peer
    running: Running
    generator: Generator
    redis: EmbeddedBroker
    cores: Cores
    connects: Answer = field(default_factory=dict)
    connect_cpu_s: float = 0.0
    memory_kb: int = 0
    """The growth of the server's memory by the crowd."""
    _packets: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._packets = packets_of(self.cores.server)

    @classmethod
    def start(cls, stack: ExitStack, peer: Peer, cores: Cores, *, tls: Tls | None = None) -> "Stand":
        """Start Redis and the server."""
        redis = stack.enter_context(EmbeddedBroker(port=0))
        pin(redis.pid, cores.load)
        running = peer.start(stack, cores.server, redis.port, tls)
        with Redis(port=redis.port, protocol=2) as client:
            for command in running.wire.prepare:
                client.execute_command(*command)
        generator = Generator(stack, cores.load, running, redis.port, is_tls=tls is not None)
        return cls(peer, running, generator, redis, cores)

    def fill(self, shape: Shape) -> None:
        """Let the crowd in."""
        before_s, before_kb = self._server_s(), memory_kb(self.running.pids)
        self.connects = self.generator.connect(
            shape.clients, shape.rooms, shape.rooms_each, at_once=_AT_ONCE, seconds=_CONNECT_DEADLINE_S
        )
        self.settle()  # what the server does behind the answer belongs to the connect
        self.connect_cpu_s = self._server_s() - before_s
        self.memory_kb = memory_kb(self.running.pids) - before_kb

    def come_again(self) -> Turn:
        """Let all clients go, and connect again; the turn holds the connects with all consequences."""
        self.generator.do("close")
        self.settle()
        return self._connects("connect")

    def resume(self) -> Turn:
        """Let all clients come back, each at the position of the client's room."""
        return self._connects("resume")

    def _connects(self, command: str) -> Turn:
        before_s = self._server_s()
        turn = self.watched(command, _AT_ONCE, _CONNECT_DEADLINE_S)
        if turn.answer.get("failed"):
            raise LoadError(f"{turn.answer['failed']} clients were not let in: {turn.answer['reason']}")
        self.settle()
        return replace(turn, cpu_s=self._server_s() - before_s)

    @property
    def _server_pids(self) -> tuple[int, ...]:
        return (*self.running.pids, *self._packets)

    def _server_s(self) -> float:
        return cpu_seconds(self._server_pids)

    def settle(self) -> None:
        """Wait until the server is idle; clients are heard meanwhile."""
        for _ in range(_LOOKS):
            before_s = self._server_s()
            self.generator.do("idle", _LOOK_S)
            if self._server_s() - before_s < _CALM * _LOOK_S:
                return

    def watched(self, command: str, *values: object) -> Turn:
        """Run a command of the generator, and measure the price."""
        watch = Watch(self.cores.server, self._server_pids)
        load_watch = Watch(self.cores.load, (self.redis.pid, self.generator.pid))
        groups = (self._server_pids, [self.redis.pid], [self.generator.pid])
        before_s = [cpu_seconds(pids) for pids in groups]
        answer = self.generator.do(command, *values)
        cpu_s, redis_s, load_s = (cpu_seconds(pids) - ago for pids, ago in zip(groups, before_s, strict=True))
        published_s = answer.get("publisher_s", 0.0)
        load_foreign = max(0.0, load_watch.foreign() - published_s / answer["seconds"])
        return Turn(answer, cpu_s, redis_s, load_s + published_s, watch.foreign(), load_foreign)


def pin(pid: int, core: int) -> None:
    """Move all threads of a process; Redis has several."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})

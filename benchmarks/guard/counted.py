"""The process whose instructions are counted: an edge with a producer, asked line by line what to do.

``begin`` and ``end`` set the bounds of a count, ``publish N`` and ``floor N`` do a work, ``plant`` makes all
dearer. Each line is answered by ``ok``.
"""

import asyncio
import ctypes
import gc
import importlib
import sys
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Final, TypeVarTuple

import uvloop

from edges import Edge, EdgeSettings
from producers import Producer
from producers.services.mahavishnu import SERVICE, WorkflowStarted

__all__ = ["floor"]

_Ts = TypeVarTuple("_Ts")

_LEAST_S: Final = 0.2


class Standing(uvloop.Loop):
    """A loop in which no timer fires that waits for 0.2 s or more.

    Heartbeats, probes and housekeeping would come into one count and not into another, by the clock.
    """

    def call_later(
        self, delay: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Put a long wait off for a day."""
        late = delay if delay < _LEAST_S else delay + 86_400.0
        return super().call_later(late, callback, *args, context=context)


def floor(times: int) -> int:
    """Do what depends on this Python alone: calls, attributes, dictionaries, bytes."""
    kept: dict[int, bytes] = {}
    total = 0
    for number in range(times):
        kept[number & 63] = b"%d:%d" % (number, total & 1023)
        total += _length(kept[number & 63]) + number % 7
    return total


def _length(line: bytes) -> int:
    return len(line.partition(b":")[2])


async def _publish(producer: Producer, times: int) -> None:
    for number in range(times):
        await producer.publish(WorkflowStarted(workflow_id=f"published-{number:05}", adapter="local"))


async def _floor(times: int) -> None:
    floor(times)


async def _serve(redis_url: str, library: str, planted: str) -> None:
    counter, slowdown = ctypes.CDLL(library), importlib.import_module(planted) if planted else None
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with Edge(SERVICE, EdgeSettings(port=0, redis_url=redis_url)) as edge, Producer(redis_url) as producer:
        works: dict[str, Callable[[int], Awaitable[None]]] = {
            "publish": lambda n: _publish(producer, n),
            "floor": _floor,
        }
        print(f"port {edge.port}", flush=True)
        while line := (await lines.readline()).decode().split():
            match line:
                case ["begin"]:
                    gc.collect()
                    gc.freeze()  # else a count holds a look at all of the process, or not
                    counter.count_begin()
                case ["end"]:
                    counter.count_end()
                case ["plant"] if slowdown is not None:
                    slowdown.plant()
                case [work, times]:
                    await works[work](int(times))
            print("ok", flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=Standing) as runner:
        runner.run(_serve(*sys.argv[1:]))

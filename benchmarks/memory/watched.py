"""The two processes that are watched: ``edge URL [MODULE]`` and ``producer URL ROOMS RATE``. Both answer lines.

``sample`` is answered by the counts of tasks and of the collector's objects, ``sample collected`` after a collection;
``stop`` by the events of each room. The module is imported first: tests let the edge leak with that.
"""

import asyncio
import gc
import importlib
import json
import sys
from collections.abc import Callable
from typing import Final

from edgebus.run import run
from edgebus.serving import serve_edge
from edges import EdgeSettings
from producers import Producer
from producers.services.mahavishnu import SERVICE

__all__: list[str] = []

_TICK_S: Final = 0.02
_ONCE_IN: Final = 50
_TEXT: Final = "x" * 100

_COLLECTED: Final = b"sample collected\n"
_SAMPLES: Final = (b"sample\n", _COLLECTED)

_Counts = dict[str, int]


async def _edge(redis_url: str) -> None:
    serving = asyncio.create_task(serve_edge(SERVICE, EdgeSettings(port=0, redis_url=redis_url)))
    await _watched(serving, serving.cancel, {})


async def _producer(redis_url: str, rooms: int, rate: float) -> None:
    counts = {f"workflow:{number}": 0 for number in range(rooms)}
    async with Producer(redis_url) as producer:
        print("publishes", flush=True)
        stopping = asyncio.Event()  # not by cancelling: nobody knew whether the last event is in the log
        publishing = asyncio.create_task(_publish(producer, counts, rate, stopping))
        await _watched(publishing, stopping.set, counts)


async def _watched(working: "asyncio.Task[None]", stop: Callable[[], object], counts: _Counts) -> None:
    """Answer until asked to stop, or until the task ends by itself."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while (line := await lines.readline()) in _SAMPLES and not working.done():
        if line == _COLLECTED:
            gc.collect()
        objects = len(gc.get_objects()) + gc.get_freeze_count()
        print(json.dumps({"tasks": len(asyncio.all_tasks()), "objects": objects}), flush=True)
    stop()
    await asyncio.wait([working])
    if line:
        print(json.dumps(counts), flush=True)


async def _publish(producer: Producer, counts: _Counts, rate: float, stopping: asyncio.Event) -> None:
    """Publish at a rate, room after room; now and then on a channel that is used once and never again."""
    loop, total = asyncio.get_running_loop(), 0
    began = loop.time()
    names = list(counts)
    while not stopping.is_set():
        while total < (loop.time() - began) * rate and not stopping.is_set():
            name = names[total % len(names)]
            await producer.publish_raw(name, "step.done", {"n": counts[name] + 1, "text": _TEXT})
            counts[name] += 1
            total += 1
            if total % _ONCE_IN == 0:
                await producer.publish_raw(f"workflow:once-{total}", "step.done", {"n": 1})
        await asyncio.sleep(_TICK_S)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["edge", url, *modules]:
            for module in modules:
                importlib.import_module(module)
            run(_edge(url))
        case ["producer", url, rooms, rate]:
            run(_producer(url, int(rooms), float(rate)))

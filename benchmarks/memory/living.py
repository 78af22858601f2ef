"""One run: Redis, the edge, the producer and the crowd, and the samples taken meanwhile."""

import argparse
import asyncio
import json
import math
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.machine import allow_files
from benchmarks.memory.crowd import Crowd, Tally
from benchmarks.memory.curve import Sample, settles_s
from bus.broker.embedded import EmbeddedBroker

__all__ = ["Life", "live"]

_FILES: Final = 4_096


@dataclass(frozen=True, slots=True)
class Life:
    """What a run has shown."""

    curves: dict[str, list[Sample]]
    tally: Tally


async def live(options: argparse.Namespace) -> Life:
    """Let all run for ``options.minutes``, and print each sample."""
    allow_files(_FILES)
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(EmbeddedBroker(0))
        more = [options.leak] if options.leak else []
        edge = await stack.enter_async_context(_started("edge", broker.url, *more))
        crowd = Crowd(edge.port(), options.clients, options.rooms, options.replaced)
        await crowd.come()
        rate = (str(options.rooms), str(options.rate))
        producer = await stack.enter_async_context(_started("producer", broker.url, *rate))
        changing = asyncio.create_task(crowd.change())
        curves = await _sampled({"edge": edge, "producer": producer}, options)
        changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)
        await crowd.leave(json.loads(await producer.ask("stop")))
        return Life(curves, crowd.tally)


async def _sampled(watched: "dict[str, _Watched]", options: argparse.Namespace) -> dict[str, list[Sample]]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    curves: dict[str, list[Sample]] = {name: [] for name in watched}
    print(f"{'':>8} " + " ".join(f"{name:>10}: own kB    RSS kB  fds tasks objects" for name in watched))
    turns = int(options.minutes * 60 / options.every)
    collected = (math.ceil(settles_s(turns * options.every) / options.every), turns)
    for turn in range(turns + 1):
        await asyncio.sleep(began + turn * options.every - loop.time())
        at_s = loop.time() - began
        for name, one in watched.items():
            curves[name].append(await one.sample(at_s, is_collected=turn in collected))
        now = [samples[-1] for samples in curves.values()]
        told = " ".join(f"{it.own_kb:19} {it.rss_kb:9} {it.fds:4} {it.tasks:5} {it.objects:7}" for it in now)
        print(f"{at_s:6.0f} s {told}", flush=True)
    return curves


class _Watched:
    """A process that answers lines."""

    def __init__(self, process: Process, first: str) -> None:
        self._process, self._first = process, first

    def port(self) -> int:
        """Return the edge's port, from its first line."""
        return int(self._first.partition("ws://")[2].partition(",")[0].rpartition(":")[2])

    async def ask(self, line: str) -> str:
        """Return the answer to a line.

        Raises:
            RuntimeError: the process has ended.

        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line.encode() + b"\n")
        answer = (await self._process.stdout.readline()).decode()
        if not answer:
            raise RuntimeError("a watched process has ended")
        return answer

    async def sample(self, at_s: float, *, is_collected: bool) -> Sample:
        """Return a sample, of the process's own counts and of what the kernel says; then perhaps collect garbage."""
        counts = json.loads(await self.ask("sample"))
        proc = Path(f"/proc/{self._process.pid}")
        lines = (it.split() for it in (proc / "smaps_rollup").read_text().splitlines()[1:])
        memory = {words[0]: int(words[1]) for words in lines}
        fds = len(list((proc / "fd").iterdir()))
        kept = json.loads(await self.ask("sample collected"))["objects"] if is_collected else None
        return Sample(at_s, memory["Anonymous:"], memory["Rss:"], fds, counts["tasks"], counts["objects"], kept)


@asynccontextmanager
async def _started(*words: str) -> AsyncIterator[_Watched]:
    command = (sys.executable, "-m", "benchmarks.memory.watched", *words)
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        assert process.stdout is not None
        yield _Watched(process, (await process.stdout.readline()).decode())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()

"""mahavishnu's part of the demo: a workflow walks, hashes and compresses the standard library's files."""

import asyncio
import hashlib
import os
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count, cycle
from pathlib import Path
from typing import Any, Final

from edgebus.demo.steps import Steps
from producers import Producer
from producers.services.mahavishnu import Mahavishnu

__all__ = ["Workflows"]

_PACKAGES: Final = ("asyncio", "email", "json", "logging", "concurrent", "http", "importlib", "unittest")
_POOL: Final = "demo"
_WORKERS: Final = ("worker-1", "worker-2")


class Workflows:
    """Runs one workflow after the other on a pool of two worker threads.

    Args:
        producer: publishes the events.
        steps: gets every step's duration.
        rate: files per second, over all workers.

    """

    def __init__(self, producer: Producer, steps: Steps, *, rate: float) -> None:
        self._events = Mahavishnu(producer)
        self._steps, self._pause_s = steps, 1 / rate
        self._due = 0.0

    async def run(self) -> None:
        """Run until cancelled."""
        await self._events.broadcast_pool_spawned(_POOL, {"workers": len(_WORKERS), "kind": "threads"})
        for worker in _WORKERS:
            await self._events.broadcast_worker_added(_POOL, worker)
        library = Path(os.__file__).parent
        with ThreadPoolExecutor(len(_WORKERS), thread_name_prefix="demo-worker") as threads:
            for number, package in zip(count(1), cycle(_PACKAGES)):
                await self._workflow(f"demo-{os.getpid()}-{number}", library / package, threads)

    async def _workflow(self, workflow_id: str, root: Path, threads: ThreadPoolExecutor) -> None:
        began = time.perf_counter()
        await self._events.broadcast_workflow_started(workflow_id, {"adapter": "local", "root": root.name})
        try:
            files = await self._walk(workflow_id, root)
            hashed = await self._stage(workflow_id, "hash", files, _hash, threads)
            packed = await self._stage(workflow_id, "compress", files, _compress, threads)
        except OSError as error:
            await self._events.broadcast_workflow_failed(workflow_id, f"{type(error).__name__}: {error.strerror}")
            return
        result = {"files": len(files), "bytes": hashed, "compressed_bytes": packed}
        duration_s = round(time.perf_counter() - began, 3)
        await self._events.broadcast_workflow_completed(workflow_id, {**result, "duration_seconds": duration_s})

    async def _walk(self, workflow_id: str, root: Path) -> list[Path]:
        with self._steps.timed("walk"):
            files = await asyncio.to_thread(_python_files, root)
        await self._events.broadcast_workflow_stage_completed(workflow_id, "walk", {"files": len(files)})
        return files

    async def _stage(
        self,
        workflow_id: str,
        name: str,
        files: Sequence[Path],
        work: Callable[[Path], tuple[int, dict[str, Any]]],
        threads: ThreadPoolExecutor,
    ) -> int:
        """Let the workers do ``work`` on every file; return the sum of the resulting bytes."""
        # One iterator for both workers, so that a fast worker takes the next file and no file is done twice.
        left = iter(files)
        done = await asyncio.gather(*(self._worker(worker, name, left, work, threads) for worker in _WORKERS))
        await self._events.broadcast_workflow_stage_completed(workflow_id, name, {"bytes": sum(done)})
        await self._events.broadcast_pool_status_changed(_POOL, {"state": "idle", "last_stage": name})
        return sum(done)

    async def _worker(
        self,
        worker: str,
        name: str,
        left: Any,
        work: Callable[[Path], tuple[int, dict[str, Any]]],
        threads: ThreadPoolExecutor,
    ) -> int:
        total = 0
        await self._events.broadcast_worker_status_changed(worker_id=worker, status="busy", pool_id=_POOL)
        for file in left:
            await self._paced()
            task = {"task": name, "file": file.name}
            await self._events.broadcast_task_assigned(_POOL, worker, task)
            with self._steps.timed(name):
                size, result = await asyncio.get_running_loop().run_in_executor(threads, work, file)
            total += size
            await self._events.broadcast_task_completed(_POOL, worker, {**task, **result})
        await self._events.broadcast_worker_status_changed(worker_id=worker, status="idle", pool_id=_POOL)
        return total

    async def _paced(self) -> None:
        """Wait for the file's turn, so that all workers together keep the rate."""
        # Booked before the wait: the next worker's turn comes after this one. A pause is not made up for by a burst.
        now = asyncio.get_running_loop().time()
        self._due = max(self._due + self._pause_s, now)
        await asyncio.sleep(self._due - now)


def _python_files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.py"))


def _hash(file: Path) -> tuple[int, dict[str, Any]]:
    data = file.read_bytes()
    return len(data), {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _compress(file: Path) -> tuple[int, dict[str, Any]]:
    data = file.read_bytes()
    packed = len(zlib.compress(data, 6))
    return packed, {"bytes": len(data), "compressed_bytes": packed}

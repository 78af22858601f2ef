"""How long programs take to start: wall and processor time, medians of starts in turns, modules compiled.

``python -m benchmarks.start [--times 10] [--json]``. What they may load is a test (tests/edgebus/test_light.py); these
figures are for people, on a quiet machine.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

from bus.broker.embedded import EmbeddedBroker

__all__ = ["main"]

_PYTHON: Final = (sys.executable, "-c")
_EDGE: Final = ("-m", "edgebus", "edge", "mahavishnu", "--port", "0", "--redis")


def _ended(*command: str) -> Callable[[], None]:
    def run() -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    return run


def _listening(redis_url: str) -> Callable[[], None]:
    """Return a function that starts an edge, and returns once the edge has said where it listens."""

    def run() -> None:
        command = (sys.executable, *_EDGE, redis_url)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as edge:
            assert edge.stdout is not None
            said = edge.stdout.readline()
            edge.kill()
        assert " listens on " in said, said

    return run


def _measured(run: Callable[[], None]) -> tuple[float, float]:
    """Return wall and processor time of one start, in milliseconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run()
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took * 1e3, cpu * 1e3


def main() -> None:
    """Measure all in turns, and print a table or JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with EmbeddedBroker(0) as broker:
        starts = {
            "python alone": _ended(*_PYTHON, "pass"),
            "edgebus --version": _ended(sys.executable, "-m", "edgebus", "--version"),
            "import producers": _ended(*_PYTHON, "import producers"),
            "from producers import Producer": _ended(*_PYTHON, "from producers import Producer"),
            "edge, until it listens": _listening(broker.url),
        }
        turns = [{name: _measured(run) for name, run in starts.items()} for _ in range(options.times + 1)][1:]
    figures = {
        name: {"wall_ms": round(statistics.median(it[name][0] for it in turns)), **_cpu([it[name][1] for it in turns])}
        for name in starts
    }
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{'':32}{'wall ms':>9}{'CPU ms':>9}{'least':>9}")
    for name, figure in figures.items():
        print(f"{name:32}" + "".join(f"{it:9}" for it in figure.values()))


def _cpu(times_ms: list[float]) -> dict[str, int]:
    return {"cpu_ms": round(statistics.median(times_ms)), "least_cpu_ms": round(min(times_ms))}


if __name__ == "__main__":
    main()

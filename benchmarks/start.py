"""How long programs take to start: wall and processor time, medians of starts in turns, modules compiled.

``python -m benchmarks.start [--times 10] [--at OLD=FOLDER] [--json]``. What they may load is a test
(tests/edgebus/test_light.py); these figures are for people, on a quiet machine. ``--at`` starts another checkout's
programs in turns with ours, by the other's own ``.venv``.
"""

import argparse
import http.client
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from bus.broker.embedded import EmbeddedBroker

__all__ = ["main"]

_EDGE: Final = ("-m", "edgebus", "edge", "mahavishnu", "--port", "0", "--redis")
_READY_S: Final = 20.0
_LOOK_S: Final = 0.003
"""Between two questions to an edge whether the edge is ready; each question costs the edge a fifth of a millisecond."""

_Run: TypeAlias = Callable[[], None]
_Checkout: TypeAlias = tuple[str, Path | None]
"""A Python, and the folder to start it in; None: this folder."""


def _ended(checkout: _Checkout, *words: str) -> _Run:
    python, folder = checkout

    def run() -> None:
        subprocess.run((python, *words), check=True, stdout=subprocess.DEVNULL, cwd=folder)

    return run


def _edge(checkout: _Checkout, redis_url: str, until: Callable[[int], None]) -> _Run:
    """Return a function that starts an edge, and kills the edge once ``until`` returned for the edge's port."""
    python, folder = checkout

    def run() -> None:
        command = (python, *_EDGE, redis_url)
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder
        ) as edge:
            assert edge.stdout is not None
            said = edge.stdout.readline()
            assert " listens on " in said, said
            until(int(said.partition(",")[0].rpartition(":")[2]))
            edge.kill()

    return run


def _listening(port: int) -> None:
    del port  # the edge has said it


def _ready(port: int) -> None:
    """Return once ``/readyz`` is answered with 200."""
    ends_s = time.monotonic() + _READY_S
    while _status(port) != 200:
        assert time.monotonic() < ends_s, "the edge is not ready"
        time.sleep(_LOOK_S)


def _status(port: int) -> int:
    edge = http.client.HTTPConnection("127.0.0.1", port, timeout=_READY_S)
    try:
        edge.request("GET", "/readyz")
        return edge.getresponse().status
    finally:
        edge.close()


def _measured(run: _Run) -> tuple[float, float]:
    """Return wall and processor time of one start, in milliseconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run()
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took * 1e3, cpu * 1e3


def _starts(checkout: _Checkout, redis_url: str) -> dict[str, _Run]:
    return {
        "edgebus --version": _ended(checkout, "-m", "edgebus", "--version"),
        "import producers": _ended(checkout, "-c", "import producers"),
        "from producers import Producer": _ended(checkout, "-c", "from producers import Producer"),
        "edge, until it listens": _edge(checkout, redis_url, _listening),
        "edge, until it is ready": _edge(checkout, redis_url, _ready),
    }


def main() -> None:
    """Measure all in turns, and print a table or JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--at", action="append", default=[], help="OLD=FOLDER: programs of another checkout, too")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folders = {name: Path(folder) for name, _, folder in (it.partition("=") for it in options.at)}
    checkouts = {f", {name}": (str(it / ".venv" / "bin" / "python"), it) for name, it in folders.items()}
    with EmbeddedBroker(0) as broker:
        starts: dict[str, _Run] = {"python alone": _ended((sys.executable, None), "-c", "pass")}
        of_each = {name: _starts(it, broker.url) for name, it in {"": (sys.executable, None), **checkouts}.items()}
        starts |= {f"{what}{name}": its[what] for what in of_each[""] for name, its in of_each.items()}
        turns = [{name: _measured(run) for name, run in starts.items()} for _ in range(options.times + 1)][1:]
    _show({name: _figures([turn[name] for turn in turns]) for name in starts}, as_json=options.json)


def _figures(measured: list[tuple[float, float]]) -> dict[str, int]:
    wall_ms, cpu_ms = [it for it, _ in measured], [it for _, it in measured]
    return {
        "wall_ms": round(statistics.median(wall_ms)),
        "cpu_ms": round(statistics.median(cpu_ms)),
        "least_cpu_ms": round(min(cpu_ms)),
    }


def _show(figures: Mapping[str, Mapping[str, int]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures))
        return
    print(f"{'':40}{'wall ms':>9}{'CPU ms':>9}{'least':>9}")
    for name, figure in figures.items():
        print(f"{name:40}" + "".join(f"{it:9}" for it in figure.values()))


if __name__ == "__main__":
    main()

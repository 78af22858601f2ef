"""Instructions of the hot path, a connect and a publish, counted by callgrind in a real edge with a real Redis.

A count does not depend on who else is on the machine: runs differ by 1 %, where processor time differs by 10 to 20 %.
Outside of the counted process are Redis, the clients, and the kernel's part.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.built import compiled
from benchmarks.guard.visitor import Visitor
from benchmarks.peer import BUILD, ROOT, NotInstallable
from bus.broker.embedded import EmbeddedBroker
from producers.blocking import Producer

__all__ = ["FLOOR", "Counts", "count"]

Counts = dict[str, float]
"""Instructions of one step, by path: of one event, of one delivery, of one connect, of one publish."""

FLOOR: Final = "floor"

_VISITORS: Final = 200
_TURNS: Final = 3
_CONNECTS: Final = 10
_EVENTS: Final = 5
_PUBLISHES: Final = 20
_FLOOR_TIMES: Final = 2_000
_SHARED: Final = "workflow:shared"
_DATA: Final = {"text": "x" * 150}
_TOTAL: Final = re.compile(r"^totals: (\d+)$", re.MULTILINE)
_HEADER: Final = Path("/usr/include/valgrind/callgrind.h")


def count(planted: str = "") -> tuple[Counts, Counts]:
    """Return the instructions of one step of each path, and again with a slowdown planted.

    Args:
        planted: a module that the counted process imports first, with a function ``plant``; for the test that the guard
            finds something. Without a name the second counts are empty.

    Raises:
        NotInstallable: valgrind or a C compiler is missing; the message has the line that installs them.

    """
    with ExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker(0))
        edge = stack.enter_context(_started(broker.url, planted))
        crowd = _Crowd(edge, stack.enter_context(Producer(broker.url)), stack)
        crowd.warm_up()
        counts = crowd.count()
        if not planted:
            return counts, {}
        edge.ask("plant")
        return counts, crowd.count()


class _Crowd:
    """The steps that are counted, with all who take part in them. What comes is closed with ``stack``."""

    def __init__(self, edge: "_Edge", producer: Producer, stack: ExitStack) -> None:
        self._edge, self._producer, self._stack = edge, producer, stack
        self._visitors: list[Visitor] = []

    def warm_up(self) -> None:
        """Do each step so often that what is built at a first use is there; uncounted, so at a tenth of the time."""
        self._edge.ask("floor 500")
        self._edge.ask("publish 5")
        self._come(_VISITORS)
        self._share(self._visitors)
        self._to_each(self._visitors)
        self._to_all(5)

    def count(self) -> Counts:
        """Count each path; of three turns the least, since a rare work of the edge may fall into one."""
        turns = [self._turn() for _ in range(_TURNS)]
        return {path: min(turn[path] for turn in turns) for path in turns[0]}

    def _turn(self) -> Counts:
        counts: Counts = {}
        for work, times in ((FLOOR, _FLOOR_TIMES), ("publish", _PUBLISHES)):
            with self._edge.counting(counts, work, times):
                self._edge.ask(f"{work} {times}")
        before = len(self._visitors)
        with self._edge.counting(counts, "connect + subscribe", _CONNECTS):
            self._come(_CONNECTS)
        come = self._visitors[before:]
        self._share(come)
        with self._edge.counting(counts, "event, rooms of one", before):
            self._to_each(self._visitors[:before])
        with self._edge.counting(counts, "delivery, a room of all", _EVENTS * len(self._visitors)):
            self._to_all(_EVENTS)
        return counts

    def _come(self, count: int) -> None:
        for _ in range(count):
            visitor = self._stack.enter_context(Visitor(self._edge.port))
            visitor.subscribe(f"workflow:{len(self._visitors):04}")
            self._visitors.append(visitor)

    def _share(self, visitors: Iterable[Visitor]) -> None:
        for visitor in visitors:
            visitor.subscribe(_SHARED)

    def _to_each(self, visitors: Sequence[Visitor]) -> None:
        for number, visitor in enumerate(visitors):
            self._producer.publish_raw(f"workflow:{number:04}", "step.done", _DATA)
            visitor.take(b"step.done")

    def _to_all(self, times: int) -> None:
        for _ in range(times):
            self._producer.publish_raw(_SHARED, "step.done", _DATA)
            for visitor in self._visitors:
                visitor.take(b"step.done")


class _Edge:
    """The counted process, and where callgrind writes."""

    def __init__(self, child: "subprocess.Popen[str]", folder: Path) -> None:
        self._child, self._folder = child, folder
        self.port = int(self._answer().removeprefix("port "))

    def ask(self, line: str) -> None:
        """Have one thing done."""
        assert self._child.stdin is not None
        self._child.stdin.write(line + "\n")
        self._child.stdin.flush()
        if (answer := self._answer()) != "ok":
            raise RuntimeError(f"{line}: the counted process says {answer!r}")

    @contextmanager
    def counting(self, counts: Counts, path: str, steps: int) -> Iterator[None]:
        """Count what the process does in the block, and put it down for each step."""
        self.ask("begin")
        yield
        self.ask("end")
        newest = max(self._folder.glob("out.*"), key=lambda it: int(it.suffix[1:]))
        found = _TOTAL.search(newest.read_text())
        assert found is not None, newest
        counts[path] = int(found[1]) / steps

    def _answer(self) -> str:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError("the counted process has ended")
        return line.strip()


@contextmanager
def _started(redis_url: str, planted: str) -> Iterator[_Edge]:
    library = _library()
    with tempfile.TemporaryDirectory(prefix="guard-") as name:
        words = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={name}/out"]
        words += [sys.executable, "-m", "benchmarks.guard.counted", redis_url, str(library), planted]
        # Hashes of texts decide how dictionaries collide.
        environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}
        child = subprocess.Popen(words, stdin=-1, stdout=-1, text=True, env=environment, cwd=ROOT)
        try:
            yield _Edge(child, Path(name))
        finally:
            child.kill()
            child.communicate()


def _library() -> Path:
    if shutil.which("valgrind") is None or not _HEADER.exists():
        raise NotInstallable("there is no valgrind; on Debian or Ubuntu: apt-get install valgrind")
    library = BUILD / "guard" / "count.so"
    compiled(library, [Path(__file__).with_name("count.c")], "-shared", "-fPIC")
    return library

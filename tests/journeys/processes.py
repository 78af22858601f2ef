"""Whole processes for a journey: each on ports of its own, its output kept, ended by its id."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import pytest

from bus.broker.child import Child, spawn_bound
from tests.ports import free_port

ROOT: Final = Path(__file__).resolve().parents[2]
EDGEBUS: Final = (sys.executable, "-m", "edgebus")
DEADLINE_S: Final = 20.0
"""For what takes a second: a machine may be busy with other tests."""
QUICK_LEAVING: Final = {"EDGEBUS_DRAIN_NOTICE_S": "0.1", "EDGEBUS_DRAIN_WINDOW_S": "0.2"}
ResultT = TypeVar("ResultT")
_numbers = itertools.count(1)


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without settings of its user's, and with the packages of this tree.

    Edges in it leave without the time that a balancer would want; a journey that is about that sets it.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EDGEBUS_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)  # each process would compile every module anew: a second
    kept.pop("PYTEST_ADDOPTS", None)
    path = os.pathsep.join(filter(None, [os.fspath(ROOT), os.environ.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, "COLUMNS": "200", **QUICK_LEAVING, **more}


def until(fact: Callable[[], ResultT | None], deadline_s: float = DEADLINE_S) -> ResultT:
    """Return the first true value of ``fact``.

    Raises:
        TimeoutError: there was none within the deadline.

    """
    deadline = time.monotonic() + deadline_s
    while not (value := fact()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {deadline_s:g} s")
        time.sleep(0.01)
    return value


def fetch(url: str) -> tuple[int, str]:
    """Return status and body of a GET; 0 when nobody answers. No proxy is asked."""
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except URLError as error:
        return getattr(error, "code", 0), str(error.reason)
    except OSError as error:  # a connection that ends before its answer
        return 0, str(error)


def edgebus(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end; ``more`` goes into its environment."""
    return subprocess.run(
        [*EDGEBUS, *arguments],
        env=environment(**more),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def publish(redis_url: str, event: str, **data: Any) -> dict[str, Any]:
    """Run ``edgebus publish`` and return what it printed."""
    ran = edgebus("publish", event, json.dumps(data), "--redis", redis_url, "--json")
    assert ran.returncode == 0, ran.stderr
    printed: dict[str, Any] = json.loads(ran.stdout)
    return printed


class Running:
    """One process of a journey; it ends with the tests, even when those are killed.

    Args:
        argv: program and arguments.
        folder: where its output goes.
        env: its whole environment.
        cwd: its folder.
        typed: whether somebody types into it; else its input is empty.

    """

    def __init__(
        self,
        argv: Sequence[str],
        folder: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        *,
        typed: bool = False,
    ) -> None:
        self.argv = list(argv)
        self._log = folder / f"{next(_numbers)}-{Path(argv[0]).name}.log"
        with self._log.open("wb") as output:
            self._child: Child = spawn_bound(
                self.argv,
                stdin=subprocess.PIPE if typed else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env or environment(),
                cwd=cwd,
            )

    @property
    def pid(self) -> int:
        """Its id."""
        return self._child.pid

    @property
    def output(self) -> str:
        """What it has written so far, to either stream."""
        return self._log.read_text("utf-8", "replace")

    def type(self, line: str) -> None:
        """Type one line."""
        assert self._child.process.stdin is not None
        self._child.process.stdin.write(f"{line}\n".encode())
        self._child.process.stdin.flush()

    def end_input(self) -> None:
        """End what is typed, as Ctrl-D does; twice is harmless."""
        if self._child.process.stdin is not None:
            self._child.process.stdin.close()

    def signal(self, number: signal.Signals) -> Self:
        """Send it a signal."""
        os.kill(self.pid, number)
        return self

    def exit_code(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait for its end; return its code, negative for a signal.

        Raises:
            TimeoutError: it did not end; it says what it wrote.

        """
        if not self._child.exited_within(deadline_s):
            raise TimeoutError(f"{self.argv} did not end within {deadline_s:g} s:\n{self.output}")
        return self._child.process.wait()

    def until(self, fact: Callable[[], ResultT | None], deadline_s: float = DEADLINE_S) -> ResultT:
        """Return the first true value of ``fact``; fail with this process's output when it ends before or is late."""

        def looked() -> ResultT | None:
            assert self._child.exit_code is None, f"{self.argv} ended:\n{self.output}"
            return fact()

        try:
            return until(looked, deadline_s)
        except TimeoutError as late:
            raise TimeoutError(f"{late}; {self.argv} wrote:\n{self.output}") from None

    def kill(self) -> None:
        """End it at once if it has not ended."""
        self.end_input()
        if self._child.exit_code is None:
            self._child.process.kill()
            self.exit_code()


class Processes:
    """Starts processes, and ends those that are left in the reverse order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Running] = []

    def start(self, *argv: str, env: Mapping[str, str] | None = None, cwd: Path = ROOT, typed: bool = False) -> Running:
        """Start a program."""
        running = Running(argv, self._folder, env, cwd, typed=typed)
        self._started.append(running)
        return running

    def begin_edge(self, service: str, redis_url: str, port: int, *settings: str) -> Running:
        """Start ``edgebus edge`` with ``NAME=VALUE`` settings, which logs all it can; it is not ready yet."""
        words = ["--port", str(port), "--redis", redis_url, "--log-level", "debug"]
        return self.start(*EDGEBUS, "edge", service, *words, *(word for it in settings for word in ("--set", it)))

    def edges(self, service: str, redis_url: str, count: int = 1, *settings: str) -> list[tuple[Running, int]]:
        """Start replicas of one service, each on a port of its own, and wait until all are ready."""
        ports = [free_port() for _ in range(count)]
        running = [self.begin_edge(service, redis_url, port, *settings) for port in ports]
        for edge, port in zip(running, ports, strict=True):
            wait_ready(edge, port)
        return list(zip(running, ports, strict=True))

    def end(self) -> Sequence[Running]:
        """End what is left; return all that there were."""
        for running in reversed(self._started):
            running.kill()
        return self._started


def wait_ready(edge: Running, port: int) -> None:
    """Wait until an edge says that it is ready."""
    edge.until(lambda: fetch(f"http://127.0.0.1:{port}/readyz")[0] == 200)


def program(name: str, package: str) -> str:
    """Return where a program is; skip the test, with the line that installs it, when it is nowhere."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    if found is None:
        pytest.skip(f"there is no {name}: apt-get install {package}")
    return found

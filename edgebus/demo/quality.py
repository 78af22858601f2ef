"""crackerjack's part of the demo: a small pytest suite, run again and again through the project's own plugin."""

import asyncio
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Final

from bus.broker.child import spawn_bound
from edgebus.demo.steps import Steps
from producers import Producer
from producers.services.crackerjack import Crackerjack

__all__ = ["Quality", "run_id"]

_SUITE: Final = Path(__file__).with_name("suite")
_PAUSE_S: Final = 3.0
_BUDGET_S: Final = 10.0


def run_id(number: int) -> str:
    """Return the id of the demo's run ``number``."""
    return f"demo-{os.getpid()}-{number}"


class Quality:
    """Runs the suite, and judges each run's duration as a quality gate.

    Args:
        producer: publishes the gate; the suite's own process publishes the tests.
        steps: gets every run's duration.
        url: of Redis, for the suite's process.

    """

    def __init__(self, producer: Producer, steps: Steps, *, url: str) -> None:
        self._events, self._steps, self._url = Crackerjack(producer), steps, url

    @staticmethod
    def is_possible() -> bool:
        """Whether pytest is installed; the bus itself does not depend on pytest."""
        return find_spec("pytest") is not None

    async def run(self) -> None:
        """Run until cancelled."""
        for number in count(1):
            await self._once(number)
            await asyncio.sleep(_PAUSE_S)

    async def _once(self, number: int) -> None:
        began = time.perf_counter()
        # decisions/0013: a child bound to the demo's life, also where the demo is killed. `spawn_bound` blocks until
        # the child runs.
        child = await asyncio.to_thread(
            spawn_bound,
            [
                sys.executable,
                *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:valkey", "--edgebus"),
                *("--edgebus-run-id", run_id(number), "--edgebus-redis", self._url),
                *("-c", os.fspath(_SUITE / "pytest.ini"), "--rootdir", os.fspath(_SUITE), os.fspath(_SUITE)),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            code = await child.wait()
        finally:
            child.process.kill()
        duration_s = time.perf_counter() - began
        self._steps.add("pytest-run", duration_s, failed=code != 0)
        # The duration is a true gate: on a machine under load it fails, and the demo shows a failure that happened.
        status = "passed" if duration_s <= _BUDGET_S else "failed"
        await self._events.broadcast_quality_gate_checked(
            "edgebus-demo", "suite-duration", status, round(duration_s, 3), _BUDGET_S
        )

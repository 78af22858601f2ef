"""What every journey stands on: a real server of its own, and processes that end with the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.processes import Processes
from tests.leaks import SEARCH


@pytest.fixture
def processes(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Processes]:
    """Lend a starter of processes; what is left of them is ended after the test, and what they wrote is searched."""
    processes = Processes(tmp_path)
    yield processes
    for running in processes.end():
        request.config.stash[SEARCH].look_at_output(running.output, " ".join(running.argv[:5]))

"""What every journey stands on: a real server of its own, and processes that end with the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.processes import Processes


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Lend a starter of processes; what is left of them is ended after the test."""
    processes = Processes(tmp_path)
    yield processes
    processes.end()

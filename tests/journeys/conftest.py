"""What every journey stands on: a real server of its own, and processes that end with the test."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bus.embedded import EmbeddedBroker
from producers import Producer
from tests.journeys.processes import Processes


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in list(os.environ):
        if name.startswith("EDGEBUS_"):
            monkeypatch.delenv(name)


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """Lend a real server."""
    with EmbeddedBroker(port=0) as broker:
        yield broker


@pytest.fixture
async def producer(broker: EmbeddedBroker) -> AsyncIterator[Producer]:
    """Lend a producer."""
    async with Producer(broker.url) as producer:
        yield producer


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Lend a starter of processes; what is left of them is ended after the test."""
    processes = Processes(tmp_path)
    yield processes
    processes.end()

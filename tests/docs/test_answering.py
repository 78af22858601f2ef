"""docs/answering.md: the service runs as it stands, and answers what the page says."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.asking import keys
from bus.broker.embedded import EmbeddedBroker
from tests.docs.pages import ROOT, Block, blocks
from tests.journeys.processes import environment, until
from tests.ports import free_port

PAGE = "docs/answering.md"
CONSOLE = [block for block in blocks(PAGE) if block.language == "console"]


class Shop:
    """A broker, an edge of the shop, and the shop itself: the first block of the page, in a process."""

    def __init__(self, broker: EmbeddedBroker, folder: Path) -> None:
        self.redis_port, self.port, self.folder = broker.port, free_port(), folder
        (source,) = [block.text for block in blocks(PAGE) if block.language == "python"]
        (folder / "shop.py").write_text(source.replace("8701", str(self.port)))
        self.environment = environment(EDGEBUS_REDIS_URL=broker.url)
        path = os.pathsep.join([os.fspath(folder), self.environment["PYTHONPATH"]])
        self.environment["PYTHONPATH"] = path
        edge = [sys.executable, "-m", "edgebus", "edge", "shop:SERVICE"]
        self.processes = [
            subprocess.Popen(command, cwd=folder, env=self.environment, stdout=subprocess.DEVNULL)
            for command in (edge, [sys.executable, "shop.py"])
        ]

    def run(self, command: str) -> str:
        program, *words = shlex.split(command.replace("6390", str(self.redis_port)))
        argv = ["redis-cli", "--no-raw", *words] if program == "redis-cli" else [sys.executable, "-m", program, *words]
        done = subprocess.run(argv, cwd=self.folder, env=self.environment, capture_output=True, check=False)
        return done.stdout.decode().strip()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with EmbeddedBroker(port=0) as broker:
        shop = Shop(broker, tmp_path)
        try:
            yield shop
        finally:
            for process in shop.processes:
                process.kill()
                process.wait()


def expected(block: Block) -> tuple[str, str]:
    command, _, text = block.text.partition("\n")
    return command.removeprefix("$ "), text.strip()


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="no redis-cli: apt-get install redis-tools")
def test_page_runs_as_it_stands(shop: Shop) -> None:
    """The service answers `edgebus ask`, and redis-cli shows what the page shows."""
    assert len(CONSOLE) == 4
    for command, text in map(expected, CONSOLE):
        if text:
            until(lambda command=command, text=text: shop.run(command) == text)  # type: ignore[misc]
        else:
            assert "bus:responder:{shop}:" in shop.run(command)


def test_keys_of_the_page_are_those_of_the_code() -> None:
    """The table has the names that the code makes."""
    text = (ROOT / PAGE).read_text("utf-8")
    for name in (
        keys.questions_key("SERVICE", "REQUEST"),
        keys.beats_key("SERVICE", "REQUEST"),
        keys.responder_key("SERVICE", "ID"),
        keys.answer_key("SERVICE", "QUESTION"),
        keys.answers_channel("EDGE"),
    ):
        assert f"| `{name}` |" in text

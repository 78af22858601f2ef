"""Clients of other makers, behind one small interface: a page in Chromium, and programs that one types into."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import pytest

from tests.journeys.browser import Page
from tests.journeys.clients import Message
from tests.journeys.processes import Processes, Running, program

_NODE: Final = Path(__file__).with_name("node")
_NPM_DEADLINE_S: Final = 60.0


class Peer(Protocol):
    """A client that does what it is told, and whose messages can be looked at."""

    def say(self, message: Message) -> None:
        """Send a message."""

    def heard(self) -> list[Message]:
        """Return every message so far."""

    def close(self) -> None:
        """Close the connection in order."""

    def closed(self) -> int | None:
        """Return the close code that it saw, None until then."""


class InTerminal:
    """A program that sends each line of its input, and prints what arrives."""

    def __init__(self, running: Running) -> None:
        self.running = running

    def say(self, message: Message) -> None:
        self.running.type(json.dumps(message))

    def heard(self) -> list[Message]:
        return [json.loads(text) for text in re.findall(r"< (\{.*\})\r?\n", self.running.output)]

    def close(self) -> None:
        self.running.end_input()

    def closed(self) -> int | None:
        found = re.search(r"Connection closed: (\d+)", self.running.output)
        return int(found[1]) if found else None


class InBrowser:
    """A page."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def say(self, message: Message) -> None:
        self._page.orders.put({"send": message})

    def heard(self) -> list[Message]:
        return [it["message"] for it in self._page.saw if "message" in it]

    def close(self) -> None:
        self._page.orders.put({"close": True})

    def closed(self) -> int | None:
        code: int | None = self._page.first("closed")
        return code if self._page.first("clean") else None


@contextmanager
def chromium(processes: Processes, port: int, folder: Path) -> Iterator[Peer]:
    """Lend a page that connects to an edge."""
    with Page().served() as page:
        page.open(processes, port, folder / "chromium")
        yield InBrowser(page)


@contextmanager
def websockets_client(processes: Processes, port: int, folder: Path) -> Iterator[Peer]:
    """Lend the interactive client of the Python library."""
    yield InTerminal(processes.start(sys.executable, "-m", "websockets", f"ws://127.0.0.1:{port}", typed=True))


@contextmanager
def node_ws(processes: Processes, port: int, folder: Path) -> Iterator[Peer]:
    """Lend a program on npm's ``ws``."""
    home = install_ws(folder / "node")
    running = processes.start(program("node", "nodejs"), str(home / "peer.js"), f"ws://127.0.0.1:{port}", typed=True)
    yield InTerminal(running)


def install_ws(home: Path) -> Path:
    """Install what the lock names into a copy of the folder; skip the test where npm cannot."""
    npm = program("npm", "npm")
    shutil.copytree(_NODE, home, ignore=shutil.ignore_patterns("node_modules"))
    ran = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"],
        cwd=home,
        capture_output=True,
        text=True,
        timeout=_NPM_DEADLINE_S,
        check=False,
    )
    if ran.returncode != 0:
        pytest.skip(f"npm ci failed in tests/journeys/node, a registry is needed: {ran.stderr[-500:]}")
    return home

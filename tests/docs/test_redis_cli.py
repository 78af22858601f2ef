"""docs/redis-cli.md, run from top to bottom."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bus.broker.embedded import EmbeddedBroker
from tests.docs.pages import Block, blocks
from tests.journeys.acl import Users, redis_cli, users_only

DEADLINE_S = 20.0
PAGE = "docs/redis-cli.md"

_VARIABLE = (
    (r"\b\d{13}-\d{1,20}\b", "POSITION"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "ID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", "TIME"),
    (r"^\d\d:\d\d:\d\d\.\d{3}\b", "CLOCK"),
    (r"\b(bus:edge:)?mahavishnu-\S+-\d+-\d+-[0-9a-f]{8}", "EDGE"),
    (r"\b\d{13}-[0-9a-f]{16}\b", "EPOCH"),
    (r"^\(integer\) (8640[01]|8639\d)$", "(integer) TTL"),
)


def normalised(text: str) -> str:
    """Return ``text`` with what differs from run to run replaced by its kind."""
    for pattern, kind in reversed(_VARIABLE):
        text = re.sub(pattern, kind, text, flags=re.MULTILINE)
    return text.strip()


@dataclass
class Terminals:
    """Where the page's commands run: a broker, an edge, and what was left running in the background.

    With ``users``, redis-cli and what reads is the operator, `edgebus publish` the producer, and nobody else comes in.
    """

    redis_port: int
    edge_port: int
    folder: Path
    users: Users | None = None
    background: list[tuple[subprocess.Popen[bytes], Path, str]] = field(default_factory=list)

    def argv(self, command: str) -> list[str]:
        program, *words = shlex.split(command)
        words = [str(self.redis_port) if word == "6390" else word for word in words]
        if program == "redis-cli":
            login = ["-u", self.users.operator, "--no-auth-warning"] if self.users else []
            return ["redis-cli", "--no-raw", *login, *words]
        assert program == "edgebus"
        url = ["--url", f"ws://127.0.0.1:{self.edge_port}"] if words[0] == "listen" else []
        return [sys.executable, "-m", "edgebus", *words, *url]

    def environment(self, command: str) -> dict[str, str]:
        url = f"redis://127.0.0.1:{self.redis_port}"
        if self.users is not None:
            url = self.users.producer if command.startswith("edgebus publish") else self.users.operator
        return {**os.environ, "EDGEBUS_REDIS_URL": url}

    def run(self, command: str) -> str:
        done = subprocess.run(
            self.argv(command), env=self.environment(command), capture_output=True, timeout=DEADLINE_S, check=True
        )
        return done.stdout.decode()

    def leave_running(self, command: str, expected: str) -> None:
        output = self.folder / f"terminal-{len(self.background)}"
        with output.open("wb") as file:
            process = subprocess.Popen(self.argv(command), env=self.environment(command), stdout=file)
        self.background.append((process, output, expected))


@pytest.fixture(params=["anybody", "users of edgebus acl"])
def terminals(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminals]:
    with EmbeddedBroker(port=0) as broker:
        users = users_only(broker) if request.param != "anybody" else None
        environment = {**os.environ, "EDGEBUS_REDIS_URL": users.edge if users else broker.url}
        edge = subprocess.Popen(
            [sys.executable, "-m", "edgebus", "edge", "mahavishnu", "--port", "0"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert edge.stdout is not None
        line = edge.stdout.readline().decode()
        port = re.search(r"ws://127\.0\.0\.1:(\d+)", line)
        assert port is not None, line
        terminals = Terminals(broker.port, int(port[1]), tmp_path, users)
        try:
            yield terminals
        finally:
            for process in (*(process for process, _, _ in terminals.background), edge):
                process.send_signal(signal.SIGINT)
                process.wait(DEADLINE_S)
            edge.stdout.close()


def perform(block: Block, terminals: Terminals) -> None:
    first, _, expected = block.text.partition("\n")
    command = first.removeprefix("$ ")
    if block.note == "in the background":
        terminals.leave_running(command, expected)
        return
    printed, due = terminals.run(command), time.monotonic() + DEADLINE_S
    while block.note == "until it is so" and normalised(printed) != normalised(expected) and time.monotonic() < due:
        printed = terminals.run(command)
    assert normalised(printed) == normalised(expected), command


def wait_for_output(output: Path, expected: str) -> None:
    due = time.monotonic() + DEADLINE_S
    while normalised(output.read_text()) != normalised(expected) and time.monotonic() < due:
        pass
    assert normalised(output.read_text()) == normalised(expected)


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="no redis-cli: apt-get install redis-tools")
@pytest.mark.timeout(120)
def test_redis_cli_page_prints_what_it_says(terminals: Terminals) -> None:
    """Every command of the page, run in its order, prints what stands below it."""
    page = [block for block in blocks(PAGE) if block.language == "console"]
    assert len(page) >= 10
    for block in page:
        perform(block, terminals)
    for _, output, expected in terminals.background:
        wait_for_output(output, expected)
    if terminals.users is not None:
        assert redis_cli(terminals.users.admin, "ACL", "LOG") == "", "an operator was refused something"


def test_normalising_keeps_what_matters() -> None:
    """The comparison is blind to ids, positions and times, and to nothing else."""
    assert normalised("workflow:a  1767268800000-12") == normalised("workflow:a  1767268800001-987")
    assert normalised("(integer) 2") != normalised("(integer) 3")
    assert normalised('"previous":"0-0"') != normalised('"previous":"1767268800000-12"')

"""docs/runbook.md: every command of every section runs, as the user whom the page names, and Redis refuses none."""

import itertools
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
import yaml
from typer.testing import CliRunner

from bus.broker.embedded import EmbeddedBroker
from edgebus.cli import app
from edgebus.commands.certificates import write_dev
from producers.blocking import Producer
from producers.services.mahavishnu import WorkflowStarted
from tests.docs.pages import ROOT, Block, blocks
from tests.journeys.acl import Users, redis_cli, users_only
from tests.journeys.processes import DEADLINE_S, EDGEBUS, Running, environment, program, wait_ready
from tests.journeys.watched import ask, client_of, read_until
from tests.ports import free_port

PAGE: Final = "docs/runbook.md"
CHANNEL: Final = "workflow:wf_1"
SECRET: Final = "of-the-runbook-and-of-nothing-else-0123456789"
WORDS: Final = re.compile(r"\b(?:EDGE|CHANNEL|CLIENT|USER|HOST:PORT|CERTIFICATE|PID)\b")


def commands() -> Iterator[tuple[str, Block]]:
    """Yield the commands of the page, each text once for each user."""
    seen = set[tuple[str, bool]]()
    for block in blocks(PAGE):
        assert block.language == "sh"
        for line in block.text.splitlines():
            if (line, is_admins(block)) not in seen:
                seen.add((line, is_admins(block)))
                yield line, block


def is_admins(block: Block) -> bool:
    """Tell whether a block is for an administrator of Redis."""
    return "as administrator" in block.note


def token(user: str) -> str:
    """Return a token of a user who may read workflows."""
    made = CliRunner().invoke(app, ["token", "make", user, "workflow:read"], env={"EDGEBUS_AUTH_SECRET": SECRET})
    return made.stdout.strip()


@dataclass
class Scene:
    """An edge with users in a room that has events, on a Redis where everybody has the rights of the page."""

    edge: Running
    port: int
    users: Users
    folder: Path
    producer: Producer
    stack: ExitStack
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def run(self, line: str, block: Block) -> tuple[int, str]:
        """Run a command, its words in capitals filled in; return its exit code and what it printed."""
        url = self.users.admin if is_admins(block) else self.users.operator
        match shlex.split(self._filled(line)):
            case ["edgebus", *words]:
                ran = CliRunner().invoke(app, words, env={"EDGEBUS_REDIS_URL": url, "EDGEBUS_TOKEN": token("operator")})
                return ran.exit_code, ran.output
            case ["redis-cli", "-p", "6390", *words]:
                return _process(program("redis-cli", "redis-tools"), "-e", "--no-auth-warning", "-u", url, *words)
            case ["docker", "compose", *words]:
                return _compose(words)
            case ["systemctl" | "journalctl", *words]:
                return _unit(words)
            case words:
                return _process(*words)

    def _filled(self, line: str) -> str:
        known = {
            "EDGE": redis_cli(self.users.admin, "ZRANGE", "bus:edges", "0", "0"),
            "CHANNEL": CHANNEL,
            "HOST:PORT": f"127.0.0.1:{self.port}",
            "CERTIFICATE": str(self.folder / "edgebus-cert.pem"),
            "PID": str(self.edge.pid),
        }
        if "CHANNEL" in line:  # one of the page's commands deletes the log
            self.producer.publish(WorkflowStarted(workflow_id="wf_1"))
        head = re.match(r"redis-cli -p 6390 (CLIENT )?|", line)
        assert head is not None
        rest = line[head.end() :]
        if re.search(r"\b(CLIENT|USER)\b", rest):
            known |= self._newcomer()
        return head[0] + WORDS.sub(lambda found: known[found[0]], rest)

    def _newcomer(self) -> dict[str, str]:
        """Have a user of a new name come in, and watch the channel."""
        user = f"user-{next(self.numbers)}"
        client = self.stack.enter_context(client_of(self.port))
        ask(client, "auth", token=token(user))
        welcome = read_until(client, b'"rate_limit"')
        ask(client, "subscribe", channel=CHANNEL)
        read_until(client, b'"subscribed"')
        (found,) = set(re.findall(rb'"connection_id":"([^"]+)"', welcome))
        return {"CLIENT": found.decode(), "USER": user}


def _process(*words: str) -> tuple[int, str]:
    ran = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def _compose(words: list[str]) -> tuple[int, str]:
    """Have a verb of compose and services of compose.yaml: there are no containers here."""
    verb, *names = [word for word in words if not word.startswith("--")]
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return int(verb not in {"up", "ps", "restart"} or not services.keys() >= set(names)), f"{verb} {names}"


def _unit(words: list[str]) -> tuple[int, str]:
    """Have a unit of Redis', or an instance of ours: there is no systemd here."""
    (name,) = [word.partition("@")[0] for word in words if "@" in word or word == "redis-server"]
    is_known = name == "redis-server" or (ROOT / "deploy" / "systemd" / f"{name}@.service").is_file()
    return int(not is_known), " ".join(words)


def wait_in_reach(edge: Running, admin: str) -> None:
    """Wait until operators find an edge and are heard there; for clients it is ready a little earlier."""
    edge.until(lambda: redis_cli(admin, "ZRANGE", "bus:edges", "0", "-1"))
    edge.until(lambda: redis_cli(admin, "PUBSUB", "CHANNELS", "bus:admin:*"))


@pytest.fixture
def scene(broker: EmbeddedBroker, tmp_path: Path) -> Iterator[Scene]:
    """Lend the scene."""
    users, port = users_only(broker), free_port()
    write_dev(tmp_path, extra=(), days=30, force=False)
    argv = [*EDGEBUS, "edge", "mahavishnu", "--port", str(port), "--redis", users.edge]
    with ExitStack() as stack:
        edge = Running(argv, tmp_path, environment(EDGEBUS_AUTH_SECRET=SECRET))
        stack.callback(edge.kill)
        wait_ready(edge, port)
        wait_in_reach(edge, users.admin)
        producer = stack.enter_context(Producer(users.producer))
        yield Scene(edge, port, users, tmp_path, producer, stack)


@pytest.mark.timeout(120)
def test_every_command_of_the_runbook_runs(scene: Scene) -> None:
    """Each command does what the page has it for, and Redis has refused the operator nothing."""
    wrong = list[str]()
    for line, block in commands():
        code, printed = scene.run(line, block)
        if code or "Traceback" in printed:
            wrong.append(f"{line}: {code}\n{printed}")
    assert not wrong, "\n".join(wrong)
    told = redis_cli(scene.users.admin, "ACL", "LOG").splitlines()
    assert dict(zip(told[::2], told[1::2], strict=True)) == {}, "somebody was refused something"

"""A real pytest run with the plugin, seen test by test by a WebSocket client, and by a person with redis-cli."""

import json
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

import pytest

from bus.broker.embedded import EmbeddedBroker
from tests.journeys.clients import Message, Viewer, viewing
from tests.journeys.processes import Processes, Running, program

OUTCOME: Final = re.compile(r"^(\S+::.+?) (PASSED|FAILED|SKIPPED)\b", re.M)
SUITE: Final = '''
import pathlib, pytest, time

def test_first(): pass

def test_second():
    """Wait until somebody has seen the first."""
    seen = pathlib.Path(__file__).with_name("seen")
    while not seen.exists():
        time.sleep(0.01)

def test_third(): assert 1 == 2, "no such luck"

@pytest.mark.skip(reason="not today")
def test_fourth(): pass
'''


def begin(processes: Processes, broker: EmbeddedBroker, run_id: str, *arguments: str) -> Running:
    """Start pytest with the plugin; where the project is only on the path and not installed, by its name."""
    plugin = [] if entry_points(group="pytest11", name="edgebus") else ["-p", "producers.pytest_plugin"]
    options = ["--edgebus", "--edgebus-run-id", run_id, "--edgebus-redis", broker.url]
    quiet = ["-v", "--color=no", "-p", "no:cacheprovider", "-p", "no:valkey"]
    return processes.start(sys.executable, "-m", "pytest", *plugin, *options, *quiet, *arguments)


async def see(viewer: Viewer) -> list[Message]:
    """Return the events of a run until its last."""
    seen: list[Message] = []
    while not seen or seen[-1]["event"] != "test.completed":
        seen.append(await viewer.event())
    return seen


def of(seen: list[Message], event: str) -> list[dict[str, Any]]:
    return [message["data"] for message in seen if message["event"] == event]


@pytest.fixture
def port(processes: Processes, broker: EmbeddedBroker) -> int:
    """Start an edge of crackerjack."""
    ((_, port),) = processes.edges("crackerjack", broker.url)
    return port


async def test_run_of_this_project_is_seen_test_by_test(
    processes: Processes, broker: EmbeddedBroker, port: int
) -> None:
    """A client sees each test of a run as pytest prints it; redis-cli shows the same lines in the same order."""
    redis_cli = program("redis-cli", "redis-tools")
    async with viewing(port, "test:journey-1") as viewer, viewing(port, "global") as bystander:
        run = begin(processes, broker, "journey-1", "tests/bus/test_position.py")
        seen = await see(viewer)
        assert [it["event"] for it in await bystander.events(2)] == ["test.started", "test.completed"]
        status = (await viewer.ask("get_test_status", run_id="journey-1"))["data"]
    assert run.exit_code() == 0
    printed = OUTCOME.findall(run.output)
    assert [(it["test_name"], it["outcome"].upper()) for it in of(seen, "test.case_completed")] == printed
    assert (
        len(printed) == of(seen, "test.started")[0]["total_tests"] == of(seen, "test.completed")[0]["tests_completed"]
    )
    assert (status["status"], status["tests_completed"]) == ("passed", len(printed))

    log = [redis_cli, "-p", str(broker.port), "--json", "XRANGE", "bus:log:{test:journey-1}", "-", "+"]
    entries = json.loads(subprocess.run(log, capture_output=True, timeout=10, check=True).stdout)
    fields = [dict(zip(pairs[::2], pairs[1::2], strict=True)) for _, pairs in entries]
    assert [(position, it["previous"], it["event"]) for (position, _), it in zip(entries, fields, strict=True)] == [
        (it["position"], it["previous"], it["event"]) for it in seen
    ]
    assert [json.loads(it["line"])["data"] for it in fields] == [it["data"] for it in seen]
    print(f"{len(printed)} tests of a run, {len(seen)} events, {len(entries)} entries in redis-cli")


async def test_run_is_seen_while_it_lasts(
    processes: Processes, broker: EmbeddedBroker, port: int, tmp_path: Path
) -> None:
    """A test is seen when it has ended, not when the run has; a failure comes with its error, a skip as one."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_luck.py").write_text(SUITE)
    async with viewing(port, "test:journey-2") as viewer:
        run = begin(
            processes, broker, "journey-2", "--rootdir", str(tmp_path), "-c", f"{tmp_path}/pytest.ini", str(tmp_path)
        )
        first = await viewer.until("test.case_completed")
        assert first["data"]["test_name"] == "test_luck.py::test_first"
        (tmp_path / "seen").touch()
        seen = [first, *await see(viewer)]
    assert run.exit_code() == 1
    assert [(it["test_name"][-6:], it["outcome"]) for it in of(seen, "test.case_completed")] == [
        ("_first", "passed"),
        ("second", "passed"),
        ("_third", "failed"),
        ("fourth", "skipped"),
    ]
    (failure,) = of(seen, "test.failed")
    assert failure["test_name"] == "test_luck.py::test_third"
    assert "no such luck" in failure["error"]
    assert "assert 1 == 2" in failure["traceback"]
    assert of(seen, "test.completed")[0].items() >= {"tests_completed": 4, "tests_failed": 1}.items()

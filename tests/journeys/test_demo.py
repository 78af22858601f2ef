"""``edgebus demo`` as a person meets it: what it shows, what its lines do, and what is left when it is gone."""

import asyncio
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

import pytest

from tests.journeys.clients import Message, Viewer, viewing
from tests.journeys.processes import (
    EDGEBUS,
    ROOT,
    Processes,
    Running,
    edgebus,
    environment,
    program,
    until,
    wait_ready,
)
from tests.ports import free_shift, is_free

BROKER_PORT: Final = 6390
PORTS: Final = {"mahavishnu": 8690, "akosha": 8692, "crackerjack": 8686, "session-buddy": 8765, "dhruva": 8693} | {
    "excalidraw": 3042,
    "fastblocks": 8684,
}
LINE: Final = re.compile(r"^  ((?:\.venv/bin/edgebus|redis-cli) .+)$", re.M)


@pytest.fixture
def shift() -> int:
    """Return a shift with which every port of the demo is free."""
    return free_shift()


def begin(processes: Processes, shift: int, *arguments: str) -> Running:
    """Start the demo."""
    return processes.start(*EDGEBUS, "demo", "--shift", str(shift), *arguments)


def wait_explained(demo: Running) -> list[str]:
    """Wait until the demo has said what there is; return the lines to be copied."""
    demo.until(lambda: "Ctrl-C ends it." in demo.output)
    return LINE.findall(demo.output)


def check_end(demo: Running, shift: int) -> None:
    """Compare how the demo ended with how it should."""
    assert "Traceback" not in demo.output
    assert demo.output.rstrip().endswith("demo ended; nothing of it is left running")
    assert is_free(BROKER_PORT + shift)


# What it shows


def need_plugin() -> None:
    if not entry_points(group="pytest11", name="edgebus"):
        pytest.skip("edgebus is not installed, so pytest does not know its plugin: pip install --editable .")


async def run_of(viewer: Viewer) -> list[Message]:
    """Return the events of the first test run that is seen from its start."""
    seen = [await viewer.until("test.started")]
    while seen[-1]["event"] != "test.completed":
        event = await viewer.event()
        if event["room"] == seen[0]["room"]:
            seen.append(event)
    return seen


async def metrics_of(flat: Viewer) -> Message:
    """Return the first metrics that a flat client gets, of steps that were made."""
    assert (await flat.receive())["type"] == "connected"
    while not (message := await flat.receive())["data"]["top_skills"]:
        pass
    assert message.keys() == {"type", "timestamp", "data"}
    return message


async def test_demo_is_seen_from_outside(processes: Processes, shift: int) -> None:
    """Clients outside of the demo see its workflow, its test run and its skills; then it ends by itself."""
    need_plugin()
    began = time.monotonic()
    demo = begin(processes, shift, "--for", "8")
    wait_ready(demo, PORTS["mahavishnu"] + shift)
    runs = [f"test:demo-{demo.pid}-{number}" for number in (1, 2, 3)]
    async with (
        viewing(PORTS["mahavishnu"] + shift, "pool:demo") as workflow,
        viewing(PORTS["crackerjack"] + shift, *runs) as quality,
        viewing(PORTS["session-buddy"] + shift) as flat,
    ):
        first = await workflow.event()
        print(f"first event of the demo at a client: {time.monotonic() - began:.2f} s after its start")
        assert (first["type"], first["room"]) == ("event", "pool:demo")
        hashed = await workflow.until("task.completed")
        assert re.fullmatch(r"[0-9a-f]{64}", hashed["data"]["result"]["sha256"])

        started, *cases, completed = await run_of(quality)
        names = [case["data"]["test_name"] for case in cases]
        assert {case["event"] for case in cases} == {"test.case_completed"}
        assert started["data"]["total_tests"] == completed["data"]["tests_completed"] == len(set(names)) == len(names)
        assert any("test_compression_gives_back_what_it_was_given" in name for name in names)

        metrics = (await metrics_of(flat))["data"]
        assert {skill["skill_name"] for skill in metrics["top_skills"]} <= {"walk", "hash", "compress", "pytest-run"}
        assert all(0 <= skill["completion_rate"] <= 100 for skill in metrics["top_skills"])
    assert await asyncio.to_thread(demo.exit_code) == 0
    check_end(demo, shift)
    assert len(re.findall(r"^\d\d:\d\d:\d\d  published", demo.output, re.M)) >= 5, "a line each second"


# What its lines do


def shell(line: str) -> list[str]:
    """Return the command that runs a line as a shell would, with this Python in the place of the venv's."""
    own = f"{shlex.quote(sys.executable)} -m edgebus"
    return ["/bin/sh", "-c", f"exec {line.replace('.venv/bin/edgebus', own)}"]


def said(line: str) -> str:
    """Run a line that ends by itself; return what it said."""
    ran = subprocess.run(
        shell(line), env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=20, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def wait_said(running: Running, *words: str) -> None:
    """Wait until a line that goes on for ever has said some words."""
    running.until(lambda: all(word in running.output for word in words))


async def test_lines_of_the_demo_work_and_ctrl_c_ends_it(
    processes: Processes, shift: int, figure: Callable[[str], None]
) -> None:
    """Every line that the demo prints does what it says when it is pasted; Ctrl-C ends it, how soon is printed."""
    program("redis-cli", "redis-tools")
    need_plugin()
    demo = begin(processes, shift)
    listen, subscribe, xrange, channels, *by_hand = wait_explained(demo)
    addresses = {name: f"ws://127.0.0.1:{port + shift}" for name, port in PORTS.items()}
    assert dict(re.findall(r"^  (\S+) +(ws://\S+)$", demo.output, re.M)) == addresses

    proxied = environment(http_proxy="http://127.0.0.1:9", https_proxy="http://127.0.0.1:9")  # as in many offices
    watching = [processes.start(*shell(line), env=proxied) for line in (listen, subscribe)]
    for watcher in watching:
        wait_said(watcher, "task.completed", "pool:demo")
    assert "pool:demo" in said(channels)
    demo.until(lambda: "test.started" in said(xrange))
    for line, service, room in zip(
        by_hand, ("dhruva", "excalidraw", "fastblocks"), ("adapter:a1", "diagram:d1", "ui:c1"), strict=True
    ):
        async with viewing(PORTS[service] + shift, room) as viewer:
            assert room in said(line)
            event = await viewer.event()
            assert event["room"] == room
            assert event["event"] in line

    watching[0].signal(signal.SIGSTOP)  # a client that answers nothing any more, as one whose person typed Ctrl-Z
    began = time.monotonic()
    assert demo.signal(signal.SIGINT).exit_code() == 0
    figure(f"Ctrl-C ended the demo in {time.monotonic() - began:.2f} s")
    check_end(demo, shift)
    listener = watching[0].signal(signal.SIGCONT)
    wait_said(listener, "pool:demo", "interrupted")  # it waits for the edge to come back, and says so
    assert listener.signal(signal.SIGINT).exit_code() == 0


# What is left of it


def parents() -> dict[int, int]:
    """Return the parent of every process that lives; one that only waits to be reaped does not."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(") ")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in "ZX":
            found[int(stat.parent.name)] = int(parent)
    return found


def descendants(pid: int) -> dict[int, str]:
    """Return the processes that ``pid`` started, and those that they started, with their command lines."""
    tree, found, waiting = parents(), {}, [pid]
    while waiting:
        above = waiting.pop()
        children = [child for child, parent in tree.items() if parent == above]
        found.update({child: command(child) for child in children})
        waiting += children
    return found


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_nothing_is_left_of_a_killed_demo(processes: Processes, shift: int) -> None:
    """SIGKILL leaves the demo no time for anything, and still its server and its test run end with it."""
    demo = begin(processes, shift)

    def busy() -> dict[int, str] | None:
        found = descendants(demo.pid)
        lines = found.values()
        both = any("-server" in line for line in lines) and any("--edgebus-run-id" in line for line in lines)
        return found if both else None

    children = demo.until(busy)
    began = time.monotonic()
    assert demo.signal(signal.SIGKILL).exit_code() == -signal.SIGKILL
    until(lambda: not children.keys() & parents().keys(), deadline_s=5)
    print(f"{len(children)} children of a killed demo gone after {time.monotonic() - began:.3f} s")
    assert all(is_free(port + shift) for port in (BROKER_PORT, *PORTS.values()))
    ours = f"--shift {shift}", f":{BROKER_PORT + shift}", f"--port {BROKER_PORT + shift}"
    assert [line for line in map(command, parents()) if any(mark in line for mark in ours)] == []


# What it says when it cannot start


@pytest.mark.parametrize("taken", ["mahavishnu", "fastblocks", "broker"])
def test_demo_names_the_port_that_is_taken(shift: int, taken: str) -> None:
    """A port that somebody has is named in a sentence, with what helps; nothing is left running."""
    port = {**PORTS, "broker": BROKER_PORT}[taken] + shift
    with socket.create_server(("127.0.0.1", port)):
        ran = edgebus("demo", "--shift", str(shift))
    assert (ran.returncode, ran.stdout) == (1, "")
    assert len(ran.stderr.splitlines()) == 1, ran.stderr
    assert str(port) in ran.stderr
    assert "--shift" in ran.stderr
    assert is_free(BROKER_PORT + shift)

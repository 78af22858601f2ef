"""What ``edgebus lab run`` prints and ends with, on scenarios that start nothing."""

import asyncio
import itertools
import json
import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner, Result

from edgebus.cli import app
from edgebus.lab import laboratory
from edgebus.lab.laboratory import Result as Outcome
from edgebus.lab.scenarios import SCENARIOS, Scenario
from edgebus.lab.stage import servers
from edgebus.lab.stage.site import Site, Size


class Fault:
    """A scenario that counts its runs, and holds a precondition that fails in some of them."""

    def __init__(self, *void: int) -> None:
        self.void, self.runs = void, 0

    async def run(self, site: Site) -> None:
        """Nothing happens."""
        self.runs += 1
        site.require("the fault was there", holds=self.runs not in self.void)


def run(monkeypatch: pytest.MonkeyPatch, fault: Fault, *words: str) -> Result:
    monkeypatch.setitem(SCENARIOS, "nothing", Scenario("nothing", fault.run))
    return CliRunner().invoke(app, ["lab", "run", *words])


def test_times_repeats_each_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run has a row of its own, and the sum says how many of them kept every promise."""
    fault = Fault(2)
    done = run(monkeypatch, fault, "nothing", "--times", "3")
    assert (done.exit_code, fault.runs) == (0, 3)
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[-1] for row in rows if row[0] == "nothing"] == ["kept", "void", "kept"]
    assert "nothing: 2 of 3 kept every promise, 0 broke one, 1 said nothing" in done.stdout


def test_times_in_json_has_a_line_for_each_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs count for themselves."""
    done = run(monkeypatch, Fault(), "nothing", "--times", "2", "--json")
    assert [json.loads(line)["verdict"] for line in done.stdout.splitlines()] == ["kept", "kept"]


def test_one_broken_run_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command ends with 1 if any run broke a promise, whatever the others said."""
    real, results = laboratory.run_scenario, itertools.count()

    async def second_breaks(scenario: Scenario, size: Size) -> Outcome:
        result = await real(scenario, size)
        return replace(result, verdict="broken") if next(results) == 1 else result

    monkeypatch.setattr("edgebus.lab.report.run_scenario", second_breaks)
    done = run(monkeypatch, Fault(), "nothing", "--times", "3")
    assert done.exit_code == 1
    assert "nothing: 2 of 3 kept every promise, 1 broke one, 0 said nothing" in done.stdout


async def test_edge_that_is_not_up_in_time_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is busy: the run says nothing, whichever task of the scenario waits for the edge."""
    monkeypatch.setattr(servers, "_START_DEADLINE_S", 0.01)
    monkeypatch.setattr(servers, "EDGE_COMMAND", [sys.executable, "-c", "import signal; signal.pause()"])

    async def start(site: Site) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(site.edge_processes("redis://127.0.0.1:1", 1))

    result = await laboratory.run_scenario(Scenario("late", start), laboratory.SMALL)
    assert result.verdict == "void"
    assert [it.text for it in result.preconditions] == ["an edge listens within 0.01 s of its start"]


async def test_precondition_is_one_in_any_task() -> None:
    """A scenario whose faults meet has tasks, and their errors come in a group."""

    async def start(site: Site) -> None:
        async with asyncio.TaskGroup():
            site.require("the replica has found its primary", holds=False)

    result = await laboratory.run_scenario(Scenario("meeting", start), laboratory.SMALL)
    assert (result.verdict, len(result.preconditions)) == ("void", 1)


def test_run_without_an_end_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline of a run is no traceback."""

    class Endless(Fault):
        async def run(self, site: Site) -> None:
            raise TimeoutError

    done = run(monkeypatch, Endless(), "nothing")
    assert done.exit_code == 4
    assert "nothing: the run did not end in time" in done.stderr


def test_times_is_a_number_of_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No run at all would keep every promise, so there is at least one."""
    assert run(monkeypatch, Fault(), "nothing", "--times", "0").exit_code == 2

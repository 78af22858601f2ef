"""Faults from a seed: the schedule is the seed's alone, a few seeds keep every promise, planted faults are found."""

import asyncio
import itertools
import sys
from collections.abc import Callable
from functools import partial

import pytest

from edgebus.lab.laboratory import Result, run_scenario
from edgebus.lab.scenarios import Scenario, chaos
from edgebus.lab.scenarios.chaos import FAULTS, draw, run_schedule
from edgebus.lab.stage import servers
from edgebus.lab.stage.site import Size
from tests.lab.runs import told

SEEDS = (322, *range(1, 6))
"""The first one ends with an edge whose link is deaf: who does not probe it hears nothing more of a quiet room."""
SECONDS = 20.0
SIZE = Size("small", settle_s=5.0)


def run(seed: int) -> Result:
    scenario = Scenario(f"chaos-{seed}", partial(run_schedule, strokes=draw(seed, SECONDS)))
    return asyncio.run(run_scenario(scenario, SIZE))


def test_schedule_is_that_of_its_seed() -> None:
    """One seed makes one schedule, another one another; every fault is drawn sooner or later."""
    assert draw(7, 45) == draw(7, 45) != draw(8, 45)
    assert {stroke.fault for seed in range(20) for stroke in draw(seed, 45)} == FAULTS.keys()


def test_schedule_fills_its_time_and_lets_faults_meet() -> None:
    """Faults begin within the seconds asked for, in order, and some begin while another one lasts."""
    strokes = draw(1, 45)
    begins = [stroke.begins_s for stroke in strokes]
    assert begins == sorted(begins)
    assert 0 < begins[0] < begins[-1] < 45
    assert any(two.begins_s < one.begins_s + one.lasts_s for one, two in itertools.pairwise(strokes))


@pytest.mark.nightly
@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", SEEDS)
def test_seed_keeps_every_promise(seed: int, figure: Callable[[str], None]) -> None:
    """Whatever meets: nothing is lost in silence, doubled or out of order, and edges are ready again."""
    result = run(seed)
    figure(told(result.scenario, result))
    assert [it.text for it in result.preconditions if not it.holds] == []
    assert result.findings.broken == []


@pytest.mark.nightly
@pytest.mark.timeout(400)
@pytest.mark.parametrize("fault", ["replay", "comparison", "probe"])
def test_planted_fault_is_found(monkeypatch: pytest.MonkeyPatch, fault: str, figure: Callable[[str], None]) -> None:
    """The control: with a protection of the product taken out of the edges, one of the same seeds breaks a promise."""
    monkeypatch.setattr(servers, "EDGE_COMMAND", [sys.executable, "-m", "tests.lab.unprotected", fault])
    monkeypatch.setattr(chaos, "_WHOLE_S", 5.0)
    for seed in SEEDS:
        result = run(seed)
        if result.verdict == "broken":
            figure(f"{told(result.scenario, result)}, without {fault}")
            return
    pytest.fail(f"no seed noticed that there is no {fault}")

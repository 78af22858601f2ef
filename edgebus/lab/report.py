"""``edgebus lab``: running scenarios by name, and showing results as a table or as JSON lines."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from rich.table import Table
from rich.text import Text

from bus.errors import BusError, BusTimeout
from edgebus.lab.laboratory import FULL, SMALL, Result, run_scenario
from edgebus.lab.scenarios import SCENARIOS, Scenario
from edgebus.lab.scenarios.chaos import draw, run_schedule
from edgebus.terminal import Exit, escape, note, show, show_json, show_table

__all__ = ["run_chaos", "run_named", "show_scenarios"]

_WIDTH: Final = 124
_CHAOS_MORE_S: Final = 120.0
"""The time of a schedule beside its seconds: servers start, faults end, clients recover."""
_COLUMNS: Final = (
    "scenario",
    "published",
    "delivered",
    "repaired",
    "told",
    "lost",
    "doubled",
    "refused",
    "back/s",
    "whole after",
    "took",
    "verdict",
)


def show_scenarios(*, as_json: bool) -> None:
    """List the scenarios."""
    if as_json:
        for name, scenario in SCENARIOS.items():
            show_json({"scenario": name, "sentence": scenario.sentence})
        return
    width = max(map(len, SCENARIOS))
    for name, scenario in SCENARIOS.items():
        show(f"{name:{width}}  {scenario.sentence}")


async def run_named(names: Sequence[str], *, size: str, as_json: bool, times: int = 1) -> Exit:
    """Run scenarios in order, each ``times`` times, a name given twice twice; FAILED when a promise broke in any run.

    Raises:
        BusError: there is no such scenario.

    """
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        raise BusError(f"no scenario is called {', '.join(unknown)}; there are: {', '.join(SCENARIOS)}")
    results = []
    for name, run in ((name, run) for name in names for run in range(times)):
        if not as_json and run == 0:
            note(f"{name}: {SCENARIOS[name].sentence}")
        with _in_time(name):
            result = await run_scenario(SCENARIOS[name], SMALL if size == "small" else FULL)
        results.append(result)
        if as_json:
            show_json(result.as_data())
    if not as_json:
        _show_table(results)
        if times > 1:
            _show_sums(results)
    return Exit.FAILED if any(result.verdict == "broken" for result in results) else Exit.OK


async def run_chaos(seeds: Sequence[int], *, seconds: float, as_json: bool) -> Exit:
    """Run the schedules of seeds; show a schedule with a broken promise, and the line that repeats the run."""
    results = []
    for seed in seeds:
        strokes = draw(seed, seconds)
        if not as_json:
            note(f"seed {seed}: {len(strokes)} faults in {seconds:g} s")
        scenario = Scenario(f"chaos-{seed}", partial(run_schedule, strokes=strokes))
        with _in_time(scenario.name):
            result = await run_scenario(scenario, FULL, deadline_s=seconds + _CHAOS_MORE_S)
        results.append(result)
        if as_json:
            show_json({**result.as_data(), "seed": seed, "schedule": [str(stroke) for stroke in strokes]})
        elif result.verdict != "kept":
            for stroke in strokes:
                note(str(stroke))
            for sentence in _complaints(result):
                note(sentence)
            note(f"again: edgebus lab chaos --seed {seed} --seconds {seconds:g}")
    if not as_json:
        _show_table(results)
    return Exit.FAILED if any(result.verdict != "kept" for result in results) else Exit.OK


@contextmanager
def _in_time(name: str) -> Iterator[None]:
    """Say in a sentence which run came to no end."""
    try:
        yield
    except TimeoutError as error:
        raise BusTimeout(f"{name}: the run did not end in time") from error


def _show_sums(results: Sequence[Result]) -> None:
    """Print for each scenario the number of runs by verdict."""
    for name in dict.fromkeys(result.scenario for result in results):
        said = Counter(result.verdict for result in results if result.scenario == name)
        kept = f"{said['kept']} of {said.total()} kept every promise"
        show(f"{name}: {kept}, {said['broken']} broke one, {said['void']} said nothing")


def _show_table(results: Sequence[Result]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False, width=_WIDTH)  # whatever the terminal's is
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column in {"scenario", "verdict"} else "right", no_wrap=True)
    for result in results:
        found = result.findings
        counts = (found.published, found.delivered, found.repaired, found.told, found.lost, found.doubled)
        comings = (found.refused, found.returned_per_s)
        times = (f"{found.whole_s:.2f} s", f"{result.took_s:.1f} s")
        cells = (result.scenario, *map(str, counts + comings), *times, result.verdict)
        table.add_row(*(Text(escape(cell)) for cell in cells))
    show_table(table)
    for result in results:
        for sentence in _complaints(result):
            show(sentence)


def _complaints(result: Result) -> list[str]:
    """Return a sentence for each precondition and promise that did not hold in a run."""
    name = result.scenario
    void = [it.text for it in result.preconditions if not it.holds]
    return [f"{name}: nothing can be said, for this does not hold: {text}" for text in void] + [
        f"{name}: {it.promise} broken {it.times} times; the first: {it.example}" for it in result.findings.broken
    ]

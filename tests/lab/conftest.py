"""The laboratory's figures, printed after a run: what each scenario counted, and beside it its negative control."""

from collections.abc import Callable, Mapping

import pytest

from edgebus.lab.laboratory import Result

Record = Callable[[str, Mapping[str, Result | BaseException]], None]

_FIGURES = pytest.StashKey[dict[str, dict[str, Result]]]()
_COLUMNS = ("published", "delivered", "repaired", "told", "lost", "doubled", "refused", "returned_per_s")


@pytest.fixture(scope="session")
def record(request: pytest.FixtureRequest) -> Record:
    """Return what keeps results for the summary, under ``protected`` or ``control``."""

    def keep(side: str, results: Mapping[str, Result | BaseException]) -> None:
        figures = request.config.stash.setdefault(_FIGURES, {})
        for name, result in results.items():
            if isinstance(result, Result):
                figures.setdefault(name, {})[side] = result

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print a line for each scenario, and one for its control, under it."""
    figures = config.stash.get(_FIGURES, {})
    if not figures:
        return
    terminalreporter.section("laboratory")
    terminalreporter.line(
        _row("scenario", *(it.replace("returned_per_s", "back/s") for it in _COLUMNS), "whole after", "verdict")
    )
    for name, sides in figures.items():
        for side, label in (("protected", name), ("control", "  without its protection")):
            if side in sides:
                terminalreporter.line(_line(label, sides[side]))


def _line(label: str, result: Result) -> str:
    found = result.findings
    promises = " ".join(sorted({it.promise for it in found.broken}))
    counts = (str(getattr(found, column)) for column in _COLUMNS)
    return _row(label, *counts, f"{found.whole_s:.2f} s", f"{result.verdict} {promises}".strip())


def _row(label: str, *cells: str) -> str:
    *counts, verdict = cells
    return f"{label:26}" + "".join(f"{cell:>13}" for cell in counts) + f"  {verdict}"

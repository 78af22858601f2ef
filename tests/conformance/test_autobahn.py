"""The framing, text and closing of a connection, judged by Autobahn's case library.

Shown with its figures by ``pytest tests/conformance``; a case by itself, with an edge that echoes on port 9001, by
``.conformance/autobahn-…/bin/python tests/conformance/autobahn_cases.py .conformance/cases-…/….whl 9001 6.4.3``.
"""

import asyncio
import json
import tomllib
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.conformance import environment
from tests.conformance.echo import EchoEdge, echo_settings

HERE: Final = Path(__file__).resolve().parent
CASES: Final = 517
"""What the library has; fewer would be a loader that lost some."""
QUICK: Final = tuple(
    f"{family}.{number}"
    for family, numbers in {
        "1.1": 8,
        "1.2": 8,
        "2": 11,
        "3": 7,
        "4.1": 5,
        "4.2": 5,
        "5": 20,
        "7.1": 6,
        "7.3": 6,
    }.items()
    for number in range(1, numbers + 1)
)
"""Frames, pings, reserved bits, opcodes, fragments and closing: what every run of the tests looks at."""
ALL_WITHIN_S: Final = 150


class Verdict(NamedTuple):
    """What the library says of a case."""

    behaviour: str
    close: str


STRICTLY_OK: Final = Verdict("OK", "OK")


def cases_in(entry: str) -> Iterator[str]:
    """Return the ids that an entry of the baseline stands for: ``12.1.1-18`` for eighteen."""
    family, _, numbers = entry.rpartition(".")
    first, _, last = numbers.partition("-")
    return (f"{family}.{number}" for number in range(int(first), int(last or first) + 1))


def baseline() -> dict[str, Verdict]:
    """Return the verdicts of the cases that are not strictly OK."""
    groups = tomllib.loads((HERE / "baseline.toml").read_text())["differs"]
    assert all(group["reason"].strip() for group in groups)
    return {
        case: Verdict(group["behaviour"], group["close"])
        for group in groups
        for entry in group["cases"]
        for case in cases_in(entry)
    }


@pytest.fixture(scope="module")
def driver() -> list[str]:
    """Lend the command that runs the library, without the port."""
    try:
        python, wheel = environment.python(), environment.library()
    except environment.Unreachable as unreachable:
        pytest.skip(f"Autobahn could not be fetched: {unreachable}")
    return [str(python), "-I", str(HERE / "autobahn_cases.py"), str(wheel)]


async def run(driver: list[str], *cases: str) -> list[dict[str, Any]]:
    """Run the library, or some of its cases, against an edge that echoes; return what it found, case by case."""
    async with EchoEdge(echo_settings()) as edge, asyncio.timeout(ALL_WITHIN_S):
        process = await asyncio.create_subprocess_exec(*driver, str(edge.port), *cases, stdout=PIPE, stderr=PIPE)
        out, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("cases", "count"), [(QUICK, len(QUICK)), pytest.param((), CASES, marks=pytest.mark.nightly)], ids=["quick", "all"]
)
async def test_verdicts_are_those_of_the_baseline(
    driver: list[str], cases: Sequence[str], count: int, figure: Callable[[str], None]
) -> None:
    """Every case of the library is strictly OK, or differs exactly as the baseline says, with its reason there."""
    results = await run(driver, *cases)
    verdicts = {result["id"]: Verdict(result["behaviour"], result["close"]) for result in results}
    counts = Counter(verdict.behaviour for verdict in verdicts.values())
    figure(f"Autobahn: {len(verdicts)} cases run: {', '.join(f'{n} {name}' for name, n in counts.most_common())}")
    differing = {case: verdict for case, verdict in verdicts.items() if verdict != STRICTLY_OK}
    expected = {case: verdict for case, verdict in baseline().items() if not cases or case in cases}
    changed = {case for case in differing.keys() | expected.keys() if differing.get(case) != expected.get(case)}
    assert [result for result in results if result["id"] in changed] == []
    assert len(verdicts) == count


async def test_fault_is_found(driver: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the check of texts switched off, the library says so, and still finds good what is good."""
    monkeypatch.setattr("edges.transport.framing._is_utf8", lambda _: True)
    verdicts = {it["id"]: it["behaviour"] for it in await run(driver, "1.1.2", "6.3.1")}
    assert verdicts == {"1.1.2": "OK", "6.3.1": "FAILED"}


def test_entry_of_the_baseline_stands_for_its_cases() -> None:
    """An id is itself, and a range stands for every id in it."""
    assert list(cases_in("6.4.3")) == ["6.4.3"]
    assert list(cases_in("12.1.9-11")) == ["12.1.9", "12.1.10", "12.1.11"]


def test_package_index_that_cannot_be_reached_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a network, and with nothing kept, the reason holds the line to run when there is one."""
    monkeypatch.setattr(environment, "_KEPT", tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(environment.Unreachable, match=r"with a network, run: .* download .*library\.txt"):
        environment.library()

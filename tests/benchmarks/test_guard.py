"""The guard of the costs: what it lets pass, that it finds a planted slowdown, and that no path is dearer today."""

from pathlib import Path

import pytest

from benchmarks.guard.baseline import LIMIT, interpreter, judged, kept, put_down, ratios
from benchmarks.guard.counting import count
from benchmarks.peer import NotInstallable


def test_path_may_be_a_little_dearer() -> None:
    """Python and the libraries move a path by some percent; what is cheaper is no mistake."""
    before = {"publish": 100.0, "connect": 200.0}
    assert judged({"publish": 114.0, "connect": 20.0}, before, LIMIT) == []


def test_dearer_path_is_named() -> None:
    """Whoever made a path dearer reads which, and by how much."""
    (sentence,) = judged({"publish": 116.0, "connect": 200.0}, {"publish": 100.0, "connect": 200.0}, LIMIT)
    assert sentence.startswith("publish: 16% dearer (100 to 116 times the floor)")


def test_path_without_baseline_is_told() -> None:
    """A new path is not let pass unseen, and neither is one that is counted no more."""
    assert len(judged({"new": 1.0}, {"old": 1.0}, LIMIT)) == 2


def test_costs_are_multiples_of_the_floor() -> None:
    """A Python that needs twice the instructions for all changes no ratio."""
    assert ratios({"floor": 10.0, "publish": 50.0}) == ratios({"floor": 20.0, "publish": 100.0}) == {"publish": 5.0}


def test_other_python_is_held_against_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python without a baseline is given more room; an update leaves the others' baselines."""
    file = tmp_path / "baseline.json"
    put_down({"publish": 5.0}, file)
    monkeypatch.setattr("platform.python_version_tuple", lambda: ("3", "99", "0"))
    ratio, limit = kept(file)
    assert ratio == {"publish": 5.0}
    assert limit > LIMIT
    put_down({"publish": 7.0}, file)
    assert kept(file) == ({"publish": 7.0}, LIMIT)
    assert interpreter() in file.read_text()


@pytest.mark.timeout(240)
def test_no_path_is_dearer_and_a_slowdown_is_found() -> None:
    """No path costs 15 % more instructions than its baseline; with a slowdown planted, every path is named."""
    try:
        counts, slowed = count("tests.benchmarks.planted")
    except NotInstallable as missing:
        pytest.skip(str(missing))
    now = ratios(counts)
    assert judged(now, *kept()) == []
    assert {it.partition(":")[0] for it in judged(ratios(slowed), now, LIMIT)} == now.keys()

"""Figures of turns become a table, a file and a chart."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.chart import drawn
from benchmarks.results import Result, Row, Sample
from benchmarks.table import markdown


def row(*, is_more_better: bool = True, **figures: list[float]) -> Row:
    made = Row("burst", "burst", "k/CPU-s", is_more_better)
    for peer, values in figures.items():
        for value in values:
            made.add(peer, Sample(value, 0.02, {"received": 1}))
    return made


def result(made: Row) -> Result:
    return Result({"ours": "1", "centrifugo": "6"}, {"nchan": "no nginx"}, {}, {"burst": made}, "2026-01-02T03:04:05")


def test_ratio_is_of_pairs() -> None:
    """A slow second turn of both, as of a machine with other work, changes no ratio."""
    assert row(ours=[20, 2, 22], peer=[10, 1, 11]).ratio("peer") == 2


def test_less_is_better_turns_the_ratio() -> None:
    """More than 1 is ahead in every row."""
    assert row(is_more_better=False, ours=[5], peer=[10]).ratio("peer") == 2


def test_failed_peer_has_no_figure() -> None:
    """A turn that lost an event voids the turns before."""
    made = row(ours=[2], centrifugo=[1])
    made.refused["centrifugo"] = "of 10 deliveries: 3 lost"
    text = markdown(result(made))
    assert made.ratio("centrifugo") is None
    assert "| failed" in text
    assert "centrifugo at burst: of 10 deliveries: 3 lost" in text


def test_peer_that_is_not_there_is_named() -> None:
    """Never skipped in silence."""
    assert "- nchan: NOT MEASURED, no nginx" in markdown(result(row(ours=[2])))


def test_ratio_below_the_scale_is_an_arrow() -> None:
    """A dot at the edge would say a fifth where it is a thousandth."""
    assert drawn(result(row(ours=[1], centrifugo=[1000]))).count("<circle") == 1
    assert "<path" in drawn(result(row(ours=[1], centrifugo=[1000])))


def test_floor_of_publishes_stands_below_the_table() -> None:
    """It has no column, for it is no server."""
    text = markdown(result(row(is_more_better=False, ours=[300], hiredis=[100])))
    assert "- burst: ours 300 k/CPU-s, hiredis 100: 3.0 times" in text


@pytest.mark.parametrize(("foreign", "is_said"), [(0.02, False), (0.4, True)])
def test_disturbed_run_says_so(foreign: float, is_said: bool) -> None:
    """Others on the core make latencies and figures worth little."""
    made = row()
    made.add("ours", Sample(1, foreign, {"received": 1}))
    assert ("DISTURBED" in markdown(result(made))) is is_said


def test_notes_and_times_stand_below_the_table() -> None:
    """Whose limit a figure is, and what a run costs."""
    made = row(ours=[2])
    made.notes.append("busy: ours 60% and 99%")
    run = result(made)
    run.took_s["burst"] = 81.6
    assert "- burst: busy: ours 60% and 99%\nSeconds: burst 82." in markdown(run)


def test_part_of_a_run_may_come_again() -> None:
    """Works of one shape are timed one by one."""
    run = result(row(ours=[2]))
    for _ in range(2):
        with run.timed("burst"):
            pass
    assert list(run.took_s) == ["burst"]


def test_file_has_every_turn(tmp_path: Path) -> None:
    """Named by its day."""
    path = result(row(ours=[2, 3, 4], centrifugo=[1, 1, 1])).write(tmp_path)
    value = json.loads(path.read_text())
    assert path.name == "2026-01-02.json"
    assert value["rows"][0]["figures"]["ours"]["turns"] == [2, 3, 4]
    assert value["rows"][0]["figures"]["centrifugo"]["ours_to_it"] == 3


def test_chart_is_xml_with_a_dot_per_peer() -> None:
    """In both themes: colours of text and lines come from a style that asks for the reader's."""
    text = drawn(result(row(ours=[2], centrifugo=[1])))
    dots = [it for it in ElementTree.fromstring(text).iter() if it.tag.endswith("circle")]  # noqa: S314 (our own)
    assert len(dots) == 2  # one in the legend
    assert "prefers-color-scheme: dark" in text

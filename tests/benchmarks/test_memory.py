"""The run over time: what is flat, what grows, and that a leak is found."""

from xml.etree import ElementTree

import pytest

from benchmarks.memory.__main__ import main
from benchmarks.memory.curve import Sample, drawn, settled, slopes, verdict

MINUTES = 30
SHORT = ["--minutes", "0.5", "--every", "1", "--clients", "60", "--rooms", "6", "--rate", "100", "--replaced", "5"]


def samples(*, kb_a_minute: float = 0, settles_kb: int = 0, fds_a_minute: float = 0) -> list[Sample]:
    """Return 30 minutes of a process; in the first five the memory grows by ``settles_kb`` more."""
    found = []
    for turn in range(MINUTES * 6 + 1):
        minute = turn / 6
        own_kb = int(50_000 + kb_a_minute * minute + settles_kb * min(minute, 5) / 5) + turn % 3 * 200
        found.append(
            Sample(minute * 60, own_kb, own_kb + 1000, int(100 + fds_a_minute * minute), 10, 80_000 + turn % 30 * 1_000)
        )
    return found


def test_windows_that_fill_up_are_no_leak() -> None:
    """An edge grows in its first minutes, and its memory moves up and down afterwards."""
    assert verdict(settled(samples(settles_kb=20_000))) == []


def test_memory_that_grows_is_named() -> None:
    """A quarter of a megabyte a minute is a leak, and is told with its slope."""
    late = settled(samples(kb_a_minute=250))
    (sentence,) = verdict(late)
    assert sentence.startswith("own_kb grows by 2")
    assert slopes(late)["own_kb"] == pytest.approx(250, rel=0.05)


def test_files_that_grow_are_named() -> None:
    """Two files a minute end every process at last."""
    (sentence,) = verdict(settled(samples(fds_a_minute=2)))
    assert sentence.startswith("fds grows by 2")


def test_drawing_has_a_line_for_each_process() -> None:
    """The drawing is whole SVG."""
    text = drawn({"edge": samples(), "producer": samples(kb_a_minute=5)})
    assert text.count("<polyline ") == 2
    ElementTree.fromstring(text)  # noqa: S314 (our own)


@pytest.mark.nightly
@pytest.mark.timeout(180)
def test_leaking_edge_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    """Half a minute of 600 connections is enough for 20 KB kept of each; the same edge without the leak is flat."""
    assert main([*SHORT, "--leak", "tests.benchmarks.leaking"]) == 1
    leaking = capsys.readouterr().out
    assert "edge: own_kb grows by" in leaking
    assert "edge: kept grows by" in leaking
    assert " 0 lost, 0 doubled, 0 told" in leaking
    assert main(SHORT) == 0
    assert "flat" in capsys.readouterr().out

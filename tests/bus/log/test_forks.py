"""Who passes a place behind which events were lost."""

import pytest

from bus.envelope import Arrived
from bus.log.forks import Fork, passed, passed_since
from bus.position import BEGINNING

LINES = (Arrived(b"", "3-3", "2-2"), Arrived(b"", "4-4", "3-3"))
FOUND_MS = 50_000


@pytest.mark.parametrize(
    ("fork", "at", "lines", "end", "expected"),
    [
        pytest.param("2-2", "2-2", LINES, "4-4", True, id="stands on it"),
        pytest.param("3-3", "2-2", LINES, "4-4", True, id="passes it"),
        pytest.param("4-4", "2-2", LINES, "4-4", True, id="ends on it"),
        pytest.param("4-4", "4-4", (), "4-4", True, id="stands on it, and nothing followed"),
        pytest.param("1-1", "2-2", LINES, "4-4", False, id="begins behind it"),
        pytest.param("9-9", "2-2", LINES, "4-4", False, id="a place that is not there"),
        pytest.param("3-3", None, LINES, "4-4", True, id="stood nowhere, and is given both sides of it"),
        pytest.param("2-2", None, LINES, "4-4", False, id="stood nowhere, and is given what follows it"),
        pytest.param("4-4", None, LINES, "4-4", True, id="stood nowhere, and nothing followed what it is given"),
        pytest.param("1-1", None, LINES, "4-4", False, id="stood nowhere, and is given what is behind it"),
        pytest.param(BEGINNING, "40000-0", LINES, "4-4", True, id="the beginning, and it came before that was found"),
        pytest.param(BEGINNING, "60000-0", (), "60000-0", True, id="the same, as far as clocks may differ"),
        pytest.param(BEGINNING, "60001-0", LINES, "4-4", False, id="the beginning, and it came later"),
        pytest.param(BEGINNING, "2-2", LINES, "4-4", False, id="the beginning, and it had an event of this log"),
        pytest.param(BEGINNING, None, LINES, "4-4", False, id="the beginning, and it stood nowhere"),
    ],
)
def test_reader_that_stands_before_a_fork_crosses_it(
    fork: str, at: str | None, lines: tuple[Arrived, ...], end: str, expected: bool
) -> None:
    """Whoever stood on the last entry that both had, or before it, may have missed what came behind it."""
    assert bool(passed([Fork("7-7", FOUND_MS), Fork(fork, FOUND_MS)], at, lines, end, has_stayed=True)) is expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        pytest.param("40000-3", True, id="its last event came before anybody knew"),
        pytest.param(f"{FOUND_MS + 15_000}-3", True, id="its edge may not have looked for others' marks yet"),
        pytest.param(f"{FOUND_MS + 15_001}-3", False, id="it was told since"),
        pytest.param("39999-3", False, id="it stands before the fork"),
        pytest.param("60000-0", False, id="it stood where no log was"),
        pytest.param(None, False, id="it stood nowhere"),
    ],
)
def test_reader_that_comes_back_may_have_passed_a_fork_unknown_then(at: str | None, expected: bool) -> None:
    """It left its edge before that learned of the fork; a subscriber that stayed was told when the edge did."""
    forks = [Fork("40000-1", FOUND_MS)]
    assert bool(passed(forks, at, (), "90000-9", has_stayed=False)) is expected
    assert not passed(forks, at, (), "90000-9", has_stayed=True)


def test_no_fork_is_crossed_by_nobody() -> None:
    """The usual case."""
    assert not passed([], "2-2", LINES, "4-4", has_stayed=False)
    assert not passed_since([], 0)


@pytest.mark.parametrize(("since_ms", "expected"), [(FOUND_MS, True), (FOUND_MS + 1, False)])
def test_time_before_a_fork_was_found_crosses_it(since_ms: int, expected: bool) -> None:
    """What was lost was published before it was missed."""
    assert bool(passed_since([Fork("2-2", FOUND_MS)], since_ms)) is expected

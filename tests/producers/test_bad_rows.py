"""What a row that does not validate gets in a stream: the table of docs/limits.md."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from producers import CapturingProducer
from producers.services.session_buddy import SessionBuddy
from tests.docs.pages import ROOT

PAGE: Final = Path(ROOT, "docs", "limits.md").read_text("utf-8")
GOOD: Final = {"skill_name": "a", "total_invocations": 1, "completion_rate": 50.0, "avg_duration_seconds": 1.0}
ROWS: Final[list[tuple[str, Any, str]]] = [
    ("a rate of 101 percent", {**GOOD, "completion_rate": 101.0},
     "completion_rate: Input should be less than or equal to 100"),
    ("NaN", {**GOOD, "avg_duration_seconds": float("nan")}, "avg_duration_seconds: Input should be a finite number"),
    ("a number that is a text", {**GOOD, "total_invocations": "5"},
     "total_invocations: Input should be a valid integer"),
    ("a key of no field", {**GOOD, "more": 1}, "more: Extra inputs are not permitted"),
    ("no number of invocations", {"skill_name": "a", "completion_rate": 1.0, "avg_duration_seconds": 1.0},
     "total_invocations: Field required"),
    ("an empty name", {**GOOD, "skill_name": ""}, "skill_name must give 1 to 128 characters, encoded it gives 0"),
    ("a name of 10,000 characters", {**GOOD, "skill_name": "x" * 10_000},
     "skill_name must give 1 to 128 characters, encoded it gives more than 128"),
    ("null instead of a row", None, "SkillMetrics: Input should be a valid dictionary or instance of SkillMetrics"),
]  # fmt: skip


@pytest.mark.parametrize(("title", "row", "sentence"), ROWS, ids=[title for title, _, _ in ROWS])
async def test_row_is_left_out_counted_and_told(
    title: str, row: Any, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The row is a drop with its reason in the log; the row beside it goes out; the page says the same."""
    producer = CapturingProducer()
    reads: Iterator[tuple[list[Any], list[Any]]] = iter([([row, GOOD], [])])
    with pytest.raises(RuntimeError):  # there is nothing to read a second time
        await SessionBuddy(producer).stream_metrics(lambda: next(reads), interval_s=0)
    assert producer.statistics().dropped == {"invalid": 1}
    assert [it.getMessage() for it in caplog.records] == [f"a row of metrics_update was not sent: {sentence}"]
    assert [it.name for event in producer.events for it in event.channels()] == ["skills", "skill:a"]
    assert f"| {title} | dropped: {sentence} |" in PAGE

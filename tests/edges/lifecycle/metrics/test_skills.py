"""What session-buddy's charts ask for, from its events."""

from typing import Any

import pytest

from edges.lifecycle.metrics.skills import Skill, Skills


def row(name: str = "plan", total: int = 10, rate: float = 80.0, average_s: float = 2.0) -> dict[str, Any]:
    return {
        "skill_name": name,
        "total_invocations": total,
        "completion_rate": rate,
        "avg_duration_seconds": average_s,
    }


def anomaly(at: str = "2026-01-01", kind: str = "drop") -> dict[str, Any]:
    return {"skill_name": "plan", "detected_at": at, "anomaly_type": kind, "deviation_score": 3.1}


def update(skills: Skills, *rows: Any, anomalies: Any = ()) -> None:
    skills.take("metrics_update", {"top_skills": list(rows), "anomalies": list(anomalies)}, 1_000.0)


def plan(*rows: dict[str, Any]) -> Skill:
    skills = Skills()
    for it in rows:
        update(skills, it)
    return skills.by_name()["plan"]


def test_invocations_are_split_by_the_rate() -> None:
    """Of ten with 80 percent, eight were completed; a repeated update changes nothing."""
    skill = plan(row(), row())
    assert (skill.completed, skill.failed, skill.completion_rate) == (8, 2, 80.0)


def test_counters_do_not_fall_by_a_rounded_rate() -> None:
    """A rate that is a little lower than before takes no completed invocation back."""
    skill = plan(row(total=1000, rate=79.96), row(total=1001, rate=79.8))
    assert (skill.completed, skill.failed) == (800, 201)


def test_figures_that_begin_anew_begin_the_counters_anew() -> None:
    """A session-buddy that counts from the start again is seen as a counter's reset, which Prometheus knows."""
    skill = plan(row(total=10), row(total=4, rate=100))
    assert (skill.completed, skill.failed) == (4, 0)


def test_new_invocations_have_their_own_duration() -> None:
    """Ten of two seconds, then two more that bring the average to three: those took eight seconds each."""
    skill = plan(row(total=10, average_s=2.0), row(total=12, average_s=3.0))
    bounds, counts = skill.duration.bounds_s, skill.duration.counts
    assert {bound: n for bound, n in zip(bounds, counts, strict=False) if n} == {2.0: 10, 8.0: 2}
    assert skill.duration.sum_s == pytest.approx(36.0)


def test_anomaly_is_counted_once() -> None:
    """Each update repeats what was found before."""
    skills = Skills()
    update(skills, anomalies=[anomaly(), anomaly(kind="spike")])
    update(skills, anomalies=[anomaly(), anomaly(at="2026-01-02")])
    assert (skills.anomalies, skills.updated_s) == (3, 1_000.0)


def test_sessions_are_those_with_an_event_and_no_end() -> None:
    """A session that was never closed is forgotten after a day."""
    skills = Skills()
    for event, session, now_s in [
        ("session.created", "a", 0.0),
        ("session.updated", "b", 50_000.0),
        ("session.checkpoint", "c", 50_000.0),
        ("session.closed", "c", 50_001.0),
        ("session.closed", "unknown", 50_001.0),
    ]:
        skills.take(event, {"session_id": session}, now_s)
    assert (skills.sessions(50_001.0), skills.sessions(90_000.0)) == (2, 1)


def test_names_have_a_bound() -> None:
    """A stranger's names fill neither the page nor the memory: a hundred have numbers, a thousand are added up."""
    skills = Skills()
    update(skills, *(row(f"skill-{number}", total=2, rate=50, average_s=1) for number in range(1_500)))
    found = skills.by_name()
    assert len(found) == 101
    assert (found["other"].completed, found["other"].failed, found["other"].duration.count) == (900, 900, 1_800)
    assert skills.ignored == 500


def test_sessions_and_anomalies_have_a_bound() -> None:
    """The oldest are forgotten."""
    skills = Skills()
    for number in range(11_000):
        skills.take("session.created", {"session_id": str(number)}, 1.0)
    assert skills.sessions(1.0) == 10_000


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"top_skills": "plan", "anomalies": []},
        {"top_skills": [None, 1, {}, {"skill_name": 1}], "anomalies": [None, {"skill_name": "x"}]},
        {"top_skills": [row(rate=101), row(total=-1), row(average_s=-1), row(rate=float("nan"))], "anomalies": []},
    ],
)
def test_figures_of_another_shape_are_passed_over(data: dict[str, Any]) -> None:
    """Typed by hand, or of another version: nothing is counted, and nothing is raised."""
    skills = Skills()
    skills.take("metrics_update", data, 1.0)
    assert (dict(skills.by_name()), skills.anomalies) == ({}, 0)

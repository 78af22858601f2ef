"""What session-buddy's charts ask for, counted from its events: invocations of skills, sessions, anomalies.

Knows neither Redis nor Prometheus. Names of skills are a stranger's words, so few have numbers of their own.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from edges.limits.buckets import Buckets, doubling
from edges.rooms.tallies import OTHER

__all__ = ["PATTERNS", "Skill", "Skills"]

PATTERNS: Final = ("skills", "skill:*", "session:*")
"""The channels with the events."""
_NAMED: Final = 100
_KNOWN: Final = 1_000
_SESSIONS: Final = 10_000
_ANOMALIES: Final = 1_000
_SESSION_S: Final = 86_400.0
_BOUNDS_S: Final = doubling(0.125, 14)
"""To 17 minutes: skills take as long as people and models do."""


class Skill:
    """The numbers of a skill; ``completed`` and ``failed`` never fall, unless session-buddy counts anew."""

    __slots__ = ("_spent_s", "completed", "completion_rate", "duration", "failed")

    def __init__(self) -> None:
        self.completed = self.failed = 0
        self.completion_rate = self._spent_s = 0.0
        self.duration = Buckets(_BOUNDS_S)

    def take(self, total: int, completion_rate: float, average_s: float) -> None:
        """Take the figures of an update: of all invocations so far."""
        if total < self.completed + self.failed:  # session-buddy counts anew, as a restarted process does
            self.completed = self.failed = 0
            self._spent_s = 0.0
        new, self.completion_rate = total - self.completed - self.failed, completion_rate
        completed = min(max(0, round(total * completion_rate / 100) - self.completed), new)
        self.completed += completed
        self.failed += new - completed
        # An update has the average of all. What the new invocations took on average follows from the sums.
        spent_s = total * average_s
        if new > 0:
            self.duration.observe_many(max(0.0, spent_s - self._spent_s) / new, new)
        self._spent_s = spent_s


class Skills:
    """The numbers of session-buddy.

    Attributes:
        updated_s: when figures came last, seconds since 1970; None before the first.
        anomalies: different ones so far.
        ignored: figures of skills beyond the bound.

    """

    def __init__(self) -> None:
        self._skills: dict[str, Skill] = {}
        self._sessions: OrderedDict[str, float] = OrderedDict()
        self._seen: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self.updated_s: float | None = None
        self.anomalies = self.ignored = 0

    def take(self, event: str, data: Mapping[str, Any], now_s: float) -> None:
        """Take an event of session-buddy's; others, and figures of another shape, are passed over."""
        match event, data:
            case "metrics_update", {"top_skills": list(rows), "anomalies": list(anomalies)}:
                self.updated_s = now_s
                for row in rows:
                    self._take_row(row)
                for anomaly in anomalies:
                    self._take_anomaly(anomaly)
            case "session.closed", {"session_id": str(session)}:
                self._sessions.pop(session, None)
            case "session.created" | "session.updated" | "session.checkpoint", {"session_id": str(session)}:
                self._note_session(session, now_s)

    def _take_row(self, row: Any) -> None:
        match row:
            case {
                "skill_name": str(name),
                "total_invocations": int(total),
                "completion_rate": int(rate) | float(rate),
                "avg_duration_seconds": int(average_s) | float(average_s),
            } if total >= 0 and 0 <= rate <= 100 and average_s >= 0:
                if (skill := self._skill(name)) is not None:
                    skill.take(total, rate, average_s)

    def _skill(self, name: str) -> Skill | None:
        if name not in self._skills:
            if len(self._skills) >= _KNOWN:
                self.ignored += 1
                return None
            self._skills[name] = Skill()
        return self._skills[name]

    def _take_anomaly(self, anomaly: Any) -> None:
        """Count an anomaly once: an update repeats those of the updates before."""
        match anomaly:
            case {"skill_name": str(skill), "detected_at": str(at), "anomaly_type": str(kind)}:
                if (skill, at, kind) not in self._seen:
                    self.anomalies += 1
                    self._seen[skill, at, kind] = None
                if len(self._seen) > _ANOMALIES:
                    self._seen.popitem(last=False)

    def _note_session(self, session: str, now_s: float) -> None:
        self._sessions[session] = now_s
        self._sessions.move_to_end(session)
        if len(self._sessions) > _SESSIONS:
            self._sessions.popitem(last=False)

    def sessions(self, now_s: float) -> int:
        """Return how many sessions had an event within a day and were not closed."""
        while self._sessions and next(iter(self._sessions.values())) < now_s - _SESSION_S:
            self._sessions.popitem(last=False)
        return len(self._sessions)

    def by_name(self) -> Mapping[str, Skill]:
        """Return the numbers by the names of skills: of the first hundred, and of all others together as ``other``."""
        names = list(self._skills)
        found = {name: self._skills[name] for name in names[:_NAMED]}
        if len(names) > _NAMED:
            found[OTHER] = _together(self._skills[name] for name in names[_NAMED:])
        return found


def _together(skills: Any) -> Skill:
    whole = Skill()
    for skill in skills:
        whole.completed += skill.completed
        whole.failed += skill.failed
        whole.duration.add(skill.duration)
    total = whole.completed + whole.failed
    whole.completion_rate = 100 * whole.completed / total if total else 0.0
    return whole

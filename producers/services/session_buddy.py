"""The catalogue of session-buddy: sessions, captured knowledge, and the metrics of skills.

Session-buddy's edge speaks the flat dialect of old clients until a client uses the envelope.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

from pydantic import BaseModel, Field

from bus.channel import LATEST, SKIP, Channel, Family
from bus.event import Event, Json
from bus.service import Service
from producers.broadcaster import Broadcaster, EndlessT, ManyT, OneT
from producers.plain import validated

# decisions/0032: of a `latest` channel older events are worth nothing, so a slow client may skip to the newest.
SKILLS: Final = Family("skills", retention=LATEST, when_slow=SKIP)
SKILL: Final = Family("skill:{skill_name}", retention=LATEST, when_slow=SKIP)
SESSION: Final = Family("session:{session_id}")
KNOWLEDGE: Final = Family("knowledge")

RowT = TypeVar("RowT")

_TOP: Final = 10


class SkillMetrics(BaseModel):
    """The figures of a skill; ``completion_rate`` is in percent."""

    model_config = Event.model_config

    skill_name: str
    total_invocations: int
    completion_rate: float = Field(ge=0, le=100)
    avg_duration_seconds: float


class Anomaly(BaseModel):
    """An oddity in a skill's figures; ``detected_at`` is an ISO 8601 time.

    ``anomaly_type`` is ``drop``, ``spike``, ``pattern_shift``, or the detector's own word; the score may be unknown.
    """

    model_config = Event.model_config

    skill_name: str
    detected_at: str
    anomaly_type: str
    deviation_score: float | None


class Metrics(BaseModel):
    """The arguments of broadcast_metrics, validated: the figures of all skills, as models or as dicts."""

    model_config = Event.model_config

    skills: list[SkillMetrics]
    anomalies: list[Anomaly]


class MetricsUpdate(Event, event="metrics_update", channels=(SKILLS, SKILL)):
    """Published with the figures of the most invoked skills, or of a single skill on the skill's channel."""

    top_skills: list[SkillMetrics]
    anomalies: list[Anomaly]
    skill_name: str | None = Field(default=None, exclude=True)

    def channels(self) -> tuple[Channel, ...]:
        """Return the channel of the event's skill, or without a skill the channel of all."""
        return (SKILLS.fill() if self.skill_name is None else SKILL.fill(self.skill_name),)


class SessionEvent(Event, channels=(SESSION,)):
    """The fields common to the events of a session."""

    session_id: str


class SessionCreated(SessionEvent, event="session.created", extra="allow"):
    """Published when a session begins."""


class SessionUpdated(SessionEvent, event="session.updated", extra="allow"):
    """Published when a session changed."""


class SessionCheckpoint(SessionEvent, event="session.checkpoint", extra="allow"):
    """Published when a session was saved on the way."""


class SessionClosed(SessionEvent, event="session.closed", extra="allow"):
    """Published when a session ends."""


class KnowledgeCaptured(Event, event="knowledge.captured", channels=(KNOWLEDGE, SESSION), extra="allow"):
    """Published when a session learned a fact worth keeping."""

    knowledge_id: str
    session_id: str
    summary: str


class KnowledgeSearchResult(Event, event="knowledge.search_result", channels=(KNOWLEDGE,)):
    """Published when a search in the knowledge has results."""

    query: str
    results: list[Json]


SERVICE: Final = Service(
    name="session-buddy",
    port=8765,
    welcome="Connected to Session-Buddy real-time metrics",
    families=(SKILLS, SKILL, SESSION, KNOWLEDGE),
    events=(
        MetricsUpdate,
        SessionCreated,
        SessionUpdated,
        SessionCheckpoint,
        SessionClosed,
        KnowledgeCaptured,
        KnowledgeSearchResult,
    ),
    dialect="session-buddy",  # decisions/0009: the client's first message chooses between the two dialects
)


class SessionBuddy(Broadcaster[OneT, ManyT, EndlessT]):
    """The broadcast methods of session-buddy."""

    def broadcast_metrics(
        self, skills: list[SkillMetrics] | list[dict[str, Any]], anomalies: list[Anomaly] | list[dict[str, Any]]
    ) -> ManyT:
        """Announce the figures of all skills: the ten most invoked to all, and each skill on the skill's channel."""
        if self._skipping is not None:
            return self._skipping.publish_all(_updates_of_sound(skills, anomalies, self._skip))
        return self._producer.publish_all(_updates(validated(Metrics, {"skills": skills, "anomalies": anomalies})))

    def stream_metrics(
        self,
        read: Callable[[], tuple[list[SkillMetrics] | list[dict[str, Any]], list[Anomaly] | list[dict[str, Any]]]],
        interval_s: float = 1.0,
    ) -> EndlessT:
        """Do broadcast_metrics with the skills and anomalies of ``read()``, every ``interval_s`` seconds.

        Goes on over an outage. Of a row that does not validate only the row is left out, counted as ``invalid``, and
        told to the log. Exceptions of ``read`` end the stream.
        """
        return self._producer.publish_every(interval_s, lambda: _updates_of_sound(*read(), self._skip))

    def broadcast_session_created(self, session_id: str, metadata: dict[str, Any]) -> OneT:
        """Announce the beginning of a session; keys of ``metadata`` become keys of the event."""
        return self._publish(SessionCreated, metadata, session_id=session_id)

    def broadcast_session_updated(self, session_id: str, metadata: dict[str, Any]) -> OneT:
        """Announce a session's changes; keys of ``metadata`` become keys of the event."""
        return self._publish(SessionUpdated, metadata, session_id=session_id)

    def broadcast_session_checkpoint(self, session_id: str, metadata: dict[str, Any]) -> OneT:
        """Announce a saved session; keys of ``metadata`` become keys of the event."""
        return self._publish(SessionCheckpoint, metadata, session_id=session_id)

    def broadcast_session_closed(self, session_id: str, metadata: dict[str, Any]) -> OneT:
        """Announce the end of a session; keys of ``metadata`` become keys of the event."""
        return self._publish(SessionClosed, metadata, session_id=session_id)

    def broadcast_knowledge_captured(
        self, knowledge_id: str, session_id: str, summary: str, metadata: dict[str, Any]
    ) -> OneT:
        """Announce a session's new knowledge; keys of ``metadata`` become keys of the event."""
        return self._publish(
            KnowledgeCaptured, metadata, knowledge_id=knowledge_id, session_id=session_id, summary=summary
        )

    def broadcast_knowledge_search_result(self, query: str, results: list[Any]) -> OneT:
        """Announce the findings of a search."""
        return self._publish(KnowledgeSearchResult, query=query, results=results)


def _updates(metrics: Metrics) -> list[MetricsUpdate]:
    """Return an update for all, then an update for each skill, in the order given."""
    top = sorted(metrics.skills, key=lambda skill: skill.total_invocations, reverse=True)[:_TOP]
    everyone = MetricsUpdate(top_skills=top, anomalies=metrics.anomalies)
    return [everyone, *(_update_of(skill, metrics.anomalies) for skill in metrics.skills)]


def _updates_of_sound(
    skills: Iterable[Any], anomalies: Iterable[Any], skip: Callable[[str, Exception], object]
) -> list[MetricsUpdate]:
    """Return the updates of the rows that validate; ``skip`` is told of all others."""
    found = [*_sound(_skill, skills, skip)], [*_sound(lambda row: validated(Anomaly, row), anomalies, skip)]
    return _updates(Metrics(skills=found[0], anomalies=found[1]))


def _sound(
    read: Callable[[Any], RowT], rows: Iterable[Any], skip: Callable[[str, Exception], object]
) -> Iterator[RowT]:
    for row in rows:
        try:
            yield read(row)
        except ValueError as error:
            skip(f"a row of {MetricsUpdate.event_name}", error)


def _skill(row: Any) -> SkillMetrics:
    skill = validated(SkillMetrics, row)
    SKILL.fill(skill.skill_name)  # a name that gives no channel costs its own row, and not the update for all
    return skill


def _update_of(skill: SkillMetrics, anomalies: list[Anomaly]) -> MetricsUpdate:
    own = [anomaly for anomaly in anomalies if anomaly.skill_name == skill.skill_name]
    return MetricsUpdate(top_skills=[skill], anomalies=own, skill_name=skill.skill_name)

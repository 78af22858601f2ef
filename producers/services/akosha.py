"""The catalogue of akosha: detected patterns and anomalies, insights, aggregations."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from bus.channel import Channel, Family
from bus.event import Event, JsonObject
from bus.service import PastEvent, Request, Service
from producers.broadcaster import Broadcaster, EndlessT, ManyT, OneT

PATTERNS_OF: Final = Family("patterns:{category}")
PATTERNS: Final = Family("patterns")
ANOMALIES: Final = Family("anomalies")
INSIGHTS: Final = Family("insights")
METRICS: Final = Family("metrics")

Severity = Literal["low", "medium", "high", "critical"]


def _severity(word: Any) -> Any:
    word = word.lower() if isinstance(word, str) else word
    return "medium" if word == "warning" else word


class PatternDetected(
    Event, event="pattern.detected", channels=(PATTERNS_OF.by("pattern_type"), PATTERNS), extra="allow"
):
    """Published when a pattern was found; the pattern's type is the category, and the category has the channel."""

    pattern_id: str
    pattern_type: str
    description: str
    confidence: float = Field(ge=0, le=1)


class AnomalyDetected(Event, event="anomaly.detected", channels=(ANOMALIES,)):
    """Published when a figure is out of the ordinary."""

    anomaly_id: str
    anomaly_type: str
    severity: Annotated[Severity, BeforeValidator(_severity)]  # decisions/0091: as alerts spell it
    description: str
    metrics: JsonObject


class InsightGenerated(Event, event="insight.generated", channels=(INSIGHTS,)):
    """Published when patterns gave an insight."""

    insight_id: str
    insight_type: str
    title: str
    description: str
    data: JsonObject


class AggregationCompleted(Event, event="aggregation.completed", channels=(METRICS,)):
    """Published when records were summed up."""

    aggregation_id: str
    aggregation_type: str
    record_count: int
    summary: JsonObject


class PatternsQuestion(BaseModel):
    """Asks for the newest patterns, of a category or of all."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    category: str | None = Field(default=None, min_length=1)
    limit: int = Field(default=100, ge=1, le=1000)


class Patterns(BaseModel):
    """The newest patterns, oldest first, each as the event's data."""

    model_config = ConfigDict(frozen=True)

    category: str
    patterns: list[dict[str, Any]]
    count: int


def _patterns_log(question: PatternsQuestion) -> tuple[Channel]:
    return (PATTERNS.fill() if question.category is None else PATTERNS_OF.fill(question.category),)


def fold_patterns(question: PatternsQuestion, past: Sequence[PastEvent]) -> Patterns:
    """Answer get_patterns: the last ``limit`` of the log."""
    patterns = [dict(it.data) for it in past if it.event == "pattern.detected"][-question.limit :]
    category = "all" if question.category is None else question.category
    return Patterns(category=category, patterns=patterns, count=len(patterns))


class AnomaliesQuestion(BaseModel):
    """Asks for the newest anomalies, of a severity or of all."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    severity: Severity | None = None
    limit: int = Field(default=100, ge=1, le=1000)


class Anomalies(BaseModel):
    """The newest anomalies, oldest first, each as the event's data."""

    model_config = ConfigDict(frozen=True)

    anomalies: list[dict[str, Any]]
    count: int


def fold_anomalies(question: AnomaliesQuestion, past: Sequence[PastEvent]) -> Anomalies:
    """Answer get_anomalies: the log's last ``limit`` of the severity in question."""
    # decisions/0012: lists in answers hold the newest `limit` entries, oldest first.
    anomalies = [
        dict(it.data)
        for it in past
        if it.event == "anomaly.detected" and question.severity in (None, it.data["severity"])
    ][-question.limit :]
    return Anomalies(anomalies=anomalies, count=len(anomalies))


SERVICE: Final = Service(
    name="akosha",
    port=8692,
    welcome="Connected to Akosha pattern detection",
    families=(PATTERNS_OF, PATTERNS, ANOMALIES, INSIGHTS, METRICS),
    events=(PatternDetected, AnomalyDetected, InsightGenerated, AggregationCompleted),
    requests=(
        Request(
            "get_patterns",
            question=PatternsQuestion,
            answer=Patterns,
            channels=_patterns_log,
            fold=fold_patterns,
        ),
        Request(
            "get_anomalies",
            question=AnomaliesQuestion,
            answer=Anomalies,
            channels=lambda _: (ANOMALIES.fill(),),
            fold=fold_anomalies,
        ),
    ),
)


class Akosha(Broadcaster[OneT, ManyT, EndlessT]):
    """The broadcast methods of akosha."""

    def broadcast_pattern_detected(
        self, pattern_id: str, pattern_type: str, description: str, confidence: float, metadata: dict[str, Any]
    ) -> OneT:
        """Announce a pattern; ``confidence`` is 0 to 1, keys of ``metadata`` become keys of the event."""
        return self._publish(
            PatternDetected,
            metadata,
            pattern_id=pattern_id,
            pattern_type=pattern_type,
            description=description,
            confidence=confidence,
        )

    def broadcast_anomaly_detected(
        self, anomaly_id: str, anomaly_type: str, severity: Severity | str, description: str, metrics: dict[str, Any]
    ) -> OneT:
        """Announce an anomaly; ``severity`` in any case, and ``warning`` is medium."""
        return self._publish(
            AnomalyDetected,
            anomaly_id=anomaly_id,
            anomaly_type=anomaly_type,
            severity=severity,
            description=description,
            metrics=metrics,
        )

    def broadcast_insight_generated(
        self, insight_id: str, insight_type: str, title: str, description: str, data: dict[str, Any]
    ) -> OneT:
        """Announce an insight."""
        return self._publish(
            InsightGenerated,
            insight_id=insight_id,
            insight_type=insight_type,
            title=title,
            description=description,
            data=data,
        )

    def broadcast_aggregation_completed(
        self, aggregation_id: str, aggregation_type: str, record_count: int, summary: dict[str, Any]
    ) -> OneT:
        """Announce the summing up of records."""
        return self._publish(
            AggregationCompleted,
            aggregation_id=aggregation_id,
            aggregation_type=aggregation_type,
            record_count=record_count,
            summary=summary,
        )

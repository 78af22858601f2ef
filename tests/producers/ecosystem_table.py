"""What the ecosystem's services call, by their own names, orders, keywords and values, and what is to come of it.

Typed by hand from their classes, tools and tests, as plain data; no event model is imported here. The forms of
services.md are in ``services_table.py``.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from tests.producers.services_table import Sent

_UUID = UUID("12345678-1234-5678-1234-567812345678")
_ID = "12345678-1234-5678-1234-567812345678"
_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_ECOSYSTEM = "symbiotic:ecosystem"


class Status(StrEnum):
    BUSY = "busy"


class Mode(Enum):
    FAST = "fast"


class Task(BaseModel):
    name: str
    at: datetime


@dataclass
class Config:
    size: int
    path: Path


@dataclass(frozen=True)
class Form:
    """One call as a service makes it, and the events that it sends."""

    service: str
    method: str
    args: tuple[Any, ...]
    keywords: dict[str, Any]
    sends: tuple[Sent, ...]


def _form(service: str, method: str, args: tuple[Any, ...], keywords: dict[str, Any], *sends: Sent) -> Form:
    return Form(service, method, args, keywords, sends)


def _sent(event: str, data: dict[str, Any], *channels: str) -> Sent:
    return Sent(event, data, channels)


_M, _A, _C, _B, _D, _E, _F = (
    "mahavishnu",
    "akosha",
    "crackerjack",
    "session-buddy",
    "dhruva",
    "excalidraw",
    "fastblocks",
)
_HEALTH = {"adapter_id": "a", "adapter_name": "n", "old_status": "up", "new_status": "down", "details": {}}
_LEARNED = {"patterns_strengthened": 0, "patterns_weakened": 0, "model_retrains": 0, "avg_confidence_score": 0.0}
_RUN = {"run_id": "r", "tests_completed": 9, "tests_failed": 1, "duration_seconds": 2.5}
_FIGURES = {"skill_name": "s", "total_invocations": 3, "completion_rate": 92.5, "avg_duration_seconds": 1.5}
_ODDITY = {
    "skill_name": "s",
    "detected_at": "2026-01-02T03:04:05Z",
    "anomaly_type": "new_word",
    "deviation_score": None,
}
_METRICS = {"top_skills": [_FIGURES], "anomalies": [_ODDITY]}
_ERROR = {"team_id": "t", "error_code": "E", "message": "m"}


def _anomaly(severity: str) -> Sent:
    data = {"anomaly_id": "a", "anomaly_type": "latency", "severity": severity, "description": "d", "metrics": {}}
    return _sent("anomaly.detected", data, "anomalies")


def _failed(error: str) -> Sent:
    return _sent("workflow.failed", {"workflow_id": "wf", "error": error}, "workflow:wf", "global")


def _pool(event: str, data: dict[str, Any]) -> Sent:
    return _sent(event, {"pool_id": "p", **data}, "pool:p", "global")


def _worker(event: str, data: dict[str, Any]) -> Sent:
    return _sent(event, {"worker_id": "w", "pool_id": "p", **data}, "worker:w", "pool:p")


# fmt: off
FORMS: list[Form] = [
    _form(_M, "broadcast_workflow_started", (_UUID, {"workflow_id": _ID, "a": 1}), {},
          _sent("workflow.started", {"workflow_id": _ID, "a": 1}, f"workflow:{_ID}", "global")),
    _form(_M, "broadcast_workflow_started", ("wf", None), {},
          _sent("workflow.started", {"workflow_id": "wf"}, "workflow:wf", "global")),
    _form(_M, "broadcast_workflow_started", ("wf", {"workflow_id": "wf", "at": _AT, "path": Path("/a/b"), "of": (1, 2),
                                                    "mode": Mode.FAST, "cost": Decimal("1.50"), "tags": {"x"}}), {},
          _sent("workflow.started", {"workflow_id": "wf", "at": "2026-01-02T03:04:05Z", "path": "/a/b", "of": [1, 2],
                                     "mode": "fast", "cost": "1.50", "tags": ["x"]}, "workflow:wf", "global")),
    _form(_M, "broadcast_workflow_started", ("wf", Task(name="t", at=_AT)), {},
          _sent("workflow.started", {"workflow_id": "wf", "name": "t", "at": "2026-01-02T03:04:05Z"},
                "workflow:wf", "global")),
    _form(_M, "broadcast_workflow_stage_completed", ("wf", "build", None), {},
          _sent("workflow.stage_completed", {"workflow_id": "wf", "stage_name": "build", "result": {}}, "workflow:wf")),
    _form(_M, "broadcast_workflow_completed", ("wf", None), {},
          _sent("workflow.completed", {"workflow_id": "wf", "result": {}}, "workflow:wf", "global")),
    _form(_M, "broadcast_workflow_completed", ("wf",), {"final_result": "all is well"},
          _sent("workflow.completed", {"workflow_id": "wf", "result": "all is well"}, "workflow:wf", "global")),
    _form(_M, "broadcast_workflow_failed", ("wf",), {"error": LookupError("no such table")}, _failed("no such table")),
    _form(_M, "broadcast_workflow_failed", ("wf", TimeoutError()), {}, _failed("TimeoutError")),
    _form(_M, "broadcast_worker_status_changed", (), {"pool_id": "p", "worker_id": "w", "status": Status.BUSY},
          _worker("worker.status_changed", {"status": "busy"})),
    _form(_M, "broadcast_worker_status_changed", (), {"worker_id": "w", "status": "idle", "pool_id": "pool:p"},
          _worker("worker.status_changed", {"status": "idle"})),
    _form(_M, "broadcast_pool_status_changed", ("p", "active"), {},
          _pool("pool.status_changed", {"status": {"state": "active"}})),
    _form(_M, "broadcast_pool_status_changed", ("p", Status.BUSY), {},
          _pool("pool.status_changed", {"status": {"state": "busy"}})),
    _form(_M, "broadcast_pool_status_changed", ("pool:p", {"workers": 5}), {},
          _pool("pool.status_changed", {"status": {"workers": 5}})),
    _form(_M, "broadcast_pool_spawned", ("p", Config(2, Path("/x"))), {},
          _pool("pool.spawned", {"config": {"size": 2, "path": "/x"}})),
    _form(_M, "broadcast_pool_scaled", ("pool:p", 5), {}, _pool("pool.scaled", {"worker_count": 5})),
    _form(_M, "broadcast_pool_closed", ("pool:p",), {}, _pool("pool.closed", {})),
    _form(_M, "broadcast_worker_added", ("pool:p", "w"), {}, _worker("worker.added", {})),
    _form(_M, "broadcast_worker_removed", ("p", "w"), {}, _worker("worker.removed", {})),
    _form(_M, "broadcast_task_assigned", ("p", "w", Task(name="t", at=_AT)), {},
          _worker("task.assigned", {"task": {"name": "t", "at": "2026-01-02T03:04:05Z"}})),
    _form(_M, "broadcast_task_completed", ("p", "w", None), {}, _worker("task.completed", {"result": {}})),
    _form(_M, "broadcast_team_error", ("t", "E", "m"), {"user_id": ""}, _sent("team.error", _ERROR, "goal-teams")),
    _form(_M, "broadcast_team_error", ("t", "E", "m"), {"user_id": _UUID},
          _sent("team.error", _ERROR, "goal-teams", f"goal-teams:{_ID}")),
    _form(_M, "broadcast_team_parsed", ("g", "i", ("a", "b"), Decimal("0.5")), {},
          _sent("team.parsed", {"goal": "g", "intent": "i", "skills": ["a", "b"], "confidence": 0.5}, "goal-teams")),
    _form(_M, "broadcast_adapter_health_changed", ("a", "n", "up", "down", None), {},
          _sent("adapter.health_changed", _HEALTH, "adapters")),
    _form(_M, "broadcast_learning_metrics", (), {}, _sent("learning.metrics", _LEARNED, _ECOSYSTEM)),
    _form(_M, "broadcast_learning_metrics", (), {"patterns_strengthened": 5, "user_id": "user_123"},
          _sent("learning.metrics", {**_LEARNED, "patterns_strengthened": 5}, _ECOSYSTEM)),
    _form(_M, "broadcast_skill_effectiveness", (), {"skill_name": "s", "success_rate": 92.5, "user_id": "u"},
          _sent("skill.effectiveness", {"skill_name": "s", "success_rate": 92.5, "total_attempts": 0,
                                        "avg_confidence": 0.0}, _ECOSYSTEM)),
    _form(_M, "broadcast_strategy_recommender_metrics", (), {"recommendations_made": 7, "user_id": "u"},
          _sent("strategy.recommender", {"recommendations_made": 7, "high_confidence_count": 0,
                                         "avg_success_rate": 0.0}, _ECOSYSTEM)),
    _form(_A, "broadcast_anomaly_detected", ("a", "latency", "HIGH", "d", {}), {}, _anomaly("high")),
    _form(_A, "broadcast_anomaly_detected", ("a", "latency"), {"severity": "warning", "description": "d",
                                                              "metrics": None}, _anomaly("medium")),
    _form(_A, "broadcast_insight_generated", ("i", "t", "T", "d", None), {},
          _sent("insight.generated", {"insight_id": "i", "insight_type": "t", "title": "T", "description": "d",
                                      "data": {}}, "insights")),
    _form(_A, "broadcast_aggregation_completed", (_UUID, "t", 3, {"at": _AT}), {},
          _sent("aggregation.completed", {"aggregation_id": _ID, "aggregation_type": "t", "record_count": 3,
                                          "summary": {"at": "2026-01-02T03:04:05Z"}}, "metrics")),
    _form(_C, "broadcast_test_completed", ("r",), {"tests_completed": 9, "tests_failed": 1, "duration_seconds": 2.5},
          _sent("test.completed", _RUN, "test:r", "global")),
    _form(_C, "broadcast_test_completed", ("r", 9), {"failed": 1, "duration_seconds": 2.5},
          _sent("test.completed", _RUN, "test:r", "global")),
    _form(_C, "broadcast_test_failed", ("r", "t", AssertionError("1 != 2"), "…"), {},
          _sent("test.failed", {"run_id": "r", "test_name": "t", "error": "1 != 2", "traceback": "…"}, "test:r")),
    _form(_B, "broadcast_metrics", (), {"skills": [{**_FIGURES, "completion_rate": Decimal("92.5")}],
                                        "anomalies": [_ODDITY]},
          _sent("metrics_update", _METRICS, "skills"), _sent("metrics_update", _METRICS, "skill:s")),
    _form(_B, "broadcast_session_created", (_UUID, {"session_id": _ID, "cwd": Path("/w")}), {},
          _sent("session.created", {"session_id": _ID, "cwd": "/w"}, f"session:{_ID}")),
    _form(_D, "broadcast_adapter_stored", ("cache:redis:acme", {"adapter_id": "cache:redis:acme", "v": (1, 0)}), {},
          _sent("adapter.stored", {"adapter_id": "cache:redis:acme", "v": [1, 0]},
                "adapter:cache:redis:acme", "registry")),
    _form(_D, "broadcast_distribution_completed", ("web", ("a", "b"), 2), {},
          _sent("distribution.completed", {"repo": "web", "adapters": ["a", "b"], "adapters_count": 2,
                                           "duration": 2.0}, "distribution:web", "distribution")),
    _form(_E, "broadcast_user_joined", ("d", "u", None), {},
          _sent("user.joined", {"diagram_id": "d", "user_id": "u", "user_info": {}}, "presence:d", "collaboration:d")),
    _form(_E, "broadcast_selection_changed", (_UUID, "u", {"e"}), {},
          _sent("selection.changed", {"diagram_id": _ID, "user_id": "u", "selected_elements": ["e"]},
                f"selection:{_ID}")),
    _form(_F, "broadcast_state_changed", ("user.theme", "dark"), {},
          _sent("state.changed", {"component_id": None, "state_path": "user.theme", "old_value": None,
                                  "new_value": "dark"}, "state")),
    _form(_F, "broadcast_state_changed", ("user.theme",), {"new_value": None},
          _sent("state.changed", {"component_id": None, "state_path": "user.theme", "old_value": None,
                                  "new_value": None}, "state")),
    _form(_F, "broadcast_render_failed", ("c", ValueError("bad")), {},
          _sent("render.failed", {"component_id": "c", "error": "bad"}, "render", "component:c")),
]
# fmt: on

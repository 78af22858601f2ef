"""What services.md says that each broadcast method sends and each request answers, typed by hand as plain data.

No event model is imported here, so the table cannot agree with a mistake of theirs. Other suites read it too: a row
needs a broadcaster of the service and an empty Redis, nothing else. It is longer than other files because it is data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Before = tuple[tuple[str, tuple[Any, ...]], ...]
"""Broadcast calls made before a question: method and arguments."""

TIME = "<time>"
"""Stands in an answer for any time of the bus; see ``blank_times``."""

CLASSES = {
    "mahavishnu": "Mahavishnu",
    "akosha": "Akosha",
    "crackerjack": "Crackerjack",
    "session-buddy": "SessionBuddy",
    "dhruva": "Dhruva",
    "excalidraw": "Excalidraw",
    "fastblocks": "Fastblocks",
}
"""Service name to the class of its broadcast methods; its module is the name with ``_`` for ``-``."""


BY_KEYWORD = {"broadcast_worker_status_changed": ("worker_id", "status", "pool_id")}
"""The methods that take no argument by position, and the names of the arguments in the order of the tables."""


def make(events: Any, method: str, args: Sequence[Any]) -> Any:
    """Make a call of a table: by position, or by keyword where the method asks for that."""
    if method in BY_KEYWORD:
        return getattr(events, method)(**dict(zip(BY_KEYWORD[method], args, strict=True)))
    return getattr(events, method)(*args)


@dataclass(frozen=True)
class Sent:
    """One event that a call sends: ``data`` is without the timestamp, ``channels`` are in order."""

    event: str
    data: dict[str, Any]
    channels: tuple[str, ...]


@dataclass(frozen=True)
class Call:
    """One broadcast call, its arguments by position, and the events that it sends, in order."""

    service: str
    method: str
    args: tuple[Any, ...]
    sends: tuple[Sent, ...]

    @property
    def name(self) -> str:
        """Name of the row; those of one method differ in how many arguments they give."""
        return f"{self.service}-{self.method}-{len(self.args)}"


@dataclass(frozen=True)
class Ask:
    """One request: the broadcast calls made beforehand, and the answer then, its times blanked."""

    service: str
    request: str
    data: dict[str, Any]
    before: Before
    answer: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the row; those of one request differ in the question, or in how much happened before."""
        asked = "-".join(str(value) for value in self.data.values())
        return f"{self.service}-{self.request}-{asked}-after-{len(self.before)}"


def blank_times(value: Any) -> Any:
    """Return ``value`` with every ISO time that has an offset replaced by ``TIME``, at any depth."""
    match value:
        case dict():
            return {key: blank_times(item) for key, item in value.items()}
        case list():
            return [blank_times(item) for item in value]
        case str() if is_time(value):
            return TIME
    return value


def is_time(text: str) -> bool:
    """Tell whether ``text`` is an ISO 8601 time with an offset."""
    try:
        return "T" in text and datetime.fromisoformat(text).utcoffset() is not None
    except ValueError:
        return False


def _call(service: str, method: str, args: tuple[Any, ...], *sends: Sent) -> Call:
    return Call(service, method, args, sends)


def _sent(event: str, data: dict[str, Any], *channels: str) -> Sent:
    return Sent(event, data, channels)


def _skill(name: str, invocations: int) -> dict[str, Any]:
    return {
        "skill_name": name,
        "total_invocations": invocations,
        "completion_rate": 92.5,
        "avg_duration_seconds": 1.25,
    }


def _anomaly(name: str) -> dict[str, Any]:
    return {
        "skill_name": name,
        "detected_at": "2026-01-02T03:04:05+00:00",
        "anomaly_type": "pattern_shift",
        "deviation_score": -2.5,
    }


_FOUR = {"adapter_id": "ad 1", "adapter_name": "prefect"}
_TEAM = {"team_id": "t1", "team_name": "Blue", "goal": "ship", "mode": "parallel"}
_PARSED = {"goal": "ship", "intent": "deploy", "skills": ["ci", 3, None], "confidence": 1.5}
_TASK = "é" * 200
_ERROR = {"team_id": "t1", "error_code": "E1", "message": "no luck"}
_W = {"pool_id": "p1", "worker_id": "w1"}
_TOOLS = {"capabilities": ["a", {"b": 1}], "provider": "acme", "source": "pypi"}
_HEALTH = {**_FOUR, "old_status": "up", "new_status": "down"}
_ROUTE = {
    "task_type": "etl",
    "selected_adapter": "a1",
    "capabilities_matched": ["x"],
    "latency_ms": 3.0,
    "fallback_used": False,
}
_PROBED = {"worker_type": "gpu", "state": "gone", "reason_bucket": "timeout", "probe_at": "2026-01-02T03:04:05Z"}
_LEARNED = {"patterns_strengthened": 4, "patterns_weakened": 1, "model_retrains": 0, "avg_confidence_score": 0.5}
_EFFECT = {"skill_name": "lint", "success_rate": 0.75, "total_attempts": 8, "avg_confidence": 0.5}
_ADVICE = {"recommendations_made": 9, "high_confidence_count": 2, "avg_success_rate": 0.25}
_M, _TEAMS, _OWN = "mahavishnu", "goal-teams", "goal-teams:u1"
_ECO = "symbiotic:ecosystem"

MAHAVISHNU = (
    _call(
        _M, "broadcast_workflow_started", ("wf_1", {"adapter": "local", "tags": [1, None]}),
        _sent(
            "workflow.started", {"workflow_id": "wf_1", "adapter": "local", "tags": [1, None]},
            "workflow:wf_1", "global",
        ),
    ),
    _call(
        _M, "broadcast_workflow_stage_completed", ("wf_1", "build", {"ok": True}),
        _sent(
            "workflow.stage_completed", {"workflow_id": "wf_1", "stage_name": "build", "result": {"ok": True}},
            "workflow:wf_1",
        ),
    ),
    _call(
        _M, "broadcast_workflow_completed", ("wf_1", {"rows": 3}),
        _sent("workflow.completed", {"workflow_id": "wf_1", "result": {"rows": 3}}, "workflow:wf_1", "global"),
    ),
    _call(
        _M, "broadcast_workflow_failed", ("wf_1", "disk full"),
        _sent("workflow.failed", {"workflow_id": "wf_1", "error": "disk full"}, "workflow:wf_1", "global"),
    ),
    _call(
        _M, "broadcast_worker_status_changed", ("w1", "busy", "p1"),
        _sent("worker.status_changed", {**_W, "status": "busy"}, "worker:w1", "pool:p1"),
    ),
    _call(
        _M, "broadcast_pool_status_changed", ("p1", {"state": "active"}),
        _sent("pool.status_changed", {"pool_id": "p1", "status": {"state": "active"}}, "pool:p1", "global"),
    ),
    _call(_M, "broadcast_team_created", ("t1", "Blue", "ship", "parallel"), _sent("team.created", _TEAM, _TEAMS)),
    _call(
        _M, "broadcast_team_created", ("t1", "Blue", "ship", "parallel", "u1"),
        _sent("team.created", _TEAM, _TEAMS, _OWN),
    ),
    _call(_M, "broadcast_team_parsed", ("ship", "deploy", ["ci", 3, None], 1.5), _sent("team.parsed", _PARSED, _TEAMS)),
    _call(
        _M, "broadcast_team_parsed", ("ship", "deploy", ["ci", 3, None], 1.5, "u1"),
        _sent("team.parsed", _PARSED, _TEAMS, _OWN),
    ),
    _call(
        _M, "broadcast_team_execution_started", ("t1", "é" * 201),
        _sent("team.execution_started", {"team_id": "t1", "task": _TASK}, _TEAMS),
    ),
    _call(
        _M, "broadcast_team_execution_started", ("t1", "deploy", "u1"),
        _sent("team.execution_started", {"team_id": "t1", "task": "deploy"}, _TEAMS, _OWN),
    ),
    _call(
        _M, "broadcast_team_execution_completed", ("t1", True, 12),
        _sent("team.execution_completed", {"team_id": "t1", "success": True, "duration_ms": 12.0}, _TEAMS),
    ),
    _call(
        _M, "broadcast_team_execution_completed", ("t1", False, 0.5, "u1"),
        _sent("team.execution_completed", {"team_id": "t1", "success": False, "duration_ms": 0.5}, _TEAMS, _OWN),
    ),
    _call(_M, "broadcast_team_error", ("t1", "E1", "no luck"), _sent("team.error", _ERROR, _TEAMS)),
    _call(_M, "broadcast_team_error", ("t1", "E1", "no luck", "u1"), _sent("team.error", _ERROR, _TEAMS, _OWN)),
    _call(
        _M, "broadcast_adapter_registered", ("ad 1", "prefect", ["a", {"b": 1}], "acme", "pypi"),
        _sent("adapter.registered", {**_FOUR, **_TOOLS}, "adapters"),
    ),
    _call(
        _M, "broadcast_adapter_health_changed", ("ad 1", "prefect", "up", "down"),
        _sent("adapter.health_changed", {**_HEALTH, "details": {}}, "adapters"),
    ),
    _call(
        _M, "broadcast_adapter_health_changed", ("ad 1", "prefect", "up", "down", {"code": 503}),
        _sent("adapter.health_changed", {**_HEALTH, "details": {"code": 503}}, "adapters"),
    ),
    _call(
        _M, "broadcast_adapter_enabled", ("ad 1", "prefect", True),
        _sent("adapter.enabled", {**_FOUR, "enabled": True, "reason": None}, "adapters"),
    ),
    _call(
        _M, "broadcast_adapter_enabled", ("ad 1", "prefect", False, "broken"),
        _sent("adapter.disabled", {**_FOUR, "enabled": False, "reason": "broken"}, "adapters"),
    ),
    _call(
        _M, "broadcast_routing_decision", ("etl", "a1", ["x"], 3.0, False),
        _sent("adapter.routing_decision", _ROUTE, "adapters"),
    ),
    _call(
        _M, "broadcast_pool_spawned", ("p1", {"size": 2}),
        _sent("pool.spawned", {"pool_id": "p1", "config": {"size": 2}}, "pool:p1", "global"),
    ),
    _call(
        _M, "broadcast_pool_scaled", ("p1", 5),
        _sent("pool.scaled", {"pool_id": "p1", "worker_count": 5}, "pool:p1", "global"),
    ),
    _call(_M, "broadcast_pool_closed", ("p1",), _sent("pool.closed", {"pool_id": "p1"}, "pool:p1", "global")),
    _call(_M, "broadcast_worker_added", ("p1", "w1"), _sent("worker.added", _W, "worker:w1", "pool:p1")),
    _call(_M, "broadcast_worker_removed", ("p1", "w1"), _sent("worker.removed", _W, "worker:w1", "pool:p1")),
    _call(
        _M, "broadcast_task_assigned", ("p1", "w1", {"id": 7}),
        _sent("task.assigned", {**_W, "task": {"id": 7}}, "worker:w1", "pool:p1"),
    ),
    _call(
        _M, "broadcast_task_completed", ("p1", "w1", {"id": 7}),
        _sent("task.completed", {**_W, "result": {"id": 7}}, "worker:w1", "pool:p1"),
    ),
    _call(
        _M, "broadcast_worker_availability_changed", ("gpu", "gone", "timeout", "2026-01-02T03:04:05Z"),
        _sent("worker.availability_changed", _PROBED, "adapters"),
    ),
    _call(_M, "broadcast_learning_metrics", (4, 1, 0, 0.5), _sent("learning.metrics", _LEARNED, _ECO)),
    _call(_M, "broadcast_skill_effectiveness", ("lint", 0.75, 8, 0.5), _sent("skill.effectiveness", _EFFECT, _ECO)),
    _call(_M, "broadcast_strategy_recommender", (9, 2, 0.25), _sent("strategy.recommender", _ADVICE, _ECO)),
    _call(_M, "broadcast_strategy_recommender_metrics", (9, 2, 0.25), _sent("strategy.recommender", _ADVICE, _ECO)),
)  # fmt: skip

_PATTERN = {"pattern_id": "pt1", "pattern_type": "daily load", "description": "peak", "confidence": 1.0, "seen": [3]}
_ODD = {"anomaly_id": "an1", "anomaly_type": "spike", "severity": "critical", "description": "x", "metrics": {"z": 4.5}}
_INSIGHT = {"insight_id": "in1", "insight_type": "cost", "title": "T", "description": "D", "data": {"eur": 3}}
_SUMMED = {"aggregation_id": "ag1", "aggregation_type": "hourly", "record_count": 10, "summary": {"mean": 0.5}}

AKOSHA = (
    _call(
        "akosha", "broadcast_pattern_detected", ("pt1", "daily load", "peak", 1, {"seen": [3]}),
        _sent("pattern.detected", _PATTERN, "patterns:daily%20load", "patterns"),
    ),
    _call(
        "akosha", "broadcast_anomaly_detected", ("an1", "spike", "critical", "x", {"z": 4.5}),
        _sent("anomaly.detected", _ODD, "anomalies"),
    ),
    _call(
        "akosha", "broadcast_insight_generated", ("in1", "cost", "T", "D", {"eur": 3}),
        _sent("insight.generated", _INSIGHT, "insights"),
    ),
    _call(
        "akosha", "broadcast_aggregation_completed", ("ag1", "hourly", 10, {"mean": 0.5}),
        _sent("aggregation.completed", _SUMMED, "metrics"),
    ),
)  # fmt: skip

_C = "crackerjack"
_STARTED = {"run_id": "r1", "test_suite": "unit", "total_tests": 3}
_ENDED = {"run_id": "r1", "tests_completed": 3, "tests_failed": 1, "duration_seconds": 4.0}
_FAILED = {"run_id": "r1", "test_name": "test_a", "error": "boom", "traceback": "File a.py"}
_CASE = {"run_id": "r1", "test_name": "test_a", "outcome": "skipped", "duration_seconds": 0.25}
_GATE = {"project": "web", "gate_name": "lint", "status": "passed", "score": 9.5, "threshold": 8.0}
_COVERED = {"project": "web", "line_coverage": 91.5, "branch_coverage": 80.0, "path_coverage": 70.25}

CRACKERJACK = (
    _call(_C, "broadcast_test_started", ("r1", "unit", 3), _sent("test.started", _STARTED, "test:r1", "global")),
    _call(_C, "broadcast_test_completed", ("r1", 3, 1, 4), _sent("test.completed", _ENDED, "test:r1", "global")),
    _call(_C, "broadcast_test_failed", ("r1", "test_a", "boom", "File a.py"), _sent("test.failed", _FAILED, "test:r1")),
    _call(
        _C, "broadcast_test_case_completed", ("r1", "test_a", "skipped", 0.25),
        _sent("test.case_completed", _CASE, "test:r1"),
    ),
    _call(
        _C, "broadcast_quality_gate_checked", ("web", "lint", "passed", 9.5, 8.0),
        _sent("quality_gate.checked", {**_GATE, "quality_gate_report": None}, "quality:web", "global"),
    ),
    _call(
        _C, "broadcast_quality_gate_checked", ("web", "lint", "passed", 9.5, 8.0, {"notes": []}),
        _sent("quality_gate.checked", {**_GATE, "quality_gate_report": {"notes": []}}, "quality:web", "global"),
    ),
    _call(
        _C, "broadcast_coverage_updated", ("web", 91.5, 80.0, 70.25),
        _sent("coverage.updated", _COVERED, "coverage", "quality:web"),
    ),
)  # fmt: skip

_B = "session-buddy"
_SKILLS = [_skill("pytest-run", 5), _skill("ruff", 9), _skill("mypy", 5)]
_ODDITIES = [_anomaly("ruff"), _anomaly("gone")]
_METRICS = (
    _sent(
        "metrics_update",
        {"top_skills": [_skill("ruff", 9), _skill("pytest-run", 5), _skill("mypy", 5)], "anomalies": _ODDITIES},
        "skills",
    ),
    _sent("metrics_update", {"top_skills": [_skill("pytest-run", 5)], "anomalies": []}, "skill:pytest-run"),
    _sent("metrics_update", {"top_skills": [_skill("ruff", 9)], "anomalies": [_anomaly("ruff")]}, "skill:ruff"),
    _sent("metrics_update", {"top_skills": [_skill("mypy", 5)], "anomalies": []}, "skill:mypy"),
)
_CREATED = {"session_id": "s1", "project": "web"}
_LESSON = {"knowledge_id": "k1", "session_id": "s1", "summary": "pin it", "tags": ["deps"]}

SESSION_BUDDY = (
    _call(_B, "broadcast_metrics", (_SKILLS, _ODDITIES), *_METRICS),
    _call(_B, "stream_metrics", (lambda: (_SKILLS, _ODDITIES), 0.5), *_METRICS),
    _call(
        _B, "broadcast_session_created", ("s1", {"project": "web"}),
        _sent("session.created", _CREATED, "session:s1"),
    ),
    _call(
        _B, "broadcast_session_updated", ("s1", {"turns": 3}),
        _sent("session.updated", {"session_id": "s1", "turns": 3}, "session:s1"),
    ),
    _call(
        _B, "broadcast_session_checkpoint", ("s1", {"quality": 0.5}),
        _sent("session.checkpoint", {"session_id": "s1", "quality": 0.5}, "session:s1"),
    ),
    _call(_B, "broadcast_session_closed", ("s1", {}), _sent("session.closed", {"session_id": "s1"}, "session:s1")),
    _call(
        _B, "broadcast_knowledge_captured", ("k1", "s1", "pin it", {"tags": ["deps"]}),
        _sent("knowledge.captured", _LESSON, "knowledge", "session:s1"),
    ),
    _call(
        _B, "broadcast_knowledge_search_result", ("pin", [{"id": "k1"}, "k2"]),
        _sent("knowledge.search_result", {"query": "pin", "results": [{"id": "k1"}, "k2"]}, "knowledge"),
    ),
)  # fmt: skip

_SWAP = {"old_adapter": "a1", "new_adapter": "a2", "repo": "acme/web"}
_LIFE = {"entity_type": "adapter", "entity_id": "a1", "old_state": "new", "new_state": "live"}
_DONE = {"repo": "acme/web", "adapters": ["a1", "a2"], "adapters_count": 2, "duration": 1.5}

DHRUVA = (
    _call(
        "dhruva", "broadcast_adapter_stored", ("a1", {"size": 3}),
        _sent("adapter.stored", {"adapter_id": "a1", "size": 3}, "adapter:a1", "registry"),
    ),
    _call(
        "dhruva", "broadcast_adapter_updated", ("a1", {"size": 4}),
        _sent("adapter.updated", {"adapter_id": "a1", "size": 4}, "adapter:a1", "registry"),
    ),
    _call(
        "dhruva", "broadcast_adapter_distributed", ("a1", "acme/web", {"hash": "ff"}),
        _sent(
            "adapter.distributed", {"adapter_id": "a1", "repo": "acme/web", "hash": "ff"},
            "adapter:a1", "distribution:acme/web", "distribution",
        ),
    ),
    _call(
        "dhruva", "broadcast_storage_event", ("s3", {"op": "put"}),
        _sent("storage.event", {"storage_type": "s3", "op": "put"}, "storage:s3"),
    ),
    _call(
        "dhruva", "broadcast_adapter_activated", ("a1", "acme/web", {"by": "ci"}),
        _sent(
            "adapter.activated", {"adapter_id": "a1", "repo": "acme/web", "by": "ci"},
            "adapter:a1", "lifecycle", "registry",
        ),
    ),
    _call(
        "dhruva", "broadcast_adapter_deactivated", ("a1", "acme/web", "old"),
        _sent(
            "adapter.deactivated", {"adapter_id": "a1", "repo": "acme/web", "reason": "old"},
            "adapter:a1", "lifecycle", "registry",
        ),
    ),
    _call(
        "dhruva", "broadcast_adapter_swapped", ("a1", "a2", "acme/web"),
        _sent(
            "adapter.swapped", _SWAP,
            "adapter:a1", "adapter:a2", "distribution:acme/web", "distribution", "lifecycle", "registry",
        ),
    ),
    _call(
        "dhruva", "broadcast_distribution_completed", ("acme/web", ["a1", "a2"], 1.5),
        _sent("distribution.completed", _DONE, "distribution:acme/web", "distribution"),
    ),
    _call(
        "dhruva", "broadcast_registry_updated", ("7", {"added": ["a1"]}),
        _sent("registry.updated", {"registry_version": "7", "changes": {"added": ["a1"]}}, "registry", "global"),
    ),
    _call(
        "dhruva", "broadcast_lifecycle_changed", ("adapter", "a1", "new", "live"),
        _sent("lifecycle.changed", _LIFE, "lifecycle"),
    ),
)  # fmt: skip

_E = "excalidraw"
_D = {"diagram_id": "d1"}
_DU = {"diagram_id": "d1", "user_id": "u1"}
_DE = {"diagram_id": "d1", "element_id": "e1", "user_id": "u1"}

EXCALIDRAW = (
    _call(
        _E, "broadcast_diagram_created", ("d1", {"title": "Plan"}),
        _sent("diagram.created", {**_D, "title": "Plan"}, "diagram:d1", "global"),
    ),
    _call(
        _E, "broadcast_diagram_updated", ("d1", {"title": "Plan B"}),
        _sent("diagram.updated", {**_D, "title": "Plan B"}, "diagram:d1"),
    ),
    _call(
        _E, "broadcast_element_added", ("d1", {"id": "e1"}, "u1"),
        _sent("element.added", {**_DU, "element": {"id": "e1"}}, "diagram:d1"),
    ),
    _call(
        _E, "broadcast_element_updated", ("d1", "e1", {"x": 1}, "u1"),
        _sent("element.updated", {**_DE, "changes": {"x": 1}}, "diagram:d1", "element:e1"),
    ),
    _call(
        _E, "broadcast_element_deleted", ("d1", "e1", "u1"),
        _sent("element.deleted", _DE, "diagram:d1", "element:e1"),
    ),
    _call(
        _E, "broadcast_cursor_moved", ("d1", "u1", {"x": 1.5, "y": 2}),
        _sent("cursor.moved", {**_DU, "position": {"x": 1.5, "y": 2}}, "cursor:d1"),
    ),
    _call(
        _E, "broadcast_selection_changed", ("d1", "u1", ["e1", "e2"]),
        _sent("selection.changed", {**_DU, "selected_elements": ["e1", "e2"]}, "selection:d1"),
    ),
    _call(
        _E, "broadcast_user_joined", ("d1", "u1", {"name": "Ann"}),
        _sent("user.joined", {**_DU, "user_info": {"name": "Ann"}}, "presence:d1", "collaboration:d1"),
    ),
    _call(_E, "broadcast_user_left", ("d1", "u1"), _sent("user.left", _DU, "presence:d1", "collaboration:d1")),
    _call(
        _E, "broadcast_diagram_saved", ("d1", "k/1"),
        _sent("diagram.saved", {**_D, "storage_key": "k/1"}, "diagram:d1"),
    ),
    _call(
        _E, "broadcast_diagram_locked", ("d1", "u1", "review"),
        _sent("diagram.locked", {**_DU, "reason": "review"}, "diagram:d1"),
    ),
    _call(_E, "broadcast_diagram_unlocked", ("d1", "u1"), _sent("diagram.unlocked", _DU, "diagram:d1")),
)  # fmt: skip

_F = "fastblocks"
_ON = {"component_id": "c1", "page_id": "home"}
_CHANGE = {"component_id": "c1", "state_path": "form.name", "old_value": None, "new_value": [1, {"a": 0.5}]}

FASTBLOCKS = (
    _call(
        _F, "broadcast_ui_updated", ("c1", {"theme": "dark"}),
        _sent("ui.updated", {"component_id": "c1", "theme": "dark"}, "ui:c1"),
    ),
    _call(
        _F, "broadcast_component_rendered", ("c1", {"ms": 3}),
        _sent("component.rendered", {"component_id": "c1", "ms": 3}, "component:c1"),
    ),
    _call(
        _F, "broadcast_component_updated", ("c1", {"label": "Go"}, {"open": False}),
        _sent(
            "component.updated", {"component_id": "c1", "props": {"label": "Go"}, "state": {"open": False}},
            "component:c1",
        ),
    ),
    _call(
        _F, "broadcast_component_mounted", ("c1", "home"),
        _sent("component.mounted", _ON, "page:home", "component:c1"),
    ),
    _call(
        _F, "broadcast_component_unmounted", ("c1", "home"),
        _sent("component.unmounted", _ON, "page:home", "component:c1"),
    ),
    _call(
        _F, "broadcast_page_rendered", ("home", 0.5, 12),
        _sent("page.rendered", {"page_id": "home", "duration": 0.5, "component_count": 12}, "page:home"),
    ),
    _call(
        _F, "broadcast_state_changed", ("c1", "form.name", None, [1, {"a": 0.5}]),
        _sent("state.changed", _CHANGE, "state:c1", "state"),
    ),
    _call(
        _F, "broadcast_hot_reload", ("a.html", ["c1"]),
        _sent("hot_reload.triggered", {"file_path": "a.html", "affected_components": ["c1"]}, "hot_reload"),
    ),
    _call(
        _F, "broadcast_render_started", ("c1", "full"),
        _sent("render.started", {"component_id": "c1", "render_type": "full"}, "render", "component:c1"),
    ),
    _call(
        _F, "broadcast_render_completed", ("c1", 0.25, {"nodes": 4}),
        _sent(
            "render.completed", {"component_id": "c1", "duration": 0.25, "result": {"nodes": 4}},
            "render", "component:c1",
        ),
    ),
    _call(
        _F, "broadcast_render_failed", ("c1", "no template"),
        _sent("render.failed", {"component_id": "c1", "error": "no template"}, "render", "component:c1"),
    ),
)  # fmt: skip

CALLS = (*MAHAVISHNU, *AKOSHA, *CRACKERJACK, *SESSION_BUDDY, *DHRUVA, *EXCALIDRAW, *FASTBLOCKS)


_NOTHING_YET = {"stages_completed": 0, "stages": [], "started_at": None, "updated_at": None, "result": None}
_DONE_STATUS = {"stages_completed": 1, "stages": ["build"], "started_at": TIME, "updated_at": TIME}

MAHAVISHNU_ASKS = (
    Ask(
        _M, "get_workflow_status", {"workflow_id": "wf_2"},
        (
            ("broadcast_workflow_started", ("wf_2", {"adapter": "local"})),
            ("broadcast_workflow_stage_completed", ("wf_2", "build", {"ok": True})),
            ("broadcast_workflow_completed", ("wf_2", {"rows": 3})),
        ),
        {"workflow_id": "wf_2", "status": "completed", **_DONE_STATUS, "result": {"rows": 3}, "error": None},
    ),
    Ask(
        _M, "get_workflow_status", {"workflow_id": "wf_none", "more": "ignored"},
        (("broadcast_workflow_started", ("wf_2", {})),),
        {"workflow_id": "wf_none", "status": "not_found", **_NOTHING_YET, "error": None},
    ),
    Ask(
        _M, "get_pool_status", {"pool_id": "p2"},
        (
            ("broadcast_pool_spawned", ("p2", {"size": 2})),
            ("broadcast_worker_added", ("p2", "w1")),
            ("broadcast_pool_status_changed", ("p2", {"state": "active", "load": 0.5})),
        ),
        {
            "pool_id": "p2", "status": "active",
            "details": {"config": {"size": 2}, "state": "active", "load": 0.5},
            "workers": [{"worker_id": "w1", "status": "idle"}],
        },
    ),
    Ask(
        _M, "get_pool_status", {"pool_id": "p_none"},
        (("broadcast_pool_spawned", ("p2", {})),),
        {"pool_id": "p_none", "status": "not_found", "details": {}, "workers": []},
    ),
)  # fmt: skip


def _pattern(pattern_id: str, pattern_type: str) -> tuple[str, tuple[Any, ...]]:
    return "broadcast_pattern_detected", (pattern_id, pattern_type, "peak", 0.5, {"n": 1})


def _past_pattern(pattern_id: str, pattern_type: str) -> dict[str, Any]:
    about = {"pattern_id": pattern_id, "pattern_type": pattern_type, "description": "peak"}
    return {**about, "confidence": 0.5, "n": 1, "timestamp": TIME}


_PATTERNS = (_pattern("pt1", "load"), _pattern("pt2", "cost"), _pattern("pt3", "load"))
_ANOMALIES: Before = (
    ("broadcast_anomaly_detected", ("an1", "spike", "low", "x", {})),
    ("broadcast_anomaly_detected", ("an2", "drop", "high", "y", {"z": 1})),
    ("broadcast_anomaly_detected", ("an3", "spike", "low", "z", {})),
)
_AN2 = {"anomaly_id": "an2", "anomaly_type": "drop", "severity": "high", "description": "y", "metrics": {"z": 1}}
_AN3 = {"anomaly_id": "an3", "anomaly_type": "spike", "severity": "low", "description": "z", "metrics": {}}

AKOSHA_ASKS = (
    Ask(
        "akosha", "get_patterns", {"category": "load"}, _PATTERNS,
        {"category": "load", "patterns": [_past_pattern("pt1", "load"), _past_pattern("pt3", "load")], "count": 2},
    ),
    Ask(
        "akosha", "get_patterns", {"limit": 2}, _PATTERNS,
        {"category": "all", "patterns": [_past_pattern("pt2", "cost"), _past_pattern("pt3", "load")], "count": 2},
    ),
    Ask("akosha", "get_patterns", {"category": "none"}, _PATTERNS, {"category": "none", "patterns": [], "count": 0}),
    Ask(
        "akosha", "get_anomalies", {"severity": "high"}, _ANOMALIES,
        {"anomalies": [{**_AN2, "timestamp": TIME}], "count": 1},
    ),
    Ask("akosha", "get_anomalies", {"limit": 1}, _ANOMALIES, {"anomalies": [{**_AN3, "timestamp": TIME}], "count": 1}),
    Ask("akosha", "get_anomalies", {"severity": "critical"}, _ANOMALIES, {"anomalies": [], "count": 0}),
)  # fmt: skip

_UNSEEN = {"tests_completed": 0, "tests_failed": 0, "failures": [], "duration_seconds": None}

CRACKERJACK_ASKS = (
    Ask(
        _C, "get_test_status", {"run_id": "r2"},
        (
            ("broadcast_test_started", ("r2", "unit", 3)),
            ("broadcast_test_failed", ("r2", "test_a", "boom", "File a.py")),
            ("broadcast_test_completed", ("r2", 3, 1, 4.5)),
        ),
        {
            "run_id": "r2", "status": "failed", "test_suite": "unit", "total_tests": 3, "tests_completed": 3,
            "tests_failed": 1, "failures": [{"test_name": "test_a", "error": "boom"}], "duration_seconds": 4.5,
        },
    ),
    Ask(
        _C, "get_test_status", {"run_id": "r_none"},
        (("broadcast_test_started", ("r2", "unit", 3)),),
        {"run_id": "r_none", "status": "not_found", "test_suite": None, "total_tests": None, **_UNSEEN},
    ),
    Ask(
        _C, "get_quality_gate", {"project": "api"},
        (
            ("broadcast_quality_gate_checked", ("api", "lint", "failed", 5.0, 8.0)),
            ("broadcast_coverage_updated", ("api", 91.5, 80.0, 70.25)),
            ("broadcast_quality_gate_checked", ("api", "lint", "passed", 9.0, 8.0)),
        ),
        {
            "project": "api", "status": "passed",
            "gates": [{"gate_name": "lint", "status": "passed", "score": 9.0, "threshold": 8.0}],
        },
    ),
    Ask(
        _C, "get_quality_gate", {"project": "none"},
        (("broadcast_quality_gate_checked", ("api", "lint", "failed", 5.0, 8.0)),),
        {"project": "none", "status": "not_found", "gates": []},
    ),
)  # fmt: skip

_STORE: Before = (
    ("broadcast_adapter_stored", ("a1", {"size": 3, "kind": "etl"})),
    ("broadcast_adapter_updated", ("a1", {"size": 4})),
    ("broadcast_adapter_activated", ("a1", "acme/web", {"by": "ci"})),
    ("broadcast_adapter_stored", ("a2", {})),
)
_A1 = {
    "adapter_id": "a1", "status": "active", "adapter": {"size": 4, "kind": "etl", "repo": "acme/web", "by": "ci"}
}  # fmt: skip
_A2 = {"adapter_id": "a2", "status": "stored", "adapter": {}}

DHRUVA_ASKS = (
    Ask("dhruva", "get_adapter_status", {"adapter_id": "a1"}, _STORE, _A1),
    Ask(
        "dhruva", "get_adapter_status", {"adapter_id": "none"}, _STORE,
        {"adapter_id": "none", "status": "not_found", "adapter": {}},
    ),
    Ask(
        "dhruva", "get_distribution_status", {"repo": "acme/web"},
        (
            ("broadcast_adapter_distributed", ("a1", "acme/web", {})),
            ("broadcast_adapter_distributed", ("a2", "acme/web", {})),
            ("broadcast_distribution_completed", ("acme/web", ["a1", "a2"], 1.5)),
        ),
        {"repo": "acme/web", "status": "completed", "adapters": ["a1", "a2"], "last_completed_at": TIME},
    ),
    Ask(
        "dhruva", "get_distribution_status", {"repo": "none"},
        (("broadcast_adapter_distributed", ("a1", "acme/web", {})),),
        {"repo": "none", "status": "not_found", "adapters": [], "last_completed_at": None},
    ),
    Ask("dhruva", "list_adapters", {}, _STORE, {"adapters": [_A1, _A2], "count": 2}),
    Ask("dhruva", "list_adapters", {"limit": 1}, _STORE, {"adapters": [_A2], "count": 1}),
    Ask("dhruva", "list_adapters", {}, (), {"adapters": [], "count": 0}),
)  # fmt: skip

EXCALIDRAW_ASKS = (
    Ask(
        _E, "get_diagram_status", {"diagram_id": "d2"},
        (
            ("broadcast_diagram_created", ("d2", {"title": "Plan", "grid": True})),
            ("broadcast_diagram_updated", ("d2", {"title": "Plan B"})),
            ("broadcast_diagram_locked", ("d2", "u1", "review")),
        ),
        {"diagram_id": "d2", "status": "found", "diagram": {"title": "Plan B", "grid": True}, "locked_by": "u1"},
    ),
    Ask(
        _E, "get_diagram_status", {"diagram_id": "d_none"}, (("broadcast_diagram_created", ("d2", {})),),
        {"diagram_id": "d_none", "status": "not_found", "diagram": {}, "locked_by": None},
    ),
    Ask(
        _E, "get_elements", {"diagram_id": "d2"},
        (
            ("broadcast_element_added", ("d2", {"id": "e1", "x": 1, "color": "red"}, "u1")),
            ("broadcast_element_added", ("d2", {"id": "e2"}, "u1")),
            ("broadcast_element_updated", ("d2", "e1", {"x": 5}, "u2")),
            ("broadcast_element_deleted", ("d2", "e2", "u2")),
        ),
        {"diagram_id": "d2", "status": "found", "elements": [{"id": "e1", "x": 5, "color": "red"}], "count": 1},
    ),
)  # fmt: skip

_COMPONENT = (
    ("broadcast_component_mounted", ("c2", "home")),
    ("broadcast_component_updated", ("c2", {"label": "Go"}, {"open": False, "n": 1})),
    ("broadcast_state_changed", ("c2", "open", False, True)),
)

FASTBLOCKS_ASKS = (
    Ask(
        _F, "get_component_state", {"component_id": "c2"}, _COMPONENT,
        {"component_id": "c2", "status": "found", "props": {"label": "Go"}, "state": {"open": True, "n": 1}},
    ),
    Ask(
        _F, "get_component_state", {"component_id": "c_none"}, _COMPONENT,
        {"component_id": "c_none", "status": "not_found", "props": {}, "state": {}},
    ),
    Ask(
        _F, "get_component_status", {"component_id": "c2"}, _COMPONENT,
        {"component_id": "c2", "status": "mounted", "page_id": "home"},
    ),
    Ask(
        _F, "get_component_status", {"component_id": "c_none"}, _COMPONENT,
        {"component_id": "c_none", "status": "not_found", "page_id": None},
    ),
    Ask(
        _F, "get_state", {"state_path": "open"}, _COMPONENT,
        {"state_path": "open", "status": "found", "value": True},
    ),
    Ask(
        _F, "get_state", {"state_path": "none"}, _COMPONENT,
        {"state_path": "none", "status": "not_found", "value": None},
    ),
    Ask(
        _F, "get_page_status", {"page_id": "home"},
        (
            *_COMPONENT,
            ("broadcast_component_mounted", ("c3", "home")),
            ("broadcast_page_rendered", ("home", 0.5, 12)),
        ),
        {"page_id": "home", "status": "found", "component_count": 12, "duration": 0.5},
    ),
    Ask(
        _F, "get_page_status", {"page_id": "none"}, _COMPONENT,
        {"page_id": "none", "status": "not_found", "component_count": 0, "duration": None},
    ),
)  # fmt: skip

ASKS = (*MAHAVISHNU_ASKS, *AKOSHA_ASKS, *CRACKERJACK_ASKS, *DHRUVA_ASKS, *EXCALIDRAW_ASKS, *FASTBLOCKS_ASKS)

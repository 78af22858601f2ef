"""Every service says what services.md says: each broadcast method against a table typed by hand."""

import inspect
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import orjson
import pytest

import producers
from bus.channel import CLOSE, HISTORY, LATEST, LIVE, SKIP, conflate
from bus.envelope import compose
from bus.errors import ServiceNotFound
from bus.event import Event
from bus.service import Service
from producers.broadcaster import Broadcaster
from producers.services import NAMES, load
from tests.producers.services_table import CALLS, CLASSES, Call, Sent, is_time, make

HEADS: Final = {
    "mahavishnu": (8690, "Connected to Mahavishnu orchestration", "envelope"),
    "akosha": (8692, "Connected to Akosha pattern detection", "envelope"),
    "crackerjack": (8686, "Connected to Crackerjack quality monitoring", "envelope"),
    "session-buddy": (8765, "Connected to Session-Buddy real-time metrics", "session-buddy"),
    "dhruva": (8693, "Connected to Dhruva adapter distribution", "envelope"),
    "excalidraw": (3042, "Connected to Excalidraw collaboration", "envelope"),
    "fastblocks": (8684, "Connected to Fastblocks UI update stream", "envelope"),
}
FAMILIES: Final = {
    "mahavishnu": "workflow:{workflow_id} pool:{pool_id} worker:{worker_id} goal-teams goal-teams:{user_id} adapters "
    "symbiotic:{scope} global",
    "akosha": "patterns:{category} patterns anomalies insights metrics",
    "crackerjack": "test:{run_id} quality:{project} coverage global",
    "session-buddy": "skills skill:{skill_name} session:{session_id} knowledge",
    "dhruva": "adapter:{adapter_id} storage:{storage_type} distribution distribution:{repo} lifecycle registry global",
    "excalidraw": "diagram:{diagram_id} element:{element_id} cursor:{diagram_id} presence:{diagram_id} "
    "collaboration:{diagram_id} selection:{diagram_id} global",
    "fastblocks": "ui:{component_id} component:{component_id} page:{page_id} render state state:{component_id} "
    "hot_reload global",
}
RETENTIONS: Final = {
    "skills": LATEST,
    "skill:{skill_name}": LATEST,
    "cursor:{diagram_id}": LIVE,
    "selection:{diagram_id}": LIVE,
}
WHEN_SLOW: Final = {
    "skills": SKIP,
    "skill:{skill_name}": SKIP,
    "cursor:{diagram_id}": conflate("user_id"),
    "selection:{diagram_id}": conflate("user_id"),
}
PERMISSIONS: Final = {
    "workflow:{workflow_id}": "workflow:read",
    "pool:{pool_id}": "pool:read",
    "worker:{worker_id}": "worker:read",
    "goal-teams": "team:read",
    "goal-teams:{user_id}": "team:read",
}
SIGNATURES: Final = {
    "mahavishnu": {
        "broadcast_workflow_started": "workflow_id, metadata",
        "broadcast_workflow_stage_completed": "workflow_id, stage_name, result",
        "broadcast_workflow_completed": "workflow_id, final_result",
        "broadcast_workflow_failed": "workflow_id, error",
        "broadcast_worker_status_changed": "worker_id, status, pool_id",
        "broadcast_pool_status_changed": "pool_id, status",
        "broadcast_team_created": "team_id, team_name, goal, mode, user_id=None",
        "broadcast_team_parsed": "goal, intent, skills, confidence, user_id=None",
        "broadcast_team_execution_started": "team_id, task, user_id=None",
        "broadcast_team_execution_completed": "team_id, success, duration_ms, user_id=None",
        "broadcast_team_error": "team_id, error_code, message, user_id=None",
        "broadcast_adapter_registered": "adapter_id, adapter_name, capabilities, provider, source",
        "broadcast_adapter_health_changed": "adapter_id, adapter_name, old_status, new_status, details={}",
        "broadcast_adapter_enabled": "adapter_id, adapter_name, enabled, reason=None",
        "broadcast_routing_decision": "task_type, selected_adapter, capabilities_matched, latency_ms, fallback_used",
        "broadcast_pool_spawned": "pool_id, config",
        "broadcast_pool_scaled": "pool_id, worker_count",
        "broadcast_pool_closed": "pool_id",
        "broadcast_worker_added": "pool_id, worker_id",
        "broadcast_worker_removed": "pool_id, worker_id",
        "broadcast_task_assigned": "pool_id, worker_id, task",
        "broadcast_task_completed": "pool_id, worker_id, result",
        "broadcast_worker_availability_changed": "worker_type, state, reason_bucket, probe_at",
        "broadcast_learning_metrics": "patterns_strengthened=0, patterns_weakened=0, model_retrains=0, "
        "avg_confidence_score=0.0, user_id=None",
        "broadcast_skill_effectiveness": "skill_name, success_rate, total_attempts=0, avg_confidence=0.0, user_id=None",
        "broadcast_strategy_recommender": "recommendations_made=0, high_confidence_count=0, avg_success_rate=0.0, "
        "user_id=None",
        "broadcast_strategy_recommender_metrics": "recommendations_made=0, high_confidence_count=0, "
        "avg_success_rate=0.0, user_id=None",
    },
    "akosha": {
        "broadcast_pattern_detected": "pattern_id, pattern_type, description, confidence, metadata",
        "broadcast_anomaly_detected": "anomaly_id, anomaly_type, severity, description, metrics",
        "broadcast_insight_generated": "insight_id, insight_type, title, description, data",
        "broadcast_aggregation_completed": "aggregation_id, aggregation_type, record_count, summary",
    },
    "crackerjack": {
        "broadcast_test_started": "run_id, test_suite, total_tests",
        "broadcast_test_completed": "run_id, completed, failed, duration",
        "broadcast_test_failed": "run_id, test_name, error, traceback",
        "broadcast_test_case_completed": "run_id, test_name, outcome, duration_seconds",
        "broadcast_quality_gate_checked": "project, gate_name, status, score, threshold, quality_gate_report=None",
        "broadcast_coverage_updated": "project, line_coverage, branch_coverage, path_coverage",
    },
    "session-buddy": {
        "broadcast_metrics": "skills, anomalies",
        "stream_metrics": "read, interval_s=1.0",
        "broadcast_session_created": "session_id, metadata",
        "broadcast_session_updated": "session_id, metadata",
        "broadcast_session_checkpoint": "session_id, metadata",
        "broadcast_session_closed": "session_id, metadata",
        "broadcast_knowledge_captured": "knowledge_id, session_id, summary, metadata",
        "broadcast_knowledge_search_result": "query, results",
    },
    "dhruva": {
        "broadcast_adapter_stored": "adapter_id, metadata",
        "broadcast_adapter_updated": "adapter_id, metadata",
        "broadcast_adapter_distributed": "adapter_id, repo, metadata",
        "broadcast_storage_event": "storage_type, event_data",
        "broadcast_adapter_activated": "adapter_id, repo, metadata",
        "broadcast_adapter_deactivated": "adapter_id, repo, reason",
        "broadcast_adapter_swapped": "old_adapter, new_adapter, repo",
        "broadcast_distribution_completed": "repo, adapters, duration",
        "broadcast_registry_updated": "registry_version, changes",
        "broadcast_lifecycle_changed": "entity_type, entity_id, old_state, new_state",
    },
    "excalidraw": {
        "broadcast_diagram_created": "diagram_id, metadata",
        "broadcast_diagram_updated": "diagram_id, metadata",
        "broadcast_element_added": "diagram_id, element, user_id",
        "broadcast_element_updated": "diagram_id, element_id, changes, user_id",
        "broadcast_element_deleted": "diagram_id, element_id, user_id",
        "broadcast_cursor_moved": "diagram_id, user_id, position",
        "broadcast_selection_changed": "diagram_id, user_id, selected_elements",
        "broadcast_user_joined": "diagram_id, user_id, user_info",
        "broadcast_user_left": "diagram_id, user_id",
        "broadcast_diagram_saved": "diagram_id, storage_key",
        "broadcast_diagram_locked": "diagram_id, user_id, reason",
        "broadcast_diagram_unlocked": "diagram_id, user_id",
    },
    "fastblocks": {
        "broadcast_ui_updated": "component_id, metadata",
        "broadcast_component_rendered": "component_id, render_info",
        "broadcast_component_updated": "component_id, props, state",
        "broadcast_component_mounted": "component_id, page_id",
        "broadcast_component_unmounted": "component_id, page_id",
        "broadcast_page_rendered": "page_id, duration, component_count",
        "broadcast_state_changed": "component_id, state_path, old_value, new_value",
        "broadcast_hot_reload": "file_path, components",
        "broadcast_render_started": "component_id, render_type",
        "broadcast_render_completed": "component_id, duration, result",
        "broadcast_render_failed": "component_id, error",
    },
}
RENAMED: Final = {
    "final_result": "result",
    "completed": "tests_completed",
    "failed": "tests_failed",
    "components": "affected_components",
}
"""Arguments whose field has another name; crackerjack's ``duration`` is in DURATION."""
DURATION: Final = {"broadcast_test_completed": "duration_seconds"}
MERGED: Final = ("metadata", "event_data", "render_info")
"""Names of the arguments whose keys become keys of the event."""


class Capture:
    """A publisher that only remembers what it was given."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.intervals_s: list[float] = []

    def publish(self, event: Event) -> str:
        """Remember one event."""
        self.events.append(event)
        return "one"

    def publish_all(self, events: Sequence[Event]) -> str:
        """Remember several events."""
        self.events.extend(events)
        return "many"

    def publish_every(self, interval_s: float, make: Callable[[], Sequence[Event]]) -> str:
        """Remember the interval, and the events of the first time."""
        self.intervals_s.append(interval_s)
        self.events.extend(make())
        return "endless"


def module_of(service: str) -> ModuleType:
    return import_module(f"producers.services.{service.replace('-', '_')}")


def broadcaster(service: str, capture: Capture) -> Broadcaster[str, str, str]:
    made: Broadcaster[str, str, str] = getattr(module_of(service), CLASSES[service])(capture)
    return made


def run(service: str, method: str, args: Sequence[Any]) -> list[Event]:
    capture = Capture()
    make(broadcaster(service, capture), method, args)
    return capture.events


def arguments(service: str, method: str) -> list[str]:
    return [argument.partition("=")[0] for argument in SIGNATURES[service][method].split(", ")]


def canonical(value: Any) -> bytes:
    """Return bytes that tell 5 from 5.0 and 1 from true, as readers of other languages would."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def methods_of(service: str) -> dict[str, Callable[..., Any]]:
    own = vars(getattr(module_of(service), CLASSES[service]))
    return {name: it for name, it in own.items() if inspect.isfunction(it) and not name.startswith("_")}


each_call = pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
each_service = pytest.mark.parametrize("name", NAMES)


@each_call
def test_call_sends_what_the_table_says(call: Call) -> None:
    """A broadcast method sends the events of the table: name, data with types, channels in order, one id per event."""
    events = run(call.service, call.method, call.args)
    assert len(events) == len(call.sends)
    for event, expected in zip(events, call.sends, strict=True):
        check_event(event, expected)


def check_event(event: Event, expected: Sent) -> None:
    message = compose(event)
    lines = [(channel, orjson.loads(line)) for channel, line in message.lines]
    assert tuple(channel.name for channel, _ in lines) == expected.channels
    assert tuple(line["room"] for _, line in lines) == expected.channels
    assert {line["id"] for _, line in lines} == {message.id}
    for _, line in lines:
        timestamp = line["data"].pop("timestamp")
        assert is_time(timestamp)
        assert line["timestamp"] == timestamp
        assert line["event"] == expected.event
        assert canonical(line["data"]) == canonical(expected.data)


@each_call
def test_call_by_keyword_sends_the_same(call: Call) -> None:
    """Every argument may be given by its name in services.md."""
    capture = Capture()
    by_name = dict(zip(arguments(call.service, call.method), call.args, strict=False))
    getattr(broadcaster(call.service, capture), call.method)(**by_name)
    assert [event.event_name for event in capture.events] == [sent.event for sent in call.sends]
    assert [it.name for it in capture.events[0].channels()] == list(call.sends[0].channels)


@each_call
def test_call_channels_belong_to_the_service(call: Call) -> None:
    """Every channel that a call publishes on can be subscribed to by its name, and means the same to Redis."""
    service = load(call.service)
    for event in run(call.service, call.method, call.args):
        for channel in event.channels():
            assert service.channel(channel.name) == channel


@each_service
def test_methods_are_those_of_the_table(name: str) -> None:
    """A broadcaster has the methods of services.md, none missing and none more, and each has a row in the table."""
    methods = set(methods_of(name))
    assert methods == set(SIGNATURES[name])
    assert methods == {call.method for call in CALLS if call.service == name}


@each_service
def test_signatures_are_those_of_the_design(name: str) -> None:
    """Arguments have the order, the names and the defaults of services.md."""
    for method, function in methods_of(name).items():
        _, *parameters = inspect.signature(function).parameters.values()
        texts = [it.name if it.default is it.empty else f"{it.name}={it.default!r}" for it in parameters]
        assert ", ".join(texts) == SIGNATURES[name][method], method


@each_service
def test_catalogue_has_the_head_of_the_design(name: str) -> None:
    """Name, port, welcome and dialect are those of services.md and protocol.md."""
    service = load(name)
    assert service.name == name
    assert (service.port, service.welcome, service.dialect) == HEADS[name]


@each_service
def test_families_are_those_of_the_design(name: str) -> None:
    """Families have the patterns, the retention and the permission of services.md, and their policy (decision 32)."""
    families = load(name).families
    assert [family.pattern for family in families] == FAMILIES[name].split()
    for family in families:
        assert family.retention == RETENTIONS.get(family.pattern, HISTORY), family.pattern
        assert family.permission == PERMISSIONS.get(family.pattern), family.pattern
        assert family.when_slow == WHEN_SLOW.get(family.pattern, CLOSE), family.pattern
        assert family.shared_by == (name if family.pattern == "global" else None)


def test_families_are_unique_across_services() -> None:
    """No two services use one Redis channel, ``global`` included, which carries its service there."""
    patterns = [family.pattern for name in NAMES for family in load(name).families if not family.shared_by]
    heads = [pattern.partition("{")[0] for pattern in patterns]
    assert len(set(heads)) == len(heads)
    shared = [service.channel("global").redis for name in NAMES if "global" in FAMILIES[(service := load(name)).name]]
    assert len(set(shared)) == len(shared) == 5


NO_BROADCAST = {"dhruva": {"adapter.acknowledged", "distribution.overdue"}}
"""Events of agents and of ``producers.distribution``, which no broadcast method sends."""


@each_service
def test_catalogue_lists_every_event_of_its_file(name: str) -> None:
    """A service's catalogue names every event model of its file, and the table sends every one of them."""
    models = {
        it
        for it in vars(module_of(name)).values()
        if inspect.isclass(it) and issubclass(it, Event) and it.event_name and it.__module__ == module_of(name).__name__
    }
    service = load(name)
    assert models == set(service.events)
    assert len(service.events) == len({event.event_name for event in service.events})
    sent = {sent.event for call in CALLS if call.service == name for sent in call.sends}
    assert sent == {event.event_name for event in service.events} - NO_BROADCAST.get(name, set())


@pytest.mark.parametrize(
    ("method", "answer", "args"),
    [
        ("broadcast_session_closed", "one", ("s1", {})),
        ("broadcast_metrics", "many", ([], [])),
        ("stream_metrics", "endless", (lambda: ([], []),)),
    ],
)
def test_methods_return_what_the_publisher_returns(method: str, answer: str, args: tuple[Any, ...]) -> None:
    """A broadcast method hands back what the producer answered, so it is awaited exactly when the producer's is."""
    assert getattr(broadcaster("session-buddy", Capture()), method)(*args) == answer


# What is refused


@each_call
def test_wrong_type_is_refused_by_name(call: Call) -> None:
    """An argument of the wrong type is refused before anything is sent, and the error names its field."""
    for index, argument in enumerate(arguments(call.service, call.method)[: len(call.args)]):
        if argument in MERGED or call.method == "stream_metrics":
            continue
        capture = Capture()
        args = [*call.args[:index], object(), *call.args[index + 1 :]]
        field = DURATION.get(call.method, argument) if argument == "duration" else RENAMED.get(argument, argument)
        with pytest.raises(ValueError, match=rf"(?m)^{field}\b"):
            make(broadcaster(call.service, capture), call.method, args)
        assert capture.events == []


MERGING: Final = [call for call in CALLS if arguments(call.service, call.method)[-1] in MERGED]


@pytest.mark.parametrize("call", MERGING, ids=lambda call: call.name)
def test_metadata_may_not_overwrite_a_field(call: Call) -> None:
    """A key of the caller's object that is a declared field, or the timestamp, is refused by name."""
    *declared, _ = arguments(call.service, call.method)
    for key in (*declared, "timestamp"):
        with pytest.raises(ValueError, match=key):
            run(call.service, call.method, (*call.args[:-1], {key: "mine"}))


@pytest.mark.parametrize("call", MERGING, ids=lambda call: call.name)
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_metadata_may_not_hold_what_json_cannot_carry(call: Call, number: float) -> None:
    """NaN and infinities in the caller's object are refused with the path to them."""
    with pytest.raises(ValueError, match=r"(?s)outer.*inner\[1\]"):
        run(call.service, call.method, (*call.args[:-1], {"outer": {"inner": [0, number]}}))


@pytest.mark.parametrize("call", MERGING, ids=lambda call: call.name)
def test_metadata_may_have_names_that_models_use(call: Call) -> None:
    """Keys that happen to be names of the model's own methods travel like any other."""
    extra = {"channels": ["x"], "event_name": "y", "model_config": 1, "model_dump": None, "_private": 2, "self": 3}
    [event] = run(call.service, call.method, (*call.args[:-1], extra))
    data = orjson.loads(compose(event).lines[0][1])["data"]
    assert {key: data[key] for key in extra} == extra


def test_merging_methods_are_those_of_the_design() -> None:
    """The sixteen methods marked ``+`` in services.md merge the caller's keys."""
    assert {call.method for call in MERGING} == {
        "broadcast_workflow_started",
        "broadcast_pattern_detected",
        "broadcast_session_created",
        "broadcast_session_updated",
        "broadcast_session_checkpoint",
        "broadcast_session_closed",
        "broadcast_knowledge_captured",
        "broadcast_adapter_stored",
        "broadcast_adapter_updated",
        "broadcast_adapter_distributed",
        "broadcast_storage_event",
        "broadcast_adapter_activated",
        "broadcast_diagram_created",
        "broadcast_diagram_updated",
        "broadcast_ui_updated",
        "broadcast_component_rendered",
    }


@pytest.mark.parametrize(
    ("service", "method", "args", "path"),
    [
        ("mahavishnu", "broadcast_workflow_completed", ("wf_1", {"a": [float("nan")]}), r"result\n.*a\[0\]"),
        ("mahavishnu", "broadcast_team_parsed", ("g", "i", ["x", float("inf")], 0.5), r"skills\.1\n"),
        ("mahavishnu", "broadcast_team_execution_completed", ("t1", True, float("nan")), "duration_ms"),
        ("fastblocks", "broadcast_state_changed", ("c1", "a", 1, {"b": float("nan")}), r"new_value\n.*b is nan"),
        ("crackerjack", "broadcast_test_completed", ("r1", 1, 0, float("inf")), "duration_seconds"),
        ("akosha", "broadcast_pattern_detected", ("p", "t", "d", float("nan"), {}), "confidence"),
    ],
)
def test_what_json_cannot_carry_is_refused_by_name(service: str, method: str, args: tuple[Any, ...], path: str) -> None:
    """NaN and infinities in an argument are refused with the field and the path inside it."""
    with pytest.raises(ValueError, match=path):
        run(service, method, args)


@pytest.mark.parametrize(
    ("service", "method", "args", "field"),
    [
        ("akosha", "broadcast_pattern_detected", ("p", "t", "d", 1.01, {}), "confidence"),
        ("akosha", "broadcast_pattern_detected", ("p", "t", "d", -0.01, {}), "confidence"),
        ("akosha", "broadcast_anomaly_detected", ("a", "t", "severe", "d", {}), "severity"),
        ("crackerjack", "broadcast_test_case_completed", ("r1", "t", "errored", 0.1), "outcome"),
        ("mahavishnu", "broadcast_workflow_failed", ("", "e"), "workflow_id"),
        ("mahavishnu", "broadcast_pool_scaled", ("p1", True), "worker_count"),
        ("mahavishnu", "broadcast_pool_scaled", ("p1", 2.0), "worker_count"),
        ("akosha", "broadcast_pattern_detected", ("p", "é" * 40, "d", 0.5, {}), "pattern_type"),
    ],
)
def test_values_out_of_bounds_are_refused_by_name(service: str, method: str, args: tuple[Any, ...], field: str) -> None:
    """Bounds and enumerations of services.md hold, and the error names the field."""
    with pytest.raises(ValueError, match=field):
        run(service, method, args)


def test_task_is_bounded_by_the_model() -> None:
    """The method cuts a task to 200 characters; the model itself refuses more."""
    model = module_of("mahavishnu").TeamExecutionStarted
    assert len(model(team_id="t1", task="x" * 200).task) == 200
    with pytest.raises(ValueError, match="task"):
        model(team_id="t1", task="x" * 201)


def test_adapter_events_refuse_the_other_ones_value() -> None:
    """adapter.enabled cannot say that it is disabled, nor the other way round."""
    module = module_of("mahavishnu")
    for model, wrong in ((module.AdapterEnabled, False), (module.AdapterDisabled, True)):
        with pytest.raises(ValueError, match="enabled"):
            model(adapter_id="a", adapter_name="n", enabled=wrong)


def test_swap_with_itself_goes_once_on_each_channel() -> None:
    """An adapter that takes its own place is told once on its channel: nothing is delivered twice."""
    [event] = run("dhruva", "broadcast_adapter_swapped", ("a1", "a1", "web"))
    names = [channel.name for channel, _ in compose(event).lines]
    assert names == ["adapter:a1", "distribution:web", "distribution", "lifecycle", "registry"]


# The metrics of session-buddy


def skill(name: str, invocations: int = 1, **changed: Any) -> dict[str, Any]:
    figures = {"total_invocations": invocations, "completion_rate": 50.0, "avg_duration_seconds": 1.0}
    return {"skill_name": name, **figures, **changed}


def anomaly(name: str, **changed: Any) -> dict[str, Any]:
    found = {"detected_at": "2026-01-02T03:04:05+00:00", "anomaly_type": "drop", "deviation_score": 2.0}
    return {"skill_name": name, **found, **changed}


def test_metrics_top_ten_is_stable() -> None:
    """The ten most invoked go to all, those of equal number in the order given; each skill given has its own."""
    skills = [skill(f"s{index}", 10 - index % 3) for index in range(12)]
    events = run("session-buddy", "broadcast_metrics", (skills, []))
    top = [it["skill_name"] for it in events[0].model_dump()["top_skills"]]
    assert top == ["s0", "s3", "s6", "s9", "s1", "s4", "s7", "s10", "s2", "s5"]
    assert [event.channels()[0].name for event in events] == ["skills", *(f"skill:s{index}" for index in range(12))]


def test_metrics_may_be_models() -> None:
    """Skills and anomalies may be given as models, and send what the same dicts send."""
    module = module_of("session-buddy")
    models = [module.SkillMetrics(**skill("a"))], [module.Anomaly(**anomaly("a"))]
    from_models = run("session-buddy", "broadcast_metrics", models)
    from_dicts = run("session-buddy", "broadcast_metrics", ([skill("a")], [anomaly("a")]))
    assert from_models == from_dicts


@pytest.mark.parametrize(
    ("skills", "anomalies", "path"),
    [
        ([skill("a"), skill("b", completion_rate=100.5)], [], r"skills\.1\.completion_rate"),
        ([skill("a", avg_duration_seconds=float("nan"))], [], r"skills\.0\.avg_duration_seconds"),
        ([skill("a", total_invocations="5")], [], r"skills\.0\.total_invocations"),
        ([skill("a", more=1)], [], r"skills\.0\.more"),
        ([skill("")], [], "skill_name"),
        ([], [{"skill_name": "a"}], r"anomalies\.0\.detected_at"),
    ],
)
def test_metrics_are_refused_by_name(skills: list[Any], anomalies: list[Any], path: str) -> None:
    """A wrong figure refuses the whole call, and the error says which entry and which key."""
    with pytest.raises(ValueError, match=path):
        run("session-buddy", "broadcast_metrics", (skills, anomalies))


def test_stream_metrics_passes_its_interval() -> None:
    """stream_metrics reads again each time, at the interval given, one second unless told otherwise."""
    capture = Capture()
    buddy = module_of("session-buddy").SessionBuddy(capture)
    buddy.stream_metrics(lambda: ([], []))
    buddy.stream_metrics(lambda: ([], []), interval_s=0.25)
    assert capture.intervals_s == [1.0, 0.25]


# Finding a service by name


def test_names_are_loaded_lazily(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing the package imports no service."""
    for module in [it for it in sys.modules if it.startswith("producers.services")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(producers, "services", None, raising=False)
    import_module("producers.services")
    assert [it for it in sys.modules if it.startswith("producers.services")] == ["producers.services"]


def test_load_finds_a_service_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service may live in any module, under any name there."""
    (tmp_path / "own_bell.py").write_text(
        "from bus.service import Service\n"
        "BELL = Service(name='bell', port=9000, welcome='ding', families=(), events=())\n"
        "NUMBER = 5\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert isinstance(load("own_bell:BELL"), Service)
    for wrong in ("own_bell:NUMBER", "own_bell:BELT"):
        with pytest.raises(ServiceNotFound, match=r"own_bell has no Service called .*session-buddy.*package\.module:"):
            load(wrong)
    monkeypatch.delitem(sys.modules, "own_bell")


@pytest.mark.parametrize(
    "name",
    ["", "nope", "session_buddy", "Mahavishnu", ":SERVICE", "a:", ".a:B", "a b:C", "no.such:THING", "producers.no:A"],
)
def test_load_refuses_what_is_no_service(name: str) -> None:
    """The error lists the built-in names and the form of others."""
    with pytest.raises(ServiceNotFound, match=r"mahavishnu, .*fastblocks, or package\.module:ATTRIBUTE"):
        load(name)


def test_load_lets_a_modules_own_error_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that lacks something of its own says so itself, not that there is no such service."""
    (tmp_path / "broken_bell.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        load("broken_bell:BELL")

"""Every request answers from past events as services.md says; the folds are pure, so no log is needed here."""

from collections.abc import Sequence
from typing import Any, Final

import orjson
import pytest

from bus.envelope import compose
from bus.service import PastEvent, Request
from producers.services import NAMES, load
from tests.producers.services_table import ASKS, Ask, blank_times, is_time
from tests.producers.test_services import run

Done = tuple[str, tuple[Any, ...]]
Before = Sequence[Done]

REQUESTS: Final[dict[str, dict[str, str | None]]] = {
    "mahavishnu": {"get_workflow_status": "workflow:read", "get_pool_status": "pool:read"},
    "akosha": {"get_patterns": None, "get_anomalies": None},
    "crackerjack": {"get_test_status": None, "get_quality_gate": None},
    "session-buddy": {},
    "dhruva": {"get_adapter_status": None, "get_distribution_status": None, "list_adapters": None},
    "excalidraw": {"get_diagram_status": None, "get_elements": None},
    "fastblocks": {
        "get_component_state": None,
        "get_component_status": None,
        "get_state": None,
        "get_page_status": None,
    },
}
"""Service to its requests, and the permission of each one's first channel."""


def request_of(service: str, name: str) -> Request[Any, Any]:
    request = load(service).request(name)
    assert request is not None
    return request


def answer(service: str, name: str, data: dict[str, Any], before: Before) -> dict[str, Any]:
    """Return the answer after the calls ``before``, reading only the logs that the request names."""
    request = request_of(service, name)
    question = request.question.model_validate(data)
    logs = {channel.name for channel in request.channels(question)}
    events = [event for method, args in before for event in run(service, method, args)]
    lines = [orjson.loads(line) for event in events for channel, line in compose(event).lines if channel.name in logs]
    past = [
        PastEvent(line["event"], line["data"], line["timestamp"], f"{number}-0")
        for number, line in enumerate(lines, start=1)
    ]
    found: dict[str, Any] = orjson.loads(orjson.dumps(request.fold(question, past).model_dump()))
    return found


@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: ask.name)
def test_request_answers_what_the_table_says(ask: Ask) -> None:
    """A request has the answer of the table, key for key, for known and unknown subjects."""
    found = answer(ask.service, ask.request, ask.data, ask.before)
    assert orjson.dumps(blank_times(found), option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        ask.answer, option=orjson.OPT_SORT_KEYS
    )


@pytest.mark.parametrize("service", NAMES)
def test_requests_are_those_of_the_design(service: str) -> None:
    """A service has the requests of services.md, each in the table, and each with its family's permission."""
    assert {request.name for request in load(service).requests if request.has_fold} == set(REQUESTS[service])
    assert {ask.request for ask in ASKS if ask.service == service} == set(REQUESTS[service])
    for ask in ASKS:
        if ask.service == service:
            request = request_of(service, ask.request)
            channels = request.channels(request.question.model_validate(ask.data))
            assert channels[0].permission == REQUESTS[service][ask.request]
            assert all(load(service).channel(channel.name) == channel for channel in channels)


def test_component_state_reads_two_logs() -> None:
    """get_component_state reads the component's own log and that of its state."""
    request = request_of("fastblocks", "get_component_state")
    channels = request.channels(request.question.model_validate({"component_id": "c1"}))
    assert [channel.name for channel in channels] == ["component:c1", "state:c1"]


@pytest.mark.parametrize(
    ("service", "name", "data", "field"),
    [
        ("mahavishnu", "get_workflow_status", {}, "workflow_id"),
        ("mahavishnu", "get_workflow_status", {"workflow_id": 5}, "workflow_id"),
        ("mahavishnu", "get_workflow_status", {"workflow_id": ""}, "workflow_id"),
        ("mahavishnu", "get_pool_status", {"pool_id": None}, "pool_id"),
        ("akosha", "get_patterns", {"limit": 0}, "limit"),
        ("akosha", "get_patterns", {"limit": 1001}, "limit"),
        ("akosha", "get_patterns", {"limit": "5"}, "limit"),
        ("akosha", "get_patterns", {"category": ""}, "category"),
        ("akosha", "get_anomalies", {"severity": "severe"}, "severity"),
        ("crackerjack", "get_test_status", {}, "run_id"),
        ("crackerjack", "get_quality_gate", {}, "project"),
        ("dhruva", "get_adapter_status", {}, "adapter_id"),
        ("dhruva", "get_distribution_status", {}, "repo"),
        ("dhruva", "list_adapters", {"limit": True}, "limit"),
        ("excalidraw", "get_diagram_status", {}, "diagram_id"),
        ("fastblocks", "get_component_state", {}, "component_id"),
        ("fastblocks", "get_component_status", {}, "component_id"),
        ("fastblocks", "get_state", {}, "state_path"),
        ("fastblocks", "get_page_status", {}, "page_id"),
    ],
)
def test_question_is_refused_by_name(service: str, name: str, data: dict[str, Any], field: str) -> None:
    """A question that lacks a field, or has it of the wrong type or out of bounds, is refused with the field's name."""
    with pytest.raises(ValueError, match=rf"(?m)^{field}$"):
        request_of(service, name).question.model_validate(data)


# Workflows

STARTED: Done = ("broadcast_workflow_started", ("wf", {}))
BUILD: Done = ("broadcast_workflow_stage_completed", ("wf", "build", {}))
COMPLETED: Done = ("broadcast_workflow_completed", ("wf", {"n": 1}))
FAILED: Done = ("broadcast_workflow_failed", ("wf", "disk full"))


def workflow(*before: Done) -> dict[str, Any]:
    return answer("mahavishnu", "get_workflow_status", {"workflow_id": "wf"}, before)


def test_workflow_times_are_those_of_its_events() -> None:
    """started_at is the time of workflow.started, updated_at that of the newest event."""
    request = request_of("mahavishnu", "get_workflow_status")
    past = [
        PastEvent("workflow.started", {"workflow_id": "wf"}, "2026-01-01T00:00:00+00:00", "1-0"),
        PastEvent(
            "workflow.stage_completed", {"stage_name": "build", "result": {}}, "2026-01-01T00:00:07+00:00", "2-0"
        ),
    ]
    found = request.fold(request.question.model_validate({"workflow_id": "wf"}), past)
    assert found.started_at == "2026-01-01T00:00:00+00:00"
    assert found.updated_at == "2026-01-01T00:00:07+00:00"


def test_workflow_is_running_until_it_ends() -> None:
    """A workflow with stages and no end is running."""
    found = workflow(STARTED, BUILD, BUILD)
    assert (found["status"], found["stages_completed"], found["stages"]) == ("running", 2, ["build", "build"])
    assert is_time(found["updated_at"])


def test_workflow_failed_has_its_error() -> None:
    """A failed workflow has an error and no result."""
    found = workflow(STARTED, FAILED)
    assert (found["status"], found["result"], found["error"]) == ("failed", None, "disk full")


def test_workflow_with_a_trimmed_log_is_known() -> None:
    """A log that lost its beginning still tells how things stand; only the start is not known."""
    found = workflow(BUILD, COMPLETED)
    assert (found["status"], found["started_at"], found["stages"]) == ("completed", None, ["build"])


def test_workflow_started_again_begins_anew() -> None:
    """A second workflow.started forgets stages, result and error of the first."""
    found = workflow(STARTED, BUILD, FAILED, STARTED)
    assert (found["status"], found["stages"], found["error"]) == ("running", [], None)


def test_workflow_stage_after_the_end_does_not_reopen_it() -> None:
    """A stage that arrives late is counted, and the workflow stays completed."""
    found = workflow(STARTED, COMPLETED, BUILD)
    assert (found["status"], found["stages_completed"]) == ("completed", 1)


# Pools

SPAWNED: Done = ("broadcast_pool_spawned", ("p", {"size": 2}))
SCALED: Done = ("broadcast_pool_scaled", ("p", 4))
CLOSED: Done = ("broadcast_pool_closed", ("p",))
ACTIVE: Done = ("broadcast_pool_status_changed", ("p", {"state": "active", "load": 1}))
ADDED: Done = ("broadcast_worker_added", ("p", "w"))
REMOVED: Done = ("broadcast_worker_removed", ("p", "w"))
ASSIGNED: Done = ("broadcast_task_assigned", ("p", "w", {}))
DONE: Done = ("broadcast_task_completed", ("p", "w", {}))
REPORTED: Done = ("broadcast_worker_status_changed", ("w", "ill", "p"))
STATELESS: Done = ("broadcast_pool_status_changed", ("p", {"state": 5, "load": 2}))


def pool(*before: Done) -> dict[str, Any]:
    return answer("mahavishnu", "get_pool_status", {"pool_id": "p"}, before)


@pytest.mark.parametrize(
    ("before", "status"),
    [
        ([SPAWNED], "spawned"),
        ([SPAWNED, SCALED], "scaled"),
        ([SPAWNED, SCALED, CLOSED], "closed"),
        ([SPAWNED, ACTIVE, SCALED], "active"),
        ([SPAWNED, ACTIVE, STATELESS], "spawned"),
        ([SPAWNED, ACTIVE, CLOSED], "closed"),
        ([SPAWNED, ACTIVE, CLOSED, SPAWNED], "spawned"),
        ([ADDED], "spawned"),
    ],
)
def test_pool_status(before: Before, status: str) -> None:
    """The last reported state decides; without one, or after closing, the last of spawned, scaled and closed."""
    assert pool(*before)["status"] == status


def test_pool_details_are_the_last_status_over_what_was_announced() -> None:
    """Of the reported status only the last counts; config and the number of workers stay beside it."""
    details = pool(SPAWNED, ACTIVE, SCALED, ("broadcast_pool_status_changed", ("p", {"state": "idle"})))["details"]
    assert details == {"config": {"size": 2}, "worker_count": 4, "state": "idle"}
    scaled_later = pool(("broadcast_pool_status_changed", ("p", {"worker_count": 1})), SCALED)["details"]
    assert scaled_later == {"worker_count": 4}


@pytest.mark.parametrize(
    ("before", "status"),
    [
        ([ADDED], "idle"),
        ([ADDED, ASSIGNED], "busy"),
        ([ADDED, ASSIGNED, DONE], "idle"),
        ([ASSIGNED], "busy"),
        ([ADDED, REPORTED], "ill"),
        ([REPORTED, ASSIGNED], "ill"),
        ([ADDED, REPORTED, REMOVED, ADDED], "idle"),
    ],
)
def test_pool_worker_status(before: Before, status: str) -> None:
    """A worker's own report goes before what its tasks let guess."""
    assert pool(*before)["workers"] == [{"worker_id": "w", "status": status}]


@pytest.mark.parametrize("end", [REMOVED, CLOSED])
def test_pool_forgets_workers_that_left(end: Done) -> None:
    """A worker that was removed, and every worker of a closed pool, is gone."""
    assert pool(SPAWNED, ADDED, REPORTED, end)["workers"] == []


# Test runs and quality gates


def case(name: str, outcome: str) -> Done:
    return "broadcast_test_case_completed", ("r", name, outcome, 0.5)


RUN: Done = ("broadcast_test_started", ("r", "unit", 3))
BOOM: Done = ("broadcast_test_failed", ("r", "b", "boom", "trace"))


def crackerjack_run(*before: Done) -> dict[str, Any]:
    return answer("crackerjack", "get_test_status", {"run_id": "r"}, before)


def ended(completed: int, failed: int) -> Done:
    return "broadcast_test_completed", ("r", completed, failed, 2.5)


def test_run_seen_test_by_test_is_running() -> None:
    """A run known only by its tests is running; they are counted, and a failed name counts once."""
    found = crackerjack_run(case("a", "passed"), case("b", "failed"), BOOM, case("c", "skipped"))
    assert (found["status"], found["test_suite"], found["total_tests"]) == ("running", None, None)
    assert (found["tests_completed"], found["tests_failed"], found["duration_seconds"]) == (3, 1, None)
    assert found["failures"] == [{"test_name": "b", "error": "boom"}]


@pytest.mark.parametrize(
    ("before", "status", "failed"),
    [
        ([RUN, ended(3, 0)], "passed", 0),
        ([RUN, ended(3, 2)], "failed", 2),
        ([RUN, BOOM, ended(3, 0)], "failed", 0),
        ([RUN, ended(3, 0), BOOM], "failed", 0),
        ([RUN, case("a", "failed"), case("a", "passed"), ended(3, 0)], "passed", 0),
        ([RUN, BOOM, ended(3, 1), RUN], "running", 0),
        ([ended(3, 0)], "passed", 0),
    ],
)
def test_run_status(before: Before, status: str, failed: int) -> None:
    """test.completed states the numbers; a reported failure fails the run all the same; a new start begins anew."""
    found = crackerjack_run(*before)
    assert (found["status"], found["tests_failed"]) == (status, failed)


def gate(name: str, status: str) -> Done:
    return "broadcast_quality_gate_checked", ("web", name, status, 1.0, 2.0)


@pytest.mark.parametrize(
    ("before", "status"),
    [
        ([gate("a", "passed"), gate("b", "OK"), gate("c", "Success"), gate("d", "pass")], "passed"),
        ([gate("a", "passed"), gate("b", "failed")], "failed"),
        ([gate("a", "passed"), gate("b", "warning")], "failed"),
        ([gate("a", "failed"), gate("b", "passed"), gate("a", "passed")], "passed"),
        ([gate("a", "passed"), gate("a", "error")], "failed"),
        ([("broadcast_coverage_updated", ("web", 1.0, 1.0, 1.0))], "not_found"),
    ],
)
def test_quality_status(before: Before, status: str) -> None:
    """A project passed when the newest check of every gate did; any word that is not known to mean so means failed."""
    assert answer("crackerjack", "get_quality_gate", {"project": "web"}, before)["status"] == status


# Adapters and distributions


def stored(adapter_id: str, **metadata: Any) -> Done:
    return "broadcast_adapter_stored", (adapter_id, metadata)


ACTIVATED: Done = ("broadcast_adapter_activated", ("a", "web", {}))
DEACTIVATED: Done = ("broadcast_adapter_deactivated", ("a", "web", "old"))
SENT: Done = ("broadcast_adapter_distributed", ("a", "web", {}))
SWAP_OUT: Done = ("broadcast_adapter_swapped", ("a", "b", "web"))
SWAP_IN: Done = ("broadcast_adapter_swapped", ("b", "a", "web"))
FINISHED: Done = ("broadcast_distribution_completed", ("web", ["a", "b"], 1.0))


@pytest.mark.parametrize(
    ("before", "status"),
    [
        ([stored("a")], "stored"),
        ([SENT], "stored"),
        ([stored("a"), ACTIVATED], "active"),
        ([stored("a"), ACTIVATED, DEACTIVATED], "inactive"),
        ([ACTIVATED, SWAP_OUT], "inactive"),
        ([stored("a"), SWAP_IN], "active"),
        ([("broadcast_adapter_swapped", ("a", "a", "web"))], "active"),
        ([ACTIVATED, stored("a")], "active"),
    ],
)
def test_adapter_status(before: Before, status: str) -> None:
    """Activation, deactivation and swaps decide; an adapter that saw none of them is stored."""
    assert answer("dhruva", "get_adapter_status", {"adapter_id": "a"}, before)["status"] == status


def test_adapter_stored_again_is_described_anew() -> None:
    """Storing replaces what was said of an adapter."""
    found = answer("dhruva", "get_adapter_status", {"adapter_id": "a"}, [stored("a", x=1), stored("a", y=2)])
    assert found["adapter"] == {"y": 2}


def test_adapters_are_listed_once_the_newest_last() -> None:
    """The registry lists an adapter once, where it changed last; a limit keeps the newest."""
    before = [stored("a"), stored("b"), ACTIVATED, ("broadcast_registry_updated", ("7", {}))]
    listed = answer("dhruva", "list_adapters", {}, before)["adapters"]
    assert [(it["adapter_id"], it["status"]) for it in listed] == [("b", "stored"), ("a", "active")]
    assert answer("dhruva", "list_adapters", {"limit": 1}, before)["adapters"] == listed[1:]


@pytest.mark.parametrize(
    ("before", "status", "adapters"),
    [
        ([SENT], "distributing", ["a"]),
        ([SENT, SENT], "distributing", ["a"]),
        ([FINISHED], "completed", ["a", "b"]),
        ([FINISHED, SENT], "distributing", ["a"]),
        ([FINISHED, ("broadcast_adapter_swapped", ("b", "c", "web"))], "completed", ["a", "c"]),
        ([SWAP_OUT], "distributing", ["b"]),
    ],
)
def test_distribution_status(before: Before, status: str, adapters: list[str]) -> None:
    """A completion states the adapters; the next one sent begins the next distribution."""
    found = answer("dhruva", "get_distribution_status", {"repo": "web"}, before)
    assert (found["status"], found["adapters"]) == (status, adapters)


def test_distribution_remembers_its_last_completion() -> None:
    """last_completed_at stays while the next distribution is under way."""
    found = answer("dhruva", "get_distribution_status", {"repo": "web"}, [FINISHED, SENT])
    assert is_time(found["last_completed_at"])


# Diagrams

CREATED: Done = ("broadcast_diagram_created", ("d", {"title": "A"}))
LOCKED: Done = ("broadcast_diagram_locked", ("d", "u1", "review"))


@pytest.mark.parametrize(
    ("before", "locked_by"),
    [
        ([CREATED], None),
        ([CREATED, LOCKED], "u1"),
        ([CREATED, LOCKED, ("broadcast_diagram_unlocked", ("d", "u2"))], None),
        ([CREATED, LOCKED, ("broadcast_diagram_locked", ("d", "u2", "mine"))], "u2"),
        ([CREATED, LOCKED, CREATED], None),
    ],
)
def test_diagram_lock(before: Before, locked_by: str | None) -> None:
    """The last lock holds until any unlock, or until the diagram is made anew."""
    assert answer("excalidraw", "get_diagram_status", {"diagram_id": "d"}, before)["locked_by"] == locked_by


def test_diagram_known_by_its_elements_is_found() -> None:
    """A diagram of which only elements are in the log is found, with nothing said of it."""
    before = [("broadcast_element_added", ("d", {"id": "e"}, "u1"))]
    found = answer("excalidraw", "get_diagram_status", {"diagram_id": "d"}, before)
    assert (found["status"], found["diagram"]) == ("found", {})


# Components, state and pages


def test_component_update_replaces_earlier_changes() -> None:
    """component.updated states the whole; changes before it are forgotten, changes after it count."""
    before = [
        ("broadcast_state_changed", ("c", "old", 0, 1)),
        ("broadcast_component_updated", ("c", {"p": 1}, {"a": 1})),
        ("broadcast_state_changed", ("c", "b.c", None, {"x": [1]})),
        ("broadcast_render_failed", ("c", "no template")),
    ]
    found = answer("fastblocks", "get_component_state", {"component_id": "c"}, before)
    assert (found["props"], found["state"]) == ({"p": 1}, {"a": 1, "b.c": {"x": [1]}})


@pytest.mark.parametrize(
    ("before", "status", "page_id"),
    [
        ([("broadcast_component_mounted", ("c", "home"))], "mounted", "home"),
        ([("broadcast_component_unmounted", ("c", "home"))], "unmounted", "home"),
        ([("broadcast_component_unmounted", ("c", "a")), ("broadcast_component_mounted", ("c", "b"))], "mounted", "b"),
        ([("broadcast_render_started", ("c", "full"))], "mounted", None),
    ],
)
def test_component_status(before: Before, status: str, page_id: str | None) -> None:
    """The last of mounted and unmounted decides; a component seen only at work is mounted, nobody knows where."""
    found = answer("fastblocks", "get_component_status", {"component_id": "c"}, before)
    assert (found["status"], found["page_id"]) == (status, page_id)


def test_state_null_is_a_value() -> None:
    """A path whose newest value is null is found; the newest of any component counts."""
    before = [("broadcast_state_changed", ("c1", "a", 0, 1)), ("broadcast_state_changed", ("c2", "a", 1, None))]
    assert answer("fastblocks", "get_state", {"state_path": "a"}, before) == {
        "state_path": "a",
        "status": "found",
        "value": None,
    }


def test_page_without_a_render_counts_its_components() -> None:
    """Before the first page.rendered the components mounted now are counted, and there is no duration."""
    before = [
        ("broadcast_component_mounted", ("c1", "home")),
        ("broadcast_component_mounted", ("c2", "home")),
        ("broadcast_component_unmounted", ("c1", "home")),
    ]
    found = answer("fastblocks", "get_page_status", {"page_id": "home"}, before)
    assert (found["status"], found["component_count"], found["duration"]) == ("found", 1, None)

"""The catalogue of crackerjack: test runs, quality gates, coverage."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from bus.channel import Family
from bus.event import Event, JsonObject
from bus.service import PastEvent, Request, Service
from producers.broadcaster import Broadcaster, EndlessT, ManyT, OneT
from producers.called import known_as

TEST: Final = Family("test:{run_id}")
QUALITY: Final = Family("quality:{project}")
COVERAGE: Final = Family("coverage")
GLOBAL: Final = Family("global", shared_by="crackerjack")

Outcome = Literal["passed", "failed", "skipped"]

_PASSING: Final = frozenset({"passed", "pass", "ok", "success"})


class RunEvent(Event):
    """The fields common to the events of a test run."""

    __test__: ClassVar[bool] = False  # or pytest would collect the classes whose names begin with Test

    run_id: str


class TestStarted(RunEvent, event="test.started", channels=(TEST, GLOBAL)):
    """Published when a run begins."""

    test_suite: str
    total_tests: int


class TestCompleted(RunEvent, event="test.completed", channels=(TEST, GLOBAL)):
    """Published when a run is over."""

    tests_completed: int
    tests_failed: int
    duration_seconds: float


class TestFailed(RunEvent, event="test.failed", channels=(TEST,)):
    """Published when a test failed, with the traceback."""

    test_name: str
    error: str
    traceback: str


class TestCaseCompleted(RunEvent, event="test.case_completed", channels=(TEST,)):
    """Published when a test is over, with any outcome."""

    test_name: str
    outcome: Outcome
    duration_seconds: float


class QualityGateChecked(Event, event="quality_gate.checked", channels=(QUALITY, GLOBAL)):
    """Published when a gate of a project was checked."""

    project: str
    gate_name: str
    status: str
    score: float
    threshold: float
    quality_gate_report: JsonObject | None = None


class CoverageUpdated(Event, event="coverage.updated", channels=(COVERAGE, QUALITY)):
    """Published when a project's coverage was measured."""

    project: str
    line_coverage: float
    branch_coverage: float
    path_coverage: float


class RunQuestion(BaseModel):
    """Asks after a test run."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    run_id: str = Field(min_length=1)


class Failure(BaseModel):
    """The report of a failed test."""

    model_config = ConfigDict(frozen=True)

    test_name: str
    error: str


class RunStatus(BaseModel):
    """The state of a run; suite and total are None when the log lacks the start, duration until the end."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    status: Literal["running", "passed", "failed", "not_found"]
    test_suite: str | None = None
    total_tests: int | None = None
    tests_completed: int = 0
    tests_failed: int = 0
    failures: list[Failure] = Field(default_factory=list)
    duration_seconds: float | None = None


def fold_run(question: RunQuestion, past: Sequence[PastEvent]) -> RunStatus:
    """Answer get_test_status.

    A run is running until test.completed, whose numbers count then. Before test.completed, the tests in the log are
    counted. A run failed when the number of failures is not 0, or when any failure was reported. test.started begins
    anew.
    """
    if not past:
        return RunStatus(run_id=question.run_id, status="not_found")
    begun = max((index for index, it in enumerate(past) if it.event == "test.started"), default=0)
    run = past[begun:]
    start: dict[str, Any] = {}
    end: dict[str, Any] = {}
    for it in run:
        match it.event:
            case "test.started":
                start = {key: it.data[key] for key in ("test_suite", "total_tests")}
            case "test.completed":
                end = {key: it.data[key] for key in ("tests_completed", "tests_failed", "duration_seconds")}
    failures = [
        Failure(test_name=it.data["test_name"], error=it.data["error"]) for it in run if it.event == "test.failed"
    ]
    numbers = _count(run) | start | end
    # decisions/0012: a reported failure fails the run even where test.completed counts no failure.
    ended = "failed" if failures or numbers["tests_failed"] else "passed"
    return RunStatus.model_validate(
        {**numbers, "run_id": question.run_id, "status": ended if end else "running", "failures": failures}
    )


def _count(run: Sequence[PastEvent]) -> dict[str, Any]:
    """Return how many tests of a run were seen, and how many failed, each name once."""
    cases = [it.data for it in run if it.event == "test.case_completed"]
    # A failed test has test.failed as well; sets, so that each name counts once.
    failed = {case["test_name"] for case in cases if case["outcome"] == "failed"}
    failed |= {it.data["test_name"] for it in run if it.event == "test.failed"}
    return {"tests_completed": len(cases), "tests_failed": len(failed)}


class QualityQuestion(BaseModel):
    """Asks after the gates of a project."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    project: str = Field(min_length=1)


class Gate(BaseModel):
    """The newest check of a gate."""

    model_config = ConfigDict(frozen=True)

    gate_name: str
    status: str
    score: float
    threshold: float


class QualityStatus(BaseModel):
    """The gates of a project, the newest check of each, in the order of first appearance."""

    model_config = ConfigDict(frozen=True)

    project: str
    status: Literal["passed", "failed", "not_found"]
    gates: list[Gate] = Field(default_factory=list)


def fold_quality(question: QualityQuestion, past: Sequence[PastEvent]) -> QualityStatus:
    """Answer get_quality_gate.

    A project passed when every gate passed. A gate passed when the gate's status is passed, pass, ok or success, in any
    case of letters. A project with coverage alone has no gates and is not found.
    """
    gates = {
        it.data["gate_name"]: Gate.model_validate({key: it.data[key] for key in Gate.model_fields})
        for it in past
        if it.event == "quality_gate.checked"
    }
    if not gates:
        return QualityStatus(project=question.project, status="not_found")
    passed = all(gate.status.lower() in _PASSING for gate in gates.values())
    return QualityStatus(project=question.project, status="passed" if passed else "failed", gates=list(gates.values()))


SERVICE: Final = Service(
    name="crackerjack",
    port=8686,
    welcome="Connected to Crackerjack quality monitoring",
    families=(TEST, QUALITY, COVERAGE, GLOBAL),
    events=(TestStarted, TestCompleted, TestFailed, TestCaseCompleted, QualityGateChecked, CoverageUpdated),
    requests=(
        Request(
            "get_test_status",
            question=RunQuestion,
            answer=RunStatus,
            channels=lambda question: (TEST.fill(question.run_id),),
            fold=fold_run,
        ),
        Request(
            "get_quality_gate",
            question=QualityQuestion,
            answer=QualityStatus,
            channels=lambda question: (QUALITY.fill(question.project),),
            fold=fold_quality,
        ),
    ),
)


class Crackerjack(Broadcaster[OneT, ManyT, EndlessT]):
    """The broadcast methods of crackerjack."""

    def broadcast_test_started(self, run_id: str, test_suite: str, total_tests: int) -> OneT:
        """Announce the beginning of a run."""
        return self._publish(TestStarted, run_id=run_id, test_suite=test_suite, total_tests=total_tests)

    @known_as(tests_completed="completed", tests_failed="failed", duration_seconds="duration")
    def broadcast_test_completed(self, run_id: str, completed: int, failed: int, duration: float) -> OneT:
        """Announce the end of a run; ``duration`` is in seconds."""
        return self._publish(
            TestCompleted, run_id=run_id, tests_completed=completed, tests_failed=failed, duration_seconds=duration
        )

    def broadcast_test_failed(self, run_id: str, test_name: str, error: str | BaseException, traceback: str) -> OneT:
        """Announce a failed test; of an exception the text is sent."""
        return self._publish(TestFailed, run_id=run_id, test_name=test_name, error=error, traceback=traceback)

    def broadcast_test_case_completed(
        self, run_id: str, test_name: str, outcome: Outcome, duration_seconds: float
    ) -> OneT:
        """Announce the outcome of a test."""
        return self._publish(
            TestCaseCompleted, run_id=run_id, test_name=test_name, outcome=outcome, duration_seconds=duration_seconds
        )

    def broadcast_quality_gate_checked(
        self,
        project: str,
        gate_name: str,
        status: str,
        score: float,
        threshold: float,
        quality_gate_report: dict[str, Any] | None = None,
    ) -> OneT:
        """Announce a project's result at a gate."""
        return self._publish(
            QualityGateChecked,
            project=project,
            gate_name=gate_name,
            status=status,
            score=score,
            threshold=threshold,
            quality_gate_report=quality_gate_report,
        )

    def broadcast_coverage_updated(
        self, project: str, line_coverage: float, branch_coverage: float, path_coverage: float
    ) -> OneT:
        """Announce a project's coverage."""
        return self._publish(
            CoverageUpdated,
            project=project,
            line_coverage=line_coverage,
            branch_coverage=branch_coverage,
            path_coverage=path_coverage,
        )

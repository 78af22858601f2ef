"""The catalogue of mahavishnu, workflow orchestration: workflows, pools and workers, goal teams, adapters.

Longer than 400 lines on purpose. A service is one file, where a reader finds channels, events, requests and broadcast
methods together; mahavishnu has 27 events, and each is a model, a row of ``SERVICE`` and a method.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from bus.channel import Family
from bus.event import Event, Json, JsonObject
from bus.keyed import Keyed
from bus.service import PastEvent, Request, Service
from producers.broadcaster import Broadcaster, EndlessT, ManyT, OneT
from producers.called import by_keyword

WORKFLOW: Final = Family("workflow:{workflow_id}", permission="workflow:read")
# decisions/0101: a key of its own for each event that get_pool_status tells apart, so that the newest of each make the
# answer that all events would make; what a worker reported goes with the worker.
POOL: Final = Family(
    "pool:{pool_id}",
    permission="pool:read",
    keyed=Keyed(
        {
            "pool.spawned": "spawned",
            "pool.scaled": "scaled",
            "pool.closed": "closed",
            "pool.status_changed": "status",
            "worker.added": "worker:{worker_id}",
            "worker.status_changed": "worker:{worker_id}:status",
            "task.assigned": "worker:{worker_id}:task",
            "task.completed": "worker:{worker_id}:task",
        },
        removed={"worker.removed": "worker:{worker_id}"},
    ),
)
WORKER: Final = Family("worker:{worker_id}", permission="worker:read")
GOAL_TEAMS: Final = Family("goal-teams", permission="team:read")
GOAL_TEAMS_OF: Final = Family("goal-teams:{user_id}", permission="team:read")
"""Only that user may read it, or an admin: access knows such families by their field, ``user_id``."""
ADAPTERS: Final = Family("adapters")
SYMBIOTIC: Final = Family("symbiotic:{scope}")
GLOBAL: Final = Family("global", shared_by="mahavishnu")

_ECOSYSTEM: Final = SYMBIOTIC.fill("ecosystem")
# decisions/0012: a long prompt must not cost the event, so the broadcast cuts; clients never see more than promised, so
# the event's model refuses more.
_TASK_LIMIT: Final = 200


# decisions/0091: mahavishnu's own classes take these forms, too, and send what is sent here.
PoolId = Annotated[str, AfterValidator(lambda name: name.removeprefix("pool:"))]
"""The id of a pool, which parts of mahavishnu call by the name of its channel."""
PoolState = Annotated[JsonObject, BeforeValidator(lambda it: {"state": it} if isinstance(it, str) else it)]
"""A pool's status; a text is the ``state``."""
UserId = Annotated[str | None, BeforeValidator(lambda user: None if user == "" else user)]
"""A user's id; an empty text is no user."""


def _object_or_text(value: Any) -> Any:
    if not isinstance(value, dict | str | None):
        raise ValueError("a result is an object or a text")  # noqa: TRY004 (pydantic reports ValueError)
    return {} if value is None else value


Result = Annotated[Json, AfterValidator(_object_or_text)]
"""The result of a workflow: an object, or a text as a model wrote the text; None is an empty object."""


# Events of workflows


class WorkflowStarted(Event, event="workflow.started", channels=(WORKFLOW, GLOBAL), extra="allow"):
    """Published when a workflow begins."""

    workflow_id: str


class WorkflowStageCompleted(Event, event="workflow.stage_completed", channels=(WORKFLOW,)):
    """Published when a stage of a workflow has a result."""

    workflow_id: str
    stage_name: str
    result: JsonObject


class WorkflowCompleted(Event, event="workflow.completed", channels=(WORKFLOW, GLOBAL)):
    """Published when a workflow ends well."""

    workflow_id: str
    result: Result


class WorkflowFailed(Event, event="workflow.failed", channels=(WORKFLOW, GLOBAL)):
    """Published when a workflow ends with an error."""

    workflow_id: str
    error: str


# Events of pools and workers


class PoolEvent(Event, channels=(POOL, GLOBAL)):
    """The fields common to the events of a pool as a whole."""

    pool_id: PoolId


class PoolStatusChanged(PoolEvent, event="pool.status_changed"):
    """Published when a pool reports a new status; get_pool_status answers the ``state`` in ``status``."""

    status: PoolState


class PoolSpawned(PoolEvent, event="pool.spawned"):
    """Published when a pool was made."""

    config: JsonObject


class PoolScaled(PoolEvent, event="pool.scaled"):
    """Published when a pool has another number of workers."""

    worker_count: int


class PoolClosed(PoolEvent, event="pool.closed"):
    """Published when a pool is gone, and with the pool all of its workers."""


class WorkerEvent(Event, channels=(WORKER, POOL)):
    """The fields common to the events of a worker."""

    worker_id: str
    pool_id: PoolId


class WorkerStatusChanged(WorkerEvent, event="worker.status_changed"):
    """Published when a worker reports another status."""

    status: str


class WorkerAdded(WorkerEvent, event="worker.added"):
    """Published when a worker joined a pool."""


class WorkerRemoved(WorkerEvent, event="worker.removed"):
    """Published when a worker left a pool."""


class TaskAssigned(WorkerEvent, event="task.assigned"):
    """Published when a worker was given a task."""

    task: JsonObject


class TaskCompleted(WorkerEvent, event="task.completed"):
    """Published when a worker has the result of a task."""

    result: JsonObject


# Events of goal teams


class TeamEvent(Event, channels=(GOAL_TEAMS, GOAL_TEAMS_OF)):
    """The fields common to the events of a goal team; ``user_id`` only routes, to the user's own channel."""

    user_id: UserId = Field(default=None, exclude=True)


class TeamCreated(TeamEvent, event="team.created"):
    """Published when a team was put together for a goal."""

    team_id: str
    team_name: str
    goal: str
    mode: str


class TeamParsed(TeamEvent, event="team.parsed"):
    """Published when a goal was understood, before there is a team."""

    goal: str
    intent: str
    skills: list[Json]
    confidence: float


class TeamExecutionStarted(TeamEvent, event="team.execution_started"):
    """Published when a team begins to work; ``task`` has at most 200 characters."""

    team_id: str
    task: str = Field(max_length=_TASK_LIMIT)


class TeamExecutionCompleted(TeamEvent, event="team.execution_completed"):
    """Published when a team is done, well or not."""

    team_id: str
    success: bool
    duration_ms: float


class TeamError(TeamEvent, event="team.error"):
    """Published when a team met an error."""

    team_id: str
    error_code: str
    message: str


# Events of adapters and of what was learned


class AdapterRegistered(Event, event="adapter.registered", channels=(ADAPTERS,)):
    """Published when an adapter became known."""

    adapter_id: str
    adapter_name: str
    capabilities: list[Json]
    provider: str
    source: str


class AdapterHealthChanged(Event, event="adapter.health_changed", channels=(ADAPTERS,)):
    """Published when an adapter became better or worse."""

    adapter_id: str
    adapter_name: str
    old_status: str
    new_status: str
    details: JsonObject = Field(default_factory=dict)


class AdapterSwitched(Event, channels=(ADAPTERS,)):
    """The fields common to adapter.enabled and adapter.disabled."""

    adapter_id: str
    adapter_name: str
    enabled: bool
    reason: str | None = None


class AdapterEnabled(AdapterSwitched, event="adapter.enabled"):
    """Published when an adapter was switched on."""

    enabled: Literal[True]


class AdapterDisabled(AdapterSwitched, event="adapter.disabled"):
    """Published when an adapter was switched off."""

    enabled: Literal[False]


class AdapterRoutingDecision(Event, event="adapter.routing_decision", channels=(ADAPTERS,)):
    """Published when an adapter was chosen for a task."""

    task_type: str
    selected_adapter: str
    capabilities_matched: list[Json]
    latency_ms: float
    fallback_used: bool


class WorkerAvailabilityChanged(Event, event="worker.availability_changed", channels=(ADAPTERS,)):
    """Published when a probe found a type of worker come or gone."""

    worker_type: str
    state: str
    reason_bucket: str
    probe_at: str


class LearningMetrics(Event, event="learning.metrics", channels=(_ECOSYSTEM,)):
    """Published when the learning loop has new figures."""

    patterns_strengthened: int
    patterns_weakened: int
    model_retrains: int
    avg_confidence_score: float


class SkillEffectiveness(Event, event="skill.effectiveness", channels=(_ECOSYSTEM,)):
    """Published when a skill has new figures of success."""

    skill_name: str
    success_rate: float
    total_attempts: int
    avg_confidence: float


class StrategyRecommender(Event, event="strategy.recommender", channels=(_ECOSYSTEM,)):
    """Published when the recommender of strategies has new figures."""

    recommendations_made: int
    high_confidence_count: int
    avg_success_rate: float


# Requests


class WorkflowQuestion(BaseModel):
    """Asks after a workflow."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    workflow_id: str = Field(min_length=1)


class WorkflowStatus(BaseModel):
    """The state of a workflow; ``stages`` are the names of completed stages, oldest first."""

    model_config = ConfigDict(frozen=True)

    workflow_id: str
    status: Literal["running", "completed", "failed", "not_found"]
    stages_completed: int = 0
    stages: list[str] = Field(default_factory=list)
    started_at: str | None = None
    updated_at: str | None = None
    result: dict[str, Any] | str | None = None
    error: str | None = None


def fold_workflow(question: WorkflowQuestion, past: Sequence[PastEvent]) -> WorkflowStatus:
    """Answer get_workflow_status: the newest of started, completed and failed decides; started begins anew."""
    if not past:
        return WorkflowStatus(workflow_id=question.workflow_id, status="not_found")
    found: dict[str, Any] = {"status": "running"}
    stages: list[str] = []
    # decisions/0012: a second start begins anew; a stage after the end does not reopen the workflow.
    for it in past:
        match it.event:
            case "workflow.started":
                found, stages = {"status": "running", "started_at": it.timestamp}, []
            case "workflow.stage_completed":
                stages.append(it.data["stage_name"])
            case "workflow.completed":
                found |= {"status": "completed", "result": it.data["result"], "error": None}
            case "workflow.failed":
                found |= {"status": "failed", "result": None, "error": it.data["error"]}
    return WorkflowStatus(
        workflow_id=question.workflow_id,
        stages_completed=len(stages),
        stages=stages,
        updated_at=past[-1].timestamp,
        **found,
    )


class PoolQuestion(BaseModel):
    """Asks after a pool."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    pool_id: PoolId = Field(min_length=1)


class WorkerState(BaseModel):
    """A worker of a pool."""

    model_config = ConfigDict(frozen=True)

    worker_id: str
    status: str


class PoolStatus(BaseModel):
    """The state of a pool; ``status`` is free text where the pool reported a ``state``."""

    model_config = ConfigDict(frozen=True)

    pool_id: str
    status: str
    details: dict[str, Any] = Field(default_factory=dict)
    workers: list[WorkerState] = Field(default_factory=list)


def fold_pool(question: PoolQuestion, past: Sequence[PastEvent]) -> PoolStatus:
    """Answer get_pool_status.

    The status is the ``state`` of the last pool.status_changed, when the state is a text. Otherwise the status is the
    last of spawned, scaled and closed; a pool with events of workers alone counts as spawned. Closing ends a reported
    state. Details are the announced ``config`` and ``worker_count``, and over both the last reported status.
    """
    if not past:
        return PoolStatus(pool_id=question.pool_id, status="not_found")
    life, state = "spawned", None
    announced: dict[str, Any] = {}
    details: dict[str, Any] = {}
    for it in past:
        match it.event:
            case "pool.spawned":
                life, announced = "spawned", announced | {"config": it.data["config"]}
                details = details | announced
            case "pool.scaled":
                life, announced = "scaled", announced | {"worker_count": it.data["worker_count"]}
                details = details | announced
            case "pool.closed":  # decisions/0012: closed wins over an older state
                life, state = "closed", None
            case "pool.status_changed":
                state = it.data["status"].get("state")
                details = announced | it.data["status"]
    status = state if isinstance(state, str) else life
    return PoolStatus(pool_id=question.pool_id, status=status, details=details, workers=_workers(past))


def _workers(past: Sequence[PastEvent]) -> list[WorkerState]:
    """Return a pool's workers in the order of their coming.

    A worker's status is the last report. A worker without a report is ``busy`` from task.assigned to task.completed,
    else ``idle``.
    """
    seen: dict[str, str] = {}
    reported: dict[str, str] = {}
    for it in past:
        match it.event:
            case "worker.added" | "task.completed":
                seen[it.data["worker_id"]] = "idle"
            case "task.assigned":
                seen[it.data["worker_id"]] = "busy"
            case "worker.status_changed":
                seen.setdefault(it.data["worker_id"], "idle")
                reported[it.data["worker_id"]] = it.data["status"]
            case "worker.removed":
                seen.pop(it.data["worker_id"], None)
                reported.pop(it.data["worker_id"], None)
            case "pool.closed":
                seen, reported = {}, {}
    return [WorkerState(worker_id=worker_id, status=reported.get(worker_id, seen[worker_id])) for worker_id in seen]


SERVICE: Final = Service(
    name="mahavishnu",
    port=8690,
    welcome="Connected to Mahavishnu orchestration",
    families=(WORKFLOW, POOL, WORKER, GOAL_TEAMS, GOAL_TEAMS_OF, ADAPTERS, SYMBIOTIC, GLOBAL),
    events=(
        WorkflowStarted,
        WorkflowStageCompleted,
        WorkflowCompleted,
        WorkflowFailed,
        PoolStatusChanged,
        PoolSpawned,
        PoolScaled,
        PoolClosed,
        WorkerStatusChanged,
        WorkerAdded,
        WorkerRemoved,
        TaskAssigned,
        TaskCompleted,
        TeamCreated,
        TeamParsed,
        TeamExecutionStarted,
        TeamExecutionCompleted,
        TeamError,
        AdapterRegistered,
        AdapterHealthChanged,
        AdapterEnabled,
        AdapterDisabled,
        AdapterRoutingDecision,
        WorkerAvailabilityChanged,
        LearningMetrics,
        SkillEffectiveness,
        StrategyRecommender,
    ),
    requests=(
        Request(
            "get_workflow_status",
            question=WorkflowQuestion,
            answer=WorkflowStatus,
            channels=lambda question: (WORKFLOW.fill(question.workflow_id),),
            fold=fold_workflow,
        ),
        Request(
            "get_pool_status",
            question=PoolQuestion,
            answer=PoolStatus,
            channels=lambda question: (POOL.fill(question.pool_id),),
            fold=fold_pool,
            state=True,
        ),
    ),
)

_NO_DETAILS: Final[dict[str, Any]] = {}


class Mahavishnu(Broadcaster[OneT, ManyT, EndlessT]):
    """The broadcast methods of mahavishnu."""

    def broadcast_workflow_started(self, workflow_id: str, metadata: dict[str, Any]) -> OneT:
        """Announce the beginning of a workflow; keys of ``metadata`` become keys of the event."""
        return self._publish(WorkflowStarted, metadata, workflow_id=workflow_id)

    def broadcast_workflow_stage_completed(self, workflow_id: str, stage_name: str, result: dict[str, Any]) -> OneT:
        """Announce the result of a stage."""
        return self._publish(WorkflowStageCompleted, workflow_id=workflow_id, stage_name=stage_name, result=result)

    def broadcast_workflow_completed(self, workflow_id: str, final_result: dict[str, Any] | str | None) -> OneT:
        """Announce a workflow's good end; ``final_result``, an object or a text, is the event's ``result``."""
        return self._publish(WorkflowCompleted, workflow_id=workflow_id, result=final_result)

    def broadcast_workflow_failed(self, workflow_id: str, error: str | BaseException) -> OneT:
        """Announce a workflow's end by an error; of an exception the text is sent."""
        return self._publish(WorkflowFailed, workflow_id=workflow_id, error=error)

    @by_keyword("mahavishnu's own classes have the three in two orders")
    def broadcast_worker_status_changed(self, *, worker_id: str, status: str, pool_id: str) -> OneT:
        """Announce a worker's new status, on the worker's channel and on the pool's."""
        return self._publish(WorkerStatusChanged, worker_id=worker_id, status=status, pool_id=pool_id)

    def broadcast_pool_status_changed(self, pool_id: str, status: dict[str, Any] | str) -> OneT:
        """Announce a pool's new status, a dict of any keys, or the ``state`` alone, which get_pool_status answers."""
        return self._publish(PoolStatusChanged, pool_id=pool_id, status=status)

    def broadcast_team_created(
        self, team_id: str, team_name: str, goal: str, mode: str, user_id: str | None = None
    ) -> OneT:
        """Announce a new team; with ``user_id`` also on the user's channel."""
        return self._publish(TeamCreated, team_id=team_id, team_name=team_name, goal=goal, mode=mode, user_id=user_id)

    def broadcast_team_parsed(
        self, goal: str, intent: str, skills: list[Any], confidence: float, user_id: str | None = None
    ) -> OneT:
        """Announce a goal as it was understood; with ``user_id`` also on the user's channel."""
        return self._publish(
            TeamParsed, goal=goal, intent=intent, skills=skills, confidence=confidence, user_id=user_id
        )

    def broadcast_team_execution_started(self, team_id: str, task: str, user_id: str | None = None) -> OneT:
        """Announce the beginning of a team's work; of ``task`` the first 200 characters are sent."""
        return self._publish(TeamExecutionStarted, team_id=team_id, task=_cut(task), user_id=user_id)

    def broadcast_team_execution_completed(
        self, team_id: str, success: bool, duration_ms: float, user_id: str | None = None
    ) -> OneT:
        """Announce the end of a team's work, good or bad."""
        return self._publish(
            TeamExecutionCompleted, team_id=team_id, success=success, duration_ms=duration_ms, user_id=user_id
        )

    def broadcast_team_error(self, team_id: str, error_code: str, message: str, user_id: str | None = None) -> OneT:
        """Announce a team's error."""
        return self._publish(TeamError, team_id=team_id, error_code=error_code, message=message, user_id=user_id)

    def broadcast_adapter_registered(
        self, adapter_id: str, adapter_name: str, capabilities: list[Any], provider: str, source: str
    ) -> OneT:
        """Announce a new adapter."""
        return self._publish(
            AdapterRegistered,
            adapter_id=adapter_id,
            adapter_name=adapter_name,
            capabilities=capabilities,
            provider=provider,
            source=source,
        )

    def broadcast_adapter_health_changed(
        self,
        adapter_id: str,
        adapter_name: str,
        old_status: str,
        new_status: str,
        details: dict[str, Any] | None = _NO_DETAILS,
    ) -> OneT:
        """Announce an adapter's new state of health."""
        return self._publish(
            AdapterHealthChanged,
            adapter_id=adapter_id,
            adapter_name=adapter_name,
            old_status=old_status,
            new_status=new_status,
            details=details,
        )

    def broadcast_adapter_enabled(
        self, adapter_id: str, adapter_name: str, enabled: bool, reason: str | None = None
    ) -> OneT:
        """Announce an adapter's switching: adapter.enabled or adapter.disabled, as ``enabled`` says."""
        switched: type[AdapterSwitched] = AdapterEnabled if enabled else AdapterDisabled
        return self._publish(switched, adapter_id=adapter_id, adapter_name=adapter_name, enabled=enabled, reason=reason)

    def broadcast_routing_decision(
        self,
        task_type: str,
        selected_adapter: str,
        capabilities_matched: list[Any],
        latency_ms: float,
        fallback_used: bool,
    ) -> OneT:
        """Announce the adapter chosen for a task."""
        return self._publish(
            AdapterRoutingDecision,
            task_type=task_type,
            selected_adapter=selected_adapter,
            capabilities_matched=capabilities_matched,
            latency_ms=latency_ms,
            fallback_used=fallback_used,
        )

    def broadcast_pool_spawned(self, pool_id: str, config: dict[str, Any]) -> OneT:
        """Announce a new pool."""
        return self._publish(PoolSpawned, pool_id=pool_id, config=config)

    def broadcast_pool_scaled(self, pool_id: str, worker_count: int) -> OneT:
        """Announce a pool's new number of workers."""
        return self._publish(PoolScaled, pool_id=pool_id, worker_count=worker_count)

    def broadcast_pool_closed(self, pool_id: str) -> OneT:
        """Announce a pool's end, and with the pool its workers'."""
        return self._publish(PoolClosed, pool_id=pool_id)

    def broadcast_worker_added(self, pool_id: str, worker_id: str) -> OneT:
        """Announce a pool's new worker."""
        return self._publish(WorkerAdded, pool_id=pool_id, worker_id=worker_id)

    def broadcast_worker_removed(self, pool_id: str, worker_id: str) -> OneT:
        """Announce a worker's leaving of a pool."""
        return self._publish(WorkerRemoved, pool_id=pool_id, worker_id=worker_id)

    def broadcast_task_assigned(self, pool_id: str, worker_id: str, task: dict[str, Any]) -> OneT:
        """Announce a worker's new task."""
        return self._publish(TaskAssigned, pool_id=pool_id, worker_id=worker_id, task=task)

    def broadcast_task_completed(self, pool_id: str, worker_id: str, result: dict[str, Any]) -> OneT:
        """Announce the result of a worker's task."""
        return self._publish(TaskCompleted, pool_id=pool_id, worker_id=worker_id, result=result)

    def broadcast_worker_availability_changed(
        self, worker_type: str, state: str, reason_bucket: str, probe_at: str
    ) -> OneT:
        """Announce a type of worker come or gone, found by a probe."""
        return self._publish(
            WorkerAvailabilityChanged,
            worker_type=worker_type,
            state=state,
            reason_bucket=reason_bucket,
            probe_at=probe_at,
        )

    def broadcast_learning_metrics(
        self,
        patterns_strengthened: int = 0,
        patterns_weakened: int = 0,
        model_retrains: int = 0,
        avg_confidence_score: float = 0.0,
        user_id: str | None = None,  # the caller's login, handed on by mahavishnu's tools
    ) -> OneT:
        """Announce the figures of the learning loop. ``user_id`` neither routes nor is sent."""
        return self._publish(
            LearningMetrics,
            patterns_strengthened=patterns_strengthened,
            patterns_weakened=patterns_weakened,
            model_retrains=model_retrains,
            avg_confidence_score=avg_confidence_score,
        )

    def broadcast_skill_effectiveness(
        self,
        skill_name: str,
        success_rate: float,
        total_attempts: int = 0,
        avg_confidence: float = 0.0,
        user_id: str | None = None,
    ) -> OneT:
        """Announce a skill's figures of success. ``user_id`` neither routes nor is sent."""
        return self._publish(
            SkillEffectiveness,
            skill_name=skill_name,
            success_rate=success_rate,
            total_attempts=total_attempts,
            avg_confidence=avg_confidence,
        )

    def broadcast_strategy_recommender(
        self,
        recommendations_made: int = 0,
        high_confidence_count: int = 0,
        avg_success_rate: float = 0.0,
        user_id: str | None = None,
    ) -> OneT:
        """Announce the figures of the recommender of strategies. ``user_id`` neither routes nor is sent."""
        return self._publish(
            StrategyRecommender,
            recommendations_made=recommendations_made,
            high_confidence_count=high_confidence_count,
            avg_success_rate=avg_success_rate,
        )

    broadcast_strategy_recommender_metrics = broadcast_strategy_recommender


def _cut(task: Any) -> Any:
    """Return the first 200 characters of a text; any other value is left for the model to refuse by name."""
    return task[:_TASK_LIMIT] if isinstance(task, str) else task

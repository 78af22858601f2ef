"""The catalogue of dhruva, distribution of adapters: stored, active, and sent to repositories."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from bus.channel import Family, Presence
from bus.client_event import ClientEvent
from bus.effects import Joins, Leaves, Lists
from bus.event import Event, Json, JsonObject
from bus.keyed import Keyed
from bus.service import PastEvent, Request, Service
from producers.broadcaster import Broadcaster, EndlessT, ManyT, OneT

# The newest event of each property: an update tells some properties, and those of before stand.
ADAPTER: Final = Family(
    "adapter:{adapter_id}",
    keyed=Keyed(
        {
            "adapter.stored": "stored",
            "adapter.updated": "updated:{*}",
            "adapter.distributed": "distributed:{*}",
            "adapter.activated": "activated:{*}",
            "adapter.deactivated": "deactivated",
            "adapter.swapped": "swapped",
        }
    ),
)
STORAGE: Final = Family("storage:{storage_type}")
DISTRIBUTION: Final = Family("distribution")
DISTRIBUTION_OF: Final = Family(
    "distribution:{repo}",
    keyed=Keyed(
        {
            "adapter.distributed": "adapter:{adapter_id}",
            "adapter.swapped": "swapped:{old_adapter}:{new_adapter}",
            "distribution.completed": "completed",
            "adapter.acknowledged": "acknowledged:{adapter_id}:{agent_id}",
        }
    ),
    presence=Presence(by_request=True, user="agent_id", info="agent_info"),
)
LIFECYCLE: Final = Family("lifecycle")
REGISTRY: Final = Family(
    "registry",
    keyed=Keyed(
        {
            "adapter.stored": "adapter:{adapter_id}:stored",
            "adapter.updated": "adapter:{adapter_id}:updated:{*}",
            "adapter.activated": "adapter:{adapter_id}:activated:{*}",
            "adapter.deactivated": "adapter:{adapter_id}:deactivated",
            "adapter.swapped": "swapped:{old_adapter}:{new_adapter}",
            "registry.updated": "registry",
        },
        max_keys=50_000,
        max_bytes=8 * 1024 * 1024,
    ),
)
GLOBAL: Final = Family("global", shared_by="dhruva")


class AdapterStored(Event, event="adapter.stored", channels=(ADAPTER, REGISTRY), extra="allow"):
    """Published when an adapter was put into the store."""

    adapter_id: str


class AdapterUpdated(Event, event="adapter.updated", channels=(ADAPTER, REGISTRY), extra="allow"):
    """Published when a stored adapter changed."""

    adapter_id: str


class AdapterDistributed(
    Event, event="adapter.distributed", channels=(ADAPTER, DISTRIBUTION_OF, DISTRIBUTION), extra="allow"
):
    """Published when an adapter was sent to a repository."""

    adapter_id: str
    repo: str


class StorageEvent(Event, event="storage.event", channels=(STORAGE,), extra="allow"):
    """Published by a storage of one type, with keys of the storage's own."""

    storage_type: str


class AdapterActivated(Event, event="adapter.activated", channels=(ADAPTER, LIFECYCLE, REGISTRY), extra="allow"):
    """Published when an adapter came into use in a repository."""

    adapter_id: str
    repo: str


class AdapterDeactivated(Event, event="adapter.deactivated", channels=(ADAPTER, LIFECYCLE, REGISTRY)):
    """Published when an adapter went out of use in a repository."""

    adapter_id: str
    repo: str
    reason: str


class AdapterSwapped(
    Event,
    event="adapter.swapped",
    channels=(
        ADAPTER.by("old_adapter"),
        ADAPTER.by("new_adapter"),
        DISTRIBUTION_OF,
        DISTRIBUTION,
        LIFECYCLE,
        REGISTRY,
    ),
):
    """Published when an adapter took the place of another."""

    old_adapter: str
    new_adapter: str
    repo: str


class DistributionCompleted(Event, event="distribution.completed", channels=(DISTRIBUTION_OF, DISTRIBUTION)):
    """Published when a repository has all adapters."""

    repo: str
    adapters: list[Json]
    adapters_count: int
    duration: float


class AdapterAcknowledged(Event, event="adapter.acknowledged", channels=(DISTRIBUTION_OF,)):
    """Published by an agent of a repository that has an adapter."""

    adapter_id: str
    repo: str
    agent_id: str


class DistributionOverdue(Event, event="distribution.overdue", channels=(DISTRIBUTION_OF, DISTRIBUTION)):
    """Published where agents of a repository had not all adapters in time."""

    repo: str
    adapters: list[Json]
    missing: list[Json]
    duration: float


class RegistryUpdated(Event, event="registry.updated", channels=(REGISTRY, GLOBAL)):
    """Published when the registry has another version."""

    registry_version: str
    changes: JsonObject


class LifecycleChanged(Event, event="lifecycle.changed", channels=(LIFECYCLE,)):
    """Published when a part with a life cycle went from state to state."""

    entity_type: str
    entity_id: str
    old_state: str
    new_state: str


class AdapterQuestion(BaseModel):
    """Asks after an adapter."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    adapter_id: str = Field(min_length=1)


class AdapterStatus(BaseModel):
    """The state of an adapter; ``adapter`` is the callers' description, newer keys over older."""

    model_config = ConfigDict(frozen=True)

    adapter_id: str
    status: Literal["active", "inactive", "stored", "not_found"]
    adapter: dict[str, Any] = Field(default_factory=dict)


class AdaptersQuestion(BaseModel):
    """Asks for the adapters of the registry."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    limit: int = Field(default=100, ge=1, le=1000)


class Adapters(BaseModel):
    """The adapters with the latest changes, the newest at the end."""

    model_config = ConfigDict(frozen=True)

    adapters: list[AdapterStatus]
    count: int


def fold_adapter(question: AdapterQuestion, past: Sequence[PastEvent]) -> AdapterStatus:
    """Answer get_adapter_status from the adapter's own log."""
    unknown = AdapterStatus(adapter_id=question.adapter_id, status="not_found")
    return _adapters(past).get(question.adapter_id, unknown)


def fold_adapters(question: AdaptersQuestion, past: Sequence[PastEvent]) -> Adapters:
    """Answer list_adapters: the last ``limit`` adapters of the registry's log, each once."""
    adapters = list(_adapters(past).values())[-question.limit :]
    return Adapters(adapters=adapters, count=len(adapters))


def _adapters(past: Sequence[PastEvent]) -> dict[str, AdapterStatus]:
    """Return the state of every adapter, the latest change at the end.

    Activation and deactivation decide the status, and a swap does both; an adapter without either is stored. Storing
    describes an adapter anew; updating, distributing and activating add to the description.
    """
    known: dict[str, AdapterStatus] = {}
    for it in past:
        match it.event:
            case "adapter.stored":
                _note(known, it.data["adapter_id"], description=_metadata(it.data))
            case "adapter.updated" | "adapter.distributed":
                _note(known, it.data["adapter_id"], added=_metadata(it.data))
            case "adapter.activated":
                _note(known, it.data["adapter_id"], "active", added=_metadata(it.data))
            case "adapter.deactivated":
                _note(known, it.data["adapter_id"], "inactive")
            case "adapter.swapped":
                _note(known, it.data["old_adapter"], "inactive")
                _note(known, it.data["new_adapter"], "active")
    return known


def _note(
    known: dict[str, AdapterStatus],
    adapter_id: str,
    status: Literal["active", "inactive"] | None = None,
    *,
    description: Mapping[str, Any] | None = None,
    added: Mapping[str, Any] | None = None,
) -> None:
    # Popped and put back: the order of the dict is the order of the last changes.
    before = known.pop(adapter_id, None) or AdapterStatus(adapter_id=adapter_id, status="stored")
    adapter = {**(before.adapter if description is None else description), **(added or {})}
    known[adapter_id] = AdapterStatus(adapter_id=adapter_id, status=status or before.status, adapter=adapter)


def _metadata(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in ("adapter_id", "timestamp")}


class DistributionQuestion(BaseModel):
    """Asks after the distribution to a repository."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    repo: str = Field(min_length=1)


class DistributionStatus(BaseModel):
    """The distribution to a repository: the current, or else the last completed."""

    model_config = ConfigDict(frozen=True)

    repo: str
    status: Literal["distributing", "completed", "not_found"]
    adapters: list[Any] = Field(default_factory=list)
    last_completed_at: str | None = None


def fold_distribution(question: DistributionQuestion, past: Sequence[PastEvent]) -> DistributionStatus:
    """Answer get_distribution_status.

    The first adapter sent after a completion begins the next distribution. A swap exchanges an adapter and completes
    nothing. Adapters stand in the order of the last events that put them there.
    """
    if not past:
        return DistributionStatus(repo=question.repo, status="not_found")
    status: Literal["distributing", "completed"] = "distributing"
    # Apart, since the next distribution begins without the adapters of the last, but with those swapped in since.
    completed: list[Any] = []
    adapters: list[Any] = []
    completed_at: str | None = None
    for it in past:
        match it.event:
            case "adapter.distributed":
                completed, adapters = [], _put(adapters, it.data["adapter_id"])
                status = "distributing"
            case "adapter.swapped":
                old, new = it.data["old_adapter"], it.data["new_adapter"]
                completed = [one for one in completed if one not in (old, new)]
                adapters = _put([one for one in adapters if one != old], new)
            case "distribution.completed":
                status, completed, adapters, completed_at = "completed", list(it.data["adapters"]), [], it.timestamp
    adapters = [*completed, *adapters]
    return DistributionStatus(repo=question.repo, status=status, adapters=adapters, last_completed_at=completed_at)


def _put(adapters: Sequence[Any], adapter: str) -> list[Any]:
    """Return the adapters with one in the last place, where it is no second one if it was there before."""
    return [*(one for one in adapters if one != adapter), adapter]


class AgentsQuestion(BaseModel):
    """Asks for the agents of a repository."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    repo: str = Field(min_length=1)


class AgentQuestion(AgentsQuestion):
    """Asks about an agent of a repository. With a token, the agent is the token's user."""

    agent_id: str | None = None
    agent_info: dict[str, Any] = Field(default_factory=dict)


class AgentStanding(BaseModel):
    """An agent has joined a repository, or left."""

    model_config = ConfigDict(frozen=True)

    repo: str
    agent_id: str
    status: Literal["joined", "left"]


class Agents(BaseModel):
    """The agents of a repository, each once, over all replicas."""

    model_config = ConfigDict(frozen=True)

    repo: str
    users: list[dict[str, Any]]
    count: int


SERVICE: Final = Service(
    name="dhruva",
    port=8693,
    welcome="Connected to Dhruva adapter distribution",
    families=(ADAPTER, STORAGE, DISTRIBUTION, DISTRIBUTION_OF, LIFECYCLE, REGISTRY, GLOBAL),
    events=(
        AdapterStored,
        AdapterUpdated,
        AdapterDistributed,
        StorageEvent,
        AdapterActivated,
        AdapterDeactivated,
        AdapterSwapped,
        DistributionCompleted,
        AdapterAcknowledged,
        DistributionOverdue,
        RegistryUpdated,
        LifecycleChanged,
    ),
    requests=(
        Request(
            "get_adapter_status",
            question=AdapterQuestion,
            answer=AdapterStatus,
            channels=lambda question: (ADAPTER.fill(question.adapter_id),),
            fold=fold_adapter,
            state=True,
        ),
        Request(
            "get_distribution_status",
            question=DistributionQuestion,
            answer=DistributionStatus,
            channels=lambda question: (DISTRIBUTION_OF.fill(question.repo),),
            fold=fold_distribution,
            state=True,
        ),
        Request(
            "list_adapters",
            question=AdaptersQuestion,
            answer=Adapters,
            channels=lambda _: (REGISTRY.fill(),),
            fold=fold_adapters,
            state=True,
        ),
        Request("join_repository", AgentQuestion, AgentStanding, effect=Joins(DISTRIBUTION_OF)),
        Request("leave_repository", AgentQuestion, AgentStanding, effect=Leaves(DISTRIBUTION_OF)),
        Request("get_agents", AgentsQuestion, Agents, effect=Lists(DISTRIBUTION_OF)),
    ),
    client_events=(ClientEvent(AdapterAcknowledged, "adapter:acknowledge", sender="agent_id", without_tokens=True),),
)


class Dhruva(Broadcaster[OneT, ManyT, EndlessT]):
    """The broadcast methods of dhruva."""

    def broadcast_adapter_stored(self, adapter_id: str, metadata: dict[str, Any]) -> OneT:
        """Announce a stored adapter; keys of ``metadata`` become keys of the event."""
        return self._publish(AdapterStored, metadata, adapter_id=adapter_id)

    def broadcast_adapter_updated(self, adapter_id: str, metadata: dict[str, Any]) -> OneT:
        """Announce the changes of an adapter; keys of ``metadata`` become keys of the event."""
        return self._publish(AdapterUpdated, metadata, adapter_id=adapter_id)

    def broadcast_adapter_distributed(self, adapter_id: str, repo: str, metadata: dict[str, Any]) -> OneT:
        """Announce the sending of an adapter; keys of ``metadata`` become keys of the event."""
        return self._publish(AdapterDistributed, metadata, adapter_id=adapter_id, repo=repo)

    def broadcast_storage_event(self, storage_type: str, event_data: dict[str, Any]) -> OneT:
        """Announce an event of a storage; keys of ``event_data`` become keys of the event."""
        return self._publish(StorageEvent, event_data, storage_type=storage_type)

    def broadcast_adapter_activated(self, adapter_id: str, repo: str, metadata: dict[str, Any]) -> OneT:
        """Announce an adapter in use; keys of ``metadata`` become keys of the event."""
        return self._publish(AdapterActivated, metadata, adapter_id=adapter_id, repo=repo)

    def broadcast_adapter_deactivated(self, adapter_id: str, repo: str, reason: str) -> OneT:
        """Announce an adapter out of use, and the reason."""
        return self._publish(AdapterDeactivated, adapter_id=adapter_id, repo=repo, reason=reason)

    def broadcast_adapter_swapped(self, old_adapter: str, new_adapter: str, repo: str) -> OneT:
        """Announce an adapter in the place of another."""
        return self._publish(AdapterSwapped, old_adapter=old_adapter, new_adapter=new_adapter, repo=repo)

    def broadcast_distribution_completed(self, repo: str, adapters: list[Any], duration: float) -> OneT:
        """Announce a repository with all of ``adapters``, with their number. ``duration`` is in seconds."""
        return self._publish(
            DistributionCompleted, repo=repo, adapters=adapters, adapters_count=_count(adapters), duration=duration
        )

    def broadcast_registry_updated(self, registry_version: str, changes: dict[str, Any]) -> OneT:
        """Announce the registry's new version."""
        return self._publish(RegistryUpdated, registry_version=registry_version, changes=changes)

    def broadcast_lifecycle_changed(self, entity_type: str, entity_id: str, old_state: str, new_state: str) -> OneT:
        """Announce the change from state to state."""
        return self._publish(
            LifecycleChanged, entity_type=entity_type, entity_id=entity_id, old_state=old_state, new_state=new_state
        )


def _count(adapters: Any) -> int:
    """Return the number of adapters; a value that is no list is left for the model to refuse by name."""
    return len(adapters) if isinstance(adapters, list | tuple | set | frozenset) else 0

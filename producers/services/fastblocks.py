"""The catalogue of fastblocks, updates of a UI: components, pages, their state, renders, hot reload."""

from collections.abc import Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from bus.channel import Family
from bus.event import Event, Json, JsonObject
from bus.keyed import Keyed
from bus.service import PastEvent, Request, Service
from producers.broadcaster import Broadcaster, EndlessT, ManyT, OneT
from producers.called import also_as

UI: Final = Family("ui:{component_id}")
COMPONENT: Final = Family(
    "component:{component_id}",
    keyed=Keyed(
        {
            "component.updated": "updated",
            "component.mounted": "mounted",
            "component.unmounted": "unmounted",
            "component.rendered": "rendered",
            "render.started": "render",
            "render.completed": "render",
            "render.failed": "render",
        }
    ),
)
PAGE: Final = Family(
    "page:{page_id}",
    keyed=Keyed(
        {"page.rendered": "rendered", "component.mounted": "component:{component_id}"},
        removed={"component.unmounted": "component:{component_id}"},
    ),
)
RENDER: Final = Family("render")
STATE: Final = Family("state", keyed=Keyed({"state.changed": "value:{state_path}"}))
STATE_OF: Final = Family("state:{component_id}", keyed=Keyed({"state.changed": "value:{state_path}"}))
HOT_RELOAD: Final = Family("hot_reload")
GLOBAL: Final = Family("global", shared_by="fastblocks")


class UiUpdated(Event, event="ui.updated", channels=(UI,), extra="allow"):
    """Published when a component looks different to users."""

    component_id: str


class ComponentRendered(Event, event="component.rendered", channels=(COMPONENT,), extra="allow"):
    """Published when a component was drawn."""

    component_id: str


class ComponentUpdated(Event, event="component.updated", channels=(COMPONENT,)):
    """Published with the whole of a component's props and state."""

    component_id: str
    props: JsonObject
    state: JsonObject


class ComponentMounted(Event, event="component.mounted", channels=(PAGE, COMPONENT)):
    """Published when a component came onto a page."""

    component_id: str
    page_id: str


class ComponentUnmounted(Event, event="component.unmounted", channels=(PAGE, COMPONENT)):
    """Published when a component left a page."""

    component_id: str
    page_id: str


class PageRendered(Event, event="page.rendered", channels=(PAGE,)):
    """Published when a page was drawn."""

    page_id: str
    duration: float
    component_count: int


class StateChanged(Event, event="state.changed", channels=(STATE_OF, STATE)):
    """Published when a value of a component's state changed, or of a state of no component."""

    component_id: str | None
    state_path: str
    old_value: Json
    new_value: Json


class HotReloadTriggered(Event, event="hot_reload.triggered", channels=(HOT_RELOAD,)):
    """Published when a changed file makes components load anew."""

    file_path: str
    affected_components: list[Json]


class RenderStarted(Event, event="render.started", channels=(RENDER, COMPONENT)):
    """Published when a render begins."""

    component_id: str
    render_type: str


class RenderCompleted(Event, event="render.completed", channels=(RENDER, COMPONENT)):
    """Published when a render is done."""

    component_id: str
    duration: float
    result: JsonObject


class RenderFailed(Event, event="render.failed", channels=(RENDER, COMPONENT)):
    """Published when a render met an error."""

    component_id: str
    error: str


class ComponentQuestion(BaseModel):
    """Asks after a component."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    component_id: str = Field(min_length=1)


class RenderTrigger(BaseModel):
    """Asks for a render; further keys are for the process that renders."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    component_id: str = Field(min_length=1)
    render_type: str = "full"


class RenderAccepted(BaseModel):
    """The render is done, failed, or goes on: the events of the render tell of the end."""

    model_config = ConfigDict(frozen=True, extra="allow")

    component_id: str
    status: Literal["started", "completed", "failed"]


class ComponentRegistration(BaseModel):
    """Asks for a component's place on a page; further keys are for the process that keeps the components."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    component_id: str = Field(min_length=1)
    page_id: str = Field(min_length=1)


class ComponentRegistered(BaseModel):
    """The component has its place; ``component.mounted`` tells all others."""

    model_config = ConfigDict(frozen=True, extra="allow")

    component_id: str
    page_id: str
    status: Literal["registered", "known"] = "registered"


class ComponentState(BaseModel):
    """The props and the state of a component."""

    model_config = ConfigDict(frozen=True)

    component_id: str
    status: Literal["found", "not_found"]
    props: dict[str, Any] = Field(default_factory=dict)
    state: dict[str, Any] = Field(default_factory=dict)


def fold_component_state(question: ComponentQuestion, past: Sequence[PastEvent]) -> ComponentState:
    """Answer get_component_state: component.updated sets all, state.changed sets the one key ``state_path``."""
    if not past:
        return ComponentState(component_id=question.component_id, status="not_found")
    props: dict[str, Any] = {}
    state: dict[str, Any] = {}
    for it in past:
        match it.event:
            case "component.updated":
                props, state = it.data["props"], it.data["state"]
            case "state.changed":
                state = {**state, it.data["state_path"]: it.data["new_value"]}
    return ComponentState(component_id=question.component_id, status="found", props=props, state=state)


class ComponentStatus(BaseModel):
    """A component's place; of an unmounted component, the last."""

    model_config = ConfigDict(frozen=True)

    component_id: str
    status: Literal["mounted", "unmounted", "not_found"]
    page_id: str | None = None


def fold_component_status(question: ComponentQuestion, past: Sequence[PastEvent]) -> ComponentStatus:
    """Answer get_component_status: the last of mounted and unmounted.

    A component with other events alone is mounted, on an unknown page.
    """
    if not past:
        return ComponentStatus(component_id=question.component_id, status="not_found")
    status: Literal["mounted", "unmounted"] = "mounted"
    page_id: str | None = None
    for it in past:
        match it.event:
            case "component.mounted":
                status, page_id = "mounted", it.data["page_id"]
            case "component.unmounted":
                status, page_id = "unmounted", it.data["page_id"]
    return ComponentStatus(component_id=question.component_id, status=status, page_id=page_id)


class StateQuestion(BaseModel):
    """Asks for the value at a path."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    state_path: str


class StateValue(BaseModel):
    """The value at a path. None is a value, too, so ``status`` tells whether a value is there."""

    model_config = ConfigDict(frozen=True)

    state_path: str
    status: Literal["found", "not_found"]
    value: Any = None


def fold_state(question: StateQuestion, past: Sequence[PastEvent]) -> StateValue:
    """Answer get_state: the newest value at the path, from any component."""
    # decisions/0012: `status` says whether there is a value, because null is a value like any other.
    for it in reversed(past):
        if it.event == "state.changed" and it.data["state_path"] == question.state_path:
            return StateValue(state_path=question.state_path, status="found", value=it.data["new_value"])
    return StateValue(state_path=question.state_path, status="not_found")


class PageQuestion(BaseModel):
    """Asks after a page."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    page_id: str = Field(min_length=1)


class PageStatus(BaseModel):
    """The state of a page; ``duration`` is the last render's, None before the first."""

    model_config = ConfigDict(frozen=True)

    page_id: str
    status: Literal["found", "not_found"]
    component_count: int = 0
    duration: float | None = None


def fold_page(question: PageQuestion, past: Sequence[PastEvent]) -> PageStatus:
    """Answer get_page_status: the last page.rendered; before the first, the components mounted are counted."""
    if not past:
        return PageStatus(page_id=question.page_id, status="not_found")
    for it in reversed(past):
        if it.event == "page.rendered":
            count, duration = it.data["component_count"], it.data["duration"]
            return PageStatus(page_id=question.page_id, status="found", component_count=count, duration=duration)
    mounted: set[str] = set()
    for it in past:
        match it.event:
            case "component.mounted":
                mounted.add(it.data["component_id"])
            case "component.unmounted":
                mounted.discard(it.data["component_id"])
    return PageStatus(page_id=question.page_id, status="found", component_count=len(mounted))


SERVICE: Final = Service(
    name="fastblocks",
    port=8684,
    welcome="Connected to Fastblocks UI update stream",
    families=(UI, COMPONENT, PAGE, RENDER, STATE, STATE_OF, HOT_RELOAD, GLOBAL),
    events=(
        UiUpdated,
        ComponentRendered,
        ComponentUpdated,
        ComponentMounted,
        ComponentUnmounted,
        PageRendered,
        StateChanged,
        HotReloadTriggered,
        RenderStarted,
        RenderCompleted,
        RenderFailed,
    ),
    requests=(
        Request(
            "get_component_state",
            question=ComponentQuestion,
            answer=ComponentState,
            channels=lambda question: (COMPONENT.fill(question.component_id), STATE_OF.fill(question.component_id)),
            fold=fold_component_state,
            state=True,
        ),
        Request(
            "get_component_status",
            question=ComponentQuestion,
            answer=ComponentStatus,
            channels=lambda question: (COMPONENT.fill(question.component_id),),
            fold=fold_component_status,
            state=True,
        ),
        Request(
            "get_state",
            question=StateQuestion,
            answer=StateValue,
            channels=lambda _: (STATE.fill(),),
            fold=fold_state,
            state=True,
        ),
        Request(
            "get_page_status",
            question=PageQuestion,
            answer=PageStatus,
            channels=lambda question: (PAGE.fill(question.page_id),),
            fold=fold_page,
            state=True,
        ),
        # Answered by a process of the service (``producers.Responder``): nothing of a render stands in a log before.
        Request("trigger_render", RenderTrigger, RenderAccepted, permission="component:render", timeout_s=30),
        Request("register_component", ComponentRegistration, ComponentRegistered, permission="component:write"),
    ),
)


class Fastblocks(Broadcaster[OneT, ManyT, EndlessT]):
    """The broadcast methods of fastblocks."""

    def broadcast_ui_updated(self, component_id: str, metadata: dict[str, Any]) -> OneT:
        """Announce a change in the users' view; keys of ``metadata`` become keys of the event."""
        return self._publish(UiUpdated, metadata, component_id=component_id)

    def broadcast_component_rendered(self, component_id: str, render_info: dict[str, Any]) -> OneT:
        """Announce a drawn component; keys of ``render_info`` become keys of the event."""
        return self._publish(ComponentRendered, render_info, component_id=component_id)

    def broadcast_component_updated(self, component_id: str, props: dict[str, Any], state: dict[str, Any]) -> OneT:
        """Announce the whole of a component's props and state."""
        return self._publish(ComponentUpdated, component_id=component_id, props=props, state=state)

    def broadcast_component_mounted(self, component_id: str, page_id: str) -> OneT:
        """Announce a component's coming onto a page."""
        return self._publish(ComponentMounted, component_id=component_id, page_id=page_id)

    def broadcast_component_unmounted(self, component_id: str, page_id: str) -> OneT:
        """Announce a component's leaving of a page."""
        return self._publish(ComponentUnmounted, component_id=component_id, page_id=page_id)

    def broadcast_page_rendered(self, page_id: str, duration: float, component_count: int) -> OneT:
        """Announce a drawn page."""
        return self._publish(PageRendered, page_id=page_id, duration=duration, component_count=component_count)

    @also_as("state_path", "new_value", component_id=None, old_value=None)
    def broadcast_state_changed(
        self, component_id: str | None, state_path: str, old_value: Any, new_value: Any
    ) -> OneT:
        """Announce a change of a component's state; the values are any JSON.

        Path and new value alone (``broadcast_state_changed("user.theme", "dark")``) tell of a state of no component.
        """
        return self._publish(
            StateChanged, component_id=component_id, state_path=state_path, old_value=old_value, new_value=new_value
        )

    def broadcast_hot_reload(self, file_path: str, components: list[Any]) -> OneT:
        """Announce the components (``affected_components``) to load anew after a file changed."""
        return self._publish(HotReloadTriggered, file_path=file_path, affected_components=components)

    def broadcast_render_started(self, component_id: str, render_type: str) -> OneT:
        """Announce the beginning of a render."""
        return self._publish(RenderStarted, component_id=component_id, render_type=render_type)

    def broadcast_render_completed(self, component_id: str, duration: float, result: dict[str, Any]) -> OneT:
        """Announce the end of a render."""
        return self._publish(RenderCompleted, component_id=component_id, duration=duration, result=result)

    def broadcast_render_failed(self, component_id: str, error: str | BaseException) -> OneT:
        """Announce a failed render; of an exception the text is sent."""
        return self._publish(RenderFailed, component_id=component_id, error=error)

"""The catalogue of excalidraw, drawing together: diagrams, elements, and the users at a diagram."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bus.channel import LIVE, Family, Presence, conflate
from bus.client_event import ClientEvent
from bus.effects import Joins, Leaves, Lists, Publishes
from bus.event import Event, Json, JsonObject
from bus.held import Held
from bus.keyed import Keyed
from bus.service import PastEvent, Request, Service
from producers.broadcaster import Broadcaster, EndlessT, ManyT, OneT

# A newcomer is given the diagram as it stands: each element with the newest of each changed property, and the lock.
DIAGRAM: Final = Family(
    "diagram:{diagram_id}",
    keyed=Keyed(
        {
            "diagram.created": "diagram",
            "diagram.updated": "diagram:{*}",
            "diagram.saved": "saved",
            "diagram.locked": "lock",
            "element.added": "element:{element.id}",
            "element.updated": "element:{element_id}:{changes.*}",
        },
        removed={"diagram.unlocked": "lock", "element.deleted": "element:{element_id}"},
    ),
)
ELEMENT: Final = Family("element:{element_id}")
# decisions/0032: only a live channel may conflate. With positions each event names the one before, and every event left
# out would look like a loss. A client that is slow gets each user's last cursor.
CURSOR: Final = Family("cursor:{diagram_id}", retention=LIVE, when_slow=conflate("user_id"))
PRESENCE: Final = Family("presence:{diagram_id}")
# A user is at a diagram by joining, not by watching: a subscription to the events makes nobody present.
COLLABORATION: Final = Family(
    "collaboration:{diagram_id}", presence=Presence(by_request=True, joined="user.joined", left="user.left")
)
SELECTION: Final = Family("selection:{diagram_id}", retention=LIVE, when_slow=conflate("user_id"))
GLOBAL: Final = Family("global", shared_by="excalidraw")

WRITE: Final = "diagram:write"
"""The claim of users who draw; those who only watch need a permission to read."""


class DiagramCreated(Event, event="diagram.created", channels=(DIAGRAM, GLOBAL), extra="allow"):
    """Published when there is a new diagram."""

    diagram_id: str


class DiagramUpdated(Event, event="diagram.updated", channels=(DIAGRAM,), extra="allow"):
    """Published when a diagram as a whole changed."""

    diagram_id: str


class ElementAdded(Event, event="element.added", channels=(DIAGRAM,)):
    """Published when a user drew an element."""

    diagram_id: str
    element: JsonObject
    user_id: str


class ElementUpdated(Event, event="element.updated", channels=(DIAGRAM, ELEMENT)):
    """Published when a user changed an element."""

    diagram_id: str
    element_id: str
    changes: JsonObject
    user_id: str


class ElementDeleted(Event, event="element.deleted", channels=(DIAGRAM, ELEMENT)):
    """Published when a user deleted an element."""

    diagram_id: str
    element_id: str
    user_id: str


class CursorMoved(Event, event="cursor.moved", channels=(CURSOR,)):
    """Published as a user's cursor moves; no log keeps cursors."""

    diagram_id: str
    user_id: str
    position: JsonObject


class SelectionChanged(Event, event="selection.changed", channels=(SELECTION,)):
    """Published when a user selected other elements; no log keeps selections."""

    diagram_id: str
    user_id: str
    selected_elements: list[Json]


class UserJoined(Event, event="user.joined", channels=(PRESENCE, COLLABORATION)):
    """Published when a user came to a diagram."""

    diagram_id: str
    user_id: str
    user_info: JsonObject


class UserLeft(Event, event="user.left", channels=(PRESENCE, COLLABORATION)):
    """Published when a user left a diagram."""

    diagram_id: str
    user_id: str


class DiagramSaved(Event, event="diagram.saved", channels=(DIAGRAM,)):
    """Published when a diagram was put into the storage."""

    diagram_id: str
    storage_key: str


class DiagramLocked(Event, event="diagram.locked", channels=(DIAGRAM,)):
    """Published when a user took a diagram alone."""

    diagram_id: str
    user_id: str
    reason: str


class DiagramUnlocked(Event, event="diagram.unlocked", channels=(DIAGRAM,)):
    """Published when a diagram is free again."""

    diagram_id: str
    user_id: str


class DiagramQuestion(BaseModel):
    """Asks after a diagram."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    diagram_id: str = Field(min_length=1)


class DiagramStatus(BaseModel):
    """The state of a diagram; ``diagram`` is the callers' description, newer keys over older."""

    model_config = ConfigDict(frozen=True)

    diagram_id: str
    status: Literal["found", "not_found"]
    diagram: dict[str, Any] = Field(default_factory=dict)
    locked_by: str | None = None


def fold_diagram(question: DiagramQuestion, past: Sequence[PastEvent]) -> DiagramStatus:
    """Answer get_diagram_status: diagram.created describes anew, diagram.updated adds; any unlock frees the diagram."""
    if not past:
        return DiagramStatus(diagram_id=question.diagram_id, status="not_found")
    diagram: dict[str, Any] = {}
    locked_by: str | None = None
    # An unlock by any user frees the diagram: whether the user may unlock is the service's to judge.
    for it in past:
        match it.event:
            case "diagram.created":
                diagram, locked_by = _metadata(it.data), None
            case "diagram.updated":
                diagram |= _metadata(it.data)
            case "diagram.locked":
                locked_by = it.data["user_id"]
            case "diagram.unlocked":
                locked_by = None
    return DiagramStatus(diagram_id=question.diagram_id, status="found", diagram=diagram, locked_by=locked_by)


class Elements(BaseModel):
    """The elements of a diagram, in the order of their last changes."""

    model_config = ConfigDict(frozen=True)

    diagram_id: str
    status: Literal["found", "not_found"]
    elements: list[dict[str, Any]] = Field(default_factory=list)
    count: int = 0


def fold_elements(question: DiagramQuestion, past: Sequence[PastEvent]) -> Elements:
    """Answer get_elements: an added element is whole, an update sets the changed properties."""
    if not past:
        return Elements(diagram_id=question.diagram_id, status="not_found")
    elements: dict[str, dict[str, Any]] = {}
    for it in past:
        match it.event:
            case "element.added" if isinstance(element_id := it.data["element"].get("id"), str) and element_id:
                elements.pop(element_id, None)
                elements[element_id] = dict(it.data["element"])
            case "element.updated":
                element_id = it.data["element_id"]
                elements[element_id] = elements.pop(element_id, {"id": element_id}) | it.data["changes"]
            case "element.deleted":
                elements.pop(it.data["element_id"], None)
    return Elements(
        diagram_id=question.diagram_id, status="found", elements=list(elements.values()), count=len(elements)
    )


def _metadata(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in ("diagram_id", "timestamp")}


class UsersQuestion(BaseModel):
    """Asks for the users at a diagram; ``room_id`` is another word for ``diagram_id``."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    diagram_id: str = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _by_either_word(cls, data: Any) -> Any:
        if isinstance(data, dict) and "diagram_id" not in data and "room_id" in data:
            return {**data, "diagram_id": data["room_id"]}
        return data


class UserQuestion(UsersQuestion):
    """Asks about a user at a diagram. With a token, the user is the token's."""

    user_id: str | None = None


class JoinQuestion(UserQuestion):
    """Asks to be at a diagram, seen by others as ``user_info`` says."""

    user_info: dict[str, Any] = Field(default_factory=dict)


class CursorQuestion(UserQuestion):
    """Asks to show a cursor."""

    position: JsonObject


class Collaboration(BaseModel):
    """A user has joined or left."""

    model_config = ConfigDict(frozen=True)

    diagram_id: str
    user_id: str
    status: Literal["joined", "left"]


class CursorShown(BaseModel):
    """A cursor was shown to all who watch; no log keeps cursors."""

    model_config = ConfigDict(frozen=True)

    diagram_id: str
    status: Literal["published"]
    id: str


class ActiveUsers(BaseModel):
    """The users at a diagram, each once, over all replicas; at most a thousand by name."""

    model_config = ConfigDict(frozen=True)

    diagram_id: str
    users: list[dict[str, Any]]
    count: int


LOCKED: Final = Held(DIAGRAM, by=DiagramLocked)
"""While another user holds the diagram's lock, clients change no element. The service's own producers are not bound."""

SERVICE: Final = Service(
    name="excalidraw",
    port=3042,
    welcome="Connected to Excalidraw collaboration",
    families=(DIAGRAM, ELEMENT, CURSOR, PRESENCE, COLLABORATION, SELECTION, GLOBAL),
    events=(
        DiagramCreated,
        DiagramUpdated,
        ElementAdded,
        ElementUpdated,
        ElementDeleted,
        CursorMoved,
        SelectionChanged,
        UserJoined,
        UserLeft,
        DiagramSaved,
        DiagramLocked,
        DiagramUnlocked,
    ),
    requests=(
        Request(
            "get_diagram_status",
            question=DiagramQuestion,
            answer=DiagramStatus,
            channels=lambda question: (DIAGRAM.fill(question.diagram_id),),
            fold=fold_diagram,
            state=True,
        ),
        Request(
            "get_elements",
            question=DiagramQuestion,
            answer=Elements,
            channels=lambda question: (DIAGRAM.fill(question.diagram_id),),
            fold=fold_elements,
            state=True,
        ),
        Request("join_collaboration", JoinQuestion, Collaboration, effect=Joins(COLLABORATION)),
        Request("leave_collaboration", UserQuestion, Collaboration, effect=Leaves(COLLABORATION)),
        Request("get_active_users", UsersQuestion, ActiveUsers, effect=Lists(COLLABORATION)),
        Request("broadcast_cursor", CursorQuestion, CursorShown, effect=Publishes(CursorMoved)),
    ),
    client_events=(
        ClientEvent(CursorMoved, permission=WRITE, sender="user_id", without_tokens=True),
        ClientEvent(SelectionChanged, permission=WRITE, sender="user_id", without_tokens=True),
        ClientEvent(ElementAdded, permission=WRITE, sender="user_id", without_tokens=True, unless=LOCKED),
        ClientEvent(ElementUpdated, permission=WRITE, sender="user_id", without_tokens=True, unless=LOCKED),
        ClientEvent(ElementDeleted, permission=WRITE, sender="user_id", without_tokens=True, unless=LOCKED),
        ClientEvent(DiagramLocked, permission=WRITE, sender="user_id", without_tokens=True, unless=LOCKED),
        ClientEvent(
            DiagramUnlocked,
            permission=WRITE,
            sender="user_id",
            without_tokens=True,
            unless=replace(LOCKED, admins=True),
        ),
    ),
)


class Excalidraw(Broadcaster[OneT, ManyT, EndlessT]):
    """The broadcast methods of excalidraw."""

    def broadcast_diagram_created(self, diagram_id: str, metadata: dict[str, Any]) -> OneT:
        """Announce a new diagram; keys of ``metadata`` become keys of the event."""
        return self._publish(DiagramCreated, metadata, diagram_id=diagram_id)

    def broadcast_diagram_updated(self, diagram_id: str, metadata: dict[str, Any]) -> OneT:
        """Announce the changes of a diagram; keys of ``metadata`` become keys of the event."""
        return self._publish(DiagramUpdated, metadata, diagram_id=diagram_id)

    def broadcast_element_added(self, diagram_id: str, element: dict[str, Any], user_id: str) -> OneT:
        """Announce an element drawn by ``user_id``."""
        return self._publish(ElementAdded, diagram_id=diagram_id, element=element, user_id=user_id)

    def broadcast_element_updated(
        self, diagram_id: str, element_id: str, changes: dict[str, Any], user_id: str
    ) -> OneT:
        """Announce an element changed by ``user_id``."""
        return self._publish(
            ElementUpdated, diagram_id=diagram_id, element_id=element_id, changes=changes, user_id=user_id
        )

    def broadcast_element_deleted(self, diagram_id: str, element_id: str, user_id: str) -> OneT:
        """Announce an element deleted by ``user_id``."""
        return self._publish(ElementDeleted, diagram_id=diagram_id, element_id=element_id, user_id=user_id)

    def broadcast_cursor_moved(self, diagram_id: str, user_id: str, position: dict[str, Any]) -> OneT:
        """Announce a user's cursor."""
        return self._publish(CursorMoved, diagram_id=diagram_id, user_id=user_id, position=position)

    def broadcast_selection_changed(self, diagram_id: str, user_id: str, selected_elements: list[Any]) -> OneT:
        """Announce a user's selection."""
        return self._publish(
            SelectionChanged, diagram_id=diagram_id, user_id=user_id, selected_elements=selected_elements
        )

    def broadcast_user_joined(self, diagram_id: str, user_id: str, user_info: dict[str, Any]) -> OneT:
        """Announce a user's coming to a diagram."""
        return self._publish(UserJoined, diagram_id=diagram_id, user_id=user_id, user_info=user_info)

    def broadcast_user_left(self, diagram_id: str, user_id: str) -> OneT:
        """Announce a user's leaving of a diagram."""
        return self._publish(UserLeft, diagram_id=diagram_id, user_id=user_id)

    def broadcast_diagram_saved(self, diagram_id: str, storage_key: str) -> OneT:
        """Announce a saved diagram, with the key."""
        return self._publish(DiagramSaved, diagram_id=diagram_id, storage_key=storage_key)

    def broadcast_diagram_locked(self, diagram_id: str, user_id: str, reason: str) -> OneT:
        """Announce a diagram locked by ``user_id``, and the reason."""
        return self._publish(DiagramLocked, diagram_id=diagram_id, user_id=user_id, reason=reason)

    def broadcast_diagram_unlocked(self, diagram_id: str, user_id: str) -> OneT:
        """Announce a diagram freed by ``user_id``."""
        return self._publish(DiagramUnlocked, diagram_id=diagram_id, user_id=user_id)

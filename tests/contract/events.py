"""What the contract suite publishes."""

import json
from dataclasses import replace
from typing import Any, Final

from bus.channel import LATEST, LIVE, Family, Retention
from bus.envelope import compose
from bus.event import Event, JsonObject
from bus.keyed import Keyed
from bus.log.appending import Entry

WORKFLOW: Final = Family("workflow:{workflow_id}")
SHORT: Final = Family("short:{workflow_id}", Retention("history", max_events=100, expires_s=60))
SKILL: Final = Family("skill:{workflow_id}", LATEST)
TICK: Final = Family("tick:{workflow_id}", LIVE)
GLOBAL: Final = Family("global", shared_by="mahavishnu")


ELEMENTS: Final = Keyed(
    {
        "element.added": "element:{element_id}",
        "element.updated": "element:{element_id}:{changes.*}",
        "diagram.locked": "lock",
    },
    removed={"element.deleted": "element:{element_id}", "diagram.unlocked": "lock"},
)
DIAGRAM: Final = Family("diagram:{diagram_id}", keyed=ELEMENTS)
SMALL: Final = Family("small:{diagram_id}", Retention(max_events=100), keyed=replace(ELEMENTS, max_keys=3))


class ElementAdded(Event, event="element.added", channels=(DIAGRAM,)):
    diagram_id: str
    element_id: str | None
    text: str = ""


class ElementUpdated(Event, event="element.updated", channels=(DIAGRAM,)):
    diagram_id: str
    element_id: str
    changes: JsonObject


class ElementDeleted(Event, event="element.deleted", channels=(DIAGRAM,)):
    diagram_id: str
    element_id: str


class DiagramLocked(Event, event="diagram.locked", channels=(DIAGRAM,)):
    diagram_id: str
    user_id: str


class DiagramUnlocked(Event, event="diagram.unlocked", channels=(DIAGRAM,)):
    diagram_id: str
    user_id: str


class DiagramSaved(Event, event="diagram.saved", channels=(DIAGRAM,)):
    diagram_id: str


class Stage(Event, event="workflow.stage", channels=(WORKFLOW,)):
    workflow_id: str
    number: int = 0
    text: str = ""


class Started(Event, event="workflow.started", channels=(WORKFLOW, GLOBAL)):
    workflow_id: str


class Many(Event, event="many.kinds", channels=(WORKFLOW, SKILL, TICK)):
    workflow_id: str


class Short(Event, event="short.one", channels=(SHORT,)):
    workflow_id: str
    number: int = 0


class Skill(Event, event="skill.one", channels=(SKILL,)):
    workflow_id: str
    number: int = 0


class Tick(Event, event="tick.one", channels=(TICK,)):
    workflow_id: str
    number: int = 0


def entries(*events: Event) -> list[Entry]:
    """Return what is to be appended for the events, in order."""
    messages = [compose(event) for event in events]
    return [Entry(channel, it.id, it.event, line) for it in messages for channel, line in it.lines]


def front(line: bytes) -> tuple[str | None, str | None]:
    """Return position and previous of a published line, read as a client reads them."""
    value: dict[str, Any] = json.loads(line)
    return value["position"], value["previous"]


def parts(position: str | None) -> tuple[int, int]:
    """Return the two numbers of a position."""
    assert position is not None
    ms, _, n = position.partition("-")
    return int(ms), int(n)

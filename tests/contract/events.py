"""What the contract suite publishes."""

import json
from typing import Any, Final

from bus.channel import LATEST, LIVE, Family, Retention
from bus.envelope import compose
from bus.event import Event
from bus.log.log import Entry

WORKFLOW: Final = Family("workflow:{workflow_id}")
SHORT: Final = Family("short:{workflow_id}", Retention("history", max_events=100, expires_s=60))
SKILL: Final = Family("skill:{workflow_id}", LATEST)
TICK: Final = Family("tick:{workflow_id}", LIVE)
GLOBAL: Final = Family("global", shared_by="mahavishnu")


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

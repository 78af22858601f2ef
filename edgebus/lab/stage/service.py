"""The laboratory's own service: rooms with a whole history, and rooms with a log that lives for two seconds."""

from typing import Final

from bus.channel import Family, Retention
from bus.event import Event
from bus.service import Service

__all__ = ["BRIEF_EXPIRES_S", "SERVICE", "BriefEvent", "LabEvent"]

BRIEF_EXPIRES_S: Final = 2
_ROOM: Final = Family("lab:{room}", Retention("history", max_events=100_000))
_BRIEF: Final = Family("brief:{room}", Retention("history", max_events=100_000, expires_s=BRIEF_EXPIRES_S))


class LabEvent(Event, event="lab.event", channels=(_ROOM,)):
    """One numbered event of a room; ``padding`` gives the size."""

    room: str
    n: int
    padding: str = ""


class BriefEvent(Event, event="lab.brief", channels=(_BRIEF,)):
    """The same in a room whose log expires soon."""

    room: str
    n: int
    padding: str = ""


SERVICE: Final = Service(
    name="lab",
    port=8699,
    welcome="Connected to the fault laboratory",
    families=(_ROOM, _BRIEF),
    events=(LabEvent, BriefEvent),
)

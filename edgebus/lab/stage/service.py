"""The laboratory's own service: rooms with a whole history, with a brief one, with a state, and with users."""

from typing import Any, Final

from pydantic import BaseModel

from bus.channel import Family, Presence, Retention
from bus.client_event import ClientEvent
from bus.effects import Joins, Lists
from bus.event import Event, JsonObject
from bus.keyed import Keyed
from bus.service import Request, Service

__all__ = ["BRIEF_EXPIRES_S", "SERVICE", "BriefEvent", "Carried", "LabEvent", "PartGone", "PartSet", "Work"]

BRIEF_EXPIRES_S: Final = 2
_ROOM: Final = Family("lab:{room}", Retention("history", max_events=100_000))
_BRIEF: Final = Family("brief:{room}", Retention("history", max_events=100_000, expires_s=BRIEF_EXPIRES_S))
_PARTS: Final = Family(
    "parts:{room}",
    Retention("history", max_events=100),
    keyed=Keyed({"part.set": "part:{part}"}, removed={"part.gone": "part:{part}"}),
)
_MEETING: Final = Family(
    "meeting:{room}", presence=Presence(by_request=True, joined="meeting.joined", left="meeting.left")
)


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


class PartSet(Event, event="part.set", channels=(_PARTS,)):
    """A part has the value ``n``."""

    room: str
    part: str
    n: int


class PartGone(Event, event="part.gone", channels=(_PARTS,)):
    """A part is no more."""

    room: str
    part: str
    n: int


class ClientSaid(Event, event="client.said", channels=(_ROOM,)):
    """A client's numbered event."""

    room: str
    n: int


class MeetingJoined(Event, event="meeting.joined", channels=(_MEETING,)):
    """A user has come."""

    room: str
    user_id: str
    user_info: JsonObject


class MeetingLeft(Event, event="meeting.left", channels=(_MEETING,)):
    """A user has left."""

    room: str
    user_id: str


class Work(BaseModel):
    """Asks a responder for a numbered work."""

    n: int
    takes_s: float = 0.0


class Carried(BaseModel):
    """The work is done."""

    n: int


class Meeting(BaseModel):
    """Asks to join a meeting, or after its users."""

    room: str
    user_id: str | None = None


class Met(BaseModel):
    """A user has joined, or the users."""

    room: str
    status: str = ""
    users: list[dict[str, Any]] = []
    count: int = 0


SERVICE: Final = Service(
    name="lab",
    port=8699,
    welcome="Connected to the fault laboratory",
    families=(_ROOM, _BRIEF, _PARTS, _MEETING),
    events=(LabEvent, BriefEvent, PartSet, PartGone, ClientSaid, MeetingJoined, MeetingLeft),
    requests=(
        # The deadline lies behind the times that runs allow: without a look, a death is heard of too late.
        Request("work", Work, Carried, permission="lab:work", timeout_s=30.0),
        Request("join", Meeting, Met, effect=Joins(_MEETING)),
        Request("users", Meeting, Met, effect=Lists(_MEETING)),
    ),
    client_events=(ClientEvent(ClientSaid, "lab:write", without_tokens=True),),
)

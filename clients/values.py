"""What a subscription hands to its caller, in order: events, and what became of the stream between them.

Four kinds, so that a caller who matches them all has seen everything::

    async for value in client.subscribe("workflow:42"):
        match value:
            case Received():    value.event, value.data
            case Interrupted(): nothing arrives for now; the client sees to it
            case Recovered():   it goes on, and nothing was missed
            case Gap():         it goes on, and something was missed

After an ``Interrupted`` comes no event before a ``Recovered`` or a ``Gap``, except that events may still come when
``cause`` is ``bus``. A ``Gap`` can also come by itself, when the edge found a hole that it could not fill.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from bus.event import Event

__all__ = ["Cause", "Gap", "Interrupted", "Received", "Recovered", "Value"]

Cause: TypeAlias = Literal["link", "bus", "slow"]


@dataclass(frozen=True, slots=True)
class Received:
    """One event.

    Attributes:
        channel: the room it came by.
        id: the producer's; the same on every channel of the event.
        event: its name.
        data: as it was sent, with the bus's ``timestamp`` in it.
        timestamp: ISO 8601, UTC.
        position: its place in the channel's log, None on a channel without one.
        previous: the position of the event before it.
        model: the event as its model, None without a service, for an unknown name, or where the data does not fit.

    """

    channel: str
    id: str
    event: str
    data: Mapping[str, Any]
    timestamp: str
    position: str | None = None
    previous: str | None = None
    model: Event | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Events may be missing here.

    Attributes:
        channel: where.
        after: position of the last event before the hole, None when it is not known.
        until: position of the first event after it, or where the log stood when nothing followed; None when not known.
        reason: the edge's ``trimmed``, ``diverged``, ``unknown``, ``limit`` or ``slow`` (``bus.position.Reason`` has
            them), or the client's own: ``live``, the channel keeps no log and the connection was away; ``skipped``,
            the edge left something out and did not say so.

    """

    channel: str
    after: str | None
    until: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """The stream goes on here and nothing was missed; ``replayed`` events from the log follow, then live ones.

    A ``Gap`` may stand among them, behind which events are lost to everybody.
    """

    channel: str
    replayed: int


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The stream stops for now.

    Attributes:
        channel: which.
        cause: ``link``, the connection to the edge went; ``bus``, the edge cannot reach Redis; ``slow``, the caller did
            not take events as fast as they came, and the client left the room until it has.
        detail: for people.

    """

    channel: str
    cause: Cause
    detail: str


Value: TypeAlias = Received | Gap | Recovered | Interrupted

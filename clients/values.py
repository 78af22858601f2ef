"""The values of a subscription, in order: events, and the state of the stream between events.

There are four kinds, and a fifth where the state was asked for; a caller that matches all has seen everything::

    async for value in client.subscribe("workflow:42"):
        match value:
            case Received():    value.event, value.data
            case Interrupted(): no event arrives for now; the client sees to it
            case Recovered():   the stream goes on, and no event was missed
            case Gap():         the stream goes on, and events may be missing
            case State():       with ``state=True``: replaces all before

A subscription with ``presence`` has three more, of users that come and leave: ``Joined``, ``Left`` and ``Present``.

After an ``Interrupted`` comes no event before a ``Recovered``, a ``Gap`` or a ``State``, except that events may still
come when ``cause`` is ``bus``. A ``Gap`` also comes alone, when the edge found events missing that no log has.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self, TypeAlias

from bus.event import Event
from bus.values import frozen

__all__ = [
    "Cause",
    "Gap",
    "Interrupted",
    "Joined",
    "Left",
    "Present",
    "Published",
    "Received",
    "Recovered",
    "State",
    "Value",
]

Cause: TypeAlias = Literal["link", "bus", "slow"]


@frozen
class Received:
    """One event.

    Attributes:
        channel: the room by which the event came, by the name that was subscribed.
        id: the producer's; the same on every channel of the event.
        event: the event's name.
        data: as sent, with the bus's ``timestamp``.
        timestamp: ISO 8601, UTC.
        position: the event's place in the channel's log, None on a channel without a log.
        previous: the position of the event before.
        model: the event as its model, None without a service, for an unknown name, or where the data does not fit.
        traceparent: the trace that the event belongs to (W3C trace context); None for most events.

    """

    channel: str
    id: str
    event: str
    data: Mapping[str, Any]
    timestamp: str
    position: str | None = None
    previous: str | None = None
    model: Event | None = None
    traceparent: str | None = None


@frozen
class Published:
    """The edge's answer to a publish.

    Attributes:
        id: of the event.
        positions: channel name to the event's position there; None on a ``live`` channel.
        position: the first of them.

    """

    id: str
    positions: Mapping[str, str | None]
    position: str | None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Return the answer as an edge gives it; what an edge of another make leaves out is empty."""
        given, position = data.get("positions"), data.get("position")
        positions = given if isinstance(given, dict) else {}
        return cls(
            str(data.get("id") or ""),
            {str(name): at if isinstance(at, str) else None for name, at in positions.items()},
            position if isinstance(position, str) else None,
        )


@frozen
class Gap:
    """Events may be missing here.

    Attributes:
        channel: where.
        after: position of the last event before the gap, None when not known.
        until: position of the first event behind the gap, or the log's end when no event followed; None when not known.
        reason: the edge's ``trimmed``, ``diverged``, ``unknown``, ``limit`` or ``slow`` (``bus.position.Reason``), or
            the client's own: ``live``, the channel keeps no log and the connection was away; ``skipped``, the edge left
            events out without a notice.

    """

    channel: str
    after: str | None
    until: str | None
    reason: str


@frozen
class Recovered:
    """The stream goes on here and no event was missed; ``replayed`` events from the log follow, then live events.

    A ``Gap`` may stand among the replayed events, where events are lost to every reader (a failover with lag).

    Attributes:
        channel: where.
        replayed: how many events from the log follow.
        began: when this Redis began, as an ISO time, where a span such as ``"-15m"`` reaches further back: the replay
            has all since then, and nobody knows of events before. None where the replay reaches back all the way.

    """

    channel: str
    replayed: int
    began: str | None = None


@frozen
class State:
    """The newest event of each key of the channel, in place of all that came before; the tail follows without a hole.

    Attributes:
        channel: where.
        position: where the state stands in the channel's log.
        events: by position, oldest first; those that removed a key are among them. A fold over them in this order is
            the state.
        truncated: whether keys may be missing, since a bound of the channel was reached.
        reason: why events were missed before, as of a ``Gap``; None for the first state of a subscription.

    """

    channel: str
    position: str
    events: tuple[Received, ...]
    truncated: bool = False
    reason: str | None = None


@frozen
class Interrupted:
    """The stream stops for now.

    Attributes:
        channel: the interrupted channel.
        cause: ``link``, the connection to the edge went; ``bus``, the edge cannot reach Redis; ``slow``, the caller did
            not take events as fast as events came, and the client left the room until the caller has caught up.
        detail: for people.

    """

    channel: str
    cause: Cause
    detail: str


@frozen
class Joined:
    """A user has come into the room; a user's second tab is told to nobody.

    What was told while the connection was away is not told again: after a ``Recovered`` or a ``Gap``,
    ``client.presence`` says who is there.

    Attributes:
        channel: the room.
        user: the id.
        info: as the user's client gave.
        since: ISO 8601, UTC.

    """

    channel: str
    user: str
    info: Mapping[str, Any]
    since: str


@frozen
class Left:
    """A user has left the room, with the last tab.

    Attributes:
        channel: the room.
        user: the id.

    """

    channel: str
    user: str


@frozen
class Present:
    """So many came and left that the edge names nobody, or the room only counts.

    Attributes:
        channel: the room.
        count: the users there now; connections, in a room that counts.
        joined: how many came.
        left: how many left.
        reason: ``churn``, names that were told before are old, and ``client.presence`` has the new ones; ``count``,
            nobody is ever named here.

    """

    channel: str
    count: int
    joined: int
    left: int
    reason: str


Value: TypeAlias = Received | Gap | Recovered | Interrupted | State | Joined | Left | Present

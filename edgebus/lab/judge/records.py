"""The evidence of a run: results of publish, frames of each WebSocket, logs of Redis. Values only.

All times are seconds of one monotonic clock: of the laboratory's process.
"""

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Attempt", "Away", "ClientLog", "Demands", "EdgeEnd", "Evidence", "Mark", "Sample", "Snapshot", "Stored"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of ``publish`` and the result.

    Attributes:
        channel: the event's channel.
        n: the event's number there, also in the event's data: a delivered event can be told from every other.
        began_s: the time of the call; ``ended_s``: of the return or exception.
        outcome: ``acknowledged`` (publish returned), ``refused`` (Redis was asked and did not take the event),
            ``unknown``.
        id: of the event, where known; ``position``: from the result of publish.
        error: the exception.

    """

    channel: str
    n: int
    began_s: float
    ended_s: float
    outcome: Literal["acknowledged", "refused", "unknown"]
    id: str | None = None
    position: str | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """One moment of a client: a connection ``opened`` or ``closed``, a text ``sent``, a ``frame`` received.

    The text of ``opened`` is the edge's name. ``refused`` is a failed attempt to connect, with the error. ``left``
    precedes ``closed`` where the client ended the connection; elsewhere the text of ``closed`` is the edge's code and
    reason.
    """

    at_s: float
    kind: Literal["opened", "left", "closed", "refused", "sent", "frame"]
    text: bytes = b""


@dataclass(slots=True)
class ClientLog:
    """The record of one client, in order."""

    name: str
    marks: list[Mark] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Stored:
    """One entry of a log in Redis, as ``XRANGE`` shows it."""

    position: str
    previous: str
    id: str
    line: bytes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The log of one channel on one server.

    Attributes:
        server: the server's name.
        from_s: the log must hold every event acknowledged between this time and ``until_s``.

    """

    server: str
    channel: str
    entries: tuple[Stored, ...]
    from_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class Sample:
    """An edge's answer to a GET; status 0: no answer."""

    at_s: float
    edge: str
    path: str
    status: int


@dataclass(frozen=True, slots=True)
class EdgeEnd:
    """The end of one edge's process; ``is_killed``: by SIGKILL, else the edge was sent away and left in order."""

    at_s: float
    edge: str
    is_killed: bool


@dataclass(frozen=True, slots=True)
class Away:
    """A time without Redis for an edge; within ``notice_s`` the edge must not be ready, and must be again after it."""

    from_s: float
    until_s: float
    notice_s: float
    ready_again_s: float


@dataclass(frozen=True, slots=True)
class Demands:
    """The demands of one scenario, beside the promises for all.

    Attributes:
        whole_within_s: after ``Evidence.healed_s``.
        no_gaps: no event was lost, so no gap may be reported.
        all_acknowledged: no call of publish may fail.
        keeps_connections: clients stay connected while Redis is away.
        no_refusals: no attempt to connect may fail, neither a client's nor a balancer's.
        returns_per_s: at most so many clients may come back within any second; None: any number.
        no_closes: no edge may end a connection; clients may.
        prompt: names of clients without delay; ``prompt_s`` is the longest way of 99 of 100 events to them.

    """

    whole_within_s: float = 5.0
    no_gaps: bool = False
    all_acknowledged: bool = False
    keeps_connections: bool = False
    no_refusals: bool = False
    returns_per_s: float | None = None
    no_closes: bool = False
    prompt: frozenset[str] = frozenset()
    prompt_s: float = 0.05


@dataclass(frozen=True, slots=True)
class Evidence:
    """All records of one run.

    Attributes:
        retries: how often a balancer was refused by an edge taken for ready.
        promises: the scenario's own, and whether each was kept.
        takeovers: when another server became the primary. A publish under way at such a time may have been stored by
            both servers, one after the other, because a producer repeats a publish without an answer; the event comes
            twice with one id.

    """

    attempts: tuple[Attempt, ...]
    clients: tuple[ClientLog, ...]
    snapshots: tuple[Snapshot, ...] = ()
    samples: tuple[Sample, ...] = ()
    away: tuple[Away, ...] = ()
    healed_s: float | None = None
    demands: Demands = field(default_factory=Demands)
    retries: int = 0
    takeovers: tuple[float, ...] = ()
    ends: tuple[EdgeEnd, ...] = ()
    promises: tuple[tuple[str, bool], ...] = ()

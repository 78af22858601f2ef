"""What a run leaves behind: what publish returned, what came over each WebSocket, what Redis held. Values only.

All times are seconds of one monotonic clock, that of the process of the laboratory.
"""

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Attempt", "Away", "ClientLog", "Demands", "Evidence", "Mark", "Sample", "Snapshot", "Stored"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of ``publish`` and what came of it.

    Attributes:
        channel: where the event goes.
        n: its number there; it stands in the event's data, so a delivered event can be told from every other.
        began_s: when ``publish`` was called; ``ended_s``: when it returned or raised.
        outcome: ``acknowledged`` (it returned), ``refused`` (Redis was asked and did not take it), ``unknown``.
        id: of the event, where it is known; ``position``: what publish returned.
        error: what it raised.

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
    """One thing that happened at a client: a connection ``opened`` or ``closed``, a text ``sent``, a ``frame`` come.

    ``refused`` is an attempt to connect that failed, with what it failed with. ``left`` is told before a connection is
    ``closed`` that the client ended itself; of another one the text is what the edge said.
    """

    at_s: float
    kind: Literal["opened", "left", "closed", "refused", "sent", "frame"]
    text: bytes = b""


@dataclass(slots=True)
class ClientLog:
    """Everything that one client saw, in order."""

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
        server: whose it is.
        from_s: every event that was acknowledged from then on must be in it, up to ``until_s``.

    """

    server: str
    channel: str
    entries: tuple[Stored, ...]
    from_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What an edge answered to a GET; status 0 when it did not answer."""

    at_s: float
    edge: str
    path: str
    status: int


@dataclass(frozen=True, slots=True)
class Away:
    """A time in which Redis could not be reached by an edge; ``notice_s`` is how soon it must say so."""

    from_s: float
    until_s: float
    notice_s: float
    ready_again_s: float


@dataclass(frozen=True, slots=True)
class Demands:
    """What one scenario asks beside the promises that hold always.

    Attributes:
        whole_within_s: after ``Evidence.healed_s``.
        no_gaps: nothing was lost, so nobody may be told that something was.
        all_acknowledged: no call of publish may fail.
        keeps_connections: clients stay connected while Redis is away.
        no_refusals: no attempt to connect may fail, neither a client's nor a balancer's.
        returns_per_s: at most so many clients may come back within any second; None: as many as like.
        no_closes: no edge may end a connection; a client may leave by itself.
        prompt: names of clients that nobody may delay; ``prompt_s`` is what 99 of 100 events for them may take.

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
    """All of one run.

    Attributes:
        retries: how often a balancer that took an edge for ready found its door closed.
        takeovers: when another server became the primary. A publish that was under way then may have been stored by
            both, one after the other, as the producer repeats what was not answered; its event comes twice with one id.

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

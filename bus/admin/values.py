"""What operators are shown, as values. Every number comes from an edge's own count, or from Redis."""

from collections.abc import Mapping
from dataclasses import field
from typing import Generic, TypeVar

from bus.values import frozen

__all__ = [
    "BusyRoom",
    "ClientInfo",
    "EdgeEntry",
    "GoneEdge",
    "Kicked",
    "LastEvent",
    "LevelChange",
    "Look",
    "Page",
    "Rates",
    "RoomInfo",
    "RoomOnEdge",
    "RoomRow",
    "Standing",
    "View",
]

RowT = TypeVar("RowT")


@frozen
class EdgeEntry:
    """An edge's own word in the registry, at most three seconds old. None: the edge does not say.

    Attributes:
        id: ``<service>-<host>-<port>-<pid>-<random>``.
        catalogue: a digest of the catalogue's families, events and requests: edges of one service should agree.
        started: milliseconds since 1970, as all times here.
        generation: how often the link to Redis came up.
        link: ``up``, or ``down: …`` and ``deaf: …`` with the reason.
        ready: ``yes``, or the reason why not.
        draining: whether the edge sends clients away, or has sent all away.
        limited: how often a limit hit a client, but for slow reading.
        clock_offset_ms: the edge's clock, less Redis'.
        heartbeat_ms: the time of the entry, by Redis' clock.

    """

    id: str
    service: str = ""
    host: str = ""
    port: int | None = None
    pid: int | None = None
    version: str = ""
    catalogue: str = ""
    started: int | None = None
    connections: int | None = None
    max_connections: int | None = None
    rooms: int | None = None
    generation: int | None = None
    link: str = ""
    probe_age_ms: int | None = None
    ready: str = ""
    draining: bool | None = None
    events_in: int | None = None
    deliveries: int | None = None
    bytes_out: int | None = None
    writes: int | None = None
    slow: int | None = None
    limited: int | None = None
    gaps: int | None = None
    repaired: int | None = None
    told: int | None = None
    waiting_bytes: int | None = None
    fds: int | None = None
    fds_limit: int | None = None
    memory_bytes: int | None = None
    certificate_expires: int | None = None
    clock_offset_ms: float | None = None
    max_line_bytes: int | None = None
    heartbeat_ms: int | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the edge is ready."""
        return self.ready == "yes"


@frozen
class GoneEdge:
    """An edge that ended without a word: killed, or cut off from Redis.

    Attributes:
        ago_s: since its entry expired, ten seconds behind its last heartbeat.

    """

    id: str
    ago_s: float


@frozen
class Page(Generic[RowT]):
    """Some rows, and how to go on.

    Attributes:
        rows: of this page; a page without rows may have a cursor, where a filter passed over all that was looked at.
        cursor: for the next page; None: this was the last one.
        silent: edges that were asked and did not answer.

    """

    rows: tuple[RowT, ...]
    cursor: str | None = None
    silent: tuple[str, ...] = ()


@frozen
class RoomRow:
    """A room, over all edges asked.

    Attributes:
        channel: the clients' name.
        members: connections in the room.
        rate: events a second, in the last second; None where nobody measured.
        edges: the members by edge.

    """

    channel: str
    members: int
    rate: float | None = None
    edges: Mapping[str, int] = field(default_factory=dict)


@frozen
class ClientInfo:
    """A connection of a client.

    Attributes:
        user: by the token; None without one.
        rooms: names, in lists the first few; ``rooms_count`` counts all.
        waiting_bytes: written by the edge, and not yet taken by the kernel.
        state: ``reading``; ``lagging`` where much waits; ``left out`` where rooms with a policy for slow consumers pass
            the client over meanwhile; ``owes a token``; ``leaving``.
        lagging_since: milliseconds since 1970; None for a client that reads.
        token_ends: milliseconds since 1970; None without an end.
        connected: milliseconds since 1970.
        messages: how many the client has sent.

    """

    id: str
    edge: str
    user: str | None = None
    address: str = ""
    rooms: tuple[str, ...] = ()
    rooms_count: int = 0
    waiting_bytes: int = 0
    state: str = "reading"
    lagging_since: int | None = None
    token_ends: int | None = None
    connected: int | None = None
    dialect: str = ""
    messages: int = 0


@frozen
class RoomOnEdge:
    """A room in an edge.

    Attributes:
        position: where the room stands; None on a channel without a log, or while the room opens.
        in_sync: whether the room has every event up to there.
        left_out: members that a policy for slow consumers passes over at the moment.

    """

    edge: str
    members: int
    rate: float | None = None
    position: str | None = None
    in_sync: bool = True
    left_out: int = 0


@frozen
class LastEvent:
    """The last entry of a log.

    Attributes:
        at: the time in the event, as the publisher wrote it.
        user: the user whom an event names that is open to clients, in the field that edges fill in. None for other
            events: Redis keeps no name of the process that appended an entry.

    """

    position: str
    id: str
    event: str
    at: str = ""
    user: str | None = None


@frozen
class RoomInfo:
    """A room, over all edges and in Redis.

    Attributes:
        redis: the channel's name in Redis.
        members: connections in the room, over all edges that answered.
        position: of the log's last entry; None without a log.
        retention: ``history``, ``latest`` or ``live``; empty where no edge serves the channel.
        length: entries in the log.
        log_bytes: as Redis counts, with everything around; None where the user may not ask.
        expires_ms: until the log goes, if nothing comes and nobody watches; None: no log.

    """

    channel: str
    redis: str
    members: int = 0
    edges: tuple[RoomOnEdge, ...] = ()
    position: str | None = None
    first_position: str | None = None
    retention: str = ""
    max_events: int | None = None
    keeps_s: int | None = None
    length: int = 0
    log_bytes: int | None = None
    expires_ms: int | None = None
    last: LastEvent | None = None
    silent: tuple[str, ...] = ()


@frozen
class Rates:
    """Counts of a second.

    Attributes:
        events_in: lines from Redis.
        deliveries: lines, times the clients they were written to.
        gaps: lines that did not follow the line before.
        accepted: clients that came in.
        refused: clients that found no place.
        slow: clients closed for reading too slowly.
        bytes_out: bytes of the deliveries.
        writes: pieces in which deliveries were written.

    """

    events_in: float = 0.0
    deliveries: float = 0.0
    gaps: float = 0.0
    accepted: float = 0.0
    refused: float = 0.0
    slow: float = 0.0
    bytes_out: float = 0.0
    writes: float = 0.0


@frozen
class BusyRoom:
    """A room with events in the last second."""

    channel: str
    rate: float
    members: int


@frozen
class Look:
    """One second of an edge.

    Attributes:
        at: milliseconds since 1970, by the edge's clock.
        rooms: the busiest first, at most 50.
        clients: those that read slower than events come, the one with the most waiting first, at most 50.
        lagging: how many such clients there are.

    """

    edge: str
    at: int
    connections: int = 0
    rooms_count: int = 0
    rates: Rates = Rates()
    rooms: tuple[BusyRoom, ...] = ()
    clients: tuple[ClientInfo, ...] = ()
    lagging: int = 0
    waiting_bytes: int = 0


@frozen
class View:
    """A second of all edges under a look.

    Attributes:
        looks: of the edges that wrote one.
        silent: edges without a look: dead, cut off from Redis, or not begun to write.

    """

    looks: tuple[Look, ...]
    silent: tuple[str, ...] = ()


@frozen
class Kicked:
    """The outcome of a kick.

    Attributes:
        connections: closed, or let out of the room; by edge.
        silent: edges that did not answer, and may or may not have kicked.

    """

    connections: Mapping[str, int]
    silent: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many connections, over all edges."""
        return sum(self.connections.values())


@frozen
class Standing:
    """The standing of an edge behind ``drain`` and ``undrain``: ``serving``, ``draining`` or ``drained``."""

    edge: str
    state: str
    connections: int = 0


@frozen
class LevelChange:
    """A changed level of an edge's log; ``before`` is what brings the former one back."""

    edge: str
    before: str
    level: str

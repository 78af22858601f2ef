"""The facts that are judged: a server of Redis, its replicas and sentinels, edges, and a probe. Values only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bus.envelope import LINE_LIMIT_BYTES

__all__ = ["Edge", "Facts", "Loop", "Replica", "SentinelWord", "Server", "Slow", "Spike"]


@dataclass(frozen=True, slots=True)
class Slow:
    """An entry of the slow log, without the arguments of the command: these are events.

    Attributes:
        at_s: by Redis' clock, seconds since 1970.
        client: the name of the connection, else the address.

    """

    at_s: int
    micros: int
    command: str
    client: str


@dataclass(frozen=True, slots=True)
class Spike:
    """A kind of event of Redis' latency monitor, with the longest time of that kind."""

    event: str
    at_s: int
    longest_ms: int


@dataclass(frozen=True, slots=True)
class Server:
    """A single server of Redis. None for an answer that the user may not have.

    Attributes:
        place: host and port, or the path of a socket.
        cli: the beginning of an administrator's ``redis-cli`` line.
        user: who asked.
        info: the lines of ``INFO``.
        config: the settings that were asked for.
        slow: the slow log, the newest first.
        spikes: the latency monitor's.
        users: names of ACL users.
        rules: what stands behind each name in ``ACL LIST``, as a set of words.
        refused: rules that this user lacks, such as ``+config|get``.
        took_ms: of answers to ``TIME``, in order.
        clock_ms: Redis' clock less this host's.

    """

    place: str = "redis"
    cli: str = "redis-cli"
    user: str = "default"
    info: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] | None = None
    slow: Sequence[Slow] | None = None
    spikes: Sequence[Spike] | None = None
    users: frozenset[str] | None = None
    rules: Mapping[str, frozenset[str]] | None = None
    refused: tuple[str, ...] = ()
    took_ms: Sequence[float] = ()
    clock_ms: float | None = None

    def number(self, name: str) -> int:
        """Return a number of ``INFO``; 0 for an absent name or another text, as from a proxy in front of Redis."""
        text = self.info.get(name, "")
        return int(text) if text.removeprefix("-").isdecimal() else 0


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica of the server, as the primary and the sentinels know it.

    Attributes:
        state: ``online``, or what else the primary says; ``unknown`` where only a sentinel knows the replica.
        lag_s: since the replica last confirmed; None: unknown.
        behind_bytes: of the stream of writes.
        server: the replica, asked itself; None: ``trouble`` says why not.
        is_login: the replica refused the log-in that the primary takes.

    """

    place: str
    state: str = "online"
    lag_s: int | None = 0
    behind_bytes: int = 0
    server: Server | None = None
    trouble: str = ""
    is_login: bool = False
    cli: str = "redis-cli"


@dataclass(frozen=True, slots=True)
class SentinelWord:
    """The word of one sentinel: where the primary is, or why no word came; ``known``: other sentinels, and replicas."""

    place: str
    primary: str = ""
    trouble: str = ""
    replicas: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge in the registry, and how many links hear its probe. None for what the edge does not say.

    Attributes:
        listeners: subscribers of ``bus:probe:<id>``; one for an edge that is well.
        runs: whether the process is there; None for an edge on another machine.
        link: ``up``, or what is wrong with the link.
        ready: ``yes``, or the reason against.
        started: milliseconds since 1970.
        silent_ms: since the entry was written, by Redis' clock.
        gone_ms: since the entry expired; None for an edge with an entry. The index remembers ten minutes.
        certificate_ends_s: seconds since 1970.

    """

    id: str
    service: str = ""
    host: str = ""
    port: int = 0
    pid: int = 0
    version: str = ""
    catalogue: str = ""
    started: int = 0
    listeners: int | None = 1
    runs: bool | None = None
    link: str = "up"
    ready: str = "yes"
    is_draining: bool = False
    silent_ms: int | None = None
    gone_ms: int | None = None
    probe_age_ms: int | None = None
    max_connections: int | None = None
    fds: int | None = None
    fds_limit: int | None = None
    certificate_ends_s: float | None = None
    clock_ms: float | None = None
    max_line_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Loop:
    """A probe published on one connection and heard on another.

    Attributes:
        took_ms: of each probe that came back; none: ``trouble`` says why.

    """

    took_ms: Sequence[float] = ()
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """All facts of one examination.

    Attributes:
        shown: the URL without log-in.
        now_s: this host's clock, seconds since 1970.
        is_sentinel: whether the URL names sentinels.
        certificate_ends_s: of Redis' certificate; None without TLS.
        event_limit_bytes: the largest event as a line that an edge takes.
        edges: None: the entries may not be read.
        loop: None: this user may not publish and hear a probe.

    """

    shown: str
    server: Server
    now_s: float = 0.0
    host: str = ""
    is_sentinel: bool = False
    replicas: Sequence[Replica] = ()
    sentinels: Sequence[SentinelWord] = ()
    edges: Sequence[Edge] | None = ()
    loop: Loop | None = field(default_factory=Loop)
    certificate_ends_s: float | None = None
    event_limit_bytes: int = LINE_LIMIT_BYTES

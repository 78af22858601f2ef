"""Facts to be judged: a server of Redis, replicas and sentinels, edges, and a probe. Values only."""

from collections.abc import Mapping, Sequence
from dataclasses import field

from bus.envelope import LINE_LIMIT_BYTES
from bus.values import frozen

__all__ = ["Edge", "Facts", "Loop", "Replica", "SentinelWord", "Server", "Slow", "Spike"]


@frozen
class Slow:
    """An entry of the slow log, without the arguments of the command, since arguments are events.

    Attributes:
        at_s: by Redis' clock, seconds since 1970.
        client: the name of the connection, else the address.

    """

    at_s: int
    micros: int
    command: str
    client: str


@frozen
class Spike:
    """A kind of event of Redis' latency monitor, with the longest time."""

    event: str
    at_s: int
    longest_ms: int


@frozen
class Server:
    """A single server of Redis. None for a refused answer.

    Attributes:
        place: host and port, or the path of a socket.
        cli: the beginning of an administrator's ``redis-cli`` line.
        user: the name of the log-in.
        info: the lines of ``INFO``.
        config: some settings.
        slow: the slow log, the newest first.
        spikes: the latency monitor's.
        users: names of ACL users.
        rules: of each user in ``ACL LIST``, as a set of words.
        lacking: users of ``edgebus acl`` that lack rights of this version, with a command that each may not.
        without_scripts: users of ``edgebus acl`` that may load no script.
        refused: rules that the user lacks, such as ``+config|get``.
        took_ms: of answers to ``TIME``, in order.
        clock_ms: Redis' clock less the host's.

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
    lacking: Mapping[str, str] = field(default_factory=dict)
    without_scripts: frozenset[str] = frozenset()
    refused: tuple[str, ...] = ()
    took_ms: Sequence[float] = ()
    clock_ms: float | None = None

    def number(self, name: str) -> int:
        """Return a number of ``INFO``; 0 for an absent name or another text, as from a proxy in front of Redis."""
        text = self.info.get(name, "")
        return int(text) if text.removeprefix("-").isdecimal() else 0


@frozen
class Replica:
    """A replica of the server, by the words of the primary and of the sentinels.

    Attributes:
        state: ``online``, or another word of the primary; ``unknown`` where only a sentinel knows the replica.
        lag_s: since the replica last confirmed; None: unknown.
        behind_bytes: of the stream of writes.
        server: the answers of the replica; None: ``trouble`` says why.
        is_login: the replica refused the log-in of the primary.

    """

    place: str
    state: str = "online"
    lag_s: int | None = 0
    behind_bytes: int = 0
    server: Server | None = None
    trouble: str = ""
    is_login: bool = False
    cli: str = "redis-cli"


@frozen
class SentinelWord:
    """The word of a sentinel: where the primary and the replicas are, or why no word came."""

    place: str
    primary: str = ""
    trouble: str = ""
    replicas: Sequence[str] = ()


@frozen
class Edge:
    """An edge in the registry, and how many links hear the edge's probe. None for a figure that the edge does not give.

    Attributes:
        listeners: subscribers of ``bus:probe:<id>``; 1 for a healthy edge.
        runs: whether the process is there; None for an edge on another machine.
        link: ``up``, or the fault of the link.
        ready: ``yes``, or the reason against.
        started: milliseconds since 1970.
        age_ms: since the start.
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
    age_ms: int | None = None
    silent_ms: int | None = None
    gone_ms: int | None = None
    probe_age_ms: int | None = None
    max_connections: int | None = None
    fds: int | None = None
    fds_limit: int | None = None
    certificate_ends_s: float | None = None
    clock_ms: float | None = None
    max_line_bytes: int | None = None


@frozen
class Loop:
    """A probe, published on a connection and heard on another.

    Attributes:
        took_ms: of each probe until the probe came back; none: ``trouble`` says why.

    """

    took_ms: Sequence[float] = ()
    trouble: str = ""


@frozen
class Facts:
    """All facts of an examination.

    Attributes:
        shown: the URL without log-in.
        now_s: the host's clock, seconds since 1970.
        is_sentinel: whether the URL names sentinels.
        certificate_ends_s: of Redis' certificate; None without TLS.
        event_limit_bytes: the largest event as a line that an edge takes.
        edges: None: the entries may not be read.
        loop: None: the user may not publish and hear a probe.

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

"""A Redis in memory for the recovery model: one channel's log and links to it, with every fault of delivery.md."""

from dataclasses import dataclass, field, replace

from bus.channel import HISTORY, Channel
from bus.envelope import Arrived, splice
from bus.log.forks import FORKS, Fork
from bus.log.log import Head
from bus.log.replay import Tail
from bus.position import BEGINNING, no_log

X = Channel("workflow:x", "workflow:x", HISTORY)
REPEATED = 2
"""How many of its newest lines a link may send again."""


@dataclass(frozen=True, slots=True)
class Log:
    """What one Redis holds of the channel, and what it is a Redis of."""

    epoch_ms: int
    entries: tuple[Arrived, ...] = ()
    last: str = BEGINNING
    forks: tuple[Fork, ...] = ()

    def append(self, clock_ms: int, salt: int, number: int) -> "Log":
        """Do what ``publish.lua`` does."""
        last_ms, last_n = map(int, self.last.split("-"))
        ms, n = (clock_ms, salt) if clock_ms > last_ms else (last_ms, last_n + 1 + salt)
        position, previous = f"{ms}-{n}", self.entries[-1].position if self.entries else self.last
        line = Arrived(splice(b'{"event":"e","data":{},"n":%d}' % number, position, previous), position, previous)
        return replace(self, entries=(*self.entries, line), last=position)


@dataclass(slots=True)
class Link:
    """The way of published lines to one edge: in order, and where the link repeats some, they come once more."""

    is_up: bool = True
    is_subscribed: bool = False
    on_the_way: list[Arrived] = field(default_factory=list)
    sent: list[Arrived] = field(default_factory=list)

    def send(self, line: Arrived) -> None:
        """Send a line, if the link is up and the edge wants it."""
        if self.is_up and self.is_subscribed:
            self.on_the_way.append(line)
            self.sent = [*self.sent, line][-REPEATED:]

    def unsubscribe(self) -> None:
        """Send no more; lines that are on their way come."""
        self.is_subscribed = False
        self.sent.clear()

    def repeat(self, count: int) -> None:
        """Send the newest lines again."""
        self.on_the_way += self.sent[-count:]

    def cut(self) -> None:
        """Lose the link, and the lines that are on their way."""
        self.is_up = False
        self.on_the_way.clear()
        self.sent.clear()


@dataclass(slots=True)
class Redis:
    """The primary, a replica that may lag behind, and the links of edges."""

    clock_ms: int = 1_000
    primary: Log = field(default_factory=lambda: Log(900))
    replica: Log = field(default_factory=lambda: Log(900))
    links: list[Link] = field(default_factory=list)
    published: dict[str, int] = field(default_factory=dict)
    count: int = 0

    def link(self) -> Link:
        """Return a link for one more edge."""
        self.links.append(Link())
        return self.links[-1]

    def publish(self) -> None:
        """Store an event, and send it by every link that is up."""
        self.count += 1
        self.clock_ms += 1
        salt = 1 + self.count * 2_654_435_761 % 2**32  # another one for each event
        self.primary = self.primary.append(self.clock_ms, salt, self.count)
        line = self.primary.entries[-1]
        assert line.position is not None
        assert line.position not in self.published, "two events never have one position"
        self.published[line.position] = self.count
        self._send(line)

    def typed(self) -> None:
        """Send a hand-typed line."""
        self._send(Arrived(splice(b'{"event":"e","data":{},"n":0}', None, None), None, None))

    def _send(self, line: Arrived) -> None:
        for link in self.links:
            link.send(line)

    def mark(self, found: tuple[Fork, ...]) -> None:
        """Do what ``Log.mark`` does."""
        self.primary = replace(self.primary, forks=(*self.primary.forks, *found)[-FORKS:])

    def trim(self, keep: int) -> None:
        """Let the oldest entries go."""
        self.primary = replace(self.primary, entries=self.primary.entries[-keep:] if keep else ())

    def expire(self) -> None:
        """Let the log go."""
        self.primary = replace(self.primary, entries=(), last=BEGINNING)

    def replicate(self) -> None:
        """Let the replica catch up."""
        self.replica = self.primary

    def fail_over(self, clock_ms: int) -> None:
        """Let the replica take over, with its own clock; events that it lacks are gone, and so are all links."""
        self.primary, self.clock_ms = self.replica, self.clock_ms + clock_ms
        self._cut()

    def restart_empty(self) -> None:
        """Begin anew, with nothing."""
        self.clock_ms += 10
        self.primary = self.replica = Log(self.clock_ms)
        self.clock_ms += 1
        self._cut()

    def _cut(self) -> None:
        for link in self.links:
            link.cut()

    def head(self) -> Head:
        """Return what ``Log.heads`` does."""
        log = self.primary
        if not log.entries:
            return Head(no_log(self.clock_ms) if log.last == BEGINNING else log.last, None, log.forks)
        return Head(log.entries[-1].position, log.entries[-1].line, log.forks)

    def tail(self, limit: int) -> Tail:
        """Return what ``Log.tail`` does."""
        log = self.primary
        lines = log.entries[-limit:]
        first, first_previous = (log.entries[0].position, log.entries[0].previous) if lines else (None, None)
        is_cut = len(lines) < len(log.entries)
        return Tail(self.clock_ms, log.epoch_ms, lines, first, first_previous, log.last, is_cut, None, log.forks)

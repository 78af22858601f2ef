"""A Redis in memory for the recovery model: one channel's log and a link, with every fault that delivery.md names."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bus.channel import HISTORY, Channel
from bus.envelope import Arrived, splice
from bus.log.forks import FORKS, Fork
from bus.log.log import Head
from bus.log.replay import Tail
from bus.position import BEGINNING, no_log

X = Channel("workflow:x", "workflow:x", HISTORY)


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
class Redis:
    """The primary, a replica that may lag behind, and what is on its way over one link."""

    clock_ms: int = 1_000
    primary: Log = field(default_factory=lambda: Log(900))
    replica: Log = field(default_factory=lambda: Log(900))
    on_the_way: list[Arrived] = field(default_factory=list)
    published: dict[str, int] = field(default_factory=dict)
    is_up: bool = True
    count: int = 0

    def publish(self) -> None:
        """Store an event, and send it to the link if that is up."""
        self.count += 1
        self.clock_ms += 1
        salt = 1 + self.count * 2_654_435_761 % 2**32  # another one for each event
        self.primary = self.primary.append(self.clock_ms, salt, self.count)
        line = self.primary.entries[-1]
        assert line.position is not None
        assert line.position not in self.published, "two events never have one position"
        self.published[line.position] = self.count
        if self.is_up:
            self.on_the_way.append(line)

    def typed(self) -> None:
        """Send a hand-typed line, if the link is up."""
        if self.is_up:
            self.on_the_way.append(Arrived(splice(b'{"event":"e","data":{},"n":0}', None, None), None, None))

    def mark(self, found: Sequence[Fork]) -> None:
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
        """Let the replica take over, with its own clock; what it lacks is gone, and so is the link."""
        self.primary, self.clock_ms = self.replica, self.clock_ms + clock_ms
        self.cut()

    def restart_empty(self) -> None:
        """Begin anew, with nothing."""
        self.clock_ms += 10
        self.primary = self.replica = Log(self.clock_ms)
        self.clock_ms += 1
        self.cut()

    def cut(self) -> None:
        """Lose the link, and what is on its way."""
        self.is_up = False
        self.on_the_way.clear()

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

"""What happens to Redis in the recovery model: one channel's log and links to it, with every fault of delivery.md."""

from bus.channel import HISTORY, Channel
from bus.envelope import end_of, splice
from bus.position import no_log
from tests.edges.fake_connections import FakeLink
from tests.edges.fake_redis import FakeRedis, Stream

X = Channel("workflow:x", "workflow:x", HISTORY)
REPEATED = 2
"""How many of its newest lines a link may send again."""


class Link(FakeLink):
    """The way of published lines to one edge: in order, and where the link repeats some, they come once more."""

    def __init__(self, redis: FakeRedis) -> None:
        super().__init__(redis)
        self.sent: list[tuple[bytes, bytes]] = []

    def send(self, channel: str, line: bytes) -> bool:
        is_sent = super().send(channel, line)
        if is_sent:
            self.sent = [*self.sent, (channel.encode(), line)][-REPEATED:]
        return is_sent

    def forget(self, channel: str) -> None:
        """Send no more; lines that are on their way come."""
        super().forget(channel)
        self.sent.clear()

    def repeat(self, count: int) -> None:
        """Send the newest lines again."""
        self.on_the_way += self.sent[-count:]

    def cut(self) -> None:
        """Lose the link, and the lines that are on their way."""
        self.is_up = False
        self.on_the_way.clear()
        self.sent.clear()


class Redis:
    """The primary, a replica that may lag behind, and the links of edges."""

    def __init__(self) -> None:
        self.primary = FakeRedis(data={"bus:epoch": b"900-a"})
        self.replica = dict(self.primary.data)
        self.links: list[Link] = []
        self.published: dict[str, int] = {}

    def link(self) -> Link:
        """Return a link for one more edge."""
        self.links.append(Link(self.primary))
        return self.links[-1]

    @property
    def _stream(self) -> Stream:
        return self.primary.data.get(X.log_key) or Stream()

    def publish(self) -> None:
        """Store an event, and send it by every link that is up."""
        number = len(self.published) + 1
        salt = 1 + number * 2_654_435_761 % 2**32  # another one for each event
        clock_ms, (last_ms, last_n) = self.primary.clock_ms + 1, map(int, self._stream.last.split(b"-"))
        position = f"{clock_ms}-{salt}" if clock_ms > last_ms else f"{last_ms}-{last_n + 1 + salt}"
        assert position not in self.published, "two events never have one position"
        self.published[position] = number
        # Every third line looks as if another program had written it, and is parsed; the others flow (flow.py).
        end = b"}" if number % 3 == 0 else b"," + end_of(X.name)
        line = b'{"event":"e","data":{},"n":%d%b' % (number, end)
        self.primary.append(X, line, {b"id": b"%d" % number}, position)

    def typed(self) -> None:
        """Send a hand-typed line."""
        self.primary.publish(X.redis, splice(b'{"event":"e","data":{},"n":0}', None, None))

    def trim(self, keep: int) -> None:
        """Let the oldest entries go."""
        if X.log_key in self.primary.data:
            self.primary.do_xtrim(X.log_key, maxlen=keep, approximate=False)

    def expire(self) -> None:
        """Let the log go."""
        self.primary.do_delete(X.log_key)

    def replicate(self) -> None:
        """Let the replica catch up."""
        self.replica = dict(self.primary.data)

    def fail_over(self, clock_ms: int) -> None:
        """Let the replica take over, with its own clock; events that it lacks are gone, and so are all links."""
        self.primary.data = dict(self.replica)
        self.primary.clock_ms += clock_ms
        self._cut()

    def restart_empty(self) -> None:
        """Begin anew, with nothing."""
        self.primary.clock_ms += 10
        self.primary.data = {"bus:epoch": f"{self.primary.clock_ms}-b".encode()}
        self.replicate()
        self.primary.clock_ms += 1
        self._cut()

    def _cut(self) -> None:
        for link in self.links:
            link.cut()

    def end(self) -> str:
        """Return where a newcomer stands."""
        stream = self._stream
        return stream.newest.decode() if X.log_key in self.primary.data else no_log(self.primary.clock_ms)

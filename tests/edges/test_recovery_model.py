"""P1 to P3 against a model of the log: the hub and sessions of one edge, with every fault in every order."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bus.channel import Channel
from bus.errors import BusError, BusUnavailable
from bus.log.forks import Fork
from bus.log.log import Head, Log
from bus.log.reading import Reading
from bus.log.replay import Tail
from bus.redis.subscriber import Subscriber, SubscriberStatistics
from bus.tasks import Spawn, end
from edges import EdgeSettings
from edges.auth.authenticator import Gate
from edges.auth.permissions import Access
from edges.limits.counters import Counters
from edges.limits.registry import Registry
from edges.net.visitor import Visitor
from edges.protocol.envelope import Dialect
from edges.protocol.messages import Closing
from edges.rooms import recovery as mending
from edges.rooms.hub import Hub
from edges.session import replaying
from edges.session.context import Context
from edges.session.requests import Answers
from edges.session.session import Session
from edges.session.verbs import recover
from edges.session.verbs.table import verbs_of
from producers.services.mahavishnu import SERVICE
from tests.edges.model_log import Redis, X

READ_LIMIT = 6
"""Events that one read gives; so few that the limit is met."""


class Bus:
    """The hub's log and link. An answer of the log is what was there when it was asked; it comes when it may."""

    def __init__(self, redis: Redis, spawn: Spawn) -> None:
        self.redis = redis
        self.hub = Hub(cast(Log, self), cast(Subscriber, self), spawn, linger_s=0)
        self.generation, self.is_slow = 1, False
        self.waiting: list[asyncio.Future[None]] = []

    @property
    def is_up(self) -> bool:
        return self.redis.is_up

    def statistics(self) -> SubscriberStatistics:
        return SubscriberStatistics(self.is_up, self.generation, 0, 0, 0)

    def arrive(self, count: int = 100) -> None:
        lines, self.redis.on_the_way = self.redis.on_the_way[:count], self.redis.on_the_way[count:]
        self.hub.deliver([(b"workflow:x", line.line) for line in lines])

    async def subscribe(self, channel: str) -> None:
        await asyncio.sleep(0)
        if not self.is_up:
            raise BusUnavailable("down")
        self.arrive()

    async def unsubscribe(self, channel: str) -> None: ...

    def forget(self, channel: str) -> None: ...

    async def keep(self, channels: list[Channel]) -> None: ...

    async def epoch(self) -> str:
        return str(self.redis.primary.epoch_ms)

    async def heads(self, channels: list[Channel], *, keeps: bool = False) -> list[Head]:
        head = self.redis.head()
        await self._answered()
        return [head]

    async def misplaced(self) -> str | None:
        await self._answered()
        return None

    async def mark(self, channel: Channel, found: Sequence[Fork]) -> None:
        await self._answered()
        self.redis.mark(found)

    async def tail(self, channel: Channel, *, reading: Reading | None = None) -> Tail:
        tail = self.redis.tail(READ_LIMIT)
        await self._answered()
        return tail if reading is None else read_by(reading, tail)

    async def _answered(self) -> None:
        if self.is_slow:
            self.waiting.append(asyncio.get_running_loop().create_future())
            await self.waiting[-1]
        await asyncio.sleep(0)
        if not self.is_up:
            raise BusUnavailable("down")


def read_by(reading: Reading, tail: Tail) -> Tail:
    """Return as much of a tail as is read for one that knows a part of it."""
    reading.begin()
    for line in reversed(tail.lines):
        if not reading.wants(line.position or "") or not reading.take(line):
            break
    return replace(tail, lines=reading.lines, is_cut=tail.is_cut or reading.is_cut)


class Peer:
    """A connection that only keeps what is written."""

    name = "peer"
    visitor = Visitor("", is_secure=False)

    def __init__(self) -> None:
        self.written = b""
        self.session: Session | None = None

    @property
    def dialect(self) -> Dialect:
        assert self.session is not None
        return self.session.dialect

    def write(self, frames: bytes) -> None:
        self.written += frames

    def deliver(self, frames: bytes) -> bool:
        self.write(frames)
        return False

    def uncork(self) -> None: ...

    @property
    def takes_more(self) -> bool:
        return True

    def takes(self, size: int) -> bool:
        return size >= 0

    def recover(self, channel: Channel, position: str) -> None:
        raise AssertionError("it takes all")

    def fail(self) -> None: ...

    def close(self, code: Closing) -> None:
        raise AssertionError(code)

    def identify(self, user: str) -> None:
        raise AssertionError(user)

    def be_found(self, names: tuple[str, ...]) -> None:
        raise AssertionError(names)

    def take_place(self) -> bool:
        raise AssertionError("nobody must show a token here")

    def close_slow(self) -> None:
        raise AssertionError("nobody is slow here")

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    async def drained(self) -> None:
        await asyncio.sleep(0)

    def messages(self) -> list[dict[str, Any]]:
        """Return what was written since the last call."""
        found, rest, self.written = [], self.written, b""
        while rest:
            size, start = rest[1], 2
            if size == 126:
                size, start = int.from_bytes(rest[2:4]), 4
            found.append(orjson.loads(rest[start : start + size]))
            rest = rest[start + size :]
        return found


@dataclass(slots=True)
class Client:
    """What a client knows: where it stands, and what it has. It believes what it is told, and checks the chain."""

    peer: Peer | None = None
    at: str | None = None
    is_told: bool = True
    got: list[str] = field(default_factory=list)
    of_subscription: set[str] = field(default_factory=set)
    owed: list[str] = field(default_factory=list)

    def read(self) -> None:
        for message in [] if self.peer is None else self.peer.messages():
            if message.get("event") == "room.gap":
                assert self.at is not None
                self.tell()
            elif message.get("type") == "error":
                assert message["error_code"] == "UNAVAILABLE"
                self.peer = None
                return
            elif message.get("type") == "response":
                self._reply(message["data"])
            elif "n" in message and message["position"] is not None:
                self._event(message["position"], message["previous"])

    def tell(self) -> None:
        self.is_told, self.owed = True, []

    def _reply(self, data: dict[str, Any]) -> None:
        if not data.get("recovered"):
            self.tell()
        if not data.get("replayed") and (self.at is None or "recovered" not in data):
            self.at = data["position"]
        if data.get("recovered") and not data["replayed"] and data["position"].endswith("-0"):
            self.at = data["position"]

    def _event(self, position: str, previous: str) -> None:
        assert position not in self.of_subscription, f"P2: {position} came twice"
        follows = previous == self.at or (previous == "0-0" and (self.at or "").endswith("-0"))
        assert follows or self.is_told, f"P3: {position} after {previous}, not after {self.at}, and no word of it"
        self.at, self.is_told = position, False
        self.got.append(position)
        self.of_subscription.add(position)
        if position in self.owed:
            self.owed.remove(position)


class Recovery(RuleBasedStateMachine):
    """One edge, one Redis with a replica, three clients."""

    loop: asyncio.AbstractEventLoop

    @initialize()
    def begin(self) -> None:
        self.redis = Redis()
        self.failures: list[BaseException] = []
        self.bus = Bus(self.redis, self.spawn)
        self.clients = [Client() for _ in range(3)]
        self.around = Context(
            SERVICE,
            EdgeSettings(message_rate_limit=1_000_000),
            self.bus.hub,
            cast(Answers, None),
            cast(Registry, None),
            Counters(),
            self.spawn,
            Gate(EdgeSettings()),
            Access(SERVICE),
            verbs_of(SERVICE),
        )
        self.spawn(self.compare(), "compare")
        self.pump()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        task = self.loop.create_task(work, name=name)
        task.add_done_callback(self.ended)
        return task

    def ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    async def compare(self) -> None:
        """Do what the edge does when the link has come."""
        generation = self.bus.generation
        while self.bus.is_up and self.bus.generation == generation:
            try:
                await self.bus.hub.compare()
            except BusError:
                await asyncio.sleep(0)
            else:
                return

    def pump(self, act: Callable[[], None] = lambda: None, times: int = 12) -> None:
        """Act, and let everything go on that can."""

        async def turns() -> None:
            act()
            for _ in range(times):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())

    # What happens to Redis and to the link.

    @rule(count=st.integers(1, 4))
    def publish(self, count: int) -> None:
        for _ in range(count):
            self.redis.publish()

    @rule()
    def type_a_line(self) -> None:
        self.redis.typed()

    @rule(keep=st.integers(0, 4))
    def trim(self, keep: int) -> None:
        self.redis.trim(keep)

    @rule()
    def expire(self) -> None:
        self.redis.expire()

    @rule()
    def replicate(self) -> None:
        self.redis.replicate()

    @rule(clock_ms=st.sampled_from([0, 5, -3, -50]))
    def fail_over(self, clock_ms: int) -> None:
        self.redis.fail_over(clock_ms)
        self.pump(self.bus.hub.link_went)

    @rule()
    def restart_empty(self) -> None:
        self.redis.restart_empty()
        self.pump(self.bus.hub.link_went)

    @rule()
    def lose_link(self) -> None:
        self.redis.cut()
        self.pump(self.bus.hub.link_went)

    @precondition(lambda self: not self.redis.is_up)
    @rule()
    def reconnect(self) -> None:
        self.redis.is_up = True
        self.bus.generation += 1
        self.spawn(self.compare(), "compare")
        self.pump()

    @precondition(lambda self: self.redis.is_up)
    @rule(lost=st.integers(0, 3), follow=st.integers(0, 3))
    def blink(self, lost: int, follow: int) -> None:
        """Lose the link and what is published meanwhile, have it again, and more to come by it."""
        self.redis.cut()
        self.pump(self.bus.hub.link_went, 0)
        for _ in range(lost):
            self.redis.publish()
        self.reconnect()
        for _ in range(follow):
            self.redis.publish()

    @rule(count=st.integers(1, 6))
    def arrive(self, count: int) -> None:
        self.pump(lambda: self.bus.arrive(count))

    @rule(is_slow=st.booleans(), count=st.integers(1, 3))
    def answer(self, is_slow: bool, count: int = 100) -> None:
        """Let what was asked of the log first be answered; what is asked from now on waits or does not."""
        waiting, self.bus.waiting, self.bus.is_slow = self.bus.waiting[:count], self.bus.waiting[count:], is_slow
        for future in waiting:
            future.set_result(None)
        self.pump()

    # What clients do.

    @rule(index=st.integers(0, 2), starts_anew=st.booleans())
    def subscribe(self, index: int, starts_anew: bool) -> None:
        """Connect, and go on where the client stands if it stands anywhere."""
        client = self.clients[index]
        if client.peer is not None:
            return
        client.peer, client.of_subscription = Peer(), set()
        data: dict[str, Any] = {"channel": X.name}
        if client.at is None or starts_anew:
            client.at, client.owed, client.is_told = None, [], True
        else:
            data["since"] = client.at
            client.owed, client.is_told = self.known_after(client.at), False
        peer, text = client.peer, json.dumps({"type": "subscribe", "data": data, "id": "s"}).encode()

        def say() -> None:
            peer.session = Session(peer, self.around)
            peer.session.message(text)

        self.pump(say)

    def known_after(self, at: str) -> list[str]:
        """Return what other clients of this edge were given behind ``at``, as far as one of them was told of no gap."""
        for other in self.clients:
            if other.peer is not None and not other.is_told and at in other.of_subscription:
                return other.got[other.got.index(at) + 1 :]
        return []

    @rule(index=st.integers(0, 2))
    def disconnect(self, index: int) -> None:
        client = self.clients[index]
        client.read()
        peer, client.peer = client.peer, None
        if peer is not None and peer.session is not None:
            self.pump(peer.session.end)

    @rule()
    def linger(self) -> None:
        """Let rooms close that nobody is in."""
        self.pump(self.begin_closing)

    def begin_closing(self) -> None:
        self.spawn(self.close_empty(), "close rooms")

    async def close_empty(self) -> None:
        with suppress(BusError):
            await self.bus.hub.close_empty()

    # What must hold.

    @invariant()
    def chains_hold(self) -> None:
        if hasattr(self, "clients"):
            for client in self.clients:
                client.read()
            for error in self.failures:
                raise error

    def teardown(self) -> None:
        """Let everything heal: whoever is in the room then has all that there is, or was told."""
        if not hasattr(self, "clients"):
            return
        try:
            self.heal()
            self.chains_hold()
            for client in self.clients:
                if client.peer is not None and client.peer.session is not None and client.at is not None:
                    self.is_whole(client)
        finally:
            self.close()

    def heal(self) -> None:
        if not self.redis.is_up:
            self.reconnect()
        for _ in range(3):
            self.answer(is_slow=False)
            self.pump(self.bus.arrive, 40)
        for index, client in enumerate(self.clients):
            client.read()
            if client.peer is None and client.at is not None:
                self.subscribe(index, starts_anew=False)
        for _ in range(3):
            self.answer(is_slow=False)
            self.pump(self.bus.arrive, 40)
        for room in self.bus.hub._rooms.values():  # noqa: SLF001 (nothing else tells it)
            assert room.is_whole, "a room waits for ever"

    def is_whole(self, client: Client) -> None:
        last = self.redis.head().position or ""
        if last.endswith("-0"):  # no log: who has the newest event there was, or stood where none was, has all
            stood = client.at or ""
            last = stood if stood.endswith("-0") else max(self.redis.published, key=self.redis.published.__getitem__)
        has_all = client.at == last or last in client.of_subscription  # a line that no log has may come behind it
        assert has_all or client.is_told, f"P3: at {client.at}, and the log ends with {last}"
        assert not client.owed, f"P3: others were given {client.owed}"

    def close(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        self.loop.run_until_complete(end(tasks))


@pytest.fixture
def _model(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lend the machine a loop, and let what is tried again after a while be tried at once."""
    monkeypatch.setattr(mending, "_RETRY_S", 0)
    monkeypatch.setattr(recover, "_RETRY_S", 0)
    monkeypatch.setattr(replaying, "_RETRY_S", 0)
    Recovery.loop = asyncio.new_event_loop()
    yield
    Recovery.loop.close()


Recovery.TestCase.settings = settings(
    max_examples=120,
    stateful_step_count=40,
    derandomize=True,
    report_multiple_bugs=False,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TestRecovery = pytest.mark.usefixtures("_model")(Recovery.TestCase)

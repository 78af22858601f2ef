"""State and tail against a model: an edge's hub and sessions, clients' subscriptions, trims, evictions and failovers.

A client that folds what it is given has the newest event of each key, whatever happened; nothing is invented.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bus import slices
from bus.channel import Channel, Family
from bus.envelope import end_of
from bus.errors import BusError
from bus.event import Event
from bus.keyed import Keyed
from bus.log import replay as log_replay
from bus.log import states
from bus.log.kept_state import KeptState
from bus.service import Service
from bus.tasks import end
from clients.state import SubscriptionState
from clients.values import Received, State
from clients.wire import Answer, Notice, Refusal, decode
from edges import EdgeSettings
from edges.auth.authenticator import Authenticator
from edges.auth.permissions import Permissions
from edges.limits.counters import Counters
from edges.limits.registry import Registry
from edges.rooms import log_reads, recent, sequencer
from edges.rooms import recovery as mending
from edges.session import replaying
from edges.session.context import Context
from edges.session.requests import Answers
from edges.session.session import Session
from edges.session.verbs import recover
from edges.session.verbs.table import verbs_of
from tests.edges.fake_redis import FakeRedis, Stream
from tests.edges.hub_redis import Redis
from tests.edges.rooms.model_client import Peer
from tests.edges.rooms.model_edge import ModelEdge
from tests.fuzz.bounds import TIMES, bounded

KEYED = Keyed({"thing.set": "thing:{k}:value"}, removed={"thing.gone": "thing:{k}"}, max_keys=4)
FAMILY = Family("room:{room}", keyed=KEYED)
KEYS = st.sampled_from("abcdef")
CLIENTS = st.integers(0, 1)


class Set(Event, event="thing.set", channels=(FAMILY,)):
    room: str
    k: str


class Gone(Event, event="thing.gone", channels=(FAMILY,)):
    room: str
    k: str


SERVICE = Service("model", 1, "w", (FAMILY,), (Set, Gone))
X = FAMILY.fill("x")


class Follower:
    """A client: its subscription, and the fold of all values that it was given."""

    def __init__(self) -> None:
        self.subscription = SubscriptionState(X.name, with_state=True)
        self.peer: Peer | None = None
        self.has: dict[str, str] = {}
        self.given: set[str] = set()
        self.is_truncated = False

    def read(self) -> None:
        """Take what the edge wrote, and fold the values."""
        for message in [] if self.peer is None else self.peer.messages():
            self._take(decode(json.dumps(message).encode()))
        while (value := self.subscription.take()) is not None:
            if isinstance(value, State):
                self.has, self.is_truncated = {}, value.truncated
            for event in value.events if isinstance(value, State) else [value] if isinstance(value, Received) else ():
                self._fold(event)

    def _take(self, message: object) -> None:
        match message:
            case Answer(data=data):
                self.subscription.joined(data)
            case Refusal():
                self.subscription.refused()
                self.subscription.retry()
            case Notice(event="room.gap", data=data):
                self.subscription.told_gap(data)
            case Notice(event="room.state", data=data):
                self.subscription.told_state(data)
            case Received():
                self.subscription.arrived(message)

    def _fold(self, event: Received) -> None:
        key = event.data["k"]
        self.given.add(event.position or "")
        if event.event == "thing.gone":
            self.has.pop(key, None)
        else:
            self.has[key] = event.position or ""


class States(RuleBasedStateMachine):
    """One edge, one Redis with a replica, two clients."""

    loop: asyncio.AbstractEventLoop

    @initialize()
    def begin(self) -> None:
        self.number, self.failures = 0, list[BaseException]()
        self.pump(self._begin)
        self.pump(lambda: self.spawn(self.compare(), "compare"))

    def _begin(self) -> None:
        self.redis = Redis(linger_s=0)
        self.server: FakeRedis = self.redis.server
        self.redis.hub._spawn = self.spawn  # noqa: SLF001 (tasks belong to the model)
        self.replica = dict(self.server.data)
        self.published: set[str] = set()
        self.context = Context(
            SERVICE,
            EdgeSettings(message_rate_limit=1_000_000),
            self.redis.hub,
            cast(Answers, None),
            cast(Registry, None),
            Counters(),
            self.spawn,
            Authenticator(EdgeSettings()),
            Permissions(SERVICE),
            verbs_of(SERVICE),
        )
        self.followers = [Follower() for _ in range(2)]

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        task = self.loop.create_task(work, name=name)
        task.add_done_callback(self.ended)
        return task

    def ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    def pump(self, act: Callable[[], object] = lambda: None, times: int = 12) -> None:
        async def turns() -> None:
            act()
            for _ in range(times):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())

    async def compare(self) -> None:
        with suppress(BusError):
            await self.redis.hub.compare()

    # What happens to Redis.

    @rule(keys=st.lists(KEYS, min_size=1, max_size=5), is_gone=st.booleans())
    def publish(self, keys: list[str], is_gone: bool) -> None:
        """Publish events; the last may remove its key."""
        for index, key in enumerate(keys):
            self.number += 1
            name = "thing.gone" if is_gone and index == len(keys) - 1 else "thing.set"
            head = b'{"type":"event","event":"%b","data":{"k":"%b"},' % (name.encode(), key.encode())
            line = head + end_of(X.name)
            at = f"{self.number}-{self.number}"
            self.server.append(X, line, {b"id": at.encode()}, position=at)
            self.published.add(at)

    @rule(keep=st.integers(0, 3))
    def trim(self, keep: int) -> None:
        stream = self.server.data.get(X.log_key)
        if isinstance(stream, Stream):
            entries = stream.entries[len(stream.entries) - keep :] if keep else ()
            self.server.data[X.log_key] = Stream(entries, stream.last, stream.deleted)

    @rule()
    def replicate(self) -> None:
        self.replica = dict(self.server.data)

    @rule()
    def fail_over(self) -> None:
        """Have the replica as the primary, with all that it lacks; the link is lost, and comes back."""
        self.server.data = dict(self.replica)
        self.redis.link.is_up = False
        self.redis.link.on_the_way.clear()
        self.redis.link.subscribed.clear()
        self.pump(self.redis.hub.link_went)

    @precondition(lambda self: not self.redis.link.is_up)
    @rule()
    def reconnect(self) -> None:
        self.redis.link.is_up = True
        self.redis.link.generation += 1
        self.pump(lambda: self.spawn(self.compare(), "compare"))

    @rule()
    def arrive(self) -> None:
        self.pump(self.redis.arrive)

    # What clients do.

    @rule(index=CLIENTS)
    def ask(self, index: int) -> None:
        """Connect if need be, and send the command that is due."""
        follower = self.followers[index]
        follower.read()
        if not follower.subscription.has_command:
            return
        if follower.peer is None:
            follower.peer = peer = Peer(cast(ModelEdge, self))
            self.pump(lambda: setattr(peer, "session", Session(peer, self.context)))
        command = follower.subscription.command(0)
        session = follower.peer.session
        if command is None or session is None:
            return
        verb, data = command
        self.pump(
            lambda: session.message(json.dumps({"type": "request", "event": verb, "data": data, "id": "s"}).encode())
        )
        follower.read()

    @rule(index=CLIENTS)
    def disconnect(self, index: int) -> None:
        follower = self.followers[index]
        follower.read()
        peer, follower.peer = follower.peer, None
        if peer is not None and peer.session is not None:
            self.pump(peer.session.end)
            follower.subscription.interrupted("link", "")

    @rule(index=CLIENTS)
    def read_slowly(self, index: int) -> None:
        peer = self.followers[index].peer
        if peer is not None:
            self.pump(peer.reads.clear if peer.reads.is_set() else peer.reads.set)

    @rule()
    def linger(self) -> None:
        self.pump(lambda: self.spawn(self.close_empty(), "close rooms"))

    async def close_empty(self) -> None:
        with suppress(BusError):
            await self.redis.hub.close_empty()

    @property
    def rooms(self) -> list[Any]:
        return []

    # What must hold.

    @invariant()
    def nothing_is_invented(self) -> None:
        if hasattr(self, "followers"):
            for error in self.failures:
                raise error
            for follower in self.followers:
                follower.read()
                assert follower.given <= self.published

    def teardown(self) -> None:
        """Let everything heal: each client's fold is the state in Redis then."""
        if not hasattr(self, "followers"):
            return
        try:
            self.heal()
            self.nothing_is_invented()
            for follower in self.followers:
                self.is_whole(follower)
        finally:
            tasks = asyncio.all_tasks(self.loop)
            self.loop.run_until_complete(end(tasks))

    def heal(self) -> None:
        if not self.redis.link.is_up:
            self.reconnect()
        for _ in range(12):
            for index, follower in enumerate(self.followers):
                if follower.peer is not None:
                    self.pump(follower.peer.reads.set)
                self.ask(index)
            self.pump(self.redis.arrive, 60)

    def is_whole(self, follower: Follower) -> None:
        kept = self.server.data.get(X.state_key, KeptState())
        assert isinstance(kept, KeptState)
        stream = self.server.data.get(X.log_key, Stream())
        truth = {
            key.split(":")[1]: json.loads(line)["position"] for key, line in kept.lines.items() if key not in kept.gone
        }
        assert {key: follower.has.get(key) for key in truth} == truth, "a hole"
        extra = follower.has.keys() - truth.keys()
        assert not extra or kept.evicted is not None, f"{extra}: gone from Redis, and from no client; {stream.last!r}"


@pytest.fixture
def _model(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lend the machine a loop, and let what is tried again after a while be tried at once."""
    monkeypatch.setattr(slices, "_SLICE_S", float("inf"))  # a pause as long as the work: a busy machine's would be seen
    monkeypatch.setattr(mending, "_RETRY_S", 0)
    monkeypatch.setattr(mending, "_RETRY_FAILED_S", 0)
    monkeypatch.setattr(recover, "_RETRY_S", 0)
    monkeypatch.setattr(replaying, "_RETRY_S", 0)
    monkeypatch.setattr(replaying, "_AT_ONCE_LINES", 2)
    monkeypatch.setattr(log_reads, "_FRESH_S", 0)  # a second of the real clock is no matter of chance then
    monkeypatch.setattr(recent, "RECENT_LINES", 4)
    monkeypatch.setattr(sequencer, "RECENT_LINES", 4)
    States.loop = asyncio.new_event_loop()
    yield
    States.loop.close()


States.TestCase.settings = settings(bounded(25), stateful_step_count=30, report_multiple_bugs=False)
TestStates = pytest.mark.timeout(3_000 if TIMES else 120)(pytest.mark.usefixtures("_model")(States.TestCase))


@pytest.mark.usefixtures("_model")
@pytest.mark.parametrize("fault", ["a line is left out", "a late client is given the tail"])
def test_model_notices_a_hole(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """The control: with a state that lacks a line, or without a state for whoever comes back too late, it fails."""
    whole, give = states.States.read, replaying.Replaying.read

    async def short(self: states.States, channel: Channel, answer: Any, last: str) -> log_replay.State:
        state = await whole(self, channel, answer, last)
        return replace(state, lines=state.lines[1:])

    async def tail(self: replaying.Replaying, start: log_replay.Start) -> log_replay.Replay:
        self._with_state = False
        return replace(await give(self, start), reason=None)

    if fault == "a line is left out":
        monkeypatch.setattr(states.States, "read", short)
    else:
        monkeypatch.setattr(replaying.Replaying, "read", tail)
    once = settings(bounded(200), stateful_step_count=30, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(States, settings=once)

"""P1 to P3 against a model of the log: the hubs and sessions of two edges, with every fault in every order."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bus.tasks import end
from edges.rooms import log_reads, recent, sequencer
from edges.rooms import recovery as mending
from edges.session import replaying
from edges.session.session import Session
from edges.session.verbs import recover
from tests.edges.rooms.model_client import Client
from tests.edges.rooms.model_edge import ModelEdge
from tests.edges.rooms.model_log import REPEATED, Redis, X
from tests.fuzz.bounds import TIMES, bounded

EDGES = st.integers(0, 1)
CLIENTS = st.integers(0, 2)
RECENT = REPEATED + 1
"""How many lines a room remembers, for who comes back and to know what is a repetition; so few that logs are read."""


class Recovery(RuleBasedStateMachine):
    """Two edges, one Redis with a replica, three clients that go to either edge."""

    loop: asyncio.AbstractEventLoop

    @initialize()
    def begin(self) -> None:
        self.redis = Redis()
        self.failures: list[BaseException] = []
        self.edges = [ModelEdge(self.redis, self.spawn, self.loop) for _ in range(2)]
        self.clients = [Client() for _ in range(3)]
        for edge in self.edges:
            self.spawn(edge.compare(), "compare")
        self.pump()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        task = self.loop.create_task(work, name=name)
        task.add_done_callback(self.ended)
        return task

    def ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    def pump(self, act: Callable[[], object] = lambda: None, times: int = 12) -> None:
        """Act, and let everything go on that can."""

        async def turns() -> None:
            act()
            for _ in range(times):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())

    # What happens to Redis and to the links.

    @rule(count=st.integers(1, 4))
    def publish(self, count: int) -> None:
        for _ in range(count):
            self.redis.publish()

    @rule()
    def type_a_line(self) -> None:
        self.redis.typed()

    @rule(edge=EDGES, count=st.integers(1, REPEATED))
    def repeat(self, edge: int, count: int) -> None:
        """A link sends its newest lines again."""
        self.edges[edge].link.repeat(count)

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
        self.links_went()

    @rule(lost=st.integers(1, 3), new=st.integers(0, 3), clock_ms=st.sampled_from([5, -3, -50]))
    def fail_over_with_lag(self, lost: int, new: int, clock_ms: int) -> None:
        """Events that edges were given are lost with the primary; one edge is back before the other."""
        self.redis.replicate()
        self.publish(lost)
        self.pump(self.edges[0].arrive)
        self.fail_over(clock_ms)
        self.publish(new)
        self.reconnect(lost % 2)

    @rule()
    def restart_empty(self) -> None:
        self.redis.restart_empty()
        self.links_went()

    def links_went(self) -> None:
        for edge in self.edges:
            self.pump(edge.hub.link_went)

    @rule(edge=EDGES)
    def lose_link(self, edge: int) -> None:
        self.edges[edge].link.cut()
        self.pump(self.edges[edge].hub.link_went)

    @precondition(lambda self: not all(edge.is_up for edge in self.edges))
    @rule(edge=EDGES)
    def reconnect(self, edge: int) -> None:
        if not self.edges[edge].is_up:
            self.pump(self.edges[edge].reconnect)

    @precondition(lambda self: any(edge.is_up for edge in self.edges))
    @rule(edge=EDGES, lost=st.integers(0, 3), follow=st.integers(0, 3))
    def blink(self, edge: int, lost: int, follow: int) -> None:
        """Lose a link and the lines that are published meanwhile, have it again, and more to come by it."""
        self.edges[edge].link.cut()
        self.pump(self.edges[edge].hub.link_went, 0)
        for _ in range(lost):
            self.redis.publish()
        self.pump(self.edges[edge].reconnect)
        for _ in range(follow):
            self.redis.publish()

    @rule(edge=EDGES, count=st.integers(1, 6))
    def arrive(self, edge: int, count: int) -> None:
        self.pump(lambda: self.edges[edge].arrive(count))

    @rule(edge=EDGES, is_slow=st.booleans(), at=st.integers(0, 2), count=st.integers(1, 3))
    def answer(self, edge: int, is_slow: bool, at: int, count: int) -> None:
        """Let some of the log's answers come, in any order; later ones wait or do not."""
        self.pump(lambda: self.edges[edge].answer(at, count, is_slow=is_slow))

    @rule(edge=EDGES)
    def look(self, edge: int) -> None:
        """Look for what the other edge found."""
        self.spawn(self.edges[edge].look(), "look")
        self.pump()

    # What clients do.

    @rule(index=CLIENTS, edge=EDGES, starts_anew=st.booleans())
    def subscribe(self, index: int, edge: int, starts_anew: bool) -> None:
        """Connect, and go on where the client stands if it stands anywhere."""
        client = self.clients[index]
        if client.peer is not None:
            return
        data = {"channel": X.name, **client.begin(self.edges[edge], None if starts_anew else self.known_after)}
        peer, text = client.peer, json.dumps({"type": "subscribe", "data": data, "id": "s"}).encode()
        assert peer is not None

        def say() -> None:
            peer.session = Session(peer, peer.edge.context)
            peer.session.message(text)

        self.pump(say)

    def known_after(self, at: str) -> list[str]:
        """Return what other clients were given behind ``at``, as far as one of them was told of no gap."""
        for other in self.clients:
            if other.peer is not None and not other.is_told and at in other.of_subscription:
                return other.got[other.got.index(at) + 1 :]
        return []

    @rule(index=CLIENTS)
    def disconnect(self, index: int) -> None:
        client = self.clients[index]
        client.read()
        peer, client.peer = client.peer, None
        if peer is not None and peer.session is not None:
            self.pump(peer.session.end)

    @rule(index=CLIENTS, edge=EDGES, missed=st.integers(0, 5), coming=st.integers(0, 2))
    def come_back(self, index: int, edge: int, missed: int, coming: int) -> None:
        """Leave, miss events, and come back while others are on their way."""
        self.disconnect(index)
        self.publish(missed)
        for one in self.edges:
            self.pump(one.arrive)
        self.publish(coming)
        self.subscribe(index, edge, starts_anew=False)

    @rule(index=CLIENTS)
    def read_slowly(self, index: int) -> None:
        """Read nothing that is written at length, or read on."""
        peer = self.clients[index].peer
        if peer is not None:
            self.pump(peer.reads.clear if peer.reads.is_set() else peer.reads.set)

    @rule(edge=EDGES)
    def linger(self, edge: int) -> None:
        """Let rooms close that nobody is in."""
        self.spawn(self.edges[edge].close_empty(), "close rooms")
        self.pump()

    # What must hold.

    @invariant()
    def chains_hold(self) -> None:
        if hasattr(self, "clients"):
            for client in self.clients:
                client.read()
            for error in self.failures:
                raise error
            for edge in self.edges:
                assert not edge.overtaken, "a replay ended before lines that were on their way"

    def teardown(self) -> None:
        """Let everything heal: whoever is in the room then has all that there is, or was told."""
        if not hasattr(self, "clients"):
            return
        try:
            self.heal()
            self.chains_hold()
            for edge in self.edges:
                self.is_in_step(edge)
            for client in self.clients:
                if client.peer is not None and client.at is not None:
                    self.is_whole(client)
        finally:
            self.close()

    def heal(self) -> None:
        for index in range(2):
            self.reconnect(index)
        self.settle()
        for index, client in enumerate(self.clients):
            client.read()
            if client.peer is None and client.at is not None:
                self.subscribe(index, 0, starts_anew=False)
        self.settle()
        for index in range(2):
            self.look(index)
        self.settle()

    def settle(self) -> None:
        for client in self.clients:
            if client.peer is not None:
                self.pump(client.peer.reads.set)
        for edge in self.edges * 8:
            self.pump(lambda edge=edge: edge.answer(0, 100, is_slow=False))  # type: ignore[misc]
            self.pump(edge.arrive, 40)

    def is_in_step(self, edge: ModelEdge) -> None:
        """Require that rooms stand where the log ends, if there is a log."""
        last = self.redis.end()
        for room in edge.rooms:
            assert room.sequencer.is_in_sync, "a room waits for ever"
            is_there = room.sequencer.newest == last or last.endswith("-0")
            assert is_there, f"a room stands at {room.sequencer.newest}, and the log ends with {last}"

    def is_whole(self, client: Client) -> None:
        last = self.redis.end()
        if last.endswith("-0"):  # no log: who has the newest event there was, or stood where none was, has all
            stood = client.at or ""
            last = stood if stood.endswith("-0") else max(self.redis.published, key=self.redis.published.__getitem__)
        assert client.peer is not None
        assert client.peer.is_in, "a client waits for ever"
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
    monkeypatch.setattr(mending, "_RETRY_FAILED_S", 0)
    monkeypatch.setattr(recover, "_RETRY_S", 0)
    monkeypatch.setattr(replaying, "_RETRY_S", 0)
    monkeypatch.setattr(replaying, "_AT_ONCE_LINES", 2)
    monkeypatch.setattr(log_reads, "_FRESH_S", 0)  # a second of the real clock is no matter of chance then
    monkeypatch.setattr(recent, "RECENT_LINES", RECENT)
    monkeypatch.setattr(sequencer, "RECENT_LINES", RECENT)
    Recovery.loop = asyncio.new_event_loop()
    yield
    Recovery.loop.close()


Recovery.TestCase.settings = settings(bounded(120), stateful_step_count=40, report_multiple_bugs=False)
TestRecovery = pytest.mark.timeout(3_000 if TIMES else 300)(pytest.mark.usefixtures("_model")(Recovery.TestCase))

"""A model of presence: edges that die, are cut off and come back, a Redis that restarts or is replaced by an older one.

An oracle knows who is really there. When all is calm, every edge shows just those; and nobody who stayed at an edge
that Redis could hear was told as gone.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.channel import Channel, Family
from edges.limits.mishaps import Mishaps
from edges.rooms.presence import beats, presence, table, writer
from edges.rooms.presence.here import Who
from edges.rooms.presence.presence import GRACE_S, Presence
from tests.edges.rooms.presence.model_redis import Link, Redis, Store
from tests.virtual_time import VirtualTimeLoop

ROOM = Family("room:{room_id}", presence="members").fill("1")
EDGES = 3
ResultT = TypeVar("ResultT")
CALM_S = 12.0
"""From the end of all faults on, within which everything is true again."""
SETTLED_S = 8.0
"""From which on an edge that was cut counts as heard again."""


class Watcher:
    """A connection that is told, and keeps what it is told."""

    direct = direct_joined = None

    def __init__(self, told: Callable[[str, dict[str, Any]], None]) -> None:
        self._told = told

    def deliver(self, frames: bytes) -> bool:
        while frames:
            size, start = frames[1], 2
            if size == 126:
                size, start = int.from_bytes(frames[2:4]), 4
            message = json.loads(frames[start : start + size])
            frames = frames[start + size :]
            self._told(message["event"], message["data"])
        return False

    def uncork(self) -> int:
        return 0

    def fail(self) -> None:
        raise AssertionError


class Edge:
    """An edge's presence."""

    def __init__(self, redis: Redis, name: str) -> None:
        self.store, self.link, self.tasks = Store(redis), Link(redis), set[asyncio.Task[None]]()
        self.presence = Presence(cast(Any, self.store), cast(Any, self.link), name, self.spawn, Mishaps(), limit=1_000)
        self.connections: dict[object, tuple[str, float]] = {}
        self.is_dead, self.heard_since_s = False, 0.0
        self.runs = self.spawn(self.presence.run(), name)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.tasks.add(task)
        return task

    async def kill(self) -> None:
        """Be killed: nothing more is written, and nothing taken back."""
        self.is_dead = True
        self.link.is_cut = self.store.is_cut = True
        self.connections.clear()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class World:
    """Edges, a Redis, and who is really there."""

    def __init__(self) -> None:
        self.redis = Redis()
        self.saved = self.redis.saved()
        self.count = 0
        self.edges = [self.new_edge() for _ in range(EDGES)]
        self.false_leaves: list[str] = []
        self.told: dict[str, int] = {}
        self.watch()

    def new_edge(self) -> Edge:
        self.count += 1
        return Edge(self.redis, f"shop-{self.count}")

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def watch(self) -> None:
        """Have a connection of the first edge told; that edge is neither cut nor killed."""
        watcher = cast(Any, Watcher(self.tell))
        self.edges[0].connections[watcher] = ("watcher", self.now())
        self.edges[0].presence.enter(ROOM, watcher, Who("watcher"), is_told=True)

    def tell(self, event: str, data: dict[str, Any]) -> None:
        assert event in ("room.joined", "room.left"), event
        user, step = data["user"], 1 if event == "room.joined" else -1
        self.told[user] = self.told.get(user, 0) + step
        assert abs(self.told[user]) <= 1, f"{user} came or left twice"
        if step < 0 and self.stayed(user):
            self.false_leaves.append(user)

    def stayed(self, user: str) -> bool:
        """Tell whether the user has a connection of more than a second at an edge that Redis hears for long."""
        now_s = self.now()
        return any(
            name == user and now_s - since_s > 1.0 and not edge.store.is_cut and now_s - edge.heard_since_s > SETTLED_S
            for edge in self.edges
            for name, since_s in edge.connections.values()
        )

    def users(self) -> set[str]:
        return {user for edge in self.edges for user, _ in edge.connections.values()}

    # What may happen.

    async def enter(self, place: int, user: str) -> None:
        edge, connection = self.edges[place], cast(Any, Watcher(lambda *_: None))
        edge.connections[connection] = (user, self.now())
        edge.presence.enter(ROOM, connection, Who(user), is_told=False)

    async def leave(self, place: int, user: str) -> None:
        edge = self.edges[place]
        for connection, (name, _) in list(edge.connections.items()):
            if name == user and name != "watcher":
                del edge.connections[connection]
                edge.presence.leave(ROOM, cast(Any, connection), Who(user))

    async def kill(self, place: int, _user: str) -> None:
        if place:
            await self.edges[place].kill()
            self.edges[place] = self.new_edge()

    async def cut(self, place: int, user: str) -> None:
        if place:
            edge = self.edges[place]
            edge.store.is_cut = edge.link.is_cut = True
            edge.store.carries = user == "a"

    async def heal(self, place: int, _user: str) -> None:
        edge = self.edges[place]
        if edge.store.is_cut:
            edge.store.is_cut = edge.store.carries = edge.link.is_cut = False
            edge.heard_since_s = self.now()
            edge.presence.link_came()

    async def save(self, _place: int, _user: str) -> None:
        self.saved = self.redis.saved()

    async def fail_over(self, _place: int, _user: str) -> None:
        self.redis.restore(self.saved)
        await self.links_come()

    async def wipe(self, _place: int, _user: str) -> None:
        self.redis.restore(({}, {}, {}))
        await self.links_come()

    async def links_come(self) -> None:
        """Let every edge have a new link, one after the other."""
        for edge in self.edges:
            if not edge.store.is_cut:
                edge.presence.link_came()
                await asyncio.sleep(0.2)

    async def wait(self, place: int, _user: str) -> None:
        await asyncio.sleep((0.1, 1.0, 5.0)[place])

    async def calm(self) -> None:
        for place in range(EDGES):
            await self.heal(place, "")
        await asyncio.sleep(CALM_S)

    async def shown(self, edge: Edge) -> set[str]:
        snapshot, page = await edge.presence.look(ROOM, limit=100)
        assert snapshot.count == len(page.members)
        return {member.user for member in page.members}

    async def end(self) -> None:
        for edge in self.edges:
            await edge.kill()
            await edge.presence.close(0.1)


STEPS = st.sampled_from(
    ("enter", "enter", "enter", "leave", "leave", "kill", "cut", "heal", "save", "fail_over", "wipe", "wait", "wait")
)
HISTORIES = st.lists(st.tuples(STEPS, st.integers(0, EDGES - 1), st.sampled_from("abc")), max_size=25)


async def live(history: list[tuple[str, int, str]]) -> None:
    """Live through a history, and check at its end."""
    world = World()
    try:
        await asyncio.sleep(1.0)
        for step, place, user in history:
            await getattr(world, step)(place, user)
        await world.calm()
        assert world.false_leaves == []
        for edge in world.edges:
            assert await world.shown(edge) == world.users()
        told = {user for user, count in world.told.items() if count > 0}
        assert told - {"watcher"} == world.users() - {"watcher"}
        left_over = {user for _, user in world.redis.members.get(ROOM.redis, {})}
        assert left_over == world.users(), "entries that nobody shows"
    finally:
        await world.end()


def run(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Return the result of work in a loop whose time jumps; no bytes of a socket are waited for, as there is none."""
    loop = VirtualTimeLoop()
    try:
        with mock.patch("tests.virtual_time._GRACE_S", (0, 0)):
            return loop.run_until_complete(work)
    finally:
        loop.close()


def lived(history: list[tuple[str, int, str]]) -> None:
    run(live(history))


@given(HISTORIES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_presence_is_true_when_all_is_calm(history: list[tuple[str, int, str]]) -> None:
    """No ghosts, no false leaves, and everybody who is there is shown, at every edge."""
    lived(history)


@pytest.mark.parametrize(
    "history",
    [
        [
            ("enter", 1, "a"),
            ("enter", 1, "b"),
            ("wait", 1, "a"),
            ("save", 0, "a"),
            ("leave", 1, "a"),
            ("wait", 2, "a"),
            ("fail_over", 0, "a"),
        ],
        [
            *[("enter", 2, "a"), ("wait", 2, "a"), ("fail_over", 0, "a"), ("wait", 0, "a"), ("wait", 1, "a")],
            *[("wait", 1, "a"), ("fail_over", 0, "a")],
        ],
        [
            *[("enter", 2, "c"), ("fail_over", 0, "a"), ("wait", 2, "a"), ("wait", 2, "a")],
            *[("enter", 1, "a"), ("enter", 2, "c"), ("fail_over", 0, "a")],
        ],
        [
            *[("enter", 0, "a"), ("leave", 0, "a"), ("fail_over", 0, "a"), ("save", 0, "a")],
            *[("fail_over", 0, "a"), ("fail_over", 0, "a")],
        ],
        [("enter", 1, "a"), ("wait", 1, "a"), ("kill", 1, "a")],
        [("enter", 1, "a"), ("wait", 1, "a"), ("cut", 1, "b"), ("wait", 2, "a"), ("heal", 1, "a")],
        [("enter", 1, "a"), ("enter", 2, "a"), ("wait", 1, "a"), ("kill", 1, "a"), ("wait", 2, "a")],
        [("enter", 1, "a"), ("enter", 2, "b"), ("wait", 2, "a"), ("wait", 2, "a"), ("wipe", 0, "a")],
        [("enter", 1, "a"), ("wait", 1, "a"), ("cut", 1, "a"), ("leave", 1, "a"), ("wait", 1, "a"), ("heal", 1, "a")],
    ],
    ids=[
        "an entry comes back by a failover",
        "two failovers",
        "entries without a beat",
        "what was pruned comes back by a failover",
        "a kill",
        "a cut",
        "two edges",
        "an empty Redis",
        "a late write",
    ],
)
def test_history_that_a_model_must_have_lived_through(history: list[tuple[str, int, str]]) -> None:
    """The faults that presence was made for, each alone."""
    lived(history)


def control(history: list[tuple[str, int, str]]) -> None:
    with pytest.raises(AssertionError):
        lived(history)


def test_without_pruning_a_killed_edge_leaves_ghosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the oracle: nobody finds a silent edge."""
    monkeypatch.setattr(beats, "_is_silent", lambda *_: False)
    control([("enter", 1, "a"), ("wait", 1, "a"), ("kill", 1, "a")])


def test_without_a_new_name_a_failover_brings_ghosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the new name: an entry that was taken out comes back with the older Redis."""
    monkeypatch.setattr(writer.Writer, "doubt", lambda _: None)
    control(
        [
            ("enter", 1, "a"),
            ("enter", 1, "b"),
            ("wait", 1, "a"),
            ("save", 0, "a"),
            ("leave", 1, "a"),
            ("wait", 2, "a"),
            ("fail_over", 0, "a"),
        ]
    )


def test_without_patience_an_empty_redis_makes_false_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the second look: users of an edge that has not written them yet."""
    monkeypatch.setattr(table, "MISSING_S", 0.0)
    control([("enter", 1, "a"), ("enter", 2, "b"), ("wait", 2, "a"), ("wait", 2, "a"), ("wipe", 0, "a")])


def test_without_grace_a_blink_is_a_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who leaves one edge and comes to another in time is not told; without the grace, is."""

    async def blink() -> list[tuple[str, str]]:
        world, told = World(), list[tuple[str, str]]()
        watcher = cast(Any, Watcher(lambda event, data: told.append((event, data["user"]))))
        try:
            world.edges[0].presence.enter(ROOM, watcher, Who("second"), is_told=True)
            await world.enter(1, "a")
            await asyncio.sleep(2.0)
            await world.leave(1, "a")
            await asyncio.sleep(GRACE_S / 2)
            await world.enter(2, "a")
            await asyncio.sleep(2.0)
        finally:
            await world.end()
        return [it for it in told if it[1] == "a"]

    assert run(blink()) == [("room.joined", "a")]
    monkeypatch.setattr(presence, "GRACE_S", 0.0)
    assert run(blink()) == [("room.joined", "a"), ("room.left", "a"), ("room.joined", "a")]


def test_killed_edges_users_are_gone_within_five_seconds() -> None:
    """By a clock that no machine slows: told at most 5 s after the kill, whenever in the beat that happens."""

    async def took_s(delay_s: float) -> float:
        world, gone = World(), asyncio.get_running_loop().create_future()
        watcher = cast(Any, Watcher(lambda event, data: gone.set_result(None) if event == "room.left" else None))
        try:
            world.edges[0].presence.enter(ROOM, watcher, Who("second"), is_told=True)
            await world.enter(1, "a")
            await asyncio.sleep(2.0 + delay_s)
            began_s = world.now()
            await world.kill(1, "a")
            await gone
            return world.now() - began_s
        finally:
            await world.end()

    assert all(2.0 < run(took_s(tenth / 10)) < 5.0 for tenth in range(10))


def test_leaving_is_told_within_a_second() -> None:
    """The grace of a blink and all that is waited for on the way, together."""

    async def took_s() -> float:
        world, gone = World(), asyncio.get_running_loop().create_future()
        watcher = cast(Any, Watcher(lambda event, data: gone.set_result(None) if event == "room.left" else None))
        try:
            world.edges[0].presence.enter(ROOM, watcher, Who("second"), is_told=True)
            await world.enter(1, "a")
            await asyncio.sleep(2.0)
            began_s = world.now()
            await world.leave(1, "a")
            await gone
            return world.now() - began_s
        finally:
            await world.end()

    assert GRACE_S <= run(took_s()) < 1.0


def test_room_that_was_deleted_by_hand_is_written_anew() -> None:
    """``DEL`` of a room's keys is noticed when the room is next kept from expiring."""

    async def shown() -> set[str]:
        world = World()
        try:
            await world.enter(1, "a")
            await asyncio.sleep(2.0)
            world.redis.restore((world.redis.beats, {}, {}))
            assert await world.shown(world.edges[2]) == set()
            await asyncio.sleep(16.0)
            return await world.shown(world.edges[2])
        finally:
            await world.end()

    assert run(shown()) == {"a", "watcher"}


def test_channel_of_the_model_has_presence() -> None:
    """The model is of a room that names members."""
    assert isinstance(ROOM, Channel)
    assert ROOM.presence is not None

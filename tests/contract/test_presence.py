"""The users in rooms on real servers: who has come and who has left is told once, by whichever edge."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bus.channel import Channel, Family
from bus.errors import BusError
from bus.presence.entries import Change, Member
from bus.presence.store import LIFE_MS, PresenceStore, Write
from tests.contract.brokers import Broker, Cli, Receiver, eventually

ROOM = Family("diagram:{diagram_id}", presence="members").fill("d1")
CROWD = Family("crowd:{crowd_id}", presence="count").fill("c1")
ONE, TWO, THREE = "shop-host-1-1-a", "shop-host-2-2-b", "shop-host-3-3-c"


def entry(user: str, **info: Any) -> bytes:
    return Member(user, info, "2026-01-01T12:00:00+00:00").dump()


def write(edge: str, *came: str, gone: tuple[str, ...] = (), connections: int = 1) -> Write:
    users = [*((user, entry(user)) for user in came), *((user, None) for user in gone)]
    return Write(ROOM, edge, connections, users)


@pytest.fixture
async def store(broker: Broker) -> AsyncIterator[PresenceStore]:
    """Lend an edge's connection."""
    async with PresenceStore(broker.url, name="edgebus-edge-shop", service="shop") as store:
        yield store


class Told:
    """What the room's channel of changes says."""

    def __init__(self, receiver: Receiver, channel: Channel = ROOM) -> None:
        self.receiver, self.channel = receiver, channel

    async def next(self, count: int) -> list[tuple[list[str], list[str]]]:
        """Return who came and who left, of the first ``count`` messages and no more."""
        lines = await self.receiver.of(self.channel.presence_key, count)
        changes = [change for line in lines if (change := Change.load(line)) is not None]
        assert len(changes) == len(lines)
        return [([it.user for it in change.joined], list(change.left)) for change in changes]


@pytest.fixture
async def told(receiver: Receiver) -> Told:
    """Lend a subscriber of the room's changes."""
    await receiver.subscribe(ROOM.presence_key, CROWD.presence_key)
    return Told(receiver)


async def test_user_on_two_edges_comes_once_and_leaves_once(store: PresenceStore, told: Told) -> None:
    """A user's second edge is no second coming, and the first to go no leaving."""
    await store.write([write(ONE, "alice"), write(TWO, "alice", "bob")])
    await store.write([write(ONE, gone=("alice",), connections=0), write(TWO, gone=("alice",))])
    await store.write([write(ONE, gone=("alice", "stranger"), connections=0)])
    await store.write([write(THREE, "marker")])
    assert await told.next(4) == [(["alice"], []), (["bob"], []), ([], ["alice"]), (["marker"], [])]


async def test_room_is_read_with_every_user_once(store: PresenceStore) -> None:
    """Connections of all edges are added up; a user on two edges is one member, with the newer info."""
    for edge in (ONE, TWO):
        assert (await store.beat(edge)).is_alive
    older, newer = Member("alice", {"n": 1}, "2026-01-01T12:00:00", 2), Member("alice", {"n": 2}, "2026-01-01T13:00:00")
    await store.write([Write(ROOM, ONE, 2, [("alice", older.dump())]), Write(ROOM, TWO, 1, [("alice", newer.dump())])])
    found = await store.read(ROOM, limit=100)
    assert found.members == {"alice": Member("alice", {"n": 2}, "2026-01-01T12:00:00", 3)}
    assert (found.count, found.connections, found.is_complete, found.strange) == (1, 3, True, ())


async def test_room_that_counts_has_numbers_alone(store: PresenceStore, told: Told) -> None:
    """A family that counts keeps one number for each edge, and tells the sum."""
    for edge, number in ((ONE, 3), (TWO, 4)):
        await store.beat(edge)
        await store.write([Write(CROWD, edge, number)])
    found = await store.read(CROWD, limit=100)
    assert (found.members, found.count, found.connections) == ({}, 7, 7)
    await store.write([Write(CROWD, ONE, 0)])
    lines = await told.receiver.of(CROWD.presence_key, 3)
    assert [Change.load(line) for line in lines] == [Change(count=3), Change(count=7), Change(count=4)]


async def test_dead_edge_is_buried_once_and_pruned(store: PresenceStore, told: Told, redis: Cli) -> None:
    """Users that were on the dead edge alone have left; told once, by whichever edge prunes first."""
    await store.beat(ONE)
    beat = await store.beat(TWO)
    await store.write([write(ONE, "alice", "carol"), write(TWO, "alice")])
    assert await store.bury(ONE, beat.edges[ONE])
    assert await store.bury(ONE, beat.edges[ONE])
    await store.prune([ROOM, CROWD], ONE)
    await store.prune([ROOM], ONE)
    await store.write([write(TWO, "marker")])
    assert await told.next(3) == [(["alice", "carol"], []), ([], ["carol"]), (["marker"], [])]
    assert set(await redis.hkeys(ROOM.members_key)) == {f"{TWO}|alice".encode(), f"{TWO}|marker".encode()}


async def test_edge_that_beats_again_is_not_buried(store: PresenceStore, redis: Cli) -> None:
    """A burial names the last beat that was seen: a later one says that the edge lives."""
    seen = (await store.beat(ONE)).edges[ONE]
    await redis.zadd("bus:alive:shop", {ONE: seen + 1})
    assert not await store.bury(ONE, seen)
    assert (await store.beat(ONE)).is_alive
    assert await store.bury(ONE)
    assert not (await store.beat(ONE)).is_alive, "a buried edge never comes back under its name"


async def test_users_of_buried_and_strange_edges_are_not_shown(store: PresenceStore, redis: Cli) -> None:
    """An edge without a beat has no users; one of this service is named, to be pruned."""
    await store.beat(ONE)
    await store.beat(TWO)
    await store.write([write(ONE, "alice"), write(TWO, "bob"), write("other-1", "eve"), write(THREE, "carol")])
    await store.bury(TWO)
    found = await store.read(ROOM, limit=100)
    assert (list(found.members), found.connections, sorted(found.strange)) == (["alice"], 1, [TWO, THREE])


async def test_entries_typed_by_hand_are_passed_over(store: PresenceStore, redis: Cli) -> None:
    """Whatever stands in the hashes, the room is read, and the rest counted."""
    await store.beat(ONE)
    await store.write([write(ONE, "alice")])
    typed = {"x": "y", f"{ONE}|": "{}", f"{ONE}|bob": "no JSON", f"{ONE}|eve": entry("mallory"), b"\xff|z": b"\xff"}
    for text in ('{"user":"n","info":[],"since":"","connections":1}', "[]", "9" * 5000):
        typed[f"{ONE}|{len(text)}"] = text
    await redis.hset(ROOM.members_key, mapping=typed)
    await redis.hset(ROOM.presence_key, mapping={"x": "y", ONE: "-1", TWO: "1e9"})
    found = await store.read(ROOM, limit=100)
    assert (list(found.members), found.unreadable, found.connections) == (["alice"], len(typed), 0)
    await store.write([write(ONE, "bob")])
    assert list((await store.read(ROOM, limit=100)).members) == ["alice", "bob"]


async def test_key_of_another_type_is_one_rooms_trouble(store: PresenceStore, redis: Cli) -> None:
    """The room is refused with a sentence; the other room of the same pipeline is written."""
    await redis.set(ROOM.members_key, "typed")
    refused, taken = await store.write([write(ONE, "alice"), Write(CROWD, ONE, 1)])
    assert "could not be written" in str(refused)
    assert taken is None
    with pytest.raises(BusError):
        await store.read(ROOM, limit=100)
    await store.prune([ROOM, CROWD], ONE)
    assert await redis.hlen(CROWD.presence_key) == 0


async def test_large_room_is_counted_and_not_named(store: PresenceStore) -> None:
    """Over the limit the number of entries is told, at the cost of one command."""
    await store.beat(ONE)
    await store.write([write(ONE, *(f"u{number}" for number in range(2500)), connections=2500)])
    found = await store.read(ROOM, limit=2499)
    assert (found.members, found.count, found.connections, found.is_complete) == ({}, 2500, 2500, False)
    whole = await store.read(ROOM, limit=2500)
    assert (len(whole.members), whole.count, whole.is_complete) == (2500, 2500, True)


async def test_large_room_is_pruned_in_parts(store: PresenceStore, told: Told, redis: Cli) -> None:
    """Each user of a dead edge is told once, over several messages."""
    names = [f"u{number}" for number in range(2500)]
    await store.beat(ONE)
    await store.write([write(ONE, *names), write(TWO, "marker")])
    await store.bury(ONE)
    await store.prune([ROOM], ONE)
    await eventually(lambda: _is_pruned(told, names))
    assert await redis.hkeys(ROOM.members_key) == [f"{TWO}|marker".encode()]


async def _is_pruned(told: Told, names: list[str]) -> bool:
    left = [user for _, gone in await told.next(3) for user in gone]
    assert len(left) == len(set(left))
    return sorted(left) == sorted(names)


async def test_rooms_end_by_themselves(store: PresenceStore, redis: Cli) -> None:
    """Nothing remains when every edge has died; ``keep`` begins the life anew, and tells of a key that is gone."""
    await store.beat(ONE)
    await store.write([write(ONE, "alice")])
    for key in (ROOM.presence_key, ROOM.members_key):
        assert 0 < await redis.pttl(key) <= LIFE_MS
    assert 0 < await redis.pttl("bus:alive:shop") <= 600_000
    await redis.pexpire(ROOM.members_key, 1_000)
    assert await store.keep([ROOM, CROWD]) == [(True, (ONE,)), (False, ())]
    assert await redis.pttl(ROOM.members_key) > 1_000


async def test_script_that_was_flushed_is_loaded_again(store: PresenceStore, redis: Cli) -> None:
    """``SCRIPT FLUSH`` costs a round trip, and no change."""
    await store.beat(ONE)
    await redis.script_flush()
    assert await store.write([write(ONE, "alice"), write(TWO, "bob")]) == [None, None]
    assert await redis.hlen(ROOM.members_key) == 2


async def test_entry_is_readable(store: PresenceStore, redis: Cli) -> None:
    """A person sees who is there, and on which edge."""
    await store.write([Write(ROOM, ONE, 1, [("älice|x", entry("älice|x", name="Älice"))])])
    assert await redis.hgetall(ROOM.presence_key) == {ONE.encode(): b"1"}
    ((field, text),) = (await redis.hgetall(ROOM.members_key)).items()
    assert field.decode() == f"{ONE}|älice|x"
    assert json.loads(text) == {
        "user": "älice|x",
        "info": {"name": "Älice"},
        "since": "2026-01-01T12:00:00+00:00",
        "connections": 1,
    }

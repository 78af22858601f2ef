"""The writer of one edge beside another edge that comes between two of its reads."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import pytest

from bus.channel import Family
from bus.presence.entries import Member
from bus.presence.store import DEAD_S, Write
from edges.limits.mishaps import Mishaps
from edges.rooms.presence.here import Who
from edges.rooms.presence.writer import Writer
from tests.edges.rooms.presence.model_redis import Redis, Store

pytestmark = pytest.mark.virtual_time

CHANNEL: Final = Family("room:{room_id}", presence="members").fill("1")


class Between(Store):
    """A connection on which another edge beats and enters the room right behind a read of the edges."""

    is_due = True

    async def edges(self) -> Mapping[str, int]:
        found = await super().edges()
        if self.is_due:
            self.is_due = False
            other = Store(self.redis)
            await other.beat("other")
            await other.write([Write(CHANNEL, "other", 1, [("bob", Member("bob", {}, "now").dump())])])
        return found


def writer_of_alice(store: Any) -> Writer:
    """Return the writer of an edge that alice has just come to."""
    writer = Writer(store, "one", Mishaps())
    room = writer.room(CHANNEL)
    room.enter(Who("alice"), "connection", "now")
    writer.owe(room)
    return writer


async def test_edge_that_enters_between_two_reads_is_not_pruned() -> None:
    """An edge beats before its first user enters, so beats read before the room's edges prove nothing of that edge."""
    redis = Redis()
    writer = writer_of_alice(Between(redis))
    await writer.round()
    writer.doubt()  # a beat, and with it whatever is to be pruned
    await writer.round()
    assert {user for _, user in redis.members[CHANNEL.redis]} == {"alice", "bob"}


async def test_edge_without_a_beat_is_pruned() -> None:
    """The users of an edge that nobody has heard of go once it had the time to beat; not at once, in a new Redis."""
    redis = Redis()
    redis.write(Write(CHANNEL, "ghost", 1, [("bob", Member("bob", {}, "now").dump())]))
    writer = writer_of_alice(Store(redis))
    for users in ({"alice", "bob"}, {"alice"}):
        await writer.round()
        writer.doubt()
        await writer.round()
        assert {user for _, user in redis.members[CHANNEL.redis]} == users
        await asyncio.sleep(DEAD_S)  # of the loop's own time


async def test_look_that_finds_nothing_strange_wakes_nobody() -> None:
    """A look at the edges in a room is no reason for another round, unless one of them has no beat."""
    writer = writer_of_alice(Store(Redis()))
    writer._woken.clear()  # noqa: SLF001 (as ``run`` does)
    await writer.round()
    assert not writer._woken.is_set()  # noqa: SLF001 (a round more would change nothing)
    writer.found_strange(["ghost"])
    assert writer._woken.is_set()  # noqa: SLF001

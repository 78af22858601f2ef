"""The service's own events of users that come and leave: each in the log once, whichever edges try, die or end."""

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.channel import HISTORY, Family, Presence
from bus.envelope import Message
from bus.event import Attempt, Event, JsonObject
from bus.log.outgoing import Outgoing
from bus.presence.entries import Member
from bus.presence.store import PresenceStore, Write
from bus.redis.acl import users
from bus.redis.address import with_login
from bus.service import Service
from bus.tasks import end
from clients import connect
from edges.rooms.presence.announcer import Announcer
from tests.edges.conftest import StartEdge
from tests.edges.peers import eventually

ROOM = Family("room:{room_id}", presence=Presence("members", joined="user.joined", left="user.left"))
NEWS = Family("news:{room_id}", HISTORY)


class UserJoined(Event, event="user.joined", channels=(NEWS,)):
    room_id: str
    user_id: str
    user_info: JsonObject


class UserLeft(Event, event="user.left", channels=(NEWS,)):
    room_id: str
    user_id: str


SHOP = Service(
    name="shop",
    port=8699,
    welcome="",
    families=(ROOM, NEWS),
    events=(UserJoined, UserLeft),
)
CHANNEL = SHOP.channel("room:1")


async def published(redis: Redis) -> list[tuple[str, str]]:
    """Return event and user of every entry of the log."""
    entries: Any = await redis.xrange("bus:log:{news:1}")
    return [(fields[b"event"].decode(), json.loads(fields[b"line"])["data"]["user_id"]) for _, fields in entries]


async def until_published(redis: Redis, *events: tuple[str, str]) -> None:
    async def are() -> bool:
        return len(await published(redis)) >= len(events)

    await eventually(are)
    assert sorted(await published(redis)) == sorted(events)


@pytest.fixture
async def store(broker: EmbeddedBroker) -> AsyncIterator[PresenceStore]:
    """Lend an edge's connection, without the edge."""
    async with PresenceStore(broker.url, name="edgebus-edge-shop", service="shop") as store:
        yield store


async def test_users_of_two_edges_are_published_once(
    broker: EmbeddedBroker, start_edge: StartEdge, redis: Redis
) -> None:
    """Two edges with one user publish one coming and one leaving; nothing is owed any more."""
    one, two = await start_edge(broker, SHOP), await start_edge(broker, SHOP)
    seen_as = {"user": "alice", "info": {"name": "Alice"}, "notices": False}
    async with (
        connect(f"ws://127.0.0.1:{one.port}") as first,
        connect(f"ws://127.0.0.1:{two.port}") as second,
        first.subscribe("room:1", presence=seen_as),
        second.subscribe("room:1", presence=seen_as),
    ):
        await until_published(redis, ("user.joined", "alice"))
    await until_published(redis, ("user.joined", "alice"), ("user.left", "alice"))
    entries: Any = await redis.xrange("bus:log:{news:1}")
    fields = entries[0][1]
    data = json.loads(fields[b"line"])["data"]
    assert {**data, "timestamp": ""} == {
        "room_id": "1",
        "user_id": "alice",
        "user_info": {"name": "Alice"},
        "timestamp": "",
    }

    async def is_settled() -> bool:
        return await redis.hkeys("bus:owed:{room:1}") == [b"#"]

    await eventually(is_settled)


async def test_edge_that_stops_publishes_whom_it_takes_out(
    broker: EmbeddedBroker, start_edge: StartEdge, redis: Redis
) -> None:
    """Behind ``stop`` the log has the leaving of a user who was there until the end."""
    edge = await start_edge(broker, SHOP)
    seen_as = {"user": "alice"}
    async with (
        connect(f"ws://127.0.0.1:{edge.port}") as client,
        client.subscribe("room:1", presence=seen_as),
    ):
        await until_published(redis, ("user.joined", "alice"))
        await edge.stop()
    assert await published(redis) == [("user.joined", "alice"), ("user.left", "alice")]


async def test_events_of_a_dead_edge_are_published_by_another(
    broker: EmbeddedBroker, start_edge: StartEdge, store: PresenceStore, redis: Redis
) -> None:
    """An edge died between the script and the publish: another publishes its user's coming, and the leaving."""
    await store.beat("shop-dead-1")
    await store.write([Write(CHANNEL, "shop-dead-1", 1, [("alice", Member("alice", {}, "2026").dump())])])
    await store.bury("shop-dead-1")
    edge = await start_edge(broker, SHOP)
    seen_as = {"user": "bob"}
    async with (
        connect(f"ws://127.0.0.1:{edge.port}") as client,
        client.subscribe("room:1", presence=seen_as),
    ):
        events = (("user.joined", "alice"), ("user.joined", "bob"), ("user.left", "alice"))
        await until_published(redis, *events)
    names = [it for it in await published(redis) if it[1] == "alice"]
    assert names == [("user.joined", "alice"), ("user.left", "alice")]


async def test_two_that_publish_at_once_store_once(broker: EmbeddedBroker, store: PresenceStore, redis: Redis) -> None:
    """Each owed event has a name by which Redis knows it again; what was typed there is taken away."""
    users_ = [(f"u{number}", Member(f"u{number}", {}, "2026").dump()) for number in range(20)]
    await store.write([Write(CHANNEL, "shop-1", 20, users_)])
    await redis.hset("bus:owed:{room:1}", mapping={"typed": "{}", "1-": "x", "99-99": '{"left":5}'})
    await asyncio.gather(*(_publish_owed(broker.url, store) for _ in range(3)))
    assert await published(redis) == [("user.joined", f"u{number}") for number in range(20)]
    assert await redis.hkeys("bus:owed:{room:1}") == [b"#"]


async def _publish_owed(url: str, store: PresenceStore) -> None:
    """Publish what is owed as an edge does."""
    outgoing = Outgoing(url, name="edgebus-edge-shop", logger=logging.getLogger("edgebus.edges"))

    async def send(message: Message, attempt: Attempt, once: str) -> None:
        await outgoing.publish(message, attempt, deadline_s=5.0, once=once)

    announcer, sending = Announcer(SHOP, store, send, line_bytes=10_000), asyncio.create_task(outgoing.run())
    announcer.note(CHANNEL)
    try:
        assert await announcer.publish_due()
    finally:
        await end([sending])


async def test_edge_needs_no_more_than_its_user_may(
    broker: EmbeddedBroker, start_edge: StartEdge, redis: Redis
) -> None:
    """All of it under the user of ``edgebus acl``, until ``ACL LOG`` shows that nothing was refused on the way."""
    for user in users([SHOP], narrowed=True):
        await redis.execute_command(*user.command(hashlib.sha256(b"secret").hexdigest()).split())  # type: ignore[no-untyped-call]
    url = with_login(broker.url, "edgebus-edge-shop", "secret")
    one, two = [await start_edge(None, SHOP, redis_url=url) for _ in range(2)]
    seen_as = {"user": "alice"}
    async with (
        connect(f"ws://127.0.0.1:{one.port}", retry_first=True) as first,
        connect(f"ws://127.0.0.1:{two.port}", retry_first=True) as second,
        first.subscribe("room:1", presence=seen_as),
        second.subscribe("room:1", presence=seen_as),
    ):
        await until_published(redis, ("user.joined", "alice"))
        assert (await first.presence("room:1")).count == 1
        await one.stop()
    await until_published(redis, ("user.joined", "alice"), ("user.left", "alice"))
    assert await redis.execute_command("ACL", "LOG") == []  # type: ignore[no-untyped-call]

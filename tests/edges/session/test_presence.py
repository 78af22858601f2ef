"""Who is in a room, as clients of several edges see it: by the verb, and by notices."""

from typing import Any

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.channel import LIVE, Family
from bus.service import Service
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, eventually

SHOP = Service(
    name="shop",
    port=8699,
    welcome="Connected to the shop",
    families=(
        Family("room:{room_id}", presence="members"),
        Family("live:{room_id}", LIVE, presence="members"),
        Family("crowd:{room_id}", presence="count"),
        Family("plain:{room_id}"),
    ),
    events=(),
)
NOTICES = ("room.joined", "room.left", "room.presence")


async def reply(client: Client, verb: str, **data: Any) -> dict[str, Any]:
    """Return the answer to a request, past whatever comes before."""
    client.request(verb, request_id="asked", **data)
    while (message := await client.message())["correlation_id"] != "asked":
        pass
    return dict(message)


async def enter(client: Client, channel: str = "room:1", **presence: Any) -> None:
    """Subscribe, seen as the user and with the info given; told of others with ``notices``."""
    answer = await reply(client, "subscribe", channel=channel, presence={"notices": False, **presence})
    assert answer["type"] == "response", answer


async def look(client: Client, channel: str = "room:1", **page: Any) -> dict[str, Any]:
    answer = await reply(client, "presence", channel=channel, **page)
    assert answer["type"] == "response", answer
    return dict(answer["data"])


async def sees(client: Client, *users: str, channel: str = "room:1") -> dict[str, Any]:
    """Return the room as soon as exactly these users are in it."""

    async def is_so() -> dict[str, Any] | None:
        data = await look(client, channel)
        return data if [it["user"] for it in data["members"]] == sorted(users) else None

    return dict(await eventually(is_so))


async def notice(client: Client) -> tuple[str, dict[str, Any]]:
    """Return the next notice of presence about another user than the watcher itself: its name and data."""
    while (message := await client.message())["event"] not in NOTICES or message["data"].get("user") == "watcher":
        pass
    assert message["room"] == "room:1"
    return message["event"], message["data"]


async def test_users_of_two_edges_are_seen_at_both(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """A user with two tabs at one edge and one at another is one member with three connections."""
    one, two = await start_edge(broker, SHOP), await start_edge(broker, SHOP)
    for edge in (one, one, two):
        await enter(await open_client(edge), user="alice", info={"name": "Alice"})
    bob = await open_client(two)
    await enter(bob, user="bob")
    data = await sees(bob, "alice", "bob")

    async def is_whole() -> bool:
        return bool((await look(bob))["connections"] == 4)

    await eventually(is_whole)
    data = await look(await open_client(one))
    assert (data["channel"], data["count"], data["complete"], data["next"]) == ("room:1", 2, True, None)
    alice, second = data["members"]
    assert (alice["user"], alice["info"], alice["connections"]) == ("alice", {"name": "Alice"}, 3)
    assert (second["user"], second["info"], second["connections"]) == ("bob", {}, 1)


async def test_notices_come_once_for_a_user(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """A second tab is no coming, the first tab to go no leaving; whoever did not ask is told nothing."""
    one, two = await start_edge(broker, SHOP), await start_edge(broker, SHOP)
    watcher, silent, first, second, last = [await open_client(edge) for edge in (one, two, one, two, two)]
    await reply(watcher, "subscribe", channel="room:1", presence={"user": "watcher"})
    await enter(silent, user="silent")
    assert (await notice(watcher))[1]["user"] == "silent"
    await enter(first, user="alice", info={"colour": "red"})
    assert await notice(watcher) == (
        "room.joined",
        {"user": "alice", "info": {"colour": "red"}, "since": MatchesAny()},
    )
    await enter(second, user="alice")
    await first.close()
    await enter(last, user="marker")
    assert (await notice(watcher))[1]["user"] == "marker"
    await reply(second, "unsubscribe", channel="room:1")
    assert await notice(watcher) == ("room.left", {"reason": "left", "user": "alice"})
    silent.send({"type": "ping", "id": "marker"})
    while (message := await silent.message())["type"] != "pong":
        assert message["event"] not in NOTICES


async def test_tab_that_blinks_has_not_left(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """A client that comes back at another edge at once is never told as gone; the negative control stays away."""
    one, two = await start_edge(broker, SHOP), await start_edge(broker, SHOP)
    watcher, blinking, control = [await open_client(one) for _ in range(3)]
    await reply(watcher, "subscribe", channel="room:1", presence={"user": "watcher"})
    for client, user in ((blinking, "alice"), (control, "bob")):
        await enter(client, user=user)
    await sees(watcher, "watcher", "alice", "bob")
    await blinking.close()
    await control.close()
    await enter(await open_client(two), user="alice")
    told: list[tuple[str, dict[str, Any]]] = []
    while not told or told[-1][1]["user"] != "bob" or told[-1][0] != "room.left":
        told.append(await notice(watcher))
    assert ("room.left", {"reason": "left", "user": "alice"}) not in told
    await sees(watcher, "watcher", "alice")


async def test_room_that_counts_has_no_members(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """A family that counts answers with numbers, and its notices are numbers."""
    edge = await start_edge(broker, SHOP)
    watcher = await open_client(edge)
    await reply(watcher, "subscribe", channel="crowd:1", presence=True)
    clients = [await open_client(edge) for _ in range(3)]
    for client in clients:
        await enter(client, "crowd:1")

    async def counts() -> bool:
        return await look(watcher, "crowd:1") == {"channel": "crowd:1", "count": 4, "connections": 4}

    await eventually(counts)
    await clients[0].close()
    while (message := await watcher.message())["event"] != "room.presence" or message["data"]["count"] != 3:
        pass
    assert message["data"] == {"count": 3, "joined": 0, "left": 1, "reason": "count"}


async def test_pages(broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient) -> None:
    """Members come in the order of their ids, page by page."""
    edge = await start_edge(broker, SHOP)
    clients = [await open_client(edge) for _ in range(5)]
    for client, user in zip(clients, ("c", "a", "e", "b", "d"), strict=True):
        await enter(client, user=user)
    await sees(clients[0], "a", "b", "c", "d", "e")
    page = await look(clients[0], limit=2)
    assert ([it["user"] for it in page["members"]], page["next"], page["count"]) == (["a", "b"], "b", 5)
    page = await look(clients[0], limit=3, after="b")
    assert ([it["user"] for it in page["members"]], page["next"]) == (["c", "d", "e"], None)


async def test_client_without_an_id_is_its_connection(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """Every subscriber of such a family is there, also one that knows nothing of presence, and on a live channel."""
    edge = await start_edge(broker, SHOP)
    client = await open_client(edge)
    await reply(client, "subscribe", channel="live:1")

    async def is_there() -> bool:
        return bool((await look(client, "live:1"))["count"] == 1)

    await eventually(is_there)
    (member,) = (await look(client, "live:1"))["members"]
    assert len(member["user"]) == 36


@pytest.mark.parametrize(
    ("verb", "data", "sentence"),
    [
        ("presence", {"channel": "plain:1"}, "channel: nobody notes who is in plain:1: its family has no presence"),
        ("subscribe", {"channel": "plain:1", "presence": True}, "presence: nobody notes who is in plain:1"),
        ("subscribe", {"channel": "room:1", "presence": 5}, "presence: expected true, false, or an object"),
        ("subscribe", {"channel": "room:1", "presence": {"user": ""}}, "presence.user: expected a text of 1 to 128"),
        ("subscribe", {"channel": "room:1", "presence": {"user": "a\nb"}}, "presence.user: expected a text of 1 to"),
        ("subscribe", {"channel": "room:1", "presence": {"info": []}}, "presence.info: expected an object"),
        (
            "subscribe",
            {"channel": "room:1", "presence": {"info": {"x": "y" * 1100}}},
            "presence.info: more than 1024 bytes",
        ),
        ("subscribe", {"channel": "room:1", "presence": {"notices": 1}}, "presence.notices: expected true or false"),
        ("presence", {"channel": "room:1", "limit": 0}, "limit: expected a number from 1 to 1000"),
        ("presence", {"channel": "room:1", "limit": True}, "limit: expected a number"),
        ("presence", {"channel": "room:1", "after": 5}, "after: expected the next of the answer before"),
        ("presence", {}, "channel: expected a text"),
    ],
)
async def test_wrong_request_is_refused_by_its_field(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, verb: str, data: Any, sentence: str
) -> None:
    """The field is named, and the client is in no room."""
    client = await open_client(await start_edge(broker, SHOP))
    answer = await reply(client, verb, **data)
    assert answer["error_code"] == "INVALID_REQUEST"
    assert sentence in answer["error_message"]
    assert (await look(client))["count"] == 0


async def test_nothing_is_written_for_families_without_presence(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, redis: Redis
) -> None:
    """Such a room costs no key, no subscription and no beat."""
    edge = await start_edge(broker, SHOP)
    client = await open_client(edge)
    await reply(client, "subscribe", channel="plain:1")
    await look(client, "room:1")
    assert [key async for key in redis.scan_iter("bus:[apm]*[!:]") if not key.startswith(b"bus:edge")] == []
    assert await redis.pubsub_channels("bus:presence:*") == []


async def test_edge_that_stops_takes_its_users_out(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, redis: Redis
) -> None:
    """Behind ``stop`` no entry is left, and a user that came back elsewhere in time is not told as gone."""
    one, two = await start_edge(broker, SHOP), await start_edge(broker, SHOP)
    watcher = await open_client(two)
    await reply(watcher, "subscribe", channel="room:1", presence={"user": "watcher"})
    await enter(await open_client(one), user="alice")
    await enter(await open_client(one), user="bob")
    await sees(watcher, "watcher", "alice", "bob")
    await enter(await open_client(two), user="alice")
    await one.stop()
    fields = map(str, await redis.hkeys("bus:members:{room:1}"))
    assert sorted(field.rstrip("'").partition("|")[2] for field in fields) == ["alice", "watcher"]
    told: list[tuple[str, dict[str, Any]]] = []
    while not told or told[-1][0] != "room.left":
        told.append(await notice(watcher))
    assert told[-1] == ("room.left", {"reason": "left", "user": "bob"})


async def test_what_is_typed_in_redis_is_one_rooms_trouble(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, redis: Redis
) -> None:
    """Odd fields and messages are passed over and counted; a key of another type closes that room's list alone."""
    edge = await start_edge(broker, SHOP)
    await redis.set("bus:members:{room:2}", "typed")
    client, other = await open_client(edge), await open_client(edge)
    await reply(client, "subscribe", channel="room:1", presence={"user": "watcher"})
    await enter(other, "room:2", user="alice")
    await sees(client, "watcher")
    before = edge.statistics()[1].unreadable
    await redis.hset("bus:members:{room:1}", mapping={"x": "y", f"{edge.id}|eve": "{}", "a|b": "[" * 5_000})
    for message in (
        "",
        "x",
        "[]",
        '{"joined":[{}],"left":[]}',
        '{"joined":[],"left":[5]}',
        '{"count":-1}',
        "[" * 9_000,
    ):
        assert await redis.publish("bus:presence:{room:1}", message) == 1
    answer = await reply(client, "presence", channel="room:2")
    assert answer["error_code"] == "UNAVAILABLE"
    await enter(other, user="bob")
    assert await notice(client) == ("room.joined", {"user": "bob", "info": {}, "since": MatchesAny()})
    await sees(client, "watcher", "bob")
    assert edge.statistics()[1].unreadable >= before + 7 + 3
    assert edge.not_ready() is None


class MatchesAny:
    """Equal to any text."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str)

    __hash__ = None  # type: ignore[assignment]

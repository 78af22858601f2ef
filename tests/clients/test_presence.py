"""Who is in a room, by the Python client: values beside events, and the answer to ``presence``, at real edges."""

from collections.abc import AsyncIterator

import pytest

from bus.broker.embedded import EmbeddedBroker
from bus.channel import Family
from bus.service import Service
from clients import Client, Joined, Left, Member, Present, Refused, Room, connect
from clients.presence import presence_value
from edges import Edge, EdgeSettings
from tests.edges.peers import eventually

SHOP = Service(
    name="shop",
    port=0,
    welcome="",
    families=(
        Family("room:{room_id}", presence="members"),
        Family("crowd", presence="count"),
        Family("plain"),
    ),
    events=(),
)


@pytest.fixture
async def edge(broker: EmbeddedBroker) -> AsyncIterator[Edge]:
    """Lend an edge."""
    async with Edge(SHOP, EdgeSettings(port=0, redis_url=broker.url)) as edge:
        await edge.ready()
        yield edge


@pytest.fixture
async def client(edge: Edge) -> AsyncIterator[Client]:
    """Lend a client of the edge."""
    async with connect(f"ws://127.0.0.1:{edge.port}") as client:
        yield client


async def is_seen(client: Client, *users: str) -> Room:
    async def room() -> Room | None:
        found = await client.presence("room:1")
        return found if [it.user for it in found.members] == list(users) else None

    found = await eventually(room)
    assert isinstance(found, Room)
    return found


async def test_users_come_and_leave_as_values(edge: Edge, client: Client) -> None:
    """A caller that asked gets ``Joined`` and ``Left`` among the values; by the name it subscribed with."""
    subscription = client.subscribe("room:1", presence={"user": "alice", "info": {"colour": "red"}})
    async with subscription, connect(f"ws://127.0.0.1:{edge.port}") as other:
        room = await is_seen(client, "alice")
        assert (room.members[0].info, room.count, room.connections) == ({"colour": "red"}, 1, 1)
        async with other.subscribe("room:1", presence={"user": "bob", "notices": False}):
            value = await anext(subscription)
            if value == Joined("room:1", "alice", {"colour": "red"}, room.members[0].since):
                value = await anext(subscription)
            assert isinstance(value, Joined)
            assert (value.channel, value.user, value.info) == ("room:1", "bob", {})
            await is_seen(client, "alice", "bob")
        assert await anext(subscription) == Left("room:1", "bob")


async def test_room_that_counts(client: Client) -> None:
    """A family that counts names nobody."""
    async with client.subscribe("crowd"):

        async def room() -> bool:
            return (await client.presence("crowd")).count == 1

        await eventually(room)
        assert await client.presence("crowd") == Room("crowd", 1, 1, (), is_complete=False)


async def test_room_without_presence_is_refused(client: Client) -> None:
    """The edge's sentence reaches the caller, by the call and by the subscription."""
    with pytest.raises(Refused, match="its family has no presence"):
        await client.presence("plain")
    with pytest.raises(Refused, match="its family has no presence"):
        await anext(client.subscribe("plain", presence=True))


def test_answer_of_another_make_is_read_as_far_as_it_goes() -> None:
    """What comes from an edge is input: a member that is none is left out, a missing number is 0."""
    one = {"user": "a", "info": {}, "since": "2026", "connections": 2}
    assert Room.of("r", {"members": [one, {"user": 5}, None], "count": "x", "complete": True}) == Room(
        "r", 0, 0, (Member("a", {}, "2026", 2),), is_complete=True
    )
    assert Room.of("r", {}) == Room("r", 0, 0, (), is_complete=False)


def test_notices_of_another_form_are_no_values() -> None:
    """Each notice has its value; one with other data, and any other notice, has none."""
    assert presence_value("r", "room.left", {"reason": "left", "user": "a"}) == Left("r", "a")
    numbers = {"count": 5, "joined": 2, "left": 1, "reason": "churn"}
    assert presence_value("r", "room.presence", numbers) == Present("r", 5, 2, 1, "churn")
    for event, data in (("room.joined", {"user": "a"}), ("room.left", {"user": None}), ("room.gap", {"user": "a"})):
        assert presence_value("r", event, data) is None

"""``edgebus presence`` at real edges: who is there, for people and for programs."""

import json
from collections.abc import AsyncIterator

import pytest

from bus.broker.embedded import EmbeddedBroker
from bus.channel import Family
from bus.errors import BusUnavailable, ChannelError
from bus.service import Service
from clients import connect
from edgebus.commands.occupants import show_room
from edges import Edge, EdgeSettings
from tests.edges.peers import eventually

SHOP = Service(
    name="shop",
    port=0,
    welcome="",
    families=(Family("room:{room_id}", presence="members"), Family("plain")),
    events=(),
)
ROOM, PLAIN = SHOP.channel("room:1"), SHOP.channel("plain")


@pytest.fixture
async def url(broker: EmbeddedBroker) -> AsyncIterator[str]:
    """Lend the address of an edge."""
    async with Edge(SHOP, EdgeSettings(port=0, redis_url=broker.url)) as edge:
        await edge.ready()
        yield f"ws://127.0.0.1:{edge.port}"


async def test_users_are_shown(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for the room and one for each user; with ``--json`` an object with the same."""
    seen_as = {"user": "alice", "info": {"name": "Älice"}}
    async with connect(url) as client, client.subscribe("room:1", presence=seen_as):

        async def is_there() -> bool:
            return (await client.presence("room:1")).count == 1

        await eventually(is_there)
        await show_room(None, ROOM, url=url, token=None, as_json=False)
        first, second = capsys.readouterr().out.splitlines()
        await show_room(None, ROOM, url=url, token=None, as_json=True)
        shown = json.loads(capsys.readouterr().out)
    assert first == "room:1  1 present, 1 connection(s)"
    assert second.startswith("alice  since 20")
    assert second.endswith('  1 connection(s)  {"name":"Älice"}')
    assert (shown["count"], shown["is_complete"], shown["members"][0]["info"]) == (1, True, {"name": "Älice"})


async def test_room_without_presence_is_a_mistake(url: str) -> None:
    """The edge's sentence ends the command."""
    with pytest.raises(ChannelError, match="its family has no presence"):
        await show_room(None, PLAIN, url=url, token=None, as_json=False)


async def test_edge_that_is_not_there(unused_tcp_port: int) -> None:
    """The remedy is named."""
    with pytest.raises(BusUnavailable, match="start one with: edgebus edge shop"):
        await show_room(SHOP, ROOM, url=f"ws://127.0.0.1:{unused_tcp_port}", token=None, as_json=False)

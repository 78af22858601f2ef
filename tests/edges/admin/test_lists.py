"""Rooms and clients over several edges, page by page."""

import asyncio

import pytest

from bus.admin.operator import Operator
from bus.broker.embedded import EmbeddedBroker
from bus.errors import AdminRefused, NotThere
from edges import Edge
from producers import Producer
from producers.services.crackerjack import SERVICE as CRACKERJACK
from producers.services.mahavishnu import Mahavishnu
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, eventually


async def member(edge: Edge, open_client: OpenClient, *channels: str) -> tuple[str, Client]:
    """Return a client in rooms, with the id of its connection."""
    client = await open_client(edge)
    welcome = await client.welcomed()
    for channel in channels:
        await client.subscribe(channel)
    return welcome["data"]["connection_id"], client


async def heard(operator: Operator, *edges: Edge) -> None:
    """Wait until edges are in the registry, and listen."""

    async def are_there() -> bool:
        return {it.id for it in await operator.edges()} >= {edge.id for edge in edges}

    await eventually(are_there)


async def test_rooms_are_summed_over_edges_in_pages(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, operator: Operator
) -> None:
    """Each room comes once, at its first place, with the members of every edge; by name and by members alike."""
    one, other = await start_edge(broker), await start_edge(broker)
    for edge, channels in (
        (one, ("workflow:a", "workflow:b")),
        (one, ("workflow:a",)),
        (other, ("workflow:a", "pool:p")),
    ):
        await member(edge, open_client, *channels)
    await heard(operator, one, other)
    expected = {"workflow:a": 3, "workflow:b": 1, "pool:p": 1}
    for by in ("members", "name"):
        page = await operator.rooms(by=by, limit=1)
        rows = list(page.rows)
        while page.cursor is not None:
            page = await operator.rooms(by=by, limit=1, cursor=page.cursor)
            rows += page.rows
        assert {row.channel: row.members for row in rows} == expected
        assert len(rows) == len(expected)
    first = (await operator.rooms(limit=1)).rows[0]
    assert (first.channel, dict(first.edges)) == ("workflow:a", {one.id: 2, other.id: 1})
    assert [row.channel for row in (await operator.rooms(prefix="pool", by="name")).rows] == ["pool:p"]
    with pytest.raises(AdminRefused, match="members, rate, name"):
        await operator.rooms(by="size")


async def test_rooms_by_rate_are_measured_for_a_second(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    operator: Operator,
    producer: Producer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only rooms with events have a rate; nothing is counted before an operator asks."""
    monkeypatch.setattr("edges.admin.looks._EVERY_S", 0.3)
    edge = await start_edge(broker)
    await member(edge, open_client, "workflow:busy", "workflow:idle")
    await heard(operator, edge)
    hub = edge._parts.hub  # noqa: SLF001
    assert not hub.activity.is_watched
    asking = asyncio.create_task(operator.rooms(by="rate"))
    await eventually(lambda: hub.activity.is_watched)
    for _ in range(10):
        await Mahavishnu(producer).broadcast_workflow_started("busy", {})
    page = await asking
    assert [(row.channel, row.members) for row in page.rows] == [("workflow:busy", 1)]
    assert page.rows[0].rate is not None
    assert page.rows[0].rate > 1
    assert page.cursor is None


async def test_clients_are_listed_once_while_others_come_and_go(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, operator: Operator
) -> None:
    """A cursor is a place in the order of coming: who leaves meanwhile pushes nobody out of the list."""
    edge = await start_edge(broker)
    members = [await member(edge, open_client, "workflow:x") for _ in range(25)]
    await heard(operator, edge)
    page = await operator.clients(limit=10)
    assert [row.id for row in page.rows] == [it for it, _ in members[:10]]
    for _, client in members[3:8]:
        await client.close()
    late, _ = await member(edge, open_client)
    await eventually(lambda: len(edge._parts.registry) == 21)  # noqa: SLF001
    rows = list(page.rows)
    while page.cursor is not None:
        page = await operator.clients(limit=10, cursor=page.cursor)
        rows += page.rows
    assert [row.id for row in rows] == [*(it for it, _ in members), late]
    assert (rows[-1].rooms, rows[-1].state, rows[-1].dialect, rows[-1].address) == (
        (),
        "reading",
        "envelope",
        "127.0.0.1",
    )


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_page_of_clients_has_no_more_than_was_asked_for(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, operator: Operator, limit: int
) -> None:
    """Of fewer rows than edges, some edges wait for the next page; nobody is left out, and nobody comes twice."""
    edges = [await start_edge(broker) for _ in range(3)]
    members = [await member(edge, open_client) for edge in edges for _ in range(2)]
    await heard(operator, *edges)
    page = await operator.clients(limit=limit)
    sizes, rows = [len(page.rows)], list(page.rows)
    while page.cursor is not None:
        page = await operator.clients(limit=limit, cursor=page.cursor)
        sizes.append(len(page.rows))
        rows += page.rows
    assert max(sizes) <= limit
    assert sorted(row.id for row in rows) == sorted(it for it, _ in members)


async def test_clients_by_room_and_slowness(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, operator: Operator
) -> None:
    """A filter walks no more than what it names."""
    edge = await start_edge(broker)
    here, _ = await member(edge, open_client, "workflow:x", "pool:p")
    await member(edge, open_client)
    await heard(operator, edge)
    (row,) = (await operator.clients(room="workflow:x")).rows
    assert (row.id, row.rooms, row.rooms_count) == (here, ("workflow:x", "pool:p"), 2)
    for nobodys in ("workflow:y", "pattern:of-another-service", "no channel"):
        assert (await operator.clients(room=nobodys)).rows == ()
    assert (await operator.clients(slow=True)).rows == ()
    assert (await operator.clients(user="alice")).rows == ()


async def test_one_client(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, operator: Operator
) -> None:
    """Whichever edge has the client; an unknown id is told with the edges that were asked."""
    one, other = await start_edge(broker), await start_edge(broker)
    wanted, client = await member(other, open_client, "workflow:x")
    await heard(operator, one, other)
    client.request("ping")
    await client.message()
    found = await operator.client(wanted)
    assert (found.id, found.edge, found.rooms, found.messages) == (wanted, other.id, ("workflow:x",), 3)
    assert found.connected is not None
    for unknown in ("00000000-0000-4000-8000-000000000000", "no id"):
        with pytest.raises(NotThere, match=one.id) as missed:
            await operator.client(unknown)
        assert other.id in str(missed.value)


async def test_one_room(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, operator: Operator, producer: Producer
) -> None:
    """Members by edge, the end of the log, how much there is, and the last event."""
    one, other = await start_edge(broker), await start_edge(broker, CRACKERJACK)
    await member(one, open_client, "workflow:x", "global")
    await heard(operator, one, other)
    published = await Mahavishnu(producer).broadcast_workflow_started("x", {})
    room = await operator.room("workflow:x")
    assert (room.redis, room.members, room.length, room.retention) == ("workflow:x", 1, 1, "history")
    assert room.position == published.positions["workflow:x"] == room.first_position
    assert room.edges[0].edge == one.id
    assert room.last is not None
    assert (room.last.id, room.last.event, room.last.user) == (published.id, "workflow.started", None)
    assert room.log_bytes is not None
    assert room.log_bytes > 100
    assert room.expires_ms is not None
    with pytest.raises(AdminRefused, match="crackerjack/global, mahavishnu/global"):
        await operator.room("global")
    with pytest.raises(AdminRefused, match="crackerjack/global, mahavishnu/global"):
        await operator.kick(room="global")
    assert (await operator.room("mahavishnu/global")).redis == "global:mahavishnu"
    assert len((await operator.clients(room="mahavishnu/global")).rows) == 1
    assert (await operator.clients(room="crackerjack/global")).rows == ()
    assert (await operator.kick(room="mahavishnu/global")).count == 1
    with pytest.raises(NotThere, match="no log"):
        await operator.room("workflows")

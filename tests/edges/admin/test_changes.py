"""What an operator changes: clients kicked, an edge drained and taken back, the level of the log."""

import asyncio
import logging

import pytest
from redis.asyncio import Redis

from bus.admin.operator import Operator
from bus.broker.embedded import EmbeddedBroker
from bus.errors import AdminRefused, NotThere
from clients import Client as Program
from clients import connect
from clients.errors import Dismissed, Refused
from tests.edges.admin.test_lists import heard, member
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, Closed, eventually
from tests.edges.signing import SECRET, token


async def closed(client: Client) -> Closed:
    """Return the close that the client is told, behind any notices."""
    try:
        while True:
            await client.message()
    except Closed as found:
        return found


async def _watch(client: Program) -> None:
    async for _ in client.subscribe("workflow:x"):
        pass


async def test_kicked_client_is_told_to_stay_away(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, operator: Operator
) -> None:
    """One connection goes, with a code that means no return; who is unknown is told with the edges asked."""
    edge = await start_edge(broker)
    wanted, client = await member(edge, open_client, "workflow:x")
    _, other = await member(edge, open_client, "workflow:x")
    await heard(operator, edge)
    kicked = await operator.kick(client=wanted)
    assert (kicked.count, dict(kicked.connections)) == (1, {edge.id: 1})
    found = await closed(client)
    assert (found.code, found.reason) == (3503, "an operator closed the connection")
    assert await other.marked() == []
    with pytest.raises(NotThere, match=f"client {wanted}.*{edge.id}"):
        await operator.kick(client=wanted)
    with pytest.raises(AdminRefused, match="name a client"):
        await operator.kick()


async def test_python_client_that_is_kicked_does_not_come_back(
    broker: EmbeddedBroker, start_edge: StartEdge, operator: Operator
) -> None:
    """A program with our client is told so, as of any end for good."""
    edge = await start_edge(broker)
    async with connect(f"ws://127.0.0.1:{edge.port}") as client:
        watching = asyncio.create_task(_watch(client))
        await heard(operator, edge)
        await eventually(lambda: edge.health()["rooms"] == 1)
        (row,) = (await operator.clients()).rows
        await operator.kick(client=row.id)
        with pytest.raises(Dismissed, match="an operator closed"):
            await watching


async def test_user_is_kicked_from_every_edge(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, operator: Operator
) -> None:
    """All connections of the user, and nobody else's; rows say whose they are and until when."""
    edges = [await start_edge(broker, auth_secret=SECRET, auth_in_query=True) for _ in range(2)]
    clients = []
    for edge in edges:
        for user in ("alice", "bob"):
            client = await open_client(edge, path=f"/?token={token(user)}")
            await client.welcomed()
            clients.append((user, client))
    await heard(operator, *edges)
    rows = (await operator.clients(user="alice")).rows
    assert ([row.user for row in rows], {row.edge for row in rows}) == (["alice"] * 2, {edge.id for edge in edges})
    assert all(row.token_ends is not None for row in rows)
    assert (await operator.kick(user="alice")).count == 2
    for user, client in clients:
        if user == "alice":
            assert (await closed(client)).code == 3503
        else:
            assert await client.marked() == []


async def test_room_is_emptied_and_connections_stay(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, operator: Operator
) -> None:
    """Members are let out and told so; with a client, that one alone."""
    edge = await start_edge(broker)
    members = [await member(edge, open_client, "workflow:x", "workflow:y") for _ in range(3)]
    await heard(operator, edge)
    assert (await operator.kick(client=members[0][0], room="workflow:x")).count == 1
    assert (await operator.kick(room="workflow:x")).count == 2
    for _, client in members:
        notice = await client.message()
        assert (notice["event"], notice["room"]) == ("room.left", "workflow:x")
        assert notice["data"] == {"reason": "kicked", "user": None}
        assert await client.marked() == []
    assert [row.channel for row in (await operator.rooms()).rows] == ["workflow:y"]
    with pytest.raises(NotThere, match="room workflow:x"):
        await operator.kick(room="workflow:x")


async def test_python_client_that_is_let_out_of_a_room_knows_why(
    broker: EmbeddedBroker, start_edge: StartEdge, operator: Operator
) -> None:
    """The subscription ends with the reason; the connection goes on."""
    edge = await start_edge(broker)
    async with connect(f"ws://127.0.0.1:{edge.port}") as client:
        watching = asyncio.create_task(_watch(client))
        await heard(operator, edge)
        await eventually(lambda: edge.health()["rooms"] == 1)
        await operator.kick(room="workflow:x")
        with pytest.raises(Refused, match="an operator let the client out"):
            await watching


async def test_drained_edge_is_taken_back(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, operator: Operator, redis: Redis
) -> None:
    """Clients are told and sent away, newcomers are told why, and undrain makes it serve again."""
    edge = await start_edge(broker, drain_notice_s=0.0, drain_window_s=0.2)
    _, client = await member(edge, open_client, "workflow:x")
    await heard(operator, edge)
    with pytest.raises(AdminRefused, match="no operator drains"):
        await operator.undrain(edge.id)
    standing = await operator.drain(edge.id)
    assert (standing.edge, standing.state) == (edge.id, "draining")
    assert (await client.message())["event"] == "edge.draining"
    assert (await closed(client)).code == 1012
    await eventually(lambda: edge._parts.draining.state == "drained")  # noqa: SLF001
    assert (await operator.drain(edge.id)).state == "drained"
    newcomer = await open_client(edge)
    told = await closed(newcomer)
    assert (told.code, told.reason) == (1013, "an operator has drained the edge: another replica serves you")
    assert "undrain" in (edge.not_ready() or "")
    await eventually(lambda: _is_draining(operator, expected=True))
    assert (await operator.undrain(edge.id)).state == "serving"
    assert edge.not_ready() is None
    await eventually(lambda: _is_draining(operator, expected=False))
    await member(edge, open_client, "workflow:x")


async def _is_draining(operator: Operator, *, expected: bool) -> bool:
    (entry,) = await operator.edges()
    return entry.draining is expected and entry.is_ready is not expected


async def test_undrain_stops_a_drain_under_way(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, operator: Operator
) -> None:
    """Who has not been sent away yet stays."""
    edge = await start_edge(broker, drain_notice_s=60.0)
    _, client = await member(edge, open_client)
    await heard(operator, edge)
    await operator.drain(edge.id)
    assert (await operator.undrain(edge.id)).state == "serving"
    assert await client.marked() == []


async def test_process_that_ends_takes_an_operators_drain_over(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, operator: Operator
) -> None:
    """SIGTERM's way works during an operator's drain and after, at once where clients are gone; no undrain then."""
    edge = await start_edge(broker, drain_notice_s=0.0, drain_window_s=0.1)
    await heard(operator, edge)
    await operator.drain(edge.id)
    await eventually(lambda: edge._parts.draining.state == "drained")  # noqa: SLF001
    await edge.drain()
    with pytest.raises(AdminRefused, match="too late"):
        await operator.undrain(edge.id)
    with pytest.raises(AdminRefused, match="going away"):
        await operator.drain(edge.id)
    await edge.stop()


async def test_log_level_is_changed_and_brought_back(
    broker: EmbeddedBroker, start_edge: StartEdge, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer names the level before; a level that is none is told with those that are."""
    log = logging.getLogger("edgebus")
    monkeypatch.setattr(log, "level", logging.INFO)
    edge = await start_edge(broker)
    await heard(operator, edge)
    change = await operator.log_level(edge.id, "DEBUG")
    assert (change.edge, change.before, change.level, log.level) == (edge.id, "info", "debug", logging.DEBUG)
    assert logging.getLogger("edgebus.edges").isEnabledFor(logging.DEBUG)
    assert (await operator.log_level(edge.id, change.before)).before == "debug"
    assert log.level == logging.INFO
    with pytest.raises(AdminRefused, match="debug, info, warning, error, critical"):
        await operator.log_level(edge.id, "loud")


async def test_changes_stand_in_the_log(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    operator: Operator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who, by the operator's own word, what, and with which outcome."""
    edge = await start_edge(broker)
    wanted, _ = await member(edge, open_client)
    await heard(operator, edge)
    await operator.kick(client=wanted)
    (record,) = [it for it in caplog.records if vars(it).get("verb") == "kick"]
    assert (record.levelname, vars(record)["asked"], vars(record)["outcome"]) == (
        "WARNING",
        {"client": wanted},
        {"count": 1},
    )
    assert "@" in vars(record)["by"]

"""Operators and edges under users of ``bus.redis.acl``, on real servers: nothing is refused on the way."""

import logging
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from bus.admin.operator import Operator
from bus.admin.values import View
from bus.errors import BusError, EdgeSilent
from bus.redis.acl import users
from bus.redis.address import with_login
from edges import Edge, EdgeSettings
from producers.services import load
from tests.contract.brokers import Broker, Cli
from tests.edges.peers import Client, eventually

SHA_OF_SECRET = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
"""Of the password "secret"."""
NEW = (" &bus:admin:*", " (+zadd +zrem +zremrangebyscore ~bus:edges)", " (resetchannels +publish &bus:told:*)")
"""What an edge's user gained for operators."""


@pytest.fixture
async def admin(real: Broker) -> AsyncIterator[Cli]:
    """Lend an administrator of a server with the users of all services, and an edge's user of before."""
    client: Cli
    async with Redis.from_url(real.url, protocol=2, decode_responses=True) as client:
        for user in users([load("mahavishnu")]):
            await client.execute_command(*user.command(SHA_OF_SECRET).split())
            if user.role == "edge":
                rules = user.rules
                for part in NEW:
                    assert part in rules
                    rules = rules.replace(part, "")
                await client.execute_command(*f"ACL SETUSER before reset on #{SHA_OF_SECRET} {rules}".split())
        await client.execute_command("ACL", "LOG", "RESET")
        yield client


async def refused(admin: Cli) -> list[str]:
    """Return what was refused to anybody, from the server's own record."""
    return [f"{entry['username']}: {entry['object']}" for entry in await admin.acl_log()]


def edge_of(real: Broker, user: str) -> Edge:
    return Edge(load("mahavishnu"), EdgeSettings(port=0, redis_url=with_login(real.url, user, "secret")))


async def test_operator_and_edge_may_all_they_need(real: Broker, admin: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every verb, from the registry to the end of a drain, without an entry in ACL LOG."""
    monkeypatch.setattr("bus.admin.operator._LOOK_EVERY_S", 0.1)
    monkeypatch.setattr("edges.admin.looks._EVERY_S", 0.05)
    async with (
        edge_of(real, "edgebus-edge") as edge,
        Operator(with_login(real.url, "edgebus-operator", "secret")) as operator,
    ):
        await eventually(operator.edges)
        await eventually(lambda: admin.pubsub_numsub(f"bus:admin:{edge.id}"))
        client = await Client.open(edge.port)
        await client.welcomed()
        await client.subscribe("workflow:x")
        await admin.xadd("bus:log:{workflow:x}", {"id": "1", "event": "workflow.started", "line": "{}"})
        assert [row.channel for row in (await operator.rooms()).rows] == ["workflow:x"]
        (row,) = (await operator.clients()).rows
        assert (await operator.client(row.id)).id == row.id
        room = await operator.room("workflow:x")
        assert (room.length, room.members) == (1, 1)
        assert room.log_bytes
        views = operator.look()
        assert await eventually(lambda: _has_look(views))
        assert (await operator.kick(client=row.id)).count == 1
        assert (await operator.drain(edge.id)).state == "draining"
        assert (await operator.undrain(edge.id)).state == "serving"
        level = logging.getLevelName(logging.getLogger("edgebus").getEffectiveLevel()).lower()
        own = logging.getLogger("edgebus").level
        assert (await operator.log_level(edge.id, level)).level == level
        logging.getLogger("edgebus").setLevel(own)
        await views.aclose()  # type: ignore[attr-defined]
        await client.close()
    assert await refused(admin) == []
    assert await admin.keys("bus:edge*") == []


async def _has_look(views: AsyncIterator[View]) -> bool:
    return bool((await anext(views)).looks)


async def test_other_users_are_no_operators(real: Broker, admin: Cli) -> None:
    """A producer and an edge may not publish where operators do, so neither can command an edge."""
    async with edge_of(real, "edgebus-edge") as edge:
        await eventually(lambda: edge.not_ready() is None)
        for user in ("edgebus-edge", "edgebus-producer"):
            async with Operator(with_login(real.url, user, "secret"), answer_s=0.3) as operator:
                with pytest.raises(BusError, match="edgebus acl"):
                    await operator.drain(edge.id)
        assert edge.not_ready() is None


async def test_edge_with_a_user_of_before_goes_on_and_says_so_once(
    real: Broker, admin: Cli, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of its work needs operators; its log has the line for an administrator, once for each thing it lacks."""
    async with (
        edge_of(real, "before") as edge,
        Operator(with_login(real.url, "edgebus-operator", "secret"), answer_s=0.5) as operator,
    ):
        await eventually(lambda: edge.not_ready() is None)
        await admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await eventually(lambda: edge._parts.subscriber.statistics().generation == 2 and edge.not_ready() is None)  # noqa: SLF001
        client = await Client.open(edge.port)
        await client.welcomed()
        await client.subscribe("workflow:x")
        await admin.publish("workflow:x", '{"event":"note","data":{}}')
        assert (await client.message())["event"] == "note"
        with pytest.raises(EdgeSilent, match="may not subscribe"):
            await operator.drain(edge.id)
        await client.close()
        lines = [it for it in caplog.records if vars(it).get("run") == "edgebus acl | redis-cli"]
        told = [it.getMessage() for it in lines if it.levelno == logging.WARNING]
    assert sum("cannot reach" in it for it in told) == 1
    assert sum("do not find" in it for it in told) >= 1


async def test_operator_of_one_service_sees_its_edges_alone(real: Broker) -> None:
    """Another service's edge is asked for once, and no more: each refusal would be an entry in ACL LOG."""
    client: Cli
    async with Redis.from_url(real.url, protocol=2, decode_responses=True) as client:
        for user in users([load("mahavishnu")], narrowed=True):
            await client.execute_command(*user.command(SHA_OF_SECRET).split())
        for edge in ("mahavishnu-1", "akosha-1"):
            await client.hset(f"bus:edge:{edge}", mapping={"service": edge[:-2]})
            await client.zadd("bus:edges", {edge: 1})
        await client.execute_command("ACL", "LOG", "RESET")
        async with Operator(with_login(real.url, "edgebus-operator-mahavishnu", "secret")) as operator:
            for _ in range(3):
                assert [it.id for it in await operator.edges()] == ["mahavishnu-1"]
        assert await refused(client) == ["edgebus-operator-mahavishnu: bus:edge:akosha-1"]
        assert [entry["count"] for entry in await client.acl_log()] == [1]

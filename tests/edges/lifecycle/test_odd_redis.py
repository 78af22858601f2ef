"""Whatever stands in Redis costs what it is, and no more: edges stay, say what is so, and answer."""

import math
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.position import milliseconds
from bus.redis.keys import EPOCH_KEY
from bus.redis.revocation import Revocations, of_user
from edges import Edge
from edges.session.session import Session
from producers import Producer
from producers.services.mahavishnu import WORKFLOW, Mahavishnu
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, eventually
from tests.edges.rooms.test_failover import is_back, member, resumed, step
from tests.edges.signing import SECRET, token

CHANNEL = WORKFLOW.fill("x")


async def restored(client: Client) -> list[str]:
    """Return what the client is told until the edge has its rooms compared."""
    told = list[str]()
    while not told or told[-1] != "bus.restored":
        told.append((await client.message(10))["event"])
    return told


@pytest.mark.parametrize("score", [math.inf, -math.inf, 1e300])
async def test_odd_mark_does_not_keep_an_edge_from_coming_back(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    producer: Producer,
    redis: Redis,
    score: float,
) -> None:
    """Somebody typed a mark whose time is none; the link flaps, and the edge is ready again, and resumes."""
    edge = await start_edge(broker)
    client = await member(edge, open_client)
    stood = await step(producer, 1)
    assert (await client.message())["position"] == stood
    await redis.zadd(CHANNEL.forks_key, {"1-1": score})
    await redis.client_kill_filter(_type="pubsub")
    assert await restored(client) == ["bus.degraded", "bus.restored"]
    await eventually(lambda: is_back(edge))
    assert (await resumed(edge, open_client, stood))["recovered"] is True
    assert edge.statistics()[1].unreadable > 0


@pytest.mark.parametrize("epoch", ["soon", b"\xff\xfe", "", "9" * 40 + "-a"], ids=ascii)
async def test_epoch_that_nobody_can_read_is_told_to_who_comes_back(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    producer: Producer,
    redis: Redis,
    epoch: bytes | str,
) -> None:
    """Who comes back is told that nobody knows, and gets what there is; the edge comes back after a flap."""
    edge = await start_edge(broker)
    client = await member(edge, open_client)
    first = await step(producer, 1)
    await step(producer, 2)
    await redis.set(EPOCH_KEY, epoch)
    told = await resumed(edge, open_client, f"{milliseconds(first) - 1}-7")
    assert (told["recovered"], told["reason"], told["replayed"]) == (False, "unknown", 2)
    await redis.client_kill_filter(_type="pubsub")
    await restored(client)
    await eventually(lambda: is_back(edge))


async def test_own_entry_in_redis_of_another_type_is_written_anew(
    broker: EmbeddedBroker, start_edge: StartEdge, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """What somebody put under an edge's own name goes with its next sign of life."""
    edge = await start_edge(broker)
    key = f"bus:edge:{edge.id}"
    await eventually(lambda: redis.exists(key))
    async with redis.pipeline(transaction=True) as together:  # no sign of life comes between the two
        together.delete(key)
        together.rpush(key, "by hand")
        await together.execute()
    assert await eventually(lambda: is_hash(redis, key))
    assert not [it for it in caplog.records if it.levelname == "WARNING" and vars(it).get("work") == "heartbeat"]


async def is_hash(redis: Redis, key: str) -> bool:
    return await redis.type(key) == b"hash"


# Requests.

ODD: list[Any] = [
    b'{"oops}',
    b'{"id":"x"}',
    {"event": "workflow.stage_completed", "data": {}},
    {"event": "workflow.completed", "data": {"workflow_id": "x"}},
    {"event": "workflow.failed", "data": {"error": {"a": 1}}},
    {"event": 5, "data": {}},
    {"event": "workflow.completed", "data": []},
    {"event": "workflow.started", "data": None},
    {"event": "workflow.stage_completed", "data": {"stage_name": 5}},
    {"event": "unheard.of", "data": {"a": [[]]}},
]


async def status(edge: Edge, open_client: OpenClient) -> dict[str, Any]:
    """Ask for the workflow's status; return the answer's data."""
    client = await open_client(edge)
    await client.welcomed()
    client.request("get_workflow_status", workflow_id="x")
    message = await client.message()
    assert message["type"] == "response", message
    return dict(message["data"])


@pytest.mark.parametrize("odd", ODD, ids=lambda it: ascii(it)[:60])
async def test_request_goes_on_without_what_is_of_no_model(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    producer: Producer,
    redis: Redis,
    odd: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An entry that an older model wrote, or somebody's hand, is left out of the answer; the others make it."""
    edge = await start_edge(broker)
    await Mahavishnu(producer).broadcast_workflow_started("x", {"adapter": "local"})
    stood = await step(producer, 1)
    line: bytes = odd if isinstance(odd, bytes) else orjson.dumps({"id": "x", "timestamp": "then", **odd})
    await redis.xadd(CHANNEL.log_key, {"previous": stood, "line": line}, id=f"{milliseconds(stood) + 1}-1")
    await step(producer, 2)
    answers = [await status(edge, open_client) for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0]["status"] == "running"
    assert answers[0]["stages"] == ["1", "2"]
    assert [it for it in caplog.records if it.levelname == "ERROR"] == []


# Bugs of ours.


@pytest.mark.parametrize("method", ["check_standing", "notify", "check_revoked"])
async def test_fault_in_one_connection_is_not_the_edges(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    producer: Producer,
    redis: Redis,
    method: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What an edge does by itself for all of them trips over one: that one is closed (1011), the others stay."""
    edge = await start_edge(broker, auth_secret=SECRET, anonymous_permissions=("mahavishnu:read",))
    client, other = await member(edge, open_client), await member(edge, open_client)
    client.request("auth", token=token("alice"))
    await client.message()
    original = getattr(Session, method)

    def trip(session: Session, *given: Any) -> Any:
        if session.admission.caller.user_id == "alice":  # one of the two
            raise OverflowError("a bug")
        return original(session, *given)

    monkeypatch.setattr(Session, method, trip)
    if method == "notify":
        await redis.client_kill_filter(_type="pubsub")
    if method == "check_revoked":
        async with Revocations(broker.url, name="test") as revocations:
            await revocations.revoke(of_user("alice"))
    assert await client.close_code() == 1011
    if method == "notify":
        await restored(other)
    stood = await step(producer, 1)
    assert (await other.message())["position"] == stood

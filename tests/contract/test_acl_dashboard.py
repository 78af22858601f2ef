"""The dashboard under its user of ``bus.redis.acl``, on real servers: nothing refused on the way, and no more given."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection, connect

from bus.redis.acl import users
from bus.redis.address import with_login
from edgebus.dashboard.dashboard import Dashboard
from edges import Edge, EdgeSettings
from producers import Producer
from producers.services import load
from producers.services.mahavishnu import WorkflowStarted
from tests.contract.brokers import Broker, Cli
from tests.contract.test_acl_admin import SHA_OF_SECRET, refused
from tests.edges.peers import DEADLINE_S, Client, eventually
from tests.edges.signing import HIDDEN, token

NAME = "edgebus-dashboard"
SHA = "0" * 40
LOG, OTHERS_LOG = "bus:log:{workflow:a}", "bus:log:{station:a}"
EVENTS: dict[str, dict[str, Any]] = {
    "workflow.started": {"workflow_id": "x"},
    "pool.status_changed": {"pool_id": "a", "status": {}},
}
OWN, OTHERS = "bus:edge:dashboard-host-1", "bus:edge:mahavishnu-host-1"

MAY = {
    "PSUBSCRIBE *": True,
    "SUBSCRIBE workflow:a": False,
    "SCAN 0": True,
    f"XRANGE {LOG} - +": True,
    f"XRANGE {OTHERS_LOG} - +": True,  # of a service whose code is not at hand
    f"EVALSHA {SHA} 1 {LOG}": True,
    f"EVALSHA {SHA} 1 {OTHERS_LOG}": False,
    f"XADD {OTHERS_LOG} * a b": False,
    f"DEL {LOG}": False,
    f"XTRIM {LOG} MAXLEN 0": False,
    "PUBLISH workflow:a {}": True,
    "PUBLISH station:a {}": False,
    f"HSET {OWN} a b": True,
    f"HGETALL {OTHERS}": True,
    f"HSET {OTHERS} a b": False,
    f"DEL {OTHERS}": False,
    "PUBLISH bus:admin:mahavishnu-host-1 a": True,
    "PUBLISH bus:revoked a": False,
    "ZADD bus:revoked 1 user:a": False,
    "DEL bus:edges": False,
    "SET bus:epoch 1-1": False,
    "HGETALL bus:presence:{room:a}": False,
    "XRANGE bus:questions:{fastblocks}:a - +": False,
    "GET other": False,
    "EVAL return 0": False,
    "KEYS *": False,
    "MONITOR": False,
    "CONFIG GET *": False,
    "CLIENT LIST": False,
    "ACL USERS": False,
    "FLUSHALL": False,
}


@pytest.fixture
async def admin(real: Broker) -> AsyncIterator[Cli]:
    """Lend an administrator of a server with the users of a service, a dashboard's among them."""
    client: Cli
    async with Redis.from_url(real.url, protocol=2, decode_responses=True) as client:
        for user in users([load("mahavishnu")]):
            await client.execute_command(*user.command(SHA_OF_SECRET).split())
        await client.execute_command("ACL", "LOG", "RESET")
        yield client


async def test_dashboards_user_may_what_the_table_says(admin: Cli) -> None:
    """Each command is allowed or refused, as Redis itself judges; the default user may each, so that all are known."""
    wrong = []
    for command, may in MAY.items():
        for name, expected in ((NAME, may), ("default", True)):
            if (await admin.execute_command("ACL", "DRYRUN", name, *command.split()) == "OK") is not expected:
                wrong.append(f"{name}: {command}")
    assert wrong == []


async def ask(page: ClientConnection, verb: str, **data: Any) -> dict[str, Any]:
    """Ask as a page does; return the data of the answer."""
    await page.send(json.dumps({"type": "request", "event": f"dashboard.{verb}", "data": data, "id": verb}))
    while (answer := json.loads(await page.recv()))["correlation_id"] != verb:
        pass
    assert answer["error_code"] is None, answer
    found: dict[str, Any] = answer["data"]
    return found


async def look(page: ClientConnection, edge: Edge, producer: Producer, member: Client) -> None:
    """Look at everything that the page has, and change what may be changed."""
    await member.welcomed()
    await member.subscribe("workflow:x")
    while not (rows := (await ask(page, "flow"))["rows"]):
        await producer.publish(WorkflowStarted(workflow_id="x"))
    for number in (rows[0]["number"], 0):  # kept from the flow, and from the log
        asked = {"number": number, "channel": rows[0]["channel"], "position": rows[0]["position"]}
        assert (await ask(page, "event", **asked))["line"]
    while (now := await ask(page, "now"))["tap"] or not now["edges"]:
        pass
    assert (await ask(page, "channels", search="workflow:"))["rows"][0]["channel"] == "workflow:x"
    about = await ask(page, "channel", channel="workflow:x")
    assert (about["room"]["members"], about["cards"][0]["request"]) == (1, "get_workflow_status")
    assert (await ask(page, "history", channel="workflow:x"))["rows"]
    for event, data in EVENTS.items():
        published = await ask(page, "publish", service="mahavishnu", event=event, data=data)
        assert published.get("positions"), published
    assert (await ask(page, "channel", channel="pool:a"))["cards"]
    (row,) = (await ask(page, "clients"))["rows"]
    assert (await ask(page, "kick", client=row["id"]))["count"] == 1
    assert (await ask(page, "drain", edge=edge.id))["state"] == "draining"
    assert (await ask(page, "undrain", edge=edge.id))["state"] == "serving"


async def test_dashboard_may_all_it_needs(real: Broker, admin: Cli) -> None:
    """Looks, past, test events, kick and drain, and the same after cut links: no entry in ACL LOG, no key left."""
    urls = {role: with_login(real.url, f"edgebus-{role}", "secret") for role in ("edge", "dashboard", "producer")}
    own = EdgeSettings(port=0, close_timeout_s=0.2, drain_notice_s=0, message_rate_limit=100_000)
    service, shown = load("mahavishnu"), own.model_copy(update={"auth_secret": HIDDEN, "redis_url": urls["dashboard"]})
    header = {"Authorization": f"Bearer {token(permissions=['dashboard:admin'])}"}
    async with (
        asyncio.timeout(4 * DEADLINE_S),
        Edge(service, own.model_copy(update={"redis_url": urls["edge"]})) as edge,
        Dashboard(shown, [service]) as dashboard,
        Producer(urls["producer"]) as producer,
        connect(dashboard.url.replace("http", "ws"), additional_headers=header) as page,
    ):
        for _ in range(2):
            await eventually(lambda: edge.not_ready() is None)
            async with AsyncExitStack() as stack:
                member = await Client.open(edge.port)
                stack.push_async_callback(member.close)
                await look(page, edge, producer, member)
            for kind in ("pubsub", "normal"):
                await admin.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    assert await refused(admin) == []
    assert await admin.keys("bus:edge:*") == []

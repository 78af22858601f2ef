"""The least-privilege users at work: made by a pipe into redis-cli, the default user switched off, nothing refused."""

import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack

import jwt
import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError
from websockets.exceptions import ConnectionClosedError

from bus.broker.embedded import EmbeddedBroker
from bus.errors import PublishError, PublishUnreplicated
from bus.redis.revocation import Revocations, of_user
from producers import Producer
from producers.services.akosha import Akosha
from producers.services.mahavishnu import Mahavishnu, WorkflowStageCompleted, WorkflowStarted
from tests.journeys.acl import Users, redis_cli, users_only
from tests.journeys.clients import eventually, viewing
from tests.journeys.processes import EDGEBUS, Processes, edgebus, environment, program, wait_ready
from tests.ports import free_port

SECRET = secrets.token_urlsafe(32)


@pytest.fixture(params=["embedded", "redis-server"])
def broker(request: pytest.FixtureRequest) -> Iterator[EmbeddedBroker]:
    """Lend a server of each kind."""
    binary = program("redis-server", "redis-server") if request.param == "redis-server" else None
    with EmbeddedBroker(port=0, binary=binary) as broker:
        yield broker


@pytest.fixture
async def admin(broker: EmbeddedBroker, users: Users) -> AsyncIterator[Redis]:
    """Lend an administrator."""
    async with Redis.from_url(users.admin, decode_responses=True) as client:
        yield client


@pytest.fixture
async def admin_of() -> AsyncIterator[Callable[[Users], Redis]]:
    """Return what gives an administrator beside users that a test makes itself."""
    async with AsyncExitStack() as stack:

        def connected(users: Users) -> Redis:
            client = Redis.from_url(users.admin, decode_responses=True)
            stack.push_async_callback(client.aclose)
            return client

        yield connected


@pytest.fixture
def users(broker: EmbeddedBroker) -> Users:
    """Let nobody in but the users, and an administrator."""
    return users_only(broker)


def stage(name: str) -> WorkflowStageCompleted:
    return WorkflowStageCompleted(workflow_id="wf", stage_name=name, result={})


async def refused(admin: Redis) -> list[str]:
    """Return what was refused to anybody, from the server's own record."""
    return [str(entry["object"]) for entry in await admin.acl_log()]


async def test_everything_works_and_nothing_is_refused(
    broker: EmbeddedBroker, users: Users, admin: Redis, processes: Processes
) -> None:
    """Publishing, repeating, watching, resuming, asking, a cut link, a drain: ACL LOG holds no refusal afterwards."""
    [(edge, port)] = processes.edges("mahavishnu", users.edge)
    async with Producer(users.producer) as producer, viewing(port, "workflow:wf", "global") as viewer:
        event = WorkflowStarted(workflow_id="wf", adapter="local")
        started = await producer.publish(event)
        assert (await producer.publish(event, repeated=True)).positions == started.positions
        assert {(await viewer.event())["room"] for _ in range(2)} == {"workflow:wf", "global"}
        producer.emit(stage("one"))
        assert (await viewer.event())["data"]["stage_name"] == "one"

        await admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # type: ignore[no-untyped-call]
        await admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")  # type: ignore[no-untyped-call]
        await producer.publish(stage("two"))
        assert (await viewer.event())["data"]["stage_name"] == "two"

        resumed = await viewer.ask("subscribe", channel="workflow:wf", since=started.positions["workflow:wf"])
        assert (resumed["data"]["recovered"], resumed["data"]["replayed"]) == (True, 2)
        assert [(await viewer.event())["data"]["stage_name"] for _ in range(2)] == ["one", "two"]
        status = await viewer.ask("get_workflow_status", workflow_id="wf")
        assert status["data"]["stages_completed"] == 2
    await eventually(lambda: admin.keys("bus:edge:*"))
    edge.signal(signal.SIGTERM)
    assert edge.exit_code() == 0
    assert await admin.keys("bus:edge:*") == []
    assert await refused(admin) == []


async def test_commands_work_for_those_they_are_for(users: Users, admin: Redis) -> None:
    """A producer publishes by the command line, an operator reads by it; neither is refused anything on the way."""
    ran = edgebus("publish", "workflow.started", '{"workflow_id":"wf","adapter":"local"}', "--redis", users.producer)
    assert ran.returncode == 0, ran.stderr
    for command in (["history", "workflow:wf"], ["replay", "workflow:wf", "--since", "-1h", "--at-once"]):
        ran = edgebus(*command, "--redis", users.operator)
        assert ran.returncode == 0, ran.stderr
        assert "workflow.started" in ran.stdout
    assert await refused(admin) == []


async def test_producer_waits_for_a_replica(broker: EmbeddedBroker, users: Users, admin: Redis) -> None:
    """WAIT is among what a producer may: with a replica its confirmation counts, and without one that is told."""
    async with Producer(users.producer, wait_replicas=1) as producer:
        with pytest.raises(PublishUnreplicated):
            await producer.publish(stage("alone"), deadline_s=2)
        await admin.config_set("repl-diskless-sync-delay", 0)
        name, _, password = users.admin.partition("://")[2].partition("@")[0].partition(":")
        extra = ("--replicaof", "127.0.0.1", str(broker.port), "--masteruser", name, "--masterauth", password)
        with EmbeddedBroker(port=0, binary=broker.binary, extra=extra):
            await eventually(lambda: _has_replica(admin))
            await producer.publish(stage("together"))
    assert await refused(admin) == []


async def _has_replica(admin: Redis) -> bool:
    return bool((await admin.info("replication")).get("slave0", {}).get("state") == "online")


async def test_operator_watches_and_types_an_event(users: Users, admin: Redis) -> None:
    """The operator's redis-cli lines work, in one go and as a person types them."""
    async with Producer(users.producer) as producer:
        await producer.publish(WorkflowStarted(workflow_id="wf", adapter="local"))
    lines = """
        PUBSUB CHANNELS workflow:*
        PUBSUB NUMSUB workflow:wf
        EXISTS bus:log:{workflow:wf} bus:log:{global:mahavishnu}
        XRANGE bus:log:{workflow:wf} - +
        XINFO STREAM bus:log:{workflow:wf}
        TTL bus:log:{workflow:wf}
        PUBLISH workflow:wf '{"event":"note","data":{}}'
        GET bus:epoch
        CLIENT LIST
        INFO memory
        ACL WHOAMI
    """
    printed = redis_cli(users.operator, lines=lines)
    assert "NOPERM" not in printed
    assert printed.endswith("edgebus-operator")
    assert await refused(admin) == []


async def test_operator_revokes_a_token(users: Users, admin: Redis, processes: Processes) -> None:
    """What an operator revokes, an edge hears and closes; neither is refused anything on the way."""
    token = jwt.encode(
        {"user_id": "u", "permissions": ["admin"], "iat": int(time.time()), "exp": int(time.time()) + 600},
        SECRET,
        "HS256",
    )
    port = free_port()
    edge = processes.start(
        *(*EDGEBUS, "edge", "mahavishnu", "--port", str(port), "--redis", users.edge),
        env=environment(EDGEBUS_AUTH_SECRET=SECRET),
    )
    wait_ready(edge, port)
    async with viewing(port) as viewer, Revocations(users.operator, name="edgebus-cli") as revocations:
        assert (await viewer.ask("auth", token=token))["data"]["status"] == "authenticated"
        _, told = await revocations.revoke(of_user("u"))
        assert told == 1
        with pytest.raises(ConnectionClosedError) as closed:
            await viewer.until("never")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
    assert await refused(admin) == []


async def test_users_are_refused_what_is_not_theirs(users: Users, admin: Redis) -> None:
    """The control: the same users on the same server are refused the rest, and ACL LOG has it."""
    async with Redis.from_url(users.edge) as edge, Redis.from_url(users.operator) as operator:
        for client, command in (
            (edge, "XADD bus:log:{workflow:other} * a b"),  # an edge may XADD questions, so the key is refused
            (edge, "PUBLISH workflow:wf {}"),
            (edge, "DEL bus:log:{workflow:wf}"),
            (operator, "EVAL return 0"),
            (operator, "FLUSHALL"),
        ):
            with pytest.raises(NoPermissionError):
                await client.execute_command(*command.split())  # type: ignore[no-untyped-call]
    logs = {"bus:log:{workflow:other}", "bus:log:{workflow:wf}"}
    assert set(await refused(admin)) >= {"workflow:wf", "eval", "flushall", *logs}


async def test_producers_without_scripts_publish_by_the_function(
    broker: EmbeddedBroker, processes: Processes, admin_of: Callable[[Users], Redis]
) -> None:
    """With --function the pipe into redis-cli loads it, and events flow; what is refused is the script, and no more."""
    users = users_only(broker, "--function")
    admin = admin_of(users)
    [(_, port)] = processes.edges("mahavishnu", users.edge)
    async with Producer(users.producer) as producer, viewing(port, "workflow:wf") as viewer:
        event = WorkflowStarted(workflow_id="wf", adapter="local")
        first = await producer.publish(event)
        assert (await producer.publish(event, repeated=True)).positions == first.positions
        await admin.script_flush()
        await producer.publish(stage("two"))
        assert [(await viewer.event())["event"] for _ in range(2)] == ["workflow.started", "workflow.stage_completed"]
    assert set(await refused(admin)) == {"script|load"}


async def test_users_of_one_service_reach_no_other(broker: EmbeddedBroker) -> None:
    """With --service, a producer publishes its own events, and another service's end in an error that says why."""
    narrow = users_only(broker, "--service", "mahavishnu")
    async with Producer(narrow.producer) as producer:
        await Mahavishnu(producer).broadcast_workflow_started("wf", {})
        with pytest.raises(PublishError, match="permission"):
            await Akosha(producer).broadcast_aggregation_completed("a", "b", 1, {})


async def test_nobody_else_comes_in(broker: EmbeddedBroker, users: Users) -> None:
    """With the default user off, a command without a name ends with the code for a Redis out of reach."""
    ran = edgebus("history", "workflow:wf", "--redis", broker.url)
    assert ran.returncode == 3
    assert "log-in" in ran.stderr

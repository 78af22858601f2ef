"""The users of ``bus.redis.acl`` on real servers: what each may do, and what not, against a table typed by hand."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from bus.broker.embedded import EmbeddedBroker
from bus.channel import LIVE, Family
from bus.client_event import ClientEvent
from bus.envelope import compose
from bus.errors import PublishError
from bus.event import Attempt, Event
from bus.keyed import Keyed
from bus.log.appending import KEYED_LIBRARY, LIBRARY, ONCE_LIBRARY, Appended, Entry
from bus.log.outgoing import Outgoing
from bus.presence.entries import Member
from bus.presence.store import PresenceStore, Write
from bus.redis.acl import NEWER, users
from bus.redis.address import with_login
from bus.service import Service
from bus.tasks import end
from producers.services import NAMES, load
from tests.appending_log import AppendingLog
from tests.contract.brokers import Broker, Cli

ROOT = Path(__file__).resolve().parents[2]
HASH = "0123456789abcdef" * 4
SHA = "0" * 40
FORKS, OTHERS_FORKS = "bus:forks:{workflow:a}", "bus:forks:{patterns}"
STATE, AGES, KEYS = "bus:state:{pool:a}", "bus:ages:{pool:a}", "bus:keys:{pool:a}"
OTHERS_STATE = "bus:state:{workflow:a}"
LOG, OTHERS_LOG = "bus:log:{workflow:a}", "bus:log:{patterns}"
LAG_LOG = "bus:log:{workflow:edgebus-lag-1}"
GLOBAL_LOG, OTHERS_GLOBAL_LOG = "bus:log:{global:mahavishnu}", "bus:log:{global:dhruva}"
OWN, OTHERS = "bus:edge:mahavishnu-host-8690-1", "bus:edge:akosha-host-8692-1"
PROBE, OTHERS_PROBE = "bus:probe:mahavishnu-host-8690-1", "bus:probe:akosha-host-8692-1"
LOOK, OTHERS_LOOK = "bus:look:mahavishnu-host-8690-1", "bus:look:akosha-host-8692-1"
ADMIN, OTHERS_ADMIN = "bus:admin:mahavishnu-host-8690-1", "bus:admin:akosha-host-8692-1"

# Who may, by the first letter (producer, edge, operator); "-" is nobody.
TABLE = {
    # what every connection of the bus says first
    "CLIENT SETNAME edgebus-x": "PEO",
    "TIME": "PEO",
    "GET bus:birth": "PEO",
    "SETNX bus:epoch 1-1": "PEO",
    # publishing
    "SCRIPT LOAD return": "PO",
    f"EVALSHA {SHA} 1 {LOG}": "P",
    f"EVALSHA {SHA} 1 {LAG_LOG}": "PO",
    f"XADD {LAG_LOG} * a b": "PO",
    f"PEXPIRE {LAG_LOG} 1": "PEO",
    f"EVALSHA {SHA} 1 {GLOBAL_LOG}": "P",
    f"XADD {LOG} * a b": "P",
    "WAIT 1 100": "P",
    "CLIENT INFO": "PO",
    "CLIENT KILL ID 1 ADDR 127.0.0.1:1": "P",
    "PUBLISH workflow:a {}": "PO",
    "PUBLISH adapters {}": "PO",
    "PUBLISH global:mahavishnu {}": "PO",
    # reading logs
    f"XREVRANGE {LOG} + -": "PEO",
    f"XREVRANGE {GLOBAL_LOG} + -": "PEO",
    f"XINFO STREAM {LOG}": "PEO",
    f"XRANGE {LOG} - +": "PO",
    f"EXISTS {LOG}": "PO",
    f"XLEN {LOG}": "O",
    f"TTL {LOG}": "O",
    f"TYPE {LOG}": "O",
    "GET bus:epoch": "EO",
    "MULTI": "EO",
    "EXEC": "EO",
    # watching
    "SUBSCRIBE workflow:a": "EO",
    "SUBSCRIBE global:mahavishnu": "EO",
    "UNSUBSCRIBE workflow:a": "EO",
    "PSUBSCRIBE workflow:*": "O",
    "PUBSUB CHANNELS workflow:*": "O",
    "PUBSUB NUMSUB workflow:a": "O",
    "SCAN 0": "O",
    "CLIENT LIST": "O",
    "INFO": "EO",
    "ROLE": "EO",
    "PING": "O",
    # looking for what is wrong
    "SLOWLOG GET 128": "O",
    "LATENCY LATEST": "O",
    "ACL USERS": "O",
    "ACL DRYRUN me PING": "O",
    "SUBSCRIBE bus:doctor:a": "O",
    "PUBLISH bus:doctor:a a": "O",
    "LATENCY RESET": "-",
    "ACL GETUSER me": "-",
    # an edge's own
    f"HSET {OWN} a b": "E",
    f"PEXPIRE {OWN} 10000": "E",
    f"DEL {OWN}": "E",
    f"PEXPIRE {LOG} 10000": "PE",
    f"HGETALL {OWN}": "PO",
    f"SUBSCRIBE {PROBE}": "E",
    f"PUBLISH {PROBE} a": "E",
    # the registry, and operators' commands
    "ZADD bus:edges 1 mahavishnu-host-8690-1": "E",
    "ZREM bus:edges mahavishnu-host-8690-1": "E",
    "ZREMRANGEBYSCORE bus:edges -inf 1": "E",
    "ZRANGE bus:edges 0 -1": "PO",
    "DEL bus:edges": "-",
    f"HSET {LOOK} a b": "E",
    f"PEXPIRE {LOOK} 5000": "E",
    f"HGETALL {LOOK}": "O",
    f"HSET {OTHERS_LOOK} a b": "-",
    f"HGETALL {OTHERS_LOOK}": "-",
    f"PUBLISH {ADMIN} a": "O",
    f"SUBSCRIBE {ADMIN}": "E",
    f"PUBLISH {OTHERS_ADMIN} a": "-",
    f"SUBSCRIBE {OTHERS_ADMIN}": "-",
    "PUBLISH bus:told:0123 a": "E",
    "SUBSCRIBE bus:told:0123": "O",
    "UNSUBSCRIBE bus:told:0123": "EO",
    "PSUBSCRIBE bus:told:*": "-",
    "PSUBSCRIBE bus:admin:*": "-",
    f"MEMORY USAGE {LOG}": "O",
    f"MEMORY USAGE {OTHERS_LOG}": "-",
    "MEMORY DOCTOR": "-",
    # the stages of sampled events
    "HLEN bus:trace:e": "E",
    "HSET bus:trace:e a b": "E",
    "PEXPIRE bus:trace:e 1": "E",
    "UNLINK bus:trace:e": "E",
    "HGETALL bus:trace:e": "O",
    "ZADD bus:traces 1 e": "E",
    "ZCARD bus:traces": "E",
    "ZREM bus:traces e": "E",
    "ZREMRANGEBYSCORE bus:traces -inf 1": "E",
    "ZRANGE bus:traces 0 -1": "EO",
    "DEL bus:traces": "-",
    # where a log lost events
    f"ZRANGE {FORKS} 0 -1 WITHSCORES": "EO",
    f"ZADD {FORKS} 1 1-1": "E",
    f"ZREMRANGEBYRANK {FORKS} 0 -9": "E",
    f"PEXPIRE {FORKS} 1": "E",
    f"ZRANGE {OTHERS_FORKS} 0 -1 WITHSCORES": "-",
    f"ZADD {OTHERS_FORKS} 1 1-1": "-",
    f"ZADD {LOG} 1 1-1": "-",
    f"ZRANGE {LOG} 0 -1": "O",
    f"DEL {FORKS}": "-",
    # the state of a channel
    f"EVALSHA {SHA} 4 bus:log:{{pool:a}} {STATE} {AGES} {KEYS}": "P",
    f"HSET {STATE} a b": "P",
    f"HDEL {STATE} a": "P",
    f"ZADD {AGES} 1 a": "P",
    f"ZREM {KEYS} a": "P",
    f"HGET {STATE} a": "PO",
    f"HGETALL {STATE}": "O",
    f"TTL {STATE}": "O",
    f"ZRANGE {AGES} 0 -1": "PO",
    f"HRANDFIELD {STATE} 10 WITHVALUES": "EO",
    f"PEXPIRE {STATE} 1": "PE",
    f"PEXPIRE {KEYS} 1": "PE",
    f"DEL {STATE}": "-",
    f"HSET {OTHERS_STATE} a b": "-",
    f"HRANDFIELD {OTHERS_STATE} 10 WITHVALUES": "-",
    f"HGETALL {OTHERS_STATE}": "-",
    # revoked tokens
    "SUBSCRIBE bus:revoked": "EO",
    "ZRANGE bus:revoked 0 -1 WITHSCORES": "EO",
    "ZADD bus:revoked GT 1 user:a": "O",
    "ZREMRANGEBYSCORE bus:revoked 0 1": "O",
    "EXPIRE bus:revoked 1": "O",
    "PUBLISH bus:revoked a": "O",
    "DEL bus:revoked": "-",
    "ZREM bus:revoked user:a": "-",
    f"EXPIRE {LOG} 1": "-",
    # another service's
    f"EVALSHA {SHA} 1 {OTHERS_LOG}": "-",
    f"EVALSHA {SHA} 1 {OTHERS_GLOBAL_LOG}": "-",
    f"EVALSHA {SHA} 2 {LOG} {OTHERS_LOG}": "-",
    f"XADD {OTHERS_LOG} * a b": "-",
    f"XREVRANGE {OTHERS_LOG} + -": "-",
    f"XRANGE {OTHERS_GLOBAL_LOG} - +": "-",
    f"PEXPIRE {OTHERS_LOG} 1": "-",
    "PUBLISH patterns {}": "-",
    "PUBLISH global:dhruva {}": "-",
    "SUBSCRIBE patterns": "-",
    "SUBSCRIBE global:dhruva": "-",
    "SUBSCRIBE workflow:a patterns": "-",
    f"HSET {OTHERS} a b": "-",
    f"DEL {OTHERS}": "-",
    f"HGETALL {OTHERS}": "-",
    f"PUBLISH {OTHERS_PROBE} a": "-",
    # writing where one only reads, and past the ways of the bus
    f"DEL {LOG}": "-",
    f"UNLINK {LOG}": "-",
    f"XTRIM {LOG} MAXLEN 0": "-",
    f"XDEL {LOG} 1-1": "-",
    f"XSETID {LOG} 1-1": "-",
    f"RENAME {LOG} bus:log:{{workflow:b}}": "-",
    f"HSET {LOG} a b": "-",
    f"SET {LOG} a": "-",
    f"COPY {LOG} bus:epoch": "-",
    "SET bus:epoch 1-1": "-",
    "SET bus:epoch 1-1 NX": "-",
    "DEL bus:epoch": "-",
    "SETNX bus:birth 1-1": "-",
    "SET bus:birth 1-1": "-",
    "DEL bus:birth": "-",
    f"SETNX {LOG} a": "-",
    f"SETNX {OWN} a": "-",
    "GET other": "-",
    "SET other a": "-",
    f"EVAL return 1 {LOG}": "-",
    "EVAL return 0": "-",
    "FUNCTION LOAD x": "-",
    "SCRIPT FLUSH": "-",
    "PSUBSCRIBE *": "-",
    "SUBSCRIBE __keyspace@0__:x": "-",
    "SSUBSCRIBE other": "-",
    "PUBLISH bus:epoch a": "-",
    # the server
    "FLUSHALL": "-",
    "FLUSHDB": "-",
    "SWAPDB 0 1": "-",
    "KEYS *": "-",
    "MONITOR": "-",
    "CONFIG GET *": "-",
    "CONFIG SET maxmemory 1": "-",
    "DEBUG SLEEP 1": "-",
    "SHUTDOWN": "-",
    "SAVE": "-",
    "BGREWRITEAOF": "-",
    "REPLICAOF NO ONE": "-",
    "FAILOVER": "-",
    "ACL LIST": "-",
    "ACL SETUSER me": "-",
    "MODULE LIST": "-",
    "CLIENT PAUSE 1000": "-",
    "CLIENT NO-EVICT on": "-",
    "SLOWLOG RESET": "-",
    "MIGRATE host 1 a 0 1": "-",
    "RESTORE a 0 b": "-",
    f"DUMP {LOG}": "-",
}


@pytest.fixture
async def admin(real: Broker) -> AsyncIterator[Cli]:
    """Lend an administrator's connection to a server that has the users of mahavishnu."""
    client: Cli
    async with Redis.from_url(real.url, protocol=2, decode_responses=True) as client:
        for user in users([load("mahavishnu")], narrowed=True):
            await client.execute_command(*user.command(HASH).split())
        yield client


async def allowed(admin: Cli, name: str, command: str) -> bool:
    """Ask whether the user called ``name`` may; words that no server knows would be an error, not a refusal."""
    answer = await admin.execute_command("ACL", "DRYRUN", name, *command.split())
    assert answer == "OK" or "permission" in answer, answer
    return bool(answer == "OK")


async def test_users_may_what_the_table_says(admin: Cli) -> None:
    """Each command of the table is allowed to the users it names and refused to the others."""
    wrong = []
    for command, who in TABLE.items():
        for letter, role in (("P", "producer"), ("E", "edge"), ("O", "operator")):
            if await allowed(admin, f"edgebus-{role}-mahavishnu", command) != (letter in who):
                wrong.append(f"{role}: {command}")
    assert wrong == []


SHOP = Service(
    name="shop",
    port=1,
    welcome="",
    families=(Family("room:{id}", presence="members"), Family("crowd", presence="count"), Family("plain")),
    events=(),
)
ROOM, USERS, BEATS = "bus:presence:{room:a}", "bus:members:{room:a}", "bus:alive:shop"
PRESENCE = {
    "SCRIPT LOAD return": "PEO",
    f"EVALSHA {SHA} 2 {ROOM} {USERS}": "E",
    f"EVALSHA {SHA} 1 {BEATS}": "E",
    f"HSET {ROOM} a b": "E",
    f"HDEL {USERS} a": "E",
    f"HSCAN {USERS} 0": "E",
    f"HGETALL {USERS}": "EO",
    f"HGETALL {ROOM}": "EO",
    f"ZADD {BEATS} 1 a": "E",
    f"ZRANGE {BEATS} 0 -1": "EO",
    f"SUBSCRIBE {ROOM}": "EO",
    f"PUBLISH {ROOM} a": "E",
    f"DEL {ROOM}": "-",
    f"DEL {USERS}": "-",
    f"PUBLISH {BEATS} a": "-",
    "HSET bus:presence:{plain} a b": "-",
    "HGETALL bus:members:{plain}": "-",
    "ZADD bus:alive:other 1 a": "-",
    f"EVALSHA {SHA} 1 bus:log:{{plain}}": "P",
    "PUBLISH plain a": "PO",
}


async def test_users_of_a_service_with_presence_may_what_the_table_says(real: Broker) -> None:
    """An edge of such a service may exactly this beside; an operator reads; a producer gains nothing."""
    client: Cli
    wrong = []
    async with Redis.from_url(real.url, protocol=2, decode_responses=True) as client:
        for user in users([SHOP], narrowed=True):
            await client.execute_command(*user.command(HASH).split())
        for command, who in PRESENCE.items():
            for letter, role in (("P", "producer"), ("E", "edge"), ("O", "operator")):
                if await allowed(client, f"edgebus-{role}-shop", command) != (letter in who):
                    wrong.append(f"{role}: {command}")
    assert wrong == []


async def test_samples_of_newer_rights_are_allowed_and_were_not_before(admin: Cli) -> None:
    """Users of this version may each sample; without selectors and the newest commands, as before, they may not."""
    for role, commands in NEWER.items():
        name = f"edgebus-{role}-mahavishnu"
        assert [command for command in commands if not await allowed(admin, name, command)] == []
        await admin.execute_command("ACL", "SETUSER", name, "clearselectors", "-acl|users")
        assert [command for command in commands if await allowed(admin, name, command)] == []


async def test_table_would_notice_a_user_that_may_all(admin: Cli) -> None:
    """The control: asked about the default user, the dry run allows what it refuses to ours."""
    assert [
        command for command, who in TABLE.items() if who == "-" and not await allowed(admin, "default", command)
    ] == []


async def test_users_of_all_services_reach_every_family(admin: Cli) -> None:
    """Without a service named, the users reach every built-in service's channels and logs, and no others."""
    services = [load(name) for name in NAMES]
    for user in users(services):
        await admin.execute_command(*user.command(HASH).split())
    for service in services:
        for family in service.families:
            channel = family.fill("x" if family.field else None)
            assert await allowed(admin, "edgebus-edge", f"SUBSCRIBE {channel.redis}")
            assert await allowed(admin, "edgebus-producer", f"EVALSHA {SHA} 1 {channel.log_key}")
            assert await allowed(admin, "edgebus-operator", f"XRANGE {channel.log_key} - +")
    assert not await allowed(admin, "edgebus-edge", "SUBSCRIBE elsewhere:x")


async def test_command_replaces_a_user(admin: Cli) -> None:
    """A user that was there by that name keeps neither its passwords nor what it might."""
    user = users([load("mahavishnu")], narrowed=True)[1]
    await admin.execute_command("ACL", "SETUSER", user.name, "on", ">old", "~*", "&*", "+@all", "(+@all ~*)")
    await admin.execute_command(*user.command(HASH).split())
    assert not await allowed(admin, user.name, "FLUSHALL")
    described = await admin.execute_command("ACL", "GETUSER", user.name)
    assert described[described.index("passwords") + 1] == [HASH]


async def described(client: Cli) -> list[set[str]]:
    """Return the words of every user; their order is the server's affair, and a flag it sets by itself says nothing."""
    return [set(line.split()) - {"sanitize-payload"} for line in await client.execute_command("ACL", "LIST")]


async def test_file_of_entries_is_taken(binary: str | None, tmp_path: Path) -> None:
    """The lines of the other form are an ACL file that a server starts with, and give the same users."""
    file = tmp_path / "users.acl"
    made = users([load(name) for name in NAMES])
    file.write_text("user default on nopass ~* &* +@all\n" + "".join(f"{user.entry(HASH)}\n" for user in made))
    client: Cli
    with EmbeddedBroker(port=0, binary=binary, extra=["--aclfile", str(file)]) as server:
        async with Redis.from_url(server.url, protocol=2, decode_responses=True) as client:
            from_file = await described(client)
            for user in made:
                await client.execute_command(*user.command(HASH).split())
            assert await described(client) == from_file


async def test_dry_run_knows_its_commands(admin: Cli) -> None:
    """A misspelt command is an error of the dry run, so that no row of the table passes for being no command."""
    with pytest.raises(ResponseError):
        await admin.execute_command("ACL", "DRYRUN", "default", "FLUSHAL")


# Users that are logged in, since a dry run knows nothing of what one command makes of another.

PASSWORD = "of-the-test"
DIGEST = hashlib.sha256(PASSWORD.encode()).hexdigest()
WORKFLOW = load("mahavishnu").channel("workflow:a")
LAST = f"{2**64 - 1}-{2**64 - 1}"
UsersIn = Callable[..., Awaitable[dict[str, str]]]


def entry(number: int) -> Entry:
    return Entry(WORKFLOW, f"id{number}", "workflow.started", b'{"id":"id%d"}' % number)


@pytest.fixture
async def root(real: Broker) -> AsyncIterator[Cli]:
    """Lend an administrator."""
    async with Redis.from_url(real.url, protocol=2, decode_responses=True) as client:
        yield client


@pytest.fixture
def users_in(real: Broker, root: Cli) -> UsersIn:
    """Return what makes the three users, and gives their URLs by role."""

    async def make(**options: bool) -> dict[str, str]:
        made = users([load("mahavishnu")], narrowed=True, **options)
        for user in made:
            await root.execute_command(*user.command(DIGEST).split())
        return {user.role: with_login(real.url, user.name, PASSWORD) for user in made}

    return make


async def test_function_is_published_by_without_a_script_of_ones_own(root: Cli, users_in: UsersIn) -> None:
    """A producer that may load nothing publishes by the function, once, in order, and after SCRIPT FLUSH too."""
    urls = await users_in(by_function=True)
    await root.execute_command("FUNCTION", "LOAD", LIBRARY)
    async with AppendingLog(urls["producer"], name="edgebus-producer-test") as log:
        first = await log.append([entry(1), entry(2)])
        await root.script_flush()
        again = await log.append([replace(entry(2), since_ms=0), entry(3)])
    positions = [one.position for one in (*first, *again) if isinstance(one, Appended)]
    assert positions[1] == positions[2]
    kept = await root.xrange(WORKFLOW.log_key)
    assert [fields["id"] for _, fields in kept] == ["id1", "id2", "id3"]
    assert [fields["previous"] for _, fields in kept] == ["0-0", *(position for position, _ in kept[:2])]
    producer: Cli
    async with Redis.from_url(urls["producer"], protocol=2) as producer:
        for words in (("EVAL", "return 1", "0"), ("EVALSHA", SHA, "0"), ("SCRIPT", "LOAD", "return 1")):
            with pytest.raises(NoPermissionError):
                await producer.execute_command(*words)
        with pytest.raises(NoPermissionError):
            await producer.execute_command("FUNCTION", "LOAD", "REPLACE", LIBRARY)


@pytest.mark.parametrize("by_function", [False, True])
async def test_state_is_kept_with_the_rights_of_a_producer(root: Cli, users_in: UsersIn, by_function: bool) -> None:
    """The rights of `edgebus acl` are what the script for states needs: newest, removed, evicted, and no more."""
    urls = await users_in(by_function=by_function)
    if by_function:
        await root.execute_command("FUNCTION", "LOAD", KEYED_LIBRARY)
    pool = load("mahavishnu").channel("pool:a")
    assert pool.keyed is not None
    pool = replace(pool, keyed=replace(pool.keyed, max_keys=2))
    names = ("worker.added", "worker.status_changed", "worker.removed", "worker.added", "worker.added", "worker.added")
    some = [
        Entry(pool, f"id{number}", name, b'{"id":"id%d","data":{"worker_id":"w%d"}}' % (number, max(0, number - 2)))
        for number, name in enumerate(names)
    ]
    async with AppendingLog(urls["producer"], name="edgebus-producer-test") as log:
        assert all(isinstance(it, Appended) for it in await log.append(some))
    assert {"worker:w2", "worker:w3", "bus:evicted"} < {*await root.hkeys(STATE)}


@pytest.mark.parametrize("lost", ["+hset", "+zadd", "+pexpire", "+zrangebylex"])
async def test_refused_state_is_nowhere(real: Broker, root: Cli, lost: str) -> None:
    """A user who lacks a right that the state needs stores and publishes nothing, and the call is named."""
    made = users([load("mahavishnu")], narrowed=True)[0]
    rules = made.command(DIGEST).rpartition(lost)
    await root.execute_command(*(rules[0] + rules[2]).split())
    added = Entry(load("mahavishnu").channel("pool:a"), "id", "worker.added", b'{"id":"id","data":{"worker_id":"w"}}')
    async with AppendingLog(with_login(real.url, made.name, PASSWORD), name="edgebus-producer-test") as log:
        [outcome] = await log.append([added])
    assert isinstance(outcome, PublishError)
    assert await root.keys("bus:*{pool:a}") == []


async def test_function_that_is_not_there_is_named(users_in: UsersIn) -> None:
    """Nobody has loaded it yet, or that of another version: the error has the line for an administrator."""
    urls = await users_in(by_function=True)
    async with AppendingLog(urls["producer"], name="edgebus-producer-test") as log:
        [refused] = await log.append([entry(1)])
    assert isinstance(refused, PublishError)
    assert "edgebus acl --function | redis-cli" in str(refused)


async def test_log_goes_on_behind_the_last_of_all_ids(root: Cli, users_in: UsersIn) -> None:
    """A producer can append such an entry past the script; the next event of anybody takes it out of the log."""
    urls = await users_in()
    careless: Cli
    async with AppendingLog(urls["producer"], name="edgebus-producer-test") as log:
        await log.append([entry(1)])
        async with Redis.from_url(urls["producer"], protocol=2) as careless:
            await careless.execute_command("XADD", WORKFLOW.log_key, LAST, "a", "b")
        [appended] = await log.append([entry(2)])
    assert isinstance(appended, Appended)
    assert [fields.get("id") for _, fields in await root.xrange(WORKFLOW.log_key)] == ["id1", "id2"]


async def test_scripts_of_a_producer_have_its_own_rights(users_in: UsersIn) -> None:
    """SCRIPT LOAD and EVALSHA are as good as EVAL; what a script calls is refused as the user's own calls are."""
    urls = await users_in()
    producer: Cli
    async with Redis.from_url(urls["producer"], protocol=2) as producer:
        assert await producer.evalsha(await producer.script_load("return redis.call('EXISTS', KEYS[1])"), 1, LOG) == 0
        denied = await producer.script_load("return redis.call('DEL', KEYS[1])")
        with pytest.raises(ResponseError):
            await producer.evalsha(denied, 1, LOG)
        with pytest.raises(NoPermissionError):
            await producer.execute_command("EVAL", "return 1", "0")


async def test_commands_that_write_can_also_take_away(root: Cli, users_in: UsersIn) -> None:
    """What docs/acl.md says is left open is: logs by XADD and PEXPIRE, revocations by an operator's ZADD."""
    urls, key = await users_in(), WORKFLOW.log_key
    one: Cli
    async with AppendingLog(urls["producer"], name="edgebus-producer-test") as log:
        for role, command in (
            ("producer", f"XADD {key} MAXLEN 0 * a b"),
            ("producer", f"PEXPIRE {key} -1"),
            ("edge", f"PEXPIRE {key} -1"),
        ):
            await log.append([entry(1)])
            async with Redis.from_url(urls[role], protocol=2) as one:
                await one.execute_command(*command.split())
            assert await root.xlen(key) == 0, command
    for role in ("operator", "producer", "edge"):
        async with Redis.from_url(urls[role], protocol=2) as one:
            if role == "operator":
                await one.execute_command("ZADD", "bus:revoked", "GT", "5", "user:eve")
                await one.execute_command("ZADD", "bus:revoked", "0", "user:eve")
                assert await root.zscore("bus:revoked", "user:eve") == 0.0
            else:
                with pytest.raises(NoPermissionError):
                    await one.execute_command("ZADD", "bus:revoked", "0", "user:eve")


@pytest.mark.parametrize(
    ("change", "loses", "keeps"),
    [
        ("edgebus-edge -pexpire", [f"PEXPIRE {LOG} 1"], [f"PEXPIRE {OWN} 1", f"PEXPIRE {FORKS} 1"]),
        ("edgebus-producer -client|kill", ["CLIENT KILL ID 1 ADDR 127.0.0.1:1"], ["CLIENT INFO"]),
        (
            "edgebus-operator clearselectors",
            ["ZADD bus:revoked 0 user:a", "EXPIRE bus:revoked 0", "SETNX bus:epoch 1-1"],
            ["ZRANGE bus:revoked 0 -1", "PUBLISH workflow:a {}"],
        ),
    ],
)
async def test_what_the_page_takes_away_is_gone(admin: Cli, change: str, loses: list[str], keeps: list[str]) -> None:
    """The lines of docs/acl.md that narrow a user further take away what they say, and nothing that it needs."""
    assert f"ACL SETUSER {change}`" in (ROOT / "docs" / "acl.md").read_text("utf-8")
    name, rule = change.split()
    await admin.execute_command("ACL", "SETUSER", f"{name}-mahavishnu", rule)
    assert [await allowed(admin, f"{name}-mahavishnu", command) for command in loses] == [False] * len(loses)
    assert [await allowed(admin, f"{name}-mahavishnu", command) for command in keeps] == [True] * len(keeps)


PAINTED = Family("painted:{id}", keyed=Keyed({"paint.done": "part:{part}"}))
STROKE = Family("stroke:{id}", LIVE)
QUIET = Family("quiet:{id}")


class Painted(Event, event="paint.done", channels=(PAINTED, STROKE)):
    id: str
    part: str


class Hushed(Event, event="quiet.done", channels=(QUIET,)):
    id: str


STUDIO = Service(
    name="studio",
    port=1,
    welcome="",
    families=(PAINTED, STROKE, QUIET),
    events=(Painted, Hushed),
    client_events=(ClientEvent(Painted, "paint:write"),),
)
PAINTED_LOG, ONCE, PAINTED_STATE = "bus:log:{painted:a}", "bus:once:{painted:a}:1:x", "bus:state:{painted:a}"
CLIENTS = {
    "SCRIPT LOAD return": "PEO",
    f"EVALSHA {SHA} 2 {PAINTED_LOG} {ONCE}": "E",
    f"XADD {PAINTED_LOG} * a b": "PE",
    f"XRANGE {PAINTED_LOG} - +": "PEO",
    f"GET {ONCE}": "EO",
    f"SET {ONCE} a PX 1": "E",
    f"HSET {PAINTED_STATE} a b": "PE",
    "PUBLISH painted:a {}": "PEO",
    "PUBLISH stroke:a {}": "PEO",
    "PUBLISH quiet:a {}": "PO",
    "XADD bus:log:{quiet:a} * a b": "P",
    "XADD bus:log:{stroke:a} * a b": "P",
    "SET bus:once:{quiet:a}:1:x a": "-",
    f"EVALSHA {SHA} 1 bus:log:{{quiet:a}}": "P",
    f"SET {PAINTED_LOG} a": "-",
    f"DEL {ONCE}": "-",
    f"DEL {PAINTED_LOG}": "-",
    "CLIENT INFO": "PO",
    "CLIENT KILL ID 1 ADDR 127.0.0.1:1": "P",
}


async def test_users_of_a_service_whose_clients_publish_may_what_the_table_says(real: Broker) -> None:
    """An edge of such a service may publish what is open to clients, and nothing else; others gain nothing."""
    client: Cli
    wrong = []
    async with Redis.from_url(real.url, protocol=2, decode_responses=True) as client:
        for user in users([STUDIO], narrowed=True):
            await client.execute_command(*user.command(HASH).split())
        for command, who in CLIENTS.items():
            for letter, role in (("P", "producer"), ("E", "edge"), ("O", "operator")):
                if await allowed(client, f"edgebus-{role}-studio", command) != (letter in who):
                    wrong.append(f"{role}: {command}")
    assert wrong == []


@pytest.mark.parametrize("by_function", [False, True])
async def test_edge_publishes_for_clients_under_its_user(real: Broker, by_function: bool) -> None:
    """A logged-in edge stores once, and ``ACL LOG`` has no refusal but the script of an edge that calls a function."""
    client: Cli
    async with Redis.from_url(real.url, protocol=2, decode_responses=True) as client:
        await client.execute_command("FUNCTION", "LOAD", "REPLACE", ONCE_LIBRARY)
        for user in users([STUDIO], narrowed=True, by_function=by_function):
            await client.execute_command(*user.command(hashlib.sha256(b"secret").hexdigest()).split())
        url = with_login(real.url, "edgebus-edge-studio", "secret")
        outgoing = Outgoing(url, name="edgebus-edge-studio", logger=logging.getLogger("edgebus.edges"))
        task = asyncio.create_task(outgoing.run())
        event = Painted(id="a", part="p")
        made = Attempt("1", "2026")
        answers = [await outgoing.publish(compose(event, made=made), made, deadline_s=10, once="1:x") for _ in range(2)]
        await end([task])
        assert answers[0].positions == answers[1].positions
        assert await client.xlen(PAINTED_LOG) == 1
        assert await client.hlen(PAINTED_STATE) > 0
        refused = [entry["object"] for entry in await client.acl_log()]
        assert refused == (["script|load"] if by_function else [])


async def test_edge_with_presence_writes_under_its_user(real: Broker) -> None:
    """A logged-in edge beats, writes, reads, prunes and keeps a room, and ``ACL LOG`` has no refusal."""
    client: Cli
    async with Redis.from_url(real.url, protocol=2, decode_responses=True) as client:
        for user in users([SHOP], narrowed=True):
            await client.execute_command(*user.command(hashlib.sha256(b"secret").hexdigest()).split())
        room, crowd = SHOP.channel("room:a"), SHOP.channel("crowd")
        url = with_login(real.url, "edgebus-edge-shop", "secret")
        async with PresenceStore(url, name="edgebus-edge-shop", service="shop") as store:
            assert (await store.beat("shop-1")).is_alive
            text = Member("alice", {}, "2026").dump()
            writes = [Write(room, "shop-1", 1, [("alice", text)]), Write(crowd, "shop-1", 2)]
            assert await store.write(writes) == [None, None]
            assert list((await store.read(room, limit=10)).members) == ["alice"]
            assert (await store.read(crowd, limit=10)).count == 2
            assert await store.keep([room, crowd]) == [(True, ("shop-1",)), (True, ("shop-1",))]
            await store.edges()
            assert await store.bury("shop-1")
            await store.prune([room, crowd], "shop-1")
            assert (await store.read(room, limit=10)).count == 0
        assert await client.execute_command("ACL", "LOG") == []

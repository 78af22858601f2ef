"""The users of ``bus.acl`` on real servers: what each may do, and what not, against a table typed by hand."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from bus.acl import users
from bus.embedded import EmbeddedBroker
from producers.services import NAMES, load
from tests.contract.brokers import Broker, Cli

HASH = "0123456789abcdef" * 4
SHA = "0" * 40
FORKS, OTHERS_FORKS = "bus:forks:{workflow:a}", "bus:forks:{patterns}"
LOG, OTHERS_LOG = "bus:log:{workflow:a}", "bus:log:{patterns}"
GLOBAL_LOG, OTHERS_GLOBAL_LOG = "bus:log:{global:mahavishnu}", "bus:log:{global:dhruva}"
OWN, OTHERS = "bus:edge:mahavishnu-host-8690-1", "bus:edge:akosha-host-8692-1"
PROBE, OTHERS_PROBE = "bus:probe:mahavishnu-host-8690-1", "bus:probe:akosha-host-8692-1"

# Who may, by the first letter (producer, edge, operator); "-" is nobody.
TABLE = {
    # what every connection of the bus says first
    "CLIENT SETNAME edgebus-x": "PEO",
    "TIME": "PEO",
    "SETNX bus:birth 1-1": "PEO",
    # publishing
    "SCRIPT LOAD return": "P",
    f"EVALSHA {SHA} 1 {LOG}": "P",
    f"EVALSHA {SHA} 1 {GLOBAL_LOG}": "P",
    f"XADD {LOG} * a b": "P",
    "WAIT 1 100": "P",
    "CLIENT INFO": "P",
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
    "GET bus:birth": "EO",
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
    "ROLE": "E",
    "PING": "O",
    # an edge's own
    f"HSET {OWN} a b": "E",
    f"PEXPIRE {OWN} 10000": "E",
    f"DEL {OWN}": "E",
    f"PEXPIRE {LOG} 10000": "PE",
    f"HGETALL {OWN}": "O",
    f"SUBSCRIBE {PROBE}": "E",
    f"PUBLISH {PROBE} a": "E",
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
    f"COPY {LOG} bus:birth": "-",
    "SET bus:birth 1-1": "-",
    "SET bus:birth 1-1 NX": "-",
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
    "PUBLISH bus:birth a": "-",
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

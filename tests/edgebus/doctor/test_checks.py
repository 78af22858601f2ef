"""The table of checks, each with facts that pass, that warn and that fail; no server is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from edgebus.doctor.checks import CHECKS, judge
from edgebus.doctor.facts import Edge, Facts, Loop, Replica, SentinelWord, Server, Slow, Spike
from edgebus.doctor.finding import Finding, Level

NOW_S = 1_800_000_000.0
DAY_S = 86_400
MIB = 2**20
LIMITS = "normal 0 0 0 slave 268435456 67108864 60 pubsub {} {} 60"
INFO = {
    "redis_version": "7.0.15",
    "role": "master",
    "uptime_in_seconds": "7200",
    "cluster_enabled": "0",
    "used_memory": str(10 * MIB),
    "maxmemory": str(100 * MIB),
    "maxmemory_policy": "noeviction",
    "total_system_memory": str(2**34),
    "evicted_keys": "0",
    "aof_enabled": "1",
    "connected_clients": "10",
    "maxclients": "10000",
    "master_repl_offset": "1000",
    "connected_slaves": "1",
    "slave0": "ip=10.0.0.2,port=6390,state=online,offset=990,lag=0",
}
CONFIG = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "dir": "/data"}
CONFIG["client-output-buffer-limit"] = LIMITS.format(32 * MIB, 8 * MIB)
USERS = {"default": frozenset({"off"}), "edgebus-edge": frozenset({"on", "#aa", "+ping"})}


def server(info: Mapping[str, str] | None = None, config: Mapping[str, str] | None = None, **more: Any) -> Server:
    """Return a server that is well, but for what is given."""
    well: dict[str, Any] = {
        "place": "10.0.0.1:6390",
        "cli": "redis-cli -h 10.0.0.1 -p 6390",
        "slow": [],
        "spikes": [],
        "users": frozenset(USERS),
        "rules": USERS,
        "took_ms": [0.3, 0.2, 0.4],
        "clock_ms": 1.0,
    }
    return Server(info={**INFO, **(info or {})}, config={**CONFIG, **(config or {})}, **{**well, **more})


def replica(there: Server | None = None, **more: Any) -> Replica:
    well = server({"role": "slave"}, place="10.0.0.2:6390", cli="redis-cli -h 10.0.0.2 -p 6390")
    return replace(Replica("10.0.0.2:6390", server=there or well, cli="redis-cli -h 10.0.0.2 -p 6390"), **more)


def edge(number: int = 1, **more: Any) -> Edge:
    well: dict[str, Any] = {
        "service": "weather",
        "host": "web-1",
        "port": 8700,
        "pid": 4242,
        "version": "1.0",
        "catalogue": "aaa",
        "started": number,
        "silent_ms": 900,
        "probe_age_ms": 2_000,
        "max_connections": 1_000,
        "fds": 50,
        "fds_limit": 65_536,
        "certificate_ends_s": NOW_S + 90 * DAY_S,
        "clock_ms": 3.0,
    }
    return Edge(f"weather-web-1-8700-{number}", **{**well, **more})


def facts(**more: Any) -> Facts:
    """Return facts of a bus that is well, but for what is given."""
    well: dict[str, Any] = {
        "server": server(),
        "now_s": NOW_S,
        "host": "web-1",
        "replicas": (replica(),),
        "edges": (edge(1), edge(2)),
        "loop": Loop([0.4, 0.5]),
    }
    return Facts("redis://10.0.0.1:6390", **{**well, **more})


def of_server(info: Mapping[str, str] | None = None, config: Mapping[str, str] | None = None, **more: Any) -> Facts:
    return facts(server=server(info, config, **more))


def of_edges(*edges: Edge) -> Facts:
    return facts(edges=edges)


def slow(micros: int, age_s: float) -> Facts:
    return of_server(slow=[Slow(int(NOW_S - age_s), micros, "XRANGE", "edgebus-edge-weather-8700")])


def there(info: Mapping[str, str] | None = None, config: Mapping[str, str] | None = None, **more: Any) -> Facts:
    """Return facts with another server as the replica."""
    made = server({"role": "slave", **(info or {})}, config, **{"place": "10.0.0.2:6390", "cli": "THERE", **more})
    return facts(replicas=(replica(made),))


GONE = Edge("weather-web-1-8701-4243-ab", service="weather", host="web-1", port=8701, pid=4243, gone_ms=40_000)
SENTINELS = [SentinelWord("s1:26379", "10.0.0.1:6390"), SentinelWord("s2:26379", "10.0.0.1:6390")]


@dataclass(frozen=True)
class Row:
    """What is found of the facts by a check."""

    check: str
    level: str
    facts: Facts
    says: str
    fix: str = ""
    where: str = ""


WARN, FAIL, OK = "warn", "fail", "ok"
ROWS: Sequence[Row] = (
    Row("reach", OK, facts(), "Redis 7.0.15 at redis://10.0.0.1:6390, up 2 h, asked as user default"),
    Row("reach", OK, of_server({"valkey_version": "9.1.2"}), "Valkey 9.1.2"),
    Row(
        "reach",
        FAIL,
        of_server({"role": "slave", "master_host": "10.0.0.9", "master_port": "6390"}),
        "is a replica of 10.0.0.9:6390",
        "edgebus doctor --redis redis://10.0.0.9:6390",
    ),
    Row("reach", FAIL, of_server({"cluster_enabled": "1"}), "a node of a cluster", "edgebus broker --dir DATA"),
    Row("version", OK, facts(), "7 or newer"),
    Row("version", FAIL, of_server({"redis_version": "6.2.1"}), "older than 7", "apt-get install redis-server"),
    Row("eviction", OK, facts(), "noeviction"),
    Row(
        "eviction",
        WARN,
        of_server({"maxmemory": "0", "maxmemory_policy": "allkeys-lru"}),
        "once a maxmemory is set",
        "redis-cli -h 10.0.0.1 -p 6390 CONFIG SET maxmemory-policy noeviction",
    ),
    Row(
        "eviction",
        FAIL,
        of_server({"maxmemory_policy": "volatile-lru", "evicted_keys": "7"}),
        "it has dropped 7 keys",
        "redis-cli -h 10.0.0.1 -p 6390 CONFIG SET maxmemory-policy noeviction",
    ),
    Row("output", OK, facts(), "pubsub 33554432 8388608 60 holds a burst"),
    Row(
        "output",
        WARN,
        of_server(config={"client-output-buffer-limit": LIMITS.format(MIB, 0)}),
        "a burst of the largest events (256 KiB) cuts an edge off",
        "CONFIG SET client-output-buffer-limit 'pubsub 8388608 0 60'",
    ),
    Row(
        "output",
        FAIL,
        of_server(config={"client-output-buffer-limit": LIMITS.format(1000, 0)}),
        "one event of the largest size",
        "CONFIG SET client-output-buffer-limit 'pubsub 8388608 0 60'",
    ),
    Row("persistence", OK, facts(), "append-only file: a crash loses about a second"),
    Row(
        "persistence",
        OK,
        of_server({"aof_enabled": "0"}, {"appendonly": "no", "save": "3600 1"}),
        "snapshots (save 3600 1)",
    ),
    Row(
        "persistence",
        WARN,
        of_server({"aof_enabled": "0"}),
        "nothing is kept",
        "redis-cli -h 10.0.0.1 -p 6390 CONFIG SET appendonly yes",
    ),
    Row(
        "persistence",
        WARN,
        of_server({"aof_enabled": "0"}, {"dir": "/var/edgebus-broker-abc"}),
        "nothing is kept",
        "edgebus broker --port 6390 --dir DATA",
    ),
    Row(
        "persistence", WARN, of_server(config={"appendfsync": "no"}), "half a minute", "CONFIG SET appendfsync everysec"
    ),
    Row("persistence", FAIL, of_server({"rdb_last_bgsave_status": "err"}), "could not write", "df -h /data"),
    Row("memory", OK, facts(), "10 MiB of maxmemory 100 MiB"),
    Row("memory", WARN, of_server({"maxmemory": "0"}), "no maxmemory", "CONFIG SET maxmemory 8589934592"),
    Row("memory", WARN, of_server({"used_memory": str(85 * MIB)}), "85 MiB of", f"CONFIG SET maxmemory {200 * MIB}"),
    Row("memory", FAIL, of_server({"used_memory": str(99 * MIB)}), "publishes fail", f"maxmemory {200 * MIB}"),
    Row("clients", OK, facts(), "10 of 10000"),
    Row("clients", WARN, of_server({"connected_clients": "8500"}), "8500 of 10000", "CONFIG SET maxclients 20000"),
    Row("clients", FAIL, of_server({"connected_clients": "9999"}), "is refused", "CONFIG SET maxclients 20000"),
    Row("slowlog", OK, facts(), "0 slow commands"),
    Row("slowlog", OK, slow(20_000, 60), "the longest 20 ms"),
    Row("slowlog", OK, slow(900_000, 3_600), "0 slow commands in the last 15 min"),
    Row("slowlog", WARN, slow(120_000, 60), "XRANGE of edgebus-edge-weather-8700, took 120 ms", "SLOWLOG RESET"),
    Row("latency", OK, facts(), "an answer takes 0.3 ms"),
    Row("latency", OK, of_server(spikes=[Spike("fork", int(NOW_S - 7_200), 900)]), "0.3 ms"),
    Row(
        "latency",
        WARN,
        of_server(took_ms=[50.0, 60.0, 55.0]),
        "55 ms",
        "redis-cli -h 10.0.0.1 -p 6390 --latency-history",
    ),
    Row(
        "latency",
        WARN,
        of_server(spikes=[Spike("fork", int(NOW_S - 60), 900)]),
        "900 ms in the last hour (fork)",
        "RESET",
    ),
    Row("latency", FAIL, of_server(took_ms=[2_000.0]), "2 s", "INFO commandstats"),
    Row("loop", OK, facts(), "heard on a second connection in 0.5 ms"),
    Row("loop", FAIL, facts(loop=Loop(trouble="nothing came")), "nothing came", "CLIENT LIST TYPE pubsub"),
    Row("sentinels", OK, facts(is_sentinel=True, sentinels=SENTINELS), "2 of 2 answer, and agree on 10.0.0.1:6390"),
    Row(
        "sentinels",
        WARN,
        facts(sentinels=[*SENTINELS, SentinelWord("s3:26379", trouble="connection refused")]),
        "connection refused",
        "redis-cli -h s3 -p 26379 SENTINEL MASTERS",
        "s3:26379",
    ),
    Row(
        "sentinels",
        FAIL,
        facts(sentinels=[*SENTINELS, SentinelWord("s3:26379", "10.0.0.2:6390")]),
        "different primaries: 10.0.0.1:6390, 10.0.0.2:6390",
        "redis-cli -h s1 -p 26379 SENTINEL MASTERS",
    ),
    Row("replication", OK, facts(replicas=()), "no replica"),
    Row("replication", OK, facts(), "follows", where="10.0.0.2:6390"),
    Row("replication", WARN, facts(replicas=(replica(lag_s=9),)), "9 s and 0 B behind", "INFO replication"),
    Row("replication", WARN, facts(replicas=(replica(behind_bytes=9 * MIB),)), "9 MiB behind", "INFO replication"),
    Row("replication", FAIL, facts(replicas=(replica(lag_s=60),)), "60 s and", "INFO replication"),
    Row("replication", FAIL, facts(replicas=(replica(state="wait_bgsave"),)), "(wait_bgsave)", "INFO replication"),
    Row(
        "replication",
        FAIL,
        facts(is_sentinel=True, replicas=()),
        "nothing could be promoted",
        "--replicaof 10.0.0.1 6390",
    ),
    Row(
        "users",
        WARN,
        of_server(lacking={"edgebus-edge": "ZADD bus:edges 1 id"}, without_scripts=frozenset({"edgebus-producer"})),
        "older edgebus: it may not ZADD bus:edges 1",
        r"edgebus acl --function $(redis-cli -h 10.0.0.1 -p 6390 ACL LIST | sed -nE 's/^user edgebus-([a-z]+) .*#",
        "edgebus-edge",
    ),
    Row(
        "users",
        WARN,
        of_server(lacking={"edgebus-edge-own": "ZADD bus:edges 1 id"}),
        "older edgebus",
        r"edgebus acl --service own $(redis-cli -h 10.0.0.1 -p 6390 ACL LIST | sed -nE 's/^user edgebus-([a-z]+)-own ",
    ),
    Row("users", OK, facts(), "has the same users (2)"),
    Row("users", OK, facts(server=server(rules=None)), "users of the same names"),
    Row("users", WARN, facts(replicas=(replica(server=None, trouble="refused"),)), "cannot be asked", "ACL USERS"),
    Row(
        "users", FAIL, facts(replicas=(replica(is_login=True, trouble="WRONGPASS"),)), "refuses the log-in", "| sed -n"
    ),
    Row(
        "users",
        FAIL,
        there(users=frozenset({"default"})),
        "has no user edgebus-edge",
        "ACL LIST | sed -n",
        "10.0.0.2:6390",
    ),
    Row(
        "users",
        FAIL,
        there(rules={**USERS, "edgebus-edge": frozenset({"on", "#bb"})}),
        "another password or other rights",
        "redis-cli -h 10.0.0.1 -p 6390 ACL LIST | sed -n '/^user default /!s",
    ),
    Row(
        "users",
        FAIL,
        there(rules={**USERS, "default": frozenset({"on", "nopass"})}),
        "lets in whoever gives no name",
        "sed -n 's/^user default /ACL SETUSER default reset /p'",
    ),
    Row(
        "eviction", FAIL, there({"maxmemory_policy": "allkeys-lru"}), "allkeys-lru", "THERE CONFIG SET", "10.0.0.2:6390"
    ),
    Row("edges", OK, facts(), "2 edges of 1 service: weather"),
    Row("edges", WARN, of_edges(), "no edge announces itself", "edgebus edge SERVICE"),
    Row("edges", WARN, of_edges(edge(1), GONE), "is gone without a farewell, for 40 s", "ZREM bus:edges", GONE.id),
    Row("edges", WARN, of_edges(edge(1), GONE), "is gone", "edgebus edge weather --port 8701"),
    Row("edges", OK, of_edges(edge(1), replace(GONE, port=8700)), "1 edge of 1 service"),
    Row("hearing", OK, facts(), "the probe of 2 edges is heard"),
    Row("hearing", OK, of_edges(edge()), "the probe of 1 edge is"),
    Row("hearing", WARN, of_edges(edge(listeners=2)), "2 links", "CLIENT LIST TYPE pubsub", edge().id),
    Row("hearing", WARN, of_edges(edge(ready="every place is taken")), "every place", "curl http://web-1:8700/readyz"),
    Row("hearing", WARN, of_edges(edge(is_draining=True, listeners=0)), "is drained", f"edgebus undrain {edge().id}"),
    Row("hearing", WARN, of_edges(edge(age_ms=2_000, link="down: x")), "a moment ago, and is deaf", "edgebus doctor"),
    Row("hearing", FAIL, of_edges(edge(age_ms=9_000, link="down: x")), "is deaf: down: x", "kill -TERM"),
    Row("hearing", FAIL, of_edges(edge(runs=False)), "is dead", "edgebus edge weather --port 8700"),
    Row("hearing", FAIL, of_edges(edge(runs=False)), "is dead", f"DEL bus:edge:{edge().id}"),
    Row("hearing", FAIL, of_edges(edge(listeners=0)), "claims a link, and nobody hears", "kill -TERM 4242"),
    Row(
        "hearing",
        FAIL,
        of_edges(edge(listeners=0, link="down (refused)")),
        "has no link (down (refused))",
        "kill -TERM",
    ),
    Row("hearing", FAIL, of_edges(edge(link="deaf: no probe")), "is deaf: deaf: no probe", "kill -TERM 4242"),
    Row("hearing", FAIL, of_edges(edge(probe_age_ms=40_000)), "40 s ago", "edgebus edge weather --port 8700"),
    Row("hearing", FAIL, of_edges(edge(silent_ms=9_000)), "nothing was heard of it for 9 s", "kill -KILL 4242"),
    Row("agreement", OK, facts(), "2 edges, one catalogue, version 1.0", where="weather"),
    Row(
        "agreement", OK, of_edges(edge(1), edge(2), edge(3, catalogue="b", is_draining=True)), "2 edges, one catalogue"
    ),
    Row("agreement", WARN, of_edges(edge(1), edge(2, version="2.0")), "(1.0, 2.0)", f"edgebus drain {edge(1).id}"),
    Row(
        "agreement",
        FAIL,
        of_edges(edge(1), edge(2, catalogue="b")),
        "different catalogues",
        f"edgebus drain {edge(1).id}",
    ),
    Row("descriptors", OK, facts(), "2 edges with descriptors"),
    Row(
        "descriptors",
        WARN,
        of_edges(edge(fds_limit=256)),
        "256 descriptors, and is to take 1000",
        "--nofile=1064: || sudo prlimit",
    ),
    Row(
        "descriptors",
        WARN,
        of_edges(edge(fds=900, fds_limit=1024)),
        "900 of 1024",
        "prlimit --pid 4242 --nofile=2048: || sudo prlimit",
    ),
    Row("descriptors", FAIL, of_edges(edge(fds=1020, fds_limit=1024)), "1020 of 1024", "LimitNOFILE=2048"),
    Row("clock", OK, facts(), "this host is 1 ms behind Redis"),
    Row("clock", OK, of_server(clock_ms=600.0, took_ms=[400.0]), "600 ms behind"),
    Row("clock", WARN, of_server(clock_ms=-900.0), "900 ms ahead of Redis", "timedatectl set-ntp true"),
    Row("clock", FAIL, of_server(clock_ms=9_000.0), "this host is 9 s behind", "timedatectl set-ntp true"),
    Row(
        "clock", WARN, of_edges(edge(clock_ms=800.0, host="web-2")), "web-2 is 800 ms ahead", "set-ntp true  # on web-2"
    ),
    Row("clock", FAIL, of_edges(edge(clock_ms=-6_000.0, host="web-2")), "web-2 is 6 s behind", "set-ntp true"),
    Row("certificate", OK, facts(), "is good for 90 days", where=edge(1).id),
    Row("certificate", WARN, of_edges(edge(certificate_ends_s=NOW_S + 9 * DAY_S)), "9 days", "openssl s_client"),
    Row("certificate", FAIL, of_edges(edge(certificate_ends_s=NOW_S + DAY_S)), "24 h", "-connect web-1:8700"),
    Row("certificate", FAIL, facts(certificate_ends_s=NOW_S - DAY_S), "ended 24 h ago", "-connect 10.0.0.1:6390"),
    Row(
        "rights",
        WARN,
        of_server(refused=("+config|get",), user="edgebus-operator"),
        "grant +config|get",
        "redis-cli -h 10.0.0.1 -p 6390 ACL SETUSER edgebus-operator '+config|get'",
    ),
    Row("rights", WARN, facts(loop=None), "cannot look at the way of an event", "'&bus:doctor:*'"),
    Row("rights", WARN, facts(edges=None), "cannot look at edges", "'%R~bus:edge:*'"),
)


def found(row: Row) -> list[Finding]:
    return [it for it in judge(row.facts) if it.check == row.check and it.level == row.level and row.says in it.text]


@pytest.mark.parametrize("row", ROWS, ids=[f"{number}-{row.check}-{row.level}" for number, row in enumerate(ROWS)])
def test_facts_are_found(row: Row) -> None:
    """Each row's facts lead to a finding of the row's level, with the row's line to type."""
    assert found(row), list(judge(row.facts))
    assert any(row.fix in "\n".join(it.fix) and it.where.startswith(row.where) for it in found(row)), found(row)


def test_bus_that_is_well_has_no_finding_but_ok() -> None:
    """The control: without the fault of a row there is no other finding than ok."""
    assert {it.level for it in judge(facts())} == {Level.OK}


def test_one_fault_is_one_finding() -> None:
    """A row's fault is told by its own check alone, but for what one fact means to two."""
    both = {("eviction", "memory"), ("clock", "latency"), ("agreement", "hearing")}
    for row in ROWS:
        bad = {it.check for it in judge(row.facts) if it.level is not Level.OK}
        assert all(it == row.check or (row.check, it) in both for it in bad), (row.check, row.says, bad)


def test_every_fault_has_a_line_to_type_and_ok_none() -> None:
    """A finding that is not ok says what to type, on one line each."""
    for row in ROWS:
        for finding in judge(row.facts):
            assert bool(finding.fix) == (finding.level is not Level.OK), finding
            assert not any("\n" in line for line in finding.fix)


def test_every_check_has_rows() -> None:
    """Each check is in the table with a finding that is ok, where ok is ever said, and with one that is not."""
    told = {it.check for row in ROWS for it in judge(row.facts)}
    assert told == {row.check for row in ROWS}
    assert {row.check for row in ROWS if row.level != OK} == told
    assert {row.check for row in ROWS if row.level == OK} == told - {"rights"}
    assert len(set(CHECKS)) == len(CHECKS)


def test_server_that_tells_nothing_costs_no_check() -> None:
    """Of a server behind a proxy that answers nothing, what is not known is not judged, and nothing breaks."""
    bare = facts(server=Server(), replicas=(replica(Server()),), edges=(Edge("x"),))
    assert {it.level for it in judge(bare)} <= {Level.OK, Level.WARN}

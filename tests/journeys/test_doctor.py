"""``edgebus doctor`` against real servers and edges: faults are found, and the lines to type mend them."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

from bus.admin.operator import Operator
from bus.broker.embedded import EmbeddedBroker
from edgebus.doctor.examination import examine
from edgebus.doctor.finding import Finding, Level
from edgebus.lab.stage.servers import Sentinel
from tests.journeys.acl import ADMIN, redis_cli, users_only
from tests.journeys.processes import DEADLINE_S, EDGEBUS, Processes, Running, edgebus, environment, program, until
from tests.ports import free_port

NAME, _, PASSWORD = ADMIN.partition(":")


def type_lines(*lines: str, env: Mapping[str, str] | None = None) -> None:
    """Run lines as a person does, in a shell; the administrator's name is put in."""
    for line in lines:
        command = line.replace("--user ADMIN", f"--user {NAME}").replace(" --askpass", "")
        ran = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=True,
        )
        assert "ERR" not in ran.stdout + ran.stderr, (line, ran)
        assert "NOPERM" not in ran.stdout, (line, ran)


async def findings(url: str, *checks: str) -> dict[str, Finding]:
    """Examine, and return the worst finding of each check, of those named or of all."""
    report = await examine(url)
    assert report.is_reached, report
    worst: dict[str, Finding] = {}
    for finding in sorted(report.findings, key=lambda it: list(Level).index(it.level)):
        if not checks or finding.check in checks:
            worst[finding.check] = finding
    return worst


@pytest.fixture
def ill(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """Lend a Redis that is set up to lose events in several ways."""
    extra = ("--enable-debug-command", "local", "--latency-monitor-threshold", "50")
    with EmbeddedBroker(0, tmp_path, binary=program("redis-server", "redis-server"), extra=extra) as broker:
        with Redis.from_url(broker.url) as redis:
            redis.config_set("appendonly", "no")
            redis.config_set("client-output-buffer-limit", "pubsub 1000 0 0")
            redis.config_set("maxmemory-policy", "allkeys-lru")
            redis.execute_command("DEBUG", "SLEEP", "0.12")
            redis.config_set("maxmemory", int(redis.info("memory")["used_memory"] * 1.1))
        yield broker


ILL = {
    "persistence": Level.WARN,
    "output": Level.FAIL,
    "eviction": Level.FAIL,
    "slowlog": Level.WARN,
    "latency": Level.WARN,
}


async def test_lines_to_type_mend_a_redis_that_is_set_up_badly(ill: EmbeddedBroker) -> None:
    """Each fault is found with the right level; its lines are typed, and the next look finds all of them well."""
    found = await findings(ill.url, *ILL, "memory")
    # How full a memory of a megabyte is depends on who looks: each connection takes some of it.
    assert {it: found[it].level for it in ILL} == ILL, found
    assert found["memory"].level is not Level.OK
    type_lines(*(line for finding in found.values() for line in finding.fix if "LATENCY DOCTOR" not in line))
    again = await findings(ill.url, *ILL, "memory")
    # How long an answer takes is this machine's affair.
    assert {check for check, it in again.items() if it.level is not Level.OK} <= {"latency"}, again
    assert "stood still" not in again["latency"].text


def test_command_ends_as_the_worst_finding_says(ill: EmbeddedBroker) -> None:
    """1 for a fail, with a line of JSON for each finding; 3 with a line where no Redis answers."""
    ran = edgebus("doctor", "--redis", ill.url, "--json")
    assert ran.returncode == 1, ran.stderr
    told = [json.loads(line) for line in ran.stdout.splitlines()]
    assert {it["level"] for it in told} == {"ok", "warn", "fail"}
    assert all(set(it) == {"level", "check", "where", "text", "fix"} for it in told)
    nowhere = edgebus("doctor", "--redis", f"redis://:secret@127.0.0.1:{free_port()}", COLUMNS="80")
    assert nowhere.returncode == 3
    assert nowhere.stdout.startswith("fail  reach        no Redis answers at redis://")
    assert "secret" not in nowhere.stdout + nowhere.stderr


async def test_replica_without_the_users_is_found_and_mended() -> None:
    """Users are not replicated: the operator's log-in is refused there, then names, then the door of the nameless."""
    at_once = ("--repl-diskless-sync-delay", "0")
    with EmbeddedBroker(0, binary=program("redis-server", "redis-server"), extra=at_once) as primary:
        users = users_only(primary)
        follow = ("--replicaof", f"127.0.0.1 {primary.port}", "--masteruser", NAME, "--masterauth", PASSWORD)
        with EmbeddedBroker(0, binary=primary.binary, extra=follow) as replica:
            redis_cli(replica.url, "ACL", "SETUSER", NAME, "on", f">{PASSWORD}", "~*", "&*", "+@all")
            until(lambda: "state=online" in redis_cli(users.admin, "INFO", "replication"))
            found = (await findings(users.operator, "users"))["users"]
            assert (found.level, found.where) == (Level.FAIL, f"127.0.0.1:{replica.port}")
            assert "refuses the log-in" in found.text
            type_lines(*found.fix, env={"REDISCLI_AUTH": PASSWORD})
            assert (await findings(users.operator, "users"))["users"].level is Level.OK

            open_door = (await findings(users.admin, "users"))["users"]
            assert "lets in whoever gives no name" in open_door.text
            type_lines(*open_door.fix, env={"REDISCLI_AUTH": PASSWORD})
            assert (await findings(users.admin, "users"))["users"].level is Level.OK

            redis_cli(users.admin.replace(str(primary.port), str(replica.port)), "ACL", "DELUSER", "edgebus-edge")
            missing = (await findings(users.operator, "users"))["users"]
            assert "has no user edgebus-edge" in missing.text


async def test_operator_is_refused_nothing_and_told_what_is_hidden(broker: EmbeddedBroker) -> None:
    """The look of an operator leaves no entry in ACL LOG; the line that grants more takes the warning away."""
    users = users_only(broker)
    found = await findings(users.operator)
    assert redis_cli(users.admin, "ACL", "LOG") == ""
    assert {check for check, it in found.items() if it.level is Level.FAIL} == set()
    assert "grant +config|get" in found["rights"].text
    type_lines(*found["rights"].fix, env={"REDISCLI_AUTH": PASSWORD})
    assert "rights" not in await findings(users.operator)


async def test_users_of_an_older_version_are_made_anew_with_their_passwords(broker: EmbeddedBroker) -> None:
    """An edge's user lacks what came later; the line gives the rights, and every password stays."""
    users = users_only(broker)
    assert "users" not in await findings(users.operator)
    redis_cli(users.admin, "ACL", "SETUSER", "edgebus-edge", "clearselectors")
    old = (await findings(users.operator))["users"]
    assert (old.level, old.where) == (Level.WARN, "edgebus-edge")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    type_lines(*old.fix, env={"REDISCLI_AUTH": PASSWORD, "PATH": path})
    assert "users" not in await findings(users.operator)
    assert redis_cli(users.edge, "PUBLISH", "bus:told:x", "y") == "0"


async def test_user_without_rights_is_told_each_and_nothing_breaks(broker: EmbeddedBroker) -> None:
    """A user of a producer's rights gets a warning for each look that is refused, and no crash."""
    users = users_only(broker)
    report = await examine(users.producer)
    hidden = {it.text.rpartition("grant ")[2] for it in report.findings if it.check == "rights"}
    assert {"+config|get", "+slowlog|get", "+latency|latest", "+acl|users"} <= hidden
    assert any("bus:doctor" in rule for rule in hidden)
    assert any("bus:edge" in rule for rule in hidden)


async def test_killed_edge_is_found_and_started_again(broker: EmbeddedBroker, processes: Processes) -> None:
    """Behind SIGKILL the entry is still there, and nobody hears; the lines start another and clear the entry."""
    [(edge, port)] = processes.edges("mahavishnu", broker.url)
    edge.until(lambda: entry(broker.url, edge, "link"))
    edge.signal(signal.SIGKILL)
    edge.exit_code()
    dead = (await findings(broker.url, "hearing"))["hearing"]
    assert dead.level is Level.FAIL
    assert "is dead" in dead.text
    start, clear = dead.fix
    words = start.partition("#")[0].split()
    assert words[:3] == ["edgebus", "edge", "mahavishnu"]
    again = processes.start(*EDGEBUS, *words[1:], "--redis", broker.url, env=environment())
    type_lines(clear)
    again.until(lambda: entry(broker.url, again, "link"))
    well = await findings(broker.url, "hearing", "edges")
    assert well["edges"].level is Level.OK, well
    assert well["hearing"].level is not Level.FAIL, well  # its first entry may be from before its first link
    assert f":{port}" in again.output


def replicas_known(sentinel: int) -> str:
    """Return the replicas that a sentinel knows; nothing while it starts."""
    try:
        return redis_cli(f"redis://127.0.0.1:{sentinel}", "SENTINEL", "REPLICAS", "lab")
    except subprocess.CalledProcessError:
        return ""


async def test_sentinels_and_a_lost_replica_are_found(tmp_path: Path) -> None:
    """By a URL of sentinels the primary is judged; a sentinel that is away is told, and a replica only they know."""
    server = program("redis-server", "redis-server")
    with ExitStack() as stack:
        primary = stack.enter_context(EmbeddedBroker(0, binary=server, extra=("--repl-diskless-sync-delay", "0")))
        follow = ("--replicaof", f"127.0.0.1 {primary.port}")
        replica = stack.enter_context(EmbeddedBroker(0, binary=server, extra=follow))
        at = f"127.0.0.1:{replica.port}"
        until(lambda: "state=online" in redis_cli(primary.url, "INFO", "replication"))
        async with Sentinel(primary.port, free_port(), tmp_path) as sentinel:  # reads of replicas at its start
            until(lambda: str(replica.port) in replicas_known(sentinel.port))
            url = f"redis+sentinel://127.0.0.1:{sentinel.port},127.0.0.1:{free_port()}/lab"
            found = await findings(url, "reach", "sentinels", "replication", "users")
            assert found["sentinels"].level is Level.WARN
            assert (found["replication"].level, found["replication"].where) == (Level.OK, at)
            assert found["users"].level is Level.OK
            assert str(primary.port) in found["reach"].text
            await replica.stop()
            until(lambda: "connected_slaves:0" in redis_cli(primary.url, "INFO", "replication"))
            lost = (await findings(url, "replication"))["replication"]
            assert (lost.level, lost.where) == (Level.FAIL, at)
            assert "does not follow" in lost.text


async def test_tls_and_socket_are_looked_through(tmp_path: Path) -> None:
    """By rediss:// the end of Redis' certificate is told; by unix:// lines to type name the socket."""
    cert, key, socket, port = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "redis.sock", free_port()
    made = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "10")
    kind = (
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-keyout",
        str(key),
        "-out",
        str(cert),
    )
    subprocess.run([program("openssl", "openssl"), "req", "-x509", *kind, *made], check=True, capture_output=True)
    tls = (
        "--tls-port",
        str(port),
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        str(cert),
        "--tls-key-file",
        str(key),
    )
    more = ("--tls-ca-cert-file", str(cert), "--unixsocket", str(socket))
    with EmbeddedBroker(0, binary=program("redis-server", "redis-server"), extra=(*tls, *more)):
        url = f"rediss://127.0.0.1:{port}?ssl_ca_certs={cert}"
        found = await findings(url, "certificate", "loop", "memory")
        assert (found["certificate"].level, found["certificate"].where) == (Level.WARN, f"127.0.0.1:{port}")
        assert "is good for 9 days" in found["certificate"].text
        assert found["loop"].level is Level.OK
        type_lines(*found["memory"].fix)
        assert (await findings(f"unix://{socket}", "memory"))["memory"].level is Level.OK
        type_lines(f"redis-cli -s {socket} CONFIG SET maxmemory 0")
        by_socket = (await findings(f"unix://{socket}", "memory"))["memory"]
        type_lines(*by_socket.fix)
        assert (await findings(url, "memory"))["memory"].level is Level.OK


CATALOGUE = """
from bus.channel import Family
from bus.service import Service

SERVICE = Service(name="weather", port=8700, welcome="", families=({families}), events=())
"""


def begin_weather(processes: Processes, folder: Path, families: str, redis_url: str) -> Running:
    """Start an edge with a catalogue of its own."""
    folder.mkdir()
    (folder / "weather.py").write_text(CATALOGUE.format(families=families))
    return processes.start(*EDGEBUS, "edge", "weather:SERVICE", "--port", "0", "--redis", redis_url, cwd=folder)


def entry(redis_url: str, running: Running, field: str) -> str:
    """Return a field of the entry of the edge with this process."""
    ids = redis_cli(redis_url, "ZRANGE", "bus:edges", "0", "-1").split()
    return next((redis_cli(redis_url, "HGET", f"bus:edge:{it}", field) for it in ids if f"-{running.pid}-" in it), "")


async def test_edges_that_differ_are_found_and_drained(
    broker: EmbeddedBroker, processes: Processes, tmp_path: Path
) -> None:
    """Of two catalogues of one service the older edge is drained; a limit below max_connections is raised.

    The limit of a running edge is in its next heartbeat, which takes three seconds.
    """
    more = 'Family("station:{id}"), Family("alarms"),'
    one = begin_weather(processes, tmp_path / "one", 'Family("station:{id}"),', broker.url)
    other = begin_weather(processes, tmp_path / "other", more, broker.url)
    older, newer = sorted((one, other), key=lambda it: int(it.until(lambda: entry(broker.url, it, "started"))))
    resource.prlimit(newer.pid, resource.RLIMIT_NOFILE, (300, resource.prlimit(newer.pid, resource.RLIMIT_NOFILE)[1]))
    newer.until(lambda: entry(broker.url, newer, "fds_limit") == "300")

    found = await findings(broker.url, "agreement", "descriptors")
    assert "300 descriptors, and is to take 1000" in found["descriptors"].text
    assert f"-{newer.pid}-" in found["descriptors"].where
    type_lines(*found["descriptors"].fix)
    assert resource.prlimit(newer.pid, resource.RLIMIT_NOFILE)[0] >= 1000

    assert (found["agreement"].level, found["agreement"].where) == (Level.FAIL, "weather")
    [drain] = found["agreement"].fix
    assert drain == f"edgebus drain {drain.split()[-1]}"
    assert f"-{older.pid}-" in drain
    async with Operator(broker.url) as operator:
        await operator.drain(drain.split()[-1])
    older.until(lambda: entry(broker.url, older, "draining") == "1")
    well = await findings(broker.url, "agreement", "hearing")
    assert "agreement" not in well
    assert (well["hearing"].level, "is drained" in well["hearing"].text) == (Level.WARN, True)

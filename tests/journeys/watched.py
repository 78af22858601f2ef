"""The stage of the alerts: Redis, edges, a program under load, and strangers that do what alerts are for."""

import json
import os
import re
import resource
import signal
import socket
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from redis import Redis

from bus.broker.embedded import EmbeddedBroker
from edgebus.commands.certificates import write_dev
from producers.blocking import Producer
from producers.services.mahavishnu import WorkflowStarted
from tests.edges.peers import frame, upgrade
from tests.journeys.processes import DEADLINE_S, EDGEBUS, Processes, Running, edgebus, until, wait_ready
from tests.journeys.prometheus import Prometheus
from tests.ports import free_ports

DAYS: Final = 10
"""That the certificate lasts: less than the warning's fourteen, more than the three of the page."""
SLOW: Final = 8
INSIDE: Final = 80
BALLAST_BYTES: Final = 100_000_000
LARGE: Final = "x" * 60_000


class WatchedEdge:
    """An edge, with the ports of its clients and of its metrics; started later than these are known."""

    def __init__(self, port: int, metrics: int) -> None:
        self.port, self.metrics = port, metrics
        self.process: Running

    @property
    def instance(self) -> str:
        """Its name in Prometheus."""
        return f"127.0.0.1:{self.metrics}"


class Watched:
    """The stage: two edges of mahavishnu, the other behind a relay and with a certificate, one of session-buddy.

    Args:
        processes: starts all of them, Prometheus first: only after five seconds does it begin to ask.
        broker: the Redis.
        folder: for files.

    """

    def __init__(self, processes: Processes, broker: EmbeddedBroker, folder: Path) -> None:
        self._processes, self.broker = processes, broker
        load, own, *ports = free_ports(8)
        self.plain, self.other, self.sessions = map(WatchedEdge, ports[::2], ports[1::2])
        targets = {"mahavishnu": [self.plain.metrics, self.other.metrics], "session-buddy": [self.sessions.metrics]}
        self.prometheus = Prometheus(processes, folder, own, targets, {"mahavishnu": load})
        self.relay = processes.start(sys.executable, "-m", "tests.journeys.relay", str(broker.port))
        self._start(self.plain, "mahavishnu", broker.url, max_replays=2)
        self._start(self.sessions, "session-buddy", broker.url, max_connections=INSIDE + 8)
        write_dev(folder, extra=(), days=DAYS, force=False)
        tls = {"tls_certificate": folder / "edgebus-cert.pem", "tls_key": folder / "edgebus-key.pem"}
        relayed = self.relay.until(lambda: re.match(r"\d+(?=\n)", self.relay.output))
        self._start(self.other, "mahavishnu", f"redis://127.0.0.1:{relayed[0]}", **tls)
        for edge in (self.plain, self.sessions):
            wait_ready(edge.process, edge.port)
        argv = [sys.executable, "-m", "tests.journeys.load", broker.url]
        self.load = processes.start(*argv, *map(str, (self.plain.port, self.sessions.port, load)))

    def _start(self, edge: WatchedEdge, service: str, redis_url: str, **settings: object) -> None:
        given = {
            "probe_interval_s": 0.5,
            "send_buffer_bytes": 4096,
            "max_waiting_bytes": 262_144,
            "metrics_port": edge.metrics,
            "metrics_names": "ecosystem",
            **settings,
        }
        argv = [*EDGEBUS, "edge", service, "--port", str(edge.port), "--redis", redis_url]
        more = [word for name, value in given.items() for word in ("--set", f"{name}={value}")]
        edge.process = self._processes.start(*argv, *more)

    # What goes wrong.

    def stop_reading(self) -> list[socket.socket]:
        """Have clients in a room that never read, and more events there than may wait for one."""
        stuck = [client_of(self.plain.port) for _ in range(SLOW)]
        for client in stuck:
            ask(client, "subscribe", channel="workflow:stuck")
            read_until(client, b'"subscribed"')
        with Producer(self.broker.url) as producer:
            for _ in range(12):
                producer.publish(WorkflowStarted(workflow_id="stuck", adapter=LARGE))
        return stuck

    def come_back_too_late(self) -> None:
        """Subscribe often from where the log no longer reaches, and once from where it never was."""
        with Producer(self.broker.url) as producer, closing(Redis(port=self.broker.port)) as redis:
            published = [producer.publish(WorkflowStarted(workflow_id="gone", adapter="local")) for _ in range(3)]
            first, *_, last = [str(one.positions["workflow:gone"]) for one in published]
            redis.xtrim("bus:log:{workflow:gone}", maxlen=1, approximate=False)
        ms, _, number = last.partition("-")
        with closing(client_of(self.plain.port)) as client:
            for since in [*[first] * 12, f"{ms}-{int(number) + 1}"]:
                ask(client, "subscribe", channel="workflow:gone", since=since)
            read_until(client, b'"subscribed"', times=13)

    def replay_without_reading(self) -> list[socket.socket]:
        """Have clients that ask for a long log, and read none of it, hold the places of replays."""
        with Producer(self.broker.url) as producer:
            producer.publish_all([WorkflowStarted(workflow_id="long", adapter=LARGE[:8_000]) for _ in range(500)])
        stuck = [client_of(self.plain.port) for _ in range(SLOW)]
        for client in stuck:
            ask(client, "subscribe", channel="workflow:long", last=500)
        return stuck

    def freeze(self) -> None:
        """Stop an edge for longer than a second, as a machine does that has no time for it."""
        self.plain.process.signal(signal.SIGSTOP)
        silent = f'sum_over_time((up{{instance="{self.plain.instance}"}} == bool 0)[3s:200ms]) >= 10'
        until(lambda: self.prometheus.ask(silent))
        self.plain.process.signal(signal.SIGCONT)

    def flood(self) -> None:
        """Send more than any client may, and go when refused."""
        ping = frame(1, json.dumps({"type": "ping", "id": "p"}).encode())
        for client in [client_of(self.plain.port) for _ in range(3)]:
            with closing(client):
                client.sendall(ping * 300)
                read_until(client, b"RATE_LIMIT_EXCEEDED", times=90)

    def leave_few_descriptors(self) -> list[socket.socket]:
        """Have the limit of an edge stand little above what it has open, clients of its own among that."""
        inside = [client_of(self.sessions.port) for _ in range(INSIDE)]
        self._limit_descriptors(int(len(os.listdir(f"/proc/{self.sessions.process.pid}/fd")) / 0.9))
        return inside

    def leave_enough_descriptors(self) -> None:
        """Take that back."""
        self._limit_descriptors(1024)

    def _limit_descriptors(self, count: int) -> None:
        pid = self.sessions.process.pid
        _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (count, most))

    def leave_little_memory(self) -> None:
        """Fill Redis, and set its maxmemory so that the load goes on for a while."""
        with closing(Redis(port=self.broker.port)) as redis:
            redis.setrange("somebody's", BALLAST_BYTES, "x")
            used = int(redis.info("memory")["used_memory"])
            redis.config_set("maxmemory", int(used / 0.9))

    def spoil_a_log(self) -> None:
        """Have something else where a log of the program's is."""
        with closing(Redis(port=self.broker.port)) as redis:
            redis.set("bus:log:{session:odd}", "typed by hand")

    def drain(self) -> None:
        """Drain an edge, and leave it so."""
        with closing(Redis(port=self.broker.port, decode_responses=True)) as redis:
            (found,) = [it for it in redis.zrange("bus:edges", 0, -1) if f"-{self.plain.port}-" in it]
        drained = edgebus("drain", str(found), "--redis", self.broker.url)
        assert drained.returncode == 0, drained.stderr

    def kill_redis(self) -> None:
        """Kill Redis."""
        os.kill(self.broker.pid, signal.SIGKILL)


def client_of(port: int) -> socket.socket:
    """Return a client that the kernel lets have little, and that reads when told."""
    client = socket.socket()
    client.settimeout(DEADLINE_S)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(upgrade())
    assert client.recv(4096).startswith(b"HTTP/1.1 101")
    return client


def ask(client: socket.socket, verb: str, **data: Any) -> None:
    """Send a request."""
    client.sendall(frame(1, json.dumps({"type": "request", "event": verb, "data": data, "id": verb}).encode()))


def read_until(client: socket.socket, text: bytes, *, times: int = 1) -> bytes:
    """Read until a text has come that often; return what was read."""
    read = b""
    while read.count(text) < times:
        more = client.recv(65536)
        assert more, read
        read += more
    return read

"""deploy/nginx.conf: read, checked by nginx, and run in front of edges; only names, ports and paths are exchanged."""

import asyncio
import json
import re
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from signal import SIGTERM
from typing import Final

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from bus.broker.embedded import EmbeddedBroker
from clients import Received
from clients import connect as follow
from producers import Producer
from producers.services import NAMES, load
from producers.services.mahavishnu import WorkflowStageCompleted
from tests.journeys.clients import eventually, viewing
from tests.journeys.processes import (
    EDGEBUS,
    ROOT,
    Processes,
    Running,
    environment,
    fetch,
    program,
    wait_ready,
)
from tests.ports import free_port, is_free

CONF: Final = (ROOT / "deploy" / "nginx.conf").read_text()
SERVER: Final = re.compile(r"^ +server (?P<host>[a-z-]+-\d):(?P<port>\d+)(?P<options>[^;]*);$", re.M)
PAIR: Final = re.compile(
    r"^    upstream (?P<name>\S+) \{\n(?P<servers>.*?)^    \}\n    server \{\n(?P<door>.*?)^    \}\n", re.M | re.S
)
CLIENTS: Final = 10


def written(folder: Path, ports: dict[str, int], replicas: list[int], text: str = CONF) -> Path:
    """Write the configuration with ports of this machine: of each service, and of its two replicas.

    Services without a port of their own here are left out.
    """
    for pair in PAIR.finditer(text):
        if pair["name"] not in ports:
            text = text.replace(pair[0], "")
    for name, port in ports.items():
        text = text.replace(f"listen {load(name).port};", f"listen 127.0.0.1:{port};")
    numbers = {"1": replicas[0], "2": replicas[1]}
    text = SERVER.sub(lambda it: f"server 127.0.0.1:{numbers[it['host'][-1]]}{it['options']};", text)
    text = text.replace("worker_processes auto", "worker_processes 2").replace("32768", "512").replace("65536", "1024")
    temporary = "".join(
        f"    {kind}_temp_path {folder};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = folder / "nginx.conf"
    path.write_text(f"pid {folder}/nginx.pid;\ndaemon off;\n" + text.replace("http {\n", "http {\n" + temporary, 1))
    return path


def start(processes: Processes, conf: Path) -> Running:
    return processes.start(program("nginx", "nginx"), "-e", "stderr", "-p", str(conf.parent), "-c", str(conf))


def test_nginx_has_a_door_for_each_service() -> None:
    """There is a section per service: its port, its two edges by the names of compose.yaml, none of them given up."""
    sections = {pair["name"]: pair for pair in PAIR.finditer(CONF)}
    assert list(sections) == list(NAMES)
    for name, pair in sections.items():
        port = str(load(name).port)
        servers = [(found["host"], found["port"], found["options"]) for found in SERVER.finditer(pair["servers"])]
        assert servers == [(f"{name}-{number}", port, " max_fails=0") for number in (1, 2)]
        assert re.findall(r"listen (\S+);", pair["door"]) == [port]
        assert re.findall(r"proxy_pass (\S+);", pair["door"]) == [f"http://{name}"]


def test_nginx_accepts_its_configuration(tmp_path: Path) -> None:
    """``nginx -t`` finds no mistake and warns of nothing."""
    conf = written(tmp_path, {name: free_port() for name in NAMES}, [free_port(), free_port()])
    argv = [program("nginx", "nginx"), "-t", "-q", "-e", "stderr", "-p", str(tmp_path), "-c", str(conf)]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


class _Edge(BaseHTTPRequestHandler):
    """Answers as an edge's health does; it can be gone and back within a moment, as no process can."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def answering(port: int) -> Iterator[None]:
    server = HTTPServer(("127.0.0.1", port), _Edge)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(("options", "refused"), [(" max_fails=0", False), ("", True)])
def test_second_restart_within_seconds_of_the_first(
    processes: Processes, tmp_path: Path, options: str, refused: bool
) -> None:
    """While either replica is away the other one is asked. The control: by default nginx answers 502 to the second."""
    port, replicas = free_port(), [free_port(), free_port()]
    text = CONF.replace(" max_fails=0", options).replace("        zone mahavishnu 64k", "        zone m 64k")
    url = f"http://127.0.0.1:{port}/healthz"
    nginx = start(processes, written(tmp_path, {"mahavishnu": port}, replicas, text))
    with answering(replicas[0]), answering(replicas[1]):
        nginx.until(lambda: fetch(url)[0] == 200)
    for there in (replicas[1], replicas[0]):
        with answering(there):
            found = [fetch(url)[0] for _ in range(6)]
        assert found == [200] * 6 or (there == replicas[0] and refused), found
    assert (502 in found) == refused


def replica(processes: Processes, broker: EmbeddedBroker, port: int) -> Running:
    env = environment(EDGEBUS_PORT=str(port), EDGEBUS_TRUSTED_PROXIES="127.0.0.1", EDGEBUS_REDIS_URL=broker.url)
    edge = processes.start(*EDGEBUS, "edge", "mahavishnu", env=env)
    wait_ready(edge, port)
    return edge


async def knock(port: int, answers: Counter[int], done: asyncio.Event) -> None:
    """Come as a new client again and again, and count what nginx or an edge says to it."""
    while not done.is_set():
        try:
            async with connect(f"ws://127.0.0.1:{port}", proxy=None):
                answers[101] += 1
        except InvalidStatus as error:
            answers[error.response.status_code] += 1


async def watch(port: int, seen: list[str]) -> None:
    """Note the names of the stages until the end, as our own client hears them across its reconnects."""
    async with follow(f"ws://127.0.0.1:{port}") as client:
        async for value in client.subscribe("workflow:wf", last=1):
            if isinstance(value, Received):
                seen.append(value.data["stage_name"])
                if seen[-1] == "end":
                    return


def came(answers: Counter[int], before: int, done: asyncio.Event) -> bool:
    return answers.total() > before or done.is_set()


async def tell(producer: Producer, answers: Counter[int], done: asyncio.Event) -> list[str]:
    """Publish a stage with every newcomer, and the end; return all names."""
    names = list[str]()
    while not done.is_set():
        names.append(str(len(names)))
        await producer.publish(WorkflowStageCompleted(workflow_id="wf", stage_name=names[-1], result={}))
        before = answers.total()
        await eventually(partial(came, answers, before, done))
    await producer.publish(WorkflowStageCompleted(workflow_id="wf", stage_name="end", result={}))
    return [*names, "end"]


async def test_rolling_restart_behind_nginx(processes: Processes, broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Both replicas restart, one after the other: every newcomer is let in, and no client lacks an event."""
    port, replicas = free_port(), [free_port(), free_port()]
    edges = [await asyncio.to_thread(replica, processes, broker, it) for it in replicas]
    nginx = start(processes, written(tmp_path, {"mahavishnu": port}, replicas))
    await asyncio.to_thread(wait_ready, nginx, port)
    got: list[list[str]] = [[] for _ in range(CLIENTS)]
    answers, restarted = Counter[int](), asyncio.Event()
    async with Producer(broker.url) as producer, asyncio.TaskGroup() as group:
        telling = group.create_task(tell(producer, answers, restarted))
        for seen in got:
            group.create_task(watch(port, seen))
        group.create_task(knock(port, answers, restarted))
        await eventually(lambda: all(got))
        for number, edge in enumerate(edges):
            assert await asyncio.to_thread(edge.signal(SIGTERM).exit_code) == 0
            await asyncio.to_thread(replica, processes, broker, replicas[number])
        restarted.set()
    assert answers.keys() == {101}, answers
    for seen in got:
        assert seen == telling.result()[int(seen[0]) :]


async def test_client_is_told_who_and_how_it_came(processes: Processes, broker: EmbeddedBroker, tmp_path: Path) -> None:
    """The proxy replaces what a client says of its own address, passes the Host on, and carries large frames."""
    port, own = free_port(), free_port()
    await asyncio.to_thread(replica, processes, broker, own)
    nginx = start(processes, written(tmp_path, {"mahavishnu": port}, [own, own]))
    await asyncio.to_thread(wait_ready, nginx, port)
    async with viewing(port) as viewer:
        assert (await viewer.ask("ping"))["type"] == "pong"
        large = await viewer.ask("subscribe", channel="workflow:" + "x" * 60_000)
        assert large["error_code"] == "INVALID_CHANNEL"
    head = "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        folder = tmp_path / "other"
        folder.mkdir()
        door = free_port()
        behind = listening.getsockname()[1]
        other = start(processes, written(folder, {"mahavishnu": door}, [behind, behind]))
        listening.settimeout(20)

        def seen() -> bytes:
            with socket.create_connection(("127.0.0.1", door), 20) as client:
                client.sendall(head.encode())
                accepted, _ = listening.accept()
                with accepted:
                    return accepted.recv(65_536)

        other.until(lambda: not is_free(door))
        lines = (await asyncio.to_thread(seen)).decode().lower().split("\r\n")
    assert {"host: h", "x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http", "connection: close"} <= set(lines)
    assert sum(line.startswith("x-forwarded-") for line in lines) == 2
    assert json.loads(fetch(f"http://127.0.0.1:{port}/healthz")[1])["status"] == "healthy"

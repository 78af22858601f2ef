"""compose.yaml, the Dockerfile and haproxy.cfg: each checked by itself, and all of it run without containers.

What runs is what the files say; only names of hosts, ports and the paths of programs are exchanged.
"""

import asyncio
import json
import re
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path
from signal import SIGKILL, SIGTERM, SIGUSR1
from typing import Any, Final

import pytest
import yaml
from websockets.exceptions import ConnectionClosed

from bus.broker.server import find_server
from producers.services import NAMES, load
from tests.journeys.charts import CONFIG
from tests.journeys.clients import Viewer, eventually, viewing
from tests.journeys.memory import allowed_bytes, parsed_bytes
from tests.journeys.processes import (
    ROOT,
    Processes,
    Running,
    environment,
    fetch,
    program,
    publish,
    until,
)
from tests.ports import free_ports

COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())
_ALL: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
WATCHING: Final = {name: it for name, it in _ALL.items() if it.get("profiles") == ["observability"]}
"""Prometheus and Grafana; what they do is tried in test_prometheus.py and test_alerts.py."""
SERVICES: Final = {name: it for name, it in _ALL.items() if name not in WATCHING}
OWN: Final = {name: it for name, it in SERVICES.items() if it.get("profiles") == ["own"]}
"""The edges of a service of one's own."""
EDGES: Final = {name: it for name, it in SERVICES.items() if it["image"] == "edgebus" and name not in OWN}
OWN_PORT: Final = "8700"
HAPROXY_CFG: Final = (ROOT / "deploy" / "haproxy.cfg").read_text()
DOCKERFILE: Final = (ROOT / "Dockerfile").read_text()
BIND: Final = re.compile(r"^ +bind (?P<host>\S*):(?P<port>\d+)$", re.M)
SERVER: Final = re.compile(r"^ +server (?P<name>\S+) (?P<host>\S+):(?P<port>\d+)$", re.M)
SECTION: Final = re.compile(r"^listen (?P<name>\S+)\n(?P<body>(?: .*\n)+)", re.M)


def service_of(edge: str) -> str:
    """Return the service that an edge of compose.yaml serves."""
    verb, service = EDGES[edge]["command"]
    assert verb == "edge"
    return str(service)


# Each by itself


def test_compose_file_is_valid() -> None:
    """compose.yaml keeps to the compose specification."""
    check = Path(sys.executable).with_name("check-jsonschema")
    ran = subprocess.run(
        [check, "--builtin-schema", "vendor.compose-spec", "compose.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout


def test_compose_bounds_everybodys_memory() -> None:
    """No container takes what the others need; an edge has what its settings allow, Redis twice what it may store."""
    assert all("mem_limit" in service for service in _ALL.values())
    for edge in (EDGES | OWN).values():
        assert allowed_bytes() < parsed_bytes(edge["mem_limit"]) < 1.5 * allowed_bytes()
    command = SERVICES["redis"]["command"]
    stored = parsed_bytes(command[command.index("--maxmemory") + 1])
    assert 2 * stored <= parsed_bytes(SERVICES["redis"]["mem_limit"])


def test_compose_has_two_replicas_of_each_service() -> None:
    """Every service has two edges, asked whether they are ready on the service's own port, and stopped in time."""
    assert sorted(map(service_of, EDGES)) == sorted([*NAMES, *NAMES])
    for name, edge in EDGES.items():
        assert edge["healthcheck"]["test"][-1] == str(load(service_of(name)).port)
        assert edge["stop_grace_period"] == "15s"
        assert edge["environment"]["EDGEBUS_INSECURE_BEHIND_PROXY"] == "true"
        assert "ports" not in edge


def test_compose_runs_a_service_of_ones_own() -> None:
    """One variable names the service, its file is mounted, and but for that its edges are like every other."""
    assert list(OWN) == ["own-1", "own-2"]
    for edge in OWN.values():
        assert edge["command"] == ["edge", "${SERVICE:-}"]
        (folder,) = edge["volumes"]
        assert folder["read_only"] is True
        assert edge["environment"]["PYTHONPATH"] == folder["target"]
        assert edge["healthcheck"]["test"][-1] == edge["environment"]["EDGEBUS_PORT"] == OWN_PORT
        usual = EDGES["mahavishnu-1"]
        apart = {"profiles", "command", "volumes", "environment", "healthcheck"}
        assert {name: it for name, it in edge.items() if name not in apart} == {
            name: it for name, it in usual.items() if name not in apart
        }
        assert edge["environment"].items() > usual["environment"].items()


def test_haproxy_publishes_what_it_binds() -> None:
    """haproxy.cfg has a section per service: its port, to be reached from this machine only, and its two edges."""
    sections = {section["name"]: section["body"] for section in SECTION.finditer(HAPROXY_CFG)}
    ports = {name: str(load(name).port) for name in NAMES} | {"own": OWN_PORT}
    assert list(sections) == list(ports)
    for name, body in sections.items():
        assert [found["port"] for found in BIND.finditer(body)] == [ports[name]]
        servers = [(found["name"], found["host"], found["port"]) for found in SERVER.finditer(body)]
        edges = [edge for edge in EDGES if service_of(edge) == name] or list(OWN)
        assert servers == [(edge, edge, ports[name]) for edge in edges]
    published = [f"127.0.0.1:{port}:{port}" for port in ports.values()]
    assert SERVICES["haproxy"]["ports"] == published
    assert [name for name, it in SERVICES.items() if "ports" in it] == ["haproxy"]


def test_only_edges_reach_both_redis_and_haproxy() -> None:
    """Redis stands in a network without a way out, haproxy in another, Prometheus in a third, the edges in all."""
    assert COMPOSE["networks"]["bus"] == COMPOSE["networks"]["watch"] == {"internal": True}
    networks = {name: set(it["networks"]) for name, it in _ALL.items()}
    assert networks.pop("redis") == {"bus"}
    assert networks.pop("haproxy") == {"front"}
    assert networks.pop("prometheus") == {"watch", "screens"}
    assert networks.pop("grafana") == {"screens"}
    assert all(found == {"bus", "front", "watch"} for found in networks.values())


def test_whoever_watches_is_contained_and_seen_from_this_machine_only() -> None:
    """Prometheus and Grafana have the ports of the ecosystem, no rights, and write to nothing but their own volume."""
    assert {name: it["ports"] for name, it in WATCHING.items()} == {
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3030:3030"],
    }
    for service in WATCHING.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        for volume in service["volumes"]:
            source, _, mode = volume.rpartition(":")
            assert mode == "ro" if source.startswith("./") else source in COMPOSE["volumes"]
            assert not source.startswith("./") or (ROOT / source.partition(":")[0]).is_dir()


def test_prometheus_asks_every_edge_on_its_own_port() -> None:
    """The targets of a service's job are the service's edges, and the port is the one that no port publishes."""
    port = COMPOSE["x-edge"]["environment"]["EDGEBUS_METRICS_PORT"]
    jobs = {job["job_name"]: job for job in CONFIG["scrape_configs"]}
    for name in NAMES:
        edges = [edge for edge in EDGES if service_of(edge) == name]
        assert jobs[f"{name}-websocket"]["static_configs"][0]["targets"] == [f"{edge}:{port}" for edge in edges]
    assert f":{port}" not in HAPROXY_CFG


def let_in() -> list[str]:
    """Return what .dockerignore lets into an image; that is all that the Dockerfile's COPY can copy."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith(("#", "!"))] == ["*", "**/__pycache__"]
    return [line[1:] for line in lines if line.startswith("!")]


def test_image_is_built_from_every_package() -> None:
    """The list of what goes into an image has every package of the wheel, and each file that building one reads."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    files = ["LICENSE", "README.md", "pyproject.toml", "requirements.txt"]
    assert let_in() == [*files, *sorted(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])]
    assert re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.M) == ["requirements.txt ./", ". ./"]


IMPORT_ALL: Final = """
import importlib, pathlib, sys
house = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(house))
for file in sorted(house.rglob("*.py")):
    parts = file.relative_to(house).with_suffix("").parts
    if parts[-1] == "__main__" or parts[:3] == ("edgebus", "demo", "suite"):
        continue  # one is a command, the others are tests that the demo runs
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    module = importlib.import_module(name)
    assert pathlib.Path(module.__file__) == file, (name, module.__file__)
    print(name)
"""


@pytest.mark.nightly  # compiles all there is; tests/test_project.py looks into the wheel by day
def test_wheel_of_the_image_imports_whole(tmp_path: Path) -> None:
    """A wheel built from what the image is built from holds all that its modules import, the commands' included."""
    for name in let_in():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    subprocess.run(build, cwd=tmp_path, capture_output=True, timeout=50, check=True)
    (wheel,) = tmp_path.glob("dist/edgebus-*.whl")
    house = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(house)
    ran = subprocess.run(
        [sys.executable, "-I", "-c", IMPORT_ALL, str(house)],
        cwd=house,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert {
        "bus.log.log",
        "producers.pytest_plugin",
        "edges.edge",
        "clients.client",
        "edgebus.commands.listening",
    } <= set(ran.stdout.split())


def test_dockerfile_runs_as_nobody_with_checked_packages() -> None:
    """The image has a user without rights of its own, and packages whose hashes were compared."""
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.M) == ["10001:10001"]
    assert "--require-hashes --requirement requirements.txt" in DOCKERFILE
    assert "--no-deps --no-build-isolation ." in DOCKERFILE


def test_haproxy_accepts_its_configuration() -> None:
    """``haproxy -c`` finds no mistake; that it cannot resolve the names of containers here is a warning."""
    ran = subprocess.run(
        [program("haproxy", "haproxy"), "-c", "-f", "deploy/haproxy.cfg"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    warnings = [line for line in ran.stderr.splitlines() if "[WARNING]" in line and "could not resolve" not in line]
    assert (ran.returncode, warnings) == (0, []), ran.stderr


# All together


class Stack:
    """The services of compose.yaml as processes of this machine."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self._processes, self._folder = processes, folder
        names = [*SERVICES, *NAMES, "own", *(f"metrics of {edge}" for edge in EDGES)]
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        """Of a service of compose.yaml its own port; of a name of ours the one that haproxy binds for it."""
        self.running: dict[str, Running] = {}

    @property
    def redis_url(self) -> str:
        return f"redis://127.0.0.1:{self.ports['redis']}"

    def start(self, *edges: str) -> None:
        """Start Redis, some edges and haproxy, in the order that the files ask for; wait for the health of all.

        haproxy is healthy only with an edge of every service, so it is not waited for when some are missing.
        """
        self._start("redis", self._redis())
        self._wait_healthy("redis")
        for name in edges:
            assert EDGES[name]["depends_on"] == {"redis": {"condition": "service_healthy"}}
            self._start(name, self._edge(name), **self._environment(name))
        self._start("haproxy", [program("haproxy", "haproxy"), "-db", "-f", str(self._haproxy_cfg())])
        for name in self.running if set(edges) == set(EDGES) else edges:
            self._wait_healthy(name)

    def _start(self, name: str, argv: list[str], **more: str) -> None:
        self.running[name] = self._processes.start(*argv, env=environment(**more), cwd=self._folder)

    def _redis(self) -> list[str]:
        """Return Redis' command: the server on PATH, else the embedded one."""
        command = SERVICES["redis"]["command"]
        assert command[0] == "redis-server"
        where = ["--port", str(self.ports["redis"]), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        return [str(find_server().path), *command[1:], *where]

    def _edge(self, name: str) -> list[str]:
        assert 'ENTRYPOINT ["edgebus"]' in DOCKERFILE
        return [sys.executable, "-m", "edgebus", *EDGES[name]["command"]]

    def _environment(self, name: str) -> dict[str, str]:
        given: dict[str, str] = EDGES[name]["environment"]
        assert (given["EDGEBUS_HOST"], given["EDGEBUS_REDIS_URL"]) == ("0.0.0.0", "redis://redis:6379")  # noqa: S104
        here = {"EDGEBUS_HOST": "127.0.0.1", "EDGEBUS_REDIS_URL": self.redis_url}
        ports = {"EDGEBUS_PORT": str(self.ports[name]), "EDGEBUS_METRICS_PORT": str(self.ports[f"metrics of {name}"])}
        return {**given, **here, **ports}

    def _haproxy_cfg(self) -> Path:
        """Write its configuration with the ports of this run, and a limit that any machine's descriptors allow."""
        by_port = {str(load(name).port): self.ports[name] for name in NAMES}
        by_port |= {"8404": self.ports["haproxy"], OWN_PORT: self.ports["own"]}
        text = BIND.sub(lambda it: f"    bind 127.0.0.1:{by_port[it['port']]}", HAPROXY_CFG)
        text = SERVER.sub(lambda it: f"    server {it['name']} 127.0.0.1:{self.ports[it['host']]}", text)
        path = self._folder / "haproxy.cfg"
        path.write_text(text.replace("maxconn 16000", "maxconn 400"))
        return path

    def _wait_healthy(self, name: str) -> None:
        kind, *command = SERVICES[name]["healthcheck"]["test"]
        assert kind == "CMD"
        self.running[name].until(lambda: self._is_healthy(name, command))

    def _is_healthy(self, name: str, command: list[str]) -> bool:
        port = str(self.ports[name])
        match command:
            case ["wget", *_, url]:  # not on every machine
                return fetch(url.replace("8404", port))[0] == 200
            case ["redis-cli", *arguments]:
                argv = [program("redis-cli", "redis-tools"), "-p", port, *arguments]
            case ["python", *arguments, _]:
                argv = [sys.executable, *arguments, port]
            case _:
                raise AssertionError(f"an unknown health check: {command}")
        return subprocess.run(argv, capture_output=True, timeout=10, check=False).returncode == 0

    def connections(self, name: str) -> int:
        """Ask a replica how many clients it has."""
        return int(json.loads(fetch(f"http://127.0.0.1:{self.ports[name]}/healthz")[1])["connections"])

    def is_served(self) -> bool:
        """Tell whether haproxy says that every service has an edge."""
        return fetch(f"http://127.0.0.1:{self.ports['haproxy']}/healthz")[0] == 200


@pytest.fixture
def stack(processes: Processes, tmp_path: Path) -> Stack:
    """Lend the services of compose.yaml, not started yet."""
    program("haproxy", "haproxy")
    return Stack(processes, tmp_path)


async def closed(viewer: Viewer) -> int | None:
    """Read until the connection is closed; return the code."""
    try:
        while True:
            await viewer.receive()
    except ConnectionClosed as error:
        return error.rcvd.code if error.rcvd else None


async def test_compose_carries_an_event_through_haproxy(stack: Stack) -> None:
    """Clients of haproxy are spread over both replicas, hear what is published, and outlive the loss of one."""
    began = time.monotonic()
    stack.start(*EDGES)
    print(f"{len(stack.running)} services of compose.yaml healthy in {time.monotonic() - began:.1f} s")
    port, replicas = stack.ports["mahavishnu"], ["mahavishnu-1", "mahavishnu-2"]
    async with viewing(port, "workflow:wf_1") as one, viewing(port, "workflow:wf_1") as other:
        assert [stack.connections(name) for name in replicas] == [1, 1]
        published = await asyncio.to_thread(publish, stack.redis_url, "workflow.started", workflow_id="wf_1")
        assert published["receivers"] == 2
        events = [await one.event(), await other.event()]
        assert events[0] == events[1]
        assert (events[0]["id"], events[0]["event"]) == (published["id"], "workflow.started")

        async with viewing(stack.ports["crackerjack"], "test:r1") as third:
            started = {"run_id": "r1", "test_suite": "unit", "total_tests": 1}
            await asyncio.to_thread(publish, stack.redis_url, "test.started", **started)
            assert (await third.event())["data"]["total_tests"] == 1

        stack.running["mahavishnu-1"].signal(SIGTERM)
        gone = asyncio.create_task(closed(one)), asyncio.create_task(closed(other))
        (first,), (waiting,) = await asyncio.wait(gone, return_when=asyncio.FIRST_COMPLETED)
        assert first.result() == 1012
        assert await asyncio.to_thread(stack.running["mahavishnu-1"].exit_code) == 0
        waiting.cancel()
        await asyncio.wait([waiting])
        left = other if gone[0] is first else one

        async with viewing(port, "workflow:wf_1") as late:
            assert stack.connections("mahavishnu-2") == 2
            await asyncio.to_thread(publish, stack.redis_url, "workflow.completed", workflow_id="wf_1", result={})
            assert [(await it.event())["event"] for it in (left, late)] == ["workflow.completed"] * 2
        assert stack.is_served()


async def test_edges_that_are_not_ready_keep_their_clients(stack: Stack) -> None:
    """Without Redis no edge is ready and haproxy gives them nobody new; who is there stays, until the edges close."""
    stack.start("mahavishnu-1", "mahavishnu-2")
    port = stack.ports["mahavishnu"]
    until(lambda: fetch(f"http://127.0.0.1:{port}/readyz")[0] == 200)
    async with viewing(port, "workflow:wf_1") as one, viewing(port) as other:
        stack.running["redis"].signal(SIGKILL)
        await eventually(lambda: fetch(f"http://127.0.0.1:{port}/healthz")[0] == 503)  # no edge to ask: haproxy's own
        assert (await one.ask("ping"))["type"] == "pong"
        assert (await other.ask("subscribe", channel="global"))["error_code"] == "UNAVAILABLE"

        # As `docker compose down` does: all at once, haproxy with the signal of its image.
        for name, running in stack.running.items():
            if name != "redis":
                running.signal(SIGUSR1 if name == "haproxy" else SIGTERM)
        assert [await closed(one), await closed(other)] == [1012, 1012]
    codes = {name: running.exit_code() for name, running in stack.running.items() if name != "redis"}
    assert set(codes.values()) == {0}, codes
    until(lambda: not fetch(f"http://127.0.0.1:{port}/healthz")[0])

"""The units of deploy/: read for what they promise, and run, with only paths, users, ports and Redis exchanged."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from signal import SIGTERM
from typing import Final

from bus.broker.embedded import EmbeddedBroker
from edges import EdgeSettings
from producers.services import NAMES
from tests.journeys.memory import allowed_bytes, parsed_bytes
from tests.journeys.processes import ROOT, Processes, environment, program, wait_ready
from tests.ports import free_port

UNIT: Final = ROOT / "deploy" / "systemd" / "edgebus-edge@.service"
ENV_FILE: Final = ROOT / "deploy" / "systemd" / "edge.env"
SUPERVISED: Final = ROOT / "deploy" / "supervisord" / "edgebus.conf"
INSTALLED: Final = "/opt/edgebus/bin/edgebus"
TWO: Final = ("mahavishnu", "session-buddy")
"""The sections are alike, which a test below says; so two of them are run."""
LEAVING_S: Final = sum(
    EdgeSettings.model_fields[name].default for name in ("drain_notice_s", "drain_window_s", "close_timeout_s")
)
"""The longest that an edge takes to send its clients away."""


def test_systemd_unit_stops_and_confines_an_edge(tmp_path: Path) -> None:
    """The unit gives an edge the time to close its clients, and systemd has nothing to say against it."""
    text = UNIT.read_text()
    assert int(re.findall(r"^TimeoutStopSec=(\d+)$", text, re.M)[0]) > LEAVING_S
    assert re.findall(r"^KillSignal=(.+)$", text, re.M) == ["SIGTERM"]
    assert re.findall(r"^ExecStart=(.+)$", text, re.M) == [INSTALLED + " edge ${SERVICE}"]
    if shutil.which("systemd-analyze") is None:
        return
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace(INSTALLED, "/bin/true"))
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=30, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")


def test_systemd_bounds_an_edges_memory() -> None:
    """One edge that grows takes down no machine; one that keeps to its settings is not ended."""
    (limit,) = re.findall(r"^MemoryMax=(.+)$", UNIT.read_text(), re.M)
    assert allowed_bytes() < parsed_bytes(limit) < 1.5 * allowed_bytes()


def test_systemd_environment_is_that_of_an_edge(processes: Processes, broker: EmbeddedBroker) -> None:
    """An edge starts with the variables of edge.env and of a replica's own file, as the unit's comments give them."""
    given = dict(re.findall(r"^(EDGEBUS_\w+)=(.+)$", ENV_FILE.read_text(), re.M))
    assert given.keys() == {"EDGEBUS_REDIS_URL", "EDGEBUS_HOST", "EDGEBUS_TRUSTED_PROXIES"}
    replica = re.findall(r"printf '(SERVICE)=(\w+)\\n(EDGEBUS_PORT)=(\d+)\\n'", UNIT.read_text())
    assert replica == [("SERVICE", "mahavishnu", "EDGEBUS_PORT", "9690")]
    port = free_port()
    env = environment(**{**given, "EDGEBUS_REDIS_URL": broker.url, "EDGEBUS_PORT": str(port)})
    edge = processes.start(sys.executable, "-m", "edgebus", "edge", "mahavishnu", env=env)
    wait_ready(edge, port)
    assert edge.signal(SIGTERM).exit_code() == 0


def supervised() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(" ;",))
    parser.read(SUPERVISED)
    return parser


def test_supervisord_has_every_service() -> None:
    """There is one program per service, in one group, each stopped by SIGTERM and given time for it."""
    parser = supervised()
    assert parser["group:edgebus"]["programs"].split(",") == list(NAMES)
    assert parser.sections() == ["group:edgebus", *(f"program:{name}" for name in NAMES)]
    for name in NAMES:
        section = parser[f"program:{name}"]
        assert (section["stopsignal"], section["exitcodes"]) == ("TERM", "0,2")
        assert int(section["stopwaitsecs"]) > LEAVING_S
        assert dict(section) == dict(parser["program:mahavishnu"]), "its name is the service's, and all that differs"


def two_edges(folder: Path, ports: dict[str, int]) -> None:
    """Write the file with two of its programs, to run from this tree and as this user."""
    parser = supervised()
    for name in set(NAMES) - ports.keys():
        del parser[f"program:{name}"]
    parser["group:edgebus"]["programs"] = ",".join(ports)
    for name, port in ports.items():
        section = parser[f"program:{name}"]
        del section["user"]
        section["command"] = section["command"].replace(INSTALLED, f"{sys.executable} -m edgebus")
        section["environment"] = f'EDGEBUS_PORT="{port}"'
    with (folder / "edgebus.conf").open("w") as file:
        parser.write(file)


def test_supervisord_runs_the_edges(processes: Processes, broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Edges start under supervisord from the file, and each ends with code 0 when it is stopped."""
    supervisord = program("supervisord", "supervisor")
    ports = {name: free_port() for name in TWO}
    two_edges(tmp_path, ports)
    user = "user=root\n" if os.geteuid() == 0 else ""
    (tmp_path / "main.conf").write_text(
        f"[supervisord]\nnodaemon=true\npidfile=s.pid\nlogfile=s.log\nchildlogdir={tmp_path}\n{user}"
        "[include]\nfiles=edgebus.conf\n"
    )
    env = environment(EDGEBUS_REDIS_URL=broker.url)
    running = processes.start(supervisord, "-c", str(tmp_path / "main.conf"), env=env, cwd=tmp_path)
    for port in ports.values():
        wait_ready(running, port)
    assert running.signal(SIGTERM).exit_code() == 0
    log = (tmp_path / "s.log").read_text()
    assert sorted(re.findall(r"stopped: (\S+) \(exit status 0\)", log)) == sorted(TWO), log

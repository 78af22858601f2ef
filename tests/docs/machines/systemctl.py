#!/usr/bin/env python3
"""Stands in for systemctl on a machine without systemd: reads the installed unit, and runs its lines by hand.

What confines a unit is not done here (but for its user); ``systemd-analyze verify`` reads those lines.
"""

import os
import pwd
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

UNITS = (Path("/etc/systemd/system"), Path("/lib/systemd/system"))
STATE = Path("/run/units")
LOGS = Path("/var/log/units")
NOBODY = 61184
"""The first of the ids that systemd gives to units with DynamicUser."""
FAR_S = 90


class Unit:
    """One unit, as far as its lines matter here."""

    def __init__(self, name: str) -> None:
        self.name = name if "." in name else f"{name}.service"
        template, at, rest = self.name.partition("@")
        instance = rest.rpartition(".")[0]
        names = [self.name, f"{template}@.service"] if at else [self.name]
        files = [folder / it for it in names for folder in UNITS if (folder / it).exists()]
        if not files:
            sys.exit(f"Unit {self.name} could not be found.")
        text = re.sub(r"\\\n", " ", files[0].read_text()).replace("%i", instance)
        self.lines = re.findall(r"^(\w+)=(.*)$", text, re.M)
        self.pid_file = STATE / self.name

    def all(self, key: str) -> list[str]:
        return [value for name, value in self.lines if name == key]

    def last(self, key: str, default: str = "") -> str:
        return (self.all(key) or [default])[-1]

    def environment(self) -> dict[str, str]:
        given = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        for name, value in self.lines:
            if name == "Environment":
                given |= dict(pair.split("=", 1) for pair in shlex.split(value))
            elif name == "EnvironmentFile" and (file := Path(value.lstrip("-"))).exists():
                given |= dict(re.findall(r"^(\w+)=(.*)$", file.read_text(), re.M))
        return given

    def argv(self, line: str, environment: dict[str, str]) -> list[str]:
        known = {**environment, "MAINPID": str(self.pid() or "")}
        put_in = re.sub(r"\$\{(\w+)\}", lambda found: known.get(found[1], ""), line.lstrip("-@+!"))
        words = [known.get(it[1:], "").split() if it.startswith("$") else [it] for it in shlex.split(put_in)]
        return [word for several in words for word in several]

    def pid(self) -> int | None:
        file = Path(self.last("PIDFile", str(self.pid_file))) if self.last("Type") == "forking" else self.pid_file
        try:
            pid = int(file.read_text())
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError):
            return None
        return None if state == "Z" else pid

    def become_user(self) -> None:
        os.setsid()
        if (user := self.last("User")) or self.last("DynamicUser") == "yes":
            entry = pwd.getpwnam(user) if user else None
            uid, gid = (entry.pw_uid, entry.pw_gid) if entry else (NOBODY, NOBODY)
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        os.umask(int(self.last("UMask", "0022"), 8))

    def start(self) -> None:
        if self.pid() is not None:
            return
        for folder in (STATE, LOGS):
            folder.mkdir(parents=True, exist_ok=True)
        if directory := self.last("RuntimeDirectory"):
            (made := Path("/run", directory)).mkdir(exist_ok=True)
            entry = pwd.getpwnam(self.last("User", "root"))
            os.chown(made, entry.pw_uid, entry.pw_gid)
        environment = self.environment()
        for line in self.all("ExecStartPre"):
            subprocess.run(self.argv(line, environment), check=True)
        kind = self.last("Type", "simple")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, (LOGS / self.name).open("ab") as log:
            if kind == "notify":
                environment["NOTIFY_SOCKET"] = path = f"/run/notify-{os.getpid()}"
                told.bind(path)
                os.chmod(path, 0o777)  # noqa: S103 (systemd's own is open, too)
            child = subprocess.Popen(
                self.argv(self.last("ExecStart"), environment),
                cwd="/",
                env=environment,
                preexec_fn=self.become_user,  # noqa: PLW1509 (a unit's user is a child's, and there are no threads)
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            self.pid_file.write_text(str(child.pid))
            if kind == "forking" and child.wait() != 0:
                self.fail()
            if kind == "notify":
                self.wait_ready(told, child)
                os.unlink(path)
        child.returncode = 0  # its parent is the machine's first process from now on

    def wait_ready(self, told: socket.socket, child: "subprocess.Popen[bytes]") -> None:
        ended = os.pidfd_open(child.pid)
        while True:
            ready, _, _ = select.select([told.fileno(), ended], [], [], FAR_S)
            if told.fileno() not in ready:
                self.fail()
            if b"READY=1" in told.recv(4096):
                os.close(ended)
                return

    def fail(self) -> None:
        sys.exit(f"Job for {self.name} failed:\n{(LOGS / self.name).read_text()}")

    def stop(self) -> None:
        pid = self.pid()
        if pid is None:
            return
        ended = os.pidfd_open(pid)
        for line in self.all("ExecStop"):
            subprocess.run(self.argv(line, self.environment()), check=line.startswith("-") is False)
        if not select.select([ended], [], [], 0)[0]:
            os.kill(pid, getattr(signal, self.last("KillSignal", "SIGTERM")))
        if not select.select([ended], [], [], float(self.last("TimeoutStopSec", "90")) or FAR_S)[0]:
            os.kill(pid, signal.SIGKILL)
            sys.exit(f"{self.name} had to be killed")

    def restart(self) -> None:
        self.stop()
        self.start()

    def reload(self) -> None:
        for line in self.all("ExecReload"):
            subprocess.run(self.argv(line, self.environment()), check=True)

    def reload_or_restart(self) -> None:
        self.restart() if self.pid() is None else self.reload()


def main(verb: str, *words: str) -> None:
    flags, names = [it for it in words if it[:1] == "-"], [it for it in words if it[:1] != "-"]
    units = [Unit(name) for name in names]
    if verb == "is-active":
        active = [unit.pid() is not None for unit in units]
        print("\n".join("active" if it else "inactive" for it in active))
        sys.exit(0 if all(active) else 3)
    for unit in units:
        if verb in {"enable", "disable"}:
            if "--now" in flags:
                unit.start() if verb == "enable" else unit.stop()
        else:
            getattr(unit, verb.replace("-", "_"))()


if __name__ == "__main__":
    if sys.argv[1] != "daemon-reload":
        main(*sys.argv[1:])

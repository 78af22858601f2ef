"""Machines that a page sets up from nothing, as roots in namespaces of their own: nothing outside can be changed.

Linux and root are needed (mounts); systemd is never started, see systemctl.py.
"""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from bus.broker.child import spawn_bound
from tests.journeys.processes import ROOT, program

__all__ = ["World"]

HERE: Final = Path(__file__).parent
PACKAGES: Final = Path("/run/packages")
DEADLINE_S: Final = 240.0


class World:
    """Some machines with one network, each at an address.

    Args:
        folder: an empty one; mounts are made there, in a namespace that nobody else sees.
        addresses: of the machines.
        environment: of everything that runs there.

    """

    def __init__(self, folder: Path, addresses: Sequence[str], environment: Mapping[str, str]) -> None:
        self._folder, self._addresses = folder, addresses
        path = [f"{sys.base_prefix}/bin", *(f"/usr/{it}" for it in ("local/sbin", "local/bin", "sbin", "bin"))]
        self._environment = {
            "PATH": os.pathsep.join([*path, "/sbin", "/bin"]),
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            # No network is there: pip finds every locked package in its version already, and fetches nothing.
            "PYTHONPATH": os.fspath(PACKAGES),
            "PIP_NO_INDEX": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            **environment,
        }

    def __enter__(self) -> Self:
        apart = ["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child", "--propagation", "private"]
        site = sysconfig.get_paths()["purelib"]
        places = [self._folder, ROOT, site, sys.base_prefix, *self._addresses]
        self._child = spawn_bound(
            [program("unshare", "util-linux"), *apart, "bash", str(HERE / "world.sh"), *map(str, places)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self._child.process.stdout is not None
        told = self._child.process.stdout.readline()
        assert told == b"ready\n", told + self._child.process.stdout.read()
        children = Path(f"/proc/{self._child.process.pid}/task/{self._child.process.pid}/children").read_text()
        self._pid = children.split()[0]
        ours = ("edgebus", "_edgebus", "__editable__")
        links = " ".join(f"/run/site/{it.name}" for it in Path(site).iterdir() if not it.name.startswith(ours))
        for address in self._addresses:
            self.run(f"mkdir {PACKAGES}; ln -s {links} {PACKAGES}", at=address)
        return self

    def __exit__(self, *_: object) -> None:
        process = self._child.process
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        if not self._child.exited_within(DEADLINE_S):
            process.kill()
        self._child.stop_blocking()

    def argv(self, text: str, *, at: str) -> list[str]:
        """Return the command that runs ``text``, lines for bash, on the machine of an address."""
        enter = ["nsenter", "--target", self._pid, "--mount", "--pid", "--net", "--ipc", "--uts"]
        variables = [f"{name}={value}" for name, value in self._environment.items()]
        source = "/usr/local/src/edgebus"
        shell = ["bash", "-eu", "-o", "pipefail", "-c", f"cd {source}\n{text}"]
        return [*enter, "--", "chroot", str(self._folder / at), "env", "-i", *variables, *shell]

    def run(self, text: str, *, at: str) -> str:
        """Run lines as a person types them; return what they print."""
        ran = subprocess.run(
            self.argv(text, at=at),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert ran.returncode == 0, f"{text}\nat {at} ended with {ran.returncode}:\n{ran.stdout}"
        return ran.stdout

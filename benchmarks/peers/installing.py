"""Installs what a peer needs; a failure becomes one line that the table of figures can print."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.peer import NotInstallable

__all__ = ["compiled_with", "go", "installed", "once", "output", "tool"]

_DEADLINE_S: Final = 1800.0
"""Centrifugo is two thousand packages of Go to compile."""


def tool(name: str, hint: str, *, beside: Sequence[str] = ()) -> str:
    """Return where a program is: on PATH, or at one of the paths ``beside``.

    Raises:
        NotInstallable: nowhere; ``hint`` is the line that helps.
    """
    found = shutil.which(name) or next((path for path in beside if Path(path).exists()), None)
    if found is None:
        raise NotInstallable(f"there is no {name}: {hint}")
    return found


@contextmanager
def once(folder: Path, *sources: Path) -> Iterator[bool]:
    """Give whether ``folder`` is still to be filled: it has not been yet, or from other ``sources``.

    A body that ends without an error has filled it.
    """
    stamp, state = folder / "made-from", hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    is_needed = not stamp.exists() or stamp.read_text() != state
    yield is_needed
    if is_needed:
        stamp.write_text(state)


def installed(*command: str | Path, folder: Path, environment: dict[str, str] | None = None) -> None:
    """Run one step of an installation in ``folder``.

    Raises:
        NotInstallable: the step failed; with the last line that it printed.
    """
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_DEADLINE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstallable(f"{Path(command[0]).name}: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no word"]
        raise NotInstallable(f"{Path(command[0]).name} {command[1]}: {said[-1]}")


def output(*command: str | Path) -> str:
    """Return what a program prints, on either of its ways, without the line's end."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return (done.stdout + done.stderr).strip()


def go() -> str:
    """Return where Go is."""
    return tool("go", "install Go 1.26 or newer", beside=["/usr/local/go/bin/go"])


def compiled_with(program: Path, module: str) -> str:
    """Return the version of a module of Go that a program says it was compiled with."""
    lines = [line.split() for line in output(go(), "version", "-m", program).splitlines()]
    return next(words[2] for words in lines if words[1:2] == [module] and len(words) > 2)

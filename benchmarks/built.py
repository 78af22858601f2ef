"""The C of the benchmarks, compiled when a source is newer than the program; outside of git."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.peer import BUILD, NotInstallable

__all__ = ["compiled", "compiler_version", "generator"]

_LOAD: Final = Path(__file__).with_name("load")
_OPTIONS: Final = ("-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror")
_OPENSSL: Final = ("-DWITH_TLS", "-lssl", "-lcrypto")


def generator() -> Path:
    """Return the load generator; built with OpenSSL where OpenSSL's headers are (libssl-dev).

    Raises:
        NotInstallable: there is no C compiler.

    """
    program, sources = BUILD / "load" / "load", sorted(_LOAD.glob("*.c"))
    depends = [*sources, *_LOAD.glob("*.h")]
    try:
        compiled(program, sources, *_OPENSSL, depends=depends)
    except subprocess.CalledProcessError:
        compiled(program, sources, depends=depends)
    return program


def compiled(program: Path, sources: Sequence[Path], *more: str, depends: Sequence[Path] = ()) -> None:
    """Compile ``sources`` unless ``program`` is newer than all sources and ``depends``.

    Raises:
        NotInstallable: there is no C compiler.
        subprocess.CalledProcessError: the compiler refuses.

    """
    newest = max(path.stat().st_mtime for path in (*sources, *depends))
    if program.exists() and program.stat().st_mtime > newest:
        return
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent) as folder:  # several runs may build at once
        fresh = Path(folder) / program.name
        subprocess.run([_compiler(), *_OPTIONS, "-o", fresh, *sources, *more], check=True, capture_output=True)
        fresh.replace(program)


def compiler_version() -> str:
    """Return the name and version of the compiler."""
    said = subprocess.run([_compiler(), "--version"], check=True, capture_output=True, text=True)
    return said.stdout.partition("\n")[0]


def _compiler() -> str:
    path = shutil.which("cc")
    if path is None:
        raise NotInstallable("there is no C compiler; on Debian or Ubuntu: apt-get install gcc libc6-dev")
    return path

"""What the conformance suite needs and does not commit: Autobahn in an environment of its own, and its cases.

Both are fetched once and kept in ``.conformance/`` at the root of the project, under the fingerprint of what was asked.
"""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

__all__ = ["Unreachable", "library", "python"]

_HERE: Final = Path(__file__).resolve().parent
_KEPT: Final = _HERE.parents[1] / ".conformance"
_PIP: Final = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet")
_FETCH_S: Final = 120


class Unreachable(Exception):
    """The package index gave nothing; the message is the last line of what pip said, and the line to repeat it by."""


def python() -> Path:
    """Return a Python that has Autobahn.

    Raises:
        Unreachable: it is not there yet, and cannot be fetched.

    """
    asked = _HERE / "requirements.txt"
    folder = _folder("autobahn", asked)
    interpreter = folder / "bin" / "python"
    if not (folder / "whole").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", folder], check=True, timeout=_FETCH_S)
        _pip("--python", str(interpreter), "install", "--require-hashes", "-r", str(asked))
        (folder / "whole").touch()
    return interpreter


def library() -> Path:
    """Return the wheel with the cases.

    Raises:
        Unreachable: it is not there yet, and cannot be fetched.

    """
    asked = _HERE / "library.txt"
    folder = _folder("cases", asked)
    if not list(folder.glob("*.whl")):
        platform = ("--only-binary=:all:", "--python-version=2.7", "--implementation=py", "--abi=none")
        _pip("download", "--no-deps", *platform, "--require-hashes", "-r", str(asked), "--dest", str(folder))
    return next(folder.glob("*.whl"))


def _folder(name: str, asked: Path) -> Path:
    fingerprint = hashlib.sha256(asked.read_bytes() + sys.version.encode()).hexdigest()[:12]
    return _KEPT / f"{name}-{fingerprint}"


def _pip(*arguments: str) -> None:
    command = [*_PIP, *arguments]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_S, check=False)
        reason = "\n".join(ran.stderr.strip().splitlines()[-1:])
    except subprocess.TimeoutExpired:
        reason = f"no answer within {_FETCH_S} s"
    else:
        if ran.returncode == 0:
            return
    raise Unreachable(f"{reason}; with a network, run: {' '.join(command)}")

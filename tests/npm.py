"""Installs what the tests of the JavaScript client need: once, although several workers of pytest may ask at once."""

import fcntl
import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from tests.journeys.processes import ROOT, program

PACKAGE: Final = ROOT / "clients" / "javascript"
_INSTALLED: Final = PACKAGE / "node_modules" / ".package-lock.json"


def _versions(lock: Path) -> dict[str, str]:
    """Return the version of each package that a machine of any kind has."""
    packages: dict[str, dict[str, Any]] = json.loads(lock.read_text("utf-8"))["packages"]
    return {name: it["version"] for name, it in packages.items() if name and not it.get("optional")}


def _is_installed() -> bool:
    return _INSTALLED.exists() and _versions(PACKAGE / "package-lock.json").items() <= _versions(_INSTALLED).items()


def tools() -> Path:
    """Install what the lock names where it is not yet; return where the programs are. Without a registry skip."""
    npm = program("npm", "npm")
    with (PACKAGE / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_installed():
            argv = (npm, "ci", "--no-audit", "--no-fund", "--prefer-offline")
            ran = subprocess.run(argv, cwd=PACKAGE, capture_output=True, text=True, timeout=50, check=False)
            if ran.returncode != 0:
                pytest.skip(f"npm ci failed in clients/javascript, a registry is needed: {ran.stderr[-500:]}")
    return _INSTALLED.parent / ".bin"

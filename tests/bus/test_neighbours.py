"""Packages of a project that are called like ours: told in a sentence, by every way into ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WAYS_IN = {
    "bus": (
        "from producers import Producer",
        "from producers.blocking import Producer",
        "from producers.services.mahavishnu import SERVICE",
        "from edges import Edge",
        "from clients import connect",
        "import edgebus.cli",
    ),
    "producers": ("import edgebus.cli",),
    "edges": ("import edgebus.cli",),
    "clients": ("import edgebus.cli",),
}


def run(project: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join(map(str, (project, ROOT)))
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, *words], cwd=project, env=env, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize("form", ["package", "module"])
@pytest.mark.parametrize(("name", "line"), [(name, line) for name, lines in WAYS_IN.items() for line in lines])
def test_package_of_a_project_is_told_with_both_files(tmp_path: Path, name: str, line: str, form: str) -> None:
    """Both files are named in the last line of the error, and what to do."""
    theirs = tmp_path / name / "__init__.py" if form == "package" else tmp_path / f"{name}.py"
    theirs.parent.mkdir(exist_ok=True)
    theirs.touch()
    ran = run(tmp_path, "-c", line)
    last = ran.stderr.splitlines()[-1]
    if form == "package":
        assert last.startswith(
            f"ImportError: Python finds {theirs} where edgebus needs {ROOT / name / '__init__.py'}: "
        )
    else:
        assert last.startswith(f"ImportError: Python finds {theirs} where edgebus needs ")
    assert "PYTHONPATH" in last


def test_command_says_so(tmp_path: Path) -> None:
    """``python -m edgebus`` starts from the project's folder, which comes first on the path."""
    (tmp_path / "clients").mkdir()
    (tmp_path / "clients" / "__init__.py").touch()
    ran = run(tmp_path, "-m", "edgebus", "--help")
    assert ran.returncode != 0
    assert f"Python finds {tmp_path / 'clients' / '__init__.py'} where edgebus needs" in ran.stderr


def test_folder_that_is_no_package_shadows_nothing(tmp_path: Path) -> None:
    """A folder without ``__init__.py`` comes after every package of the name; a project may have one."""
    for name in WAYS_IN:
        (tmp_path / name).mkdir()
    assert run(tmp_path, "-c", "import edgebus.cli, edges, clients; from producers import Producer").stderr == ""


def test_plugin_harms_no_project(tmp_path: Path) -> None:
    """A project that has a ``bus`` of its own runs its tests with our plugin installed, and imports its own."""
    (tmp_path / "bus.py").write_text("STOPS = 7\n")
    (tmp_path / "test_own.py").write_text("import bus\ndef test_stops(): assert bus.STOPS == 7\n")
    ran = run(tmp_path, "-m", "pytest", "-q", "-p", "no:valkey", "-p", "no:cacheprovider")
    assert ran.returncode == 0, ran.stdout + ran.stderr

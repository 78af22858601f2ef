"""Rules on the tree: the locks, the wheel, the settings of the tools; and that the watch in conftest.py is awake."""

import ast
import dataclasses
import importlib
import importlib.metadata
import itertools
import pkgutil
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import edgebus

pytest_plugins = ["pytester"]

ROOT: Final = Path(__file__).resolve().parent.parent
PYPROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS: Final = {"requirements.txt": {"demo"}, "requirements-dev.txt": {"demo", "dev"}}
"""The locks, and the extras that each is for."""
PIN: Final = re.compile(r"(?P<requirement>[a-z0-9-]+==[0-9a-z.]+(?: ; [^\\]+)?) \\")
HASH: Final = re.compile(r" {4}--hash=sha256:[0-9a-f]{64}(?: \\)?")
COMMENT: Final = re.compile(r" *#.*")
PLACE: Final = re.compile(r"://|\.(com|org|net|io)\b|(^|[\s=])[/~]")
"""A host, or a path on somebody's machine."""
MACHINES: Final = [
    (python, platform, machine)
    for python in ("3.11.2", "3.11.7", "3.12.1", "3.13.0")
    for platform, machine in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"))
]


def lines_of(lock: str) -> list[str]:
    return [line for line in (ROOT / lock).read_text().splitlines() if line]


def pins_of(lock: str) -> dict[str, Requirement]:
    found = [Requirement(pin["requirement"]) for line in lines_of(lock) if (pin := PIN.fullmatch(line))]
    return {requirement.name: requirement for requirement in found}


def surroundings(python: str, platform: str, machine: str) -> dict[str, str]:
    """Return what markers are evaluated against on another machine."""
    return {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": platform.capitalize(),
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "sys_platform": platform,
    }


def needs_of(requirement: Requirement, machine: dict[str, str]) -> list[Requirement]:
    """Return what a distribution, with the extras asked of it, wants on another machine."""
    try:
        declared = [Requirement(line) for line in importlib.metadata.requires(requirement.name) or []]
    except importlib.metadata.PackageNotFoundError:  # not wanted on this machine
        return []
    extras = ["", *requirement.extras]
    return [
        it for it in declared if it.marker is None or any(it.marker.evaluate({**machine, "extra": e}) for e in extras)
    ]


def needs_of_project(extras: set[str], machine: dict[str, str]) -> list[Requirement]:
    project = PYPROJECT["project"]
    optional = [line for extra in extras for line in project["optional-dependencies"][extra]]
    declared = map(Requirement, project["dependencies"] + optional + PYPROJECT["build-system"]["requires"])
    return [it for it in declared if it.marker is None or it.marker.evaluate(machine)]


def test_version_is_the_one_in_the_code() -> None:
    """The version in pyproject.toml and the one that the code reports are the same."""
    assert PYPROJECT["project"]["version"] == edgebus.__version__


@pytest.mark.parametrize("lock", [*LOCKS, "tests/conformance/requirements.txt", "tests/conformance/library.txt"])
def test_lock_holds_only_pins_with_hashes(lock: str) -> None:
    """Every line is an exact version, a hash or a comment; every version has a hash; nothing names a host or a path."""
    lines = lines_of(lock)
    assert [line for line in lines if not any(form.fullmatch(line) for form in (PIN, HASH, COMMENT))] == []
    assert [line for line, after in itertools.pairwise(lines) if PIN.match(line) and not HASH.match(after)] == []
    assert [line for line in lines if PLACE.search(line)] == []


def test_lock_of_npm_names_no_registry() -> None:
    """A lock of npm holds versions and hashes; where they come from is the affair of whoever installs."""
    for folder in ("tests/journeys/node", "clients/javascript"):
        text = (ROOT / folder / "package-lock.json").read_text()
        assert "integrity" in text
        assert "://" not in text


def test_lock_for_development_holds_the_other() -> None:
    """What runs is developed with the very same versions."""
    runtime, development = pins_of("requirements.txt"), pins_of("requirements-dev.txt")
    assert {name: str(pin) for name, pin in runtime.items()}.items() <= {
        name: str(pin) for name, pin in development.items()
    }.items()


@pytest.mark.parametrize(("python", "platform", "machine"), MACHINES)
@pytest.mark.parametrize("lock", LOCKS)
def test_lock_is_complete(lock: str, python: str, platform: str, machine: str) -> None:
    """A lock made on one machine holds what the others want too: pip refuses a lock with a hole."""
    pins, there = pins_of(lock), surroundings(python, platform, machine)
    waiting, seen, missing = needs_of_project(LOCKS[lock], there), set(), set()
    while waiting:
        need = waiting.pop()
        pin = pins.get(canonicalize_name(need.name))
        if pin is None or not need.specifier.contains(str(pin.specifier).removeprefix("==")):
            missing.add(str(need))
        elif str(need) not in seen:
            seen.add(str(need))
            waiting += needs_of(need, there)
    assert missing == set()


def test_wheel_holds_the_rooms_and_their_data(tmp_path: Path) -> None:
    """The wheel has every file of the five packages, the script for Redis among them, and nothing else."""
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {"bus/log/publish.lua", "edgebus/__init__.py", "producers/services/mahavishnu.py"} <= names
    assert {name.partition("/")[0] for name in names} == {"bus", "producers", "edges", "clients", "edgebus"}


def rooms_of(package: str) -> list[str]:
    """Return the names of the rooms of a package, and of the rooms inside them."""
    return [".".join(file.parent.relative_to(ROOT).parts) for file in (ROOT / package).glob("*/**/__init__.py")]


def test_packages_are_the_same_everywhere() -> None:
    """The wheel, the measured code and the contracts name the same packages and rooms; none is forgotten."""
    tool = PYPROJECT["tool"]
    packages = tool["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert tool["importlinter"]["root_packages"] == packages
    assert tool["coverage"]["run"]["source"] == packages
    containers = [it for contract in tool["importlinter"]["contracts"] for it in contract.get("containers", [])]
    rooms = [room for package in ("bus", "edges") for room in rooms_of(package)]
    rooms += [f"edgebus.{file.parent.name}" for file in ROOT.glob("edgebus/*/__init__.py")]
    assert sorted(containers) == sorted([*packages, *rooms])
    assert sorted(packages) == sorted(file.parent.name for file in ROOT.glob("*/__init__.py"))


def test_every_rule_that_is_ignored_has_its_reason() -> None:
    """A line of pyproject.toml that switches a rule of ruff off says why."""
    ruff = (ROOT / "pyproject.toml").read_text().partition("[tool.ruff.lint]\n")[2].partition("[tool.importlinter]")[0]
    assert [line for line in ruff.splitlines() if re.match(r' +"[A-Z]+[0-9]+",', line) and "#" not in line] == []


SECRET_NAMES: Final = {"token", "tokens", "password", "secret", "headers"}


def test_no_value_shows_a_secret() -> None:
    """What holds a token or a password leaves it out of its ``repr``, which ends up in logs and tracebacks."""
    shown = []
    for package in PYPROJECT["tool"]["importlinter"]["root_packages"]:
        for module in pkgutil.walk_packages([str(ROOT / package)], f"{package}."):
            if module.name.endswith("__main__") or ".demo.suite" in module.name:
                continue
            for name, it in vars(importlib.import_module(module.name)).items():
                if isinstance(it, type) and dataclasses.is_dataclass(it) and it.__module__ == module.name:
                    shown += [
                        f"{name}.{one.name}"
                        for one in dataclasses.fields(it)
                        if one.repr and (one.name in SECRET_NAMES or one.name.endswith("_password"))
                    ]
    assert shown == []


def test_every_test_has_its_sentence() -> None:
    """A test's docstring states the rule that it tests."""
    missing = [
        f"{file.relative_to(ROOT)}: {node.name}"
        for file in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert missing == []


def test_figure_stands_in_a_report_for_machines(tmp_path: Path) -> None:
    """``--junitxml`` takes what tests record: under this project's own settings, where a warning is an error."""
    (tmp_path / "test_it.py").write_text("def test_it(record_property): record_property('figure', 1.5)")
    words = (
        "-m",
        "pytest",
        "-c",
        ROOT / "pyproject.toml",
        "--rootdir",
        tmp_path,
        "--junitxml",
        tmp_path / "report.xml",
    )
    ran = subprocess.run([sys.executable, *words, tmp_path], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    assert 'name="figure" value="1.5"' in (tmp_path / "report.xml").read_text()


WATCHED: Final = """
import asyncio, pytest

def test_sync(): asyncio.run(asyncio.sleep(0))

async def test_tidy():
    await asyncio.create_task(asyncio.sleep(0))

@pytest.fixture
async def stopped_in_time():
    task = asyncio.create_task(asyncio.sleep(60))
    yield
    task.cancel()
    await asyncio.wait([task])

async def test_fixture(stopped_in_time): pass

async def test_leaves_a_task():
    asyncio.get_running_loop().kept = asyncio.create_task(asyncio.sleep(60), name="forgotten")

async def test_loses_an_exception():
    async def crash(): raise LookupError("lost in a task")
    asyncio.create_task(crash())
    await asyncio.sleep(0)

async def test_loses_an_exception_of_a_callback():
    asyncio.get_running_loop().call_soon(lambda: [][0])
    await asyncio.sleep(0)
"""

SKIPPED: Final = """
import pytest

@pytest.mark.skip(reason="marked")
def test_marked(): pass

def test_inside(): pytest.skip("inside")

@pytest.mark.xfail(strict=True)
def test_known(): assert False
"""


@pytest.fixture
def other_project(pytester: pytest.Pytester) -> pytest.Pytester:
    """An empty project with the conftest.py of this one."""
    pytester.makeconftest((ROOT / "tests" / "conftest.py").read_text())
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    return pytester


def test_what_a_test_leaves_in_its_loop_fails_it(other_project: pytest.Pytester) -> None:
    """A task that is left behind and an exception that nobody saw fail their test, and no other."""
    other_project.makepyfile(WATCHED)
    result = other_project.runpytest_subprocess("-p", "no:valkey")
    result.assert_outcomes(passed=6, errors=3)
    result.stdout.fnmatch_lines(["*left behind: <Task*forgotten*", "*LookupError: lost in a task*", "*IndexError*"])


@pytest.mark.parametrize(("strict", "outcomes"), [("0", {"skipped": 2}), ("1", {"failed": 1, "errors": 1})])
def test_skip_fails_where_it_must_not_be(
    other_project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, strict: str, outcomes: dict[str, int]
) -> None:
    """With EDGEBUS_TESTS_STRICT=1 a skip is a failure with its reason; an expected failure stays one."""
    monkeypatch.setenv("EDGEBUS_TESTS_STRICT", strict)
    other_project.makepyfile(SKIPPED)
    result = other_project.runpytest_subprocess("-p", "no:valkey", "-ra")
    result.assert_outcomes(xfailed=1, **outcomes)
    result.stdout.fnmatch_lines_random(["*marked*", "*inside*"])


def test_module_that_skips_itself_fails_where_it_must_not(
    other_project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With EDGEBUS_TESTS_STRICT=1 a module that cannot be imported for want of something is an error."""
    monkeypatch.setenv("EDGEBUS_TESTS_STRICT", "1")
    other_project.makepyfile('import pytest\npytest.importorskip("not_there")\ndef test_it(): pass')
    result = other_project.runpytest_subprocess("-p", "no:valkey")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*could not import 'not_there'*lets nothing be skipped"])

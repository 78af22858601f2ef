"""The package for browsers: its words, its behaviour under a clock of the test's own, its types, form and size."""

import gzip
import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from bus.words import ABOUT_THE_TOKEN, PASSING, CloseCode, NoticeName
from tests.journeys.processes import program
from tests.npm import PACKAGE, tools

_UNITS: Final = Path(__file__).parent / "javascript" / "client.test.mjs"
_LIMIT: Final = 8 * 1024


def run(*argv: str | Path, cwd: Path = PACKAGE) -> str:
    """Run a program to its end, and return its output."""
    done = subprocess.run([str(it) for it in argv], cwd=cwd, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(name="tools", scope="module")
def fixture_tools() -> Path:
    """Lend what checks the package."""
    return tools()


def test_words() -> None:
    """The words are those of the table that edges read."""
    node = program("node", "nodejs")
    shown = "JSON.stringify(words, (_, it) => it instanceof Set ? [...it] : it)"
    script = f"const words = await import(process.argv[1]); console.log({shown})"
    words: dict[str, Any] = json.loads(run(node, "--input-type=module", "-e", script, PACKAGE / "src" / "words.js"))
    assert {name: set(it) for name, it in words.items()} == {
        "FOR_GOOD": {int(code) for code in CloseCode if not code.come_back},
        "PASSING": set(PASSING),
        "ABOUT_THE_TOKEN": set(ABOUT_THE_TOKEN),
        "OF_THE_CONNECTION": {name for name in NoticeName if not name.is_of_a_room},
        "OF_A_ROOM": {name for name in NoticeName if name.is_of_a_room},
    }


def test_units() -> None:
    """Time, signals, the page's network and callbacks."""
    run(program("node", "nodejs"), "--no-warnings", "--test", _UNITS)


def test_package(tools: Path, figure: Any) -> None:
    """The types hold under `tsc --strict`, and the package is small."""
    run(tools / "tsc")
    bundle = run(tools / "esbuild", "src/index.js", "--bundle", "--minify", "--format=esm", "--target=es2022")
    size = len(gzip.compress(bundle.encode()))
    figure(f"@edgebus/client: {size} bytes, minified and gzipped")
    assert size < _LIMIT


@pytest.mark.nightly  # both pack the package and read all of TypeScript once more
def test_package_as_npm_has_it(tools: Path) -> None:
    """Publint and attw find no fault."""
    run(tools / "publint", "--strict")
    run(tools / "attw", "--pack", ".", "--profile", "esm-only")

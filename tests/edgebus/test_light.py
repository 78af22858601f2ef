"""What the command line loads before it knows what was typed."""

import subprocess
import sys

import orjson
import pytest

HEAVY = {"cryptography", "edges", "jwt", "pydantic_settings", "redis", "rich", "textual", "websockets"}
PROBE = """
import json, sys
sys.argv = ["edgebus", *sys.argv[1:]]
from edgebus.cli import main
code = 0
try:
    main()
except SystemExit as ended:
    code = ended.code
print(json.dumps({"code": code, "loaded": sorted({name.partition(".")[0] for name in sys.modules})}), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["edge", "--help"],
        ["publish", "--help"],
        ["token", "--help"],
        ["token", "make", "--help"],
        ["top", "--help"],
    ],
    ids=" ".join,
)
def test_help_and_version_load_neither_redis_nor_an_edge(words: list[str]) -> None:
    """Who asks what can be typed waits for nothing that only a command needs."""
    done = subprocess.run([sys.executable, "-c", PROBE, *words], capture_output=True, check=True)
    told = orjson.loads(done.stderr)
    assert told["code"] == 0
    assert "edgebus" in told["loaded"]
    assert HEAVY & set(told["loaded"]) == set()


def test_terminal_loads_neither_redis_nor_an_edge() -> None:
    """Printing and exit codes are of no use to a command that first has to load an edge for them."""
    probe = "import sys, edgebus.terminal; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, check=True)
    assert set(done.stdout.decode().split()) & HEAVY == set()

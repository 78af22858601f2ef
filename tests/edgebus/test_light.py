"""What is loaded before it is needed: by the command line, by an edge, by who imports the SDK. Facts, no clocks."""

import subprocess
import sys

import orjson
import pytest

HEAVY = {"cryptography", "edges", "jwt", "redis", "rich", "textual", "websockets"}
PROBE = """
import json, sys
sys.argv = ["edgebus", *sys.argv[1:]]
from edgebus.__main__ import main
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


def loaded_by(code: str, *words: str) -> set[str]:
    """Return the modules of a new Python after ``code``."""
    probe = f"{code}\nimport sys; print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", probe, *words], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


VERSION = """
import sys
from edgebus.__main__ import main
sys.argv = ["edgebus", "--version"]
main()
"""


def test_version_is_answered_by_little() -> None:
    """Scripts ask for the version again and again; the answer needs no command and no option."""
    modules = loaded_by(VERSION)
    assert packages(modules) & {"typer", "asyncio", "pydantic", "bus", "producers", *HEAVY} == set()
    assert len(modules) < 150, "60 of them Python's own at its start"


def test_sdk_is_imported_by_little() -> None:
    """Every pytest of an environment imports the package, and so do programs that publish only now and then."""
    modules = loaded_by("import producers")
    assert packages(modules) & {"asyncio", "bus", "pydantic", "prometheus_client", "tenacity", *HEAVY} == set()
    assert len(modules) < 150, "60 of them Python's own at its start"


EDGE = """
import asyncio, sys, threading
from edgebus import __main__, serving

async def end_when_settled(asked, edge):
    while edge.not_ready() is not None:
        await asyncio.sleep(0)
    print("ready:", *sys.modules, file=sys.stderr)
    await edge.settled()
    while threading.active_count() > 1:  # a thread that stayed would make each write to a client dearer
        await asyncio.sleep(0)
    asked.may_take_time = False

def note(line):
    print("listens:", *sys.modules, file=sys.stderr)

serving._until_asked, serving.show = end_when_settled, note
redis_url = sys.argv[1]
sys.argv = ["edgebus", "edge", "mahavishnu", "--port", "0", "--redis", redis_url, "--log-level", "error"]
try:
    __main__.main()
except SystemExit as ended:
    assert ended.code == 0, ended.code
print("ended:", *sys.modules, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def edge(broker_url: str) -> dict[str, set[str]]:
    """Start an edge; return the modules that there are when the edge listens, is ready and has ended."""
    done = subprocess.run([sys.executable, "-c", EDGE, broker_url], capture_output=True, text=True, check=True)
    told = (line.partition(": ") for line in done.stderr.splitlines())
    return {when: set(modules.split()) for when, _, modules in told}


def test_edge_listens_with_little(edge: dict[str, set[str]]) -> None:
    """An edge without keys, TLS, a file and a terminal loads nothing that only those need; nor what metrics need."""
    modules = edge["listens"]
    assert "edges.edge" in modules
    of_features = {
        "attr",
        "cryptography",
        "jwt",
        "prometheus_client",
        "pygments",
        "rich",
        "structlog",
        "textual",
        "typer",
        "yaml",
    }
    assert packages(modules) & of_features == set()
    assert "edgebus.cli" not in modules, "no command but its own"
    assert len(modules) < 685


def test_edge_is_ready_before_the_client_library_is_loaded(edge: dict[str, set[str]]) -> None:
    """Redis' client library is a quarter of an edge's start, and of no use before the first client asks."""
    modules = edge["ready"]
    assert packages(modules) & {"opentelemetry", "redis"} == set()
    assert len(modules - edge["listens"]) < 10


def test_edge_loads_the_client_library_by_itself(edge: dict[str, set[str]]) -> None:
    """Not with the first client, for all clients would wait; and before what is loaded is frozen."""
    modules = edge["ended"]
    assert "redis.asyncio.client" in modules
    assert "cryptography.hazmat" not in modules, "redis-py loads the package's front alone"
    assert len([name for name in modules if not name.startswith("opentelemetry")]) < 850


@pytest.mark.parametrize("url", ["redis://x", "rediss://x?ssl_cert_reqs=none", "unix:///x", "redis+sentinel://x/y"])
def test_url_is_checked_without_the_client_library(url: str) -> None:
    """An edge whose Redis has TLS, or a socket, is to listen as early as others."""
    modules = loaded_by("import sys; from bus.redis.address import check_url; check_url(sys.argv[1])", url)
    assert packages(modules) & {"opentelemetry", "redis"} == set()


def test_client_library_is_loaded_with_a_producer() -> None:
    """Not with the class, which tests replace; nor at the first event, which may be sent while the program ends."""
    modules = loaded_by("from producers import Producer; Producer")
    assert "producers.producer" in modules
    assert packages(modules) & {"opentelemetry", "redis"} == set()
    assert "redis.asyncio.client" in loaded_by("from producers import Producer; Producer('redis://127.0.0.1:1')")

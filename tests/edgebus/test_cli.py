"""The command line as a person meets it: whole processes, exit codes, sentences."""

import os
import re
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from bus.broker.embedded import EmbeddedBroker
from edgebus.cli import app

DEADLINE_S = 20.0
NOBODY = "redis://127.0.0.1:1"


def run(*words: str, stdin: bytes = b"", **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a command to its end; its own environment has no EDGEBUS_ variable but those given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EDGEBUS_")}
    return subprocess.run(
        [sys.executable, "-m", "edgebus", *words],
        input=stdin,
        capture_output=True,
        timeout=DEADLINE_S,
        env={**inherited, **environment},
        check=False,
    )


def start(*words: str, before: tuple[str, ...] = ()) -> "subprocess.Popen[bytes]":
    """Start a command, ``before`` in front of it on its line."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EDGEBUS_")}
    return subprocess.Popen(
        [*before, sys.executable, "-m", "edgebus", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=inherited,
    )


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with EmbeddedBroker(port=0) as broker:
        yield broker.url


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["publish", "nope"], 2, "is an event of no service"),
        (["publish", "workflow.startd"], 2, " (did you mean workflow.started?)"),
        (["listen", "worklow:a"], 2, " (did you mean workflow:a?); the forms are workflow:{workflow_id}, "),
        (["listen", "weather:a"], 2, "--service MODULE:ATTR"),
        (["listen", "station:a", "--url", "ws://127.0.0.1:1"], 3, "edgebus edge SERVICE"),
        (["listen", "global", "--url", "ws://127.0.0.1:1"], 3, "edgebus edge SERVICE"),
        (["history", "nope:a", "--redis", NOBODY], 3, "edgebus broker"),
        (["history", "__keyspace@0__:x"], 2, "a channel of no service at hand"),
        (["publish", "workflow.started", "{"], 2, "not JSON"),
        (["publish", "workflow.started", "[]"], 2, "not a JSON object"),
        (["publish", "workflow.started", '{"workflow_id":5}'], 2, "workflow_id: Input should be a valid string"),
        (["publish", "workflow.started", "{}"], 2, "workflow_id: Field required"),
        (["publish", "pool.closed", '{"pool_id":"p","more":1}'], 2, "more: Extra inputs are not permitted"),
        (["publish", "workflow.started", '{"workflow_id":"a"}', "--redis", NOBODY], 3, "edgebus broker"),
        (["publish", "workflow.started", '{"workflow_id":"a"}', "--redis", "redis://h/5"], 2, "database 5"),
        (["publish", "workflow.started", '{"workflow_id":"a"}', "--redis", "nonsense"], 2, "Redis URL"),
        (["history", "workflow:a", "--redis", "redis://h?foo=bar"], 2, "'foo'; redis:// takes db, password, username"),
        (["edge", "mahavishnu", "--redis", "redis://:57#pw@h"], 2, "'#' stands in it: in a password write %23"),
        (["history", "global"], 2, "mahavishnu/global"),
        (["history", "workflow:a", "--redis", NOBODY], 3, "edgebus broker"),
        (["listen", "workflow:a", "--url", "ws://127.0.0.1:1"], 3, "edgebus edge mahavishnu"),
        (["listen", "workflow:a", "--url", "nonsense"], 2, "--url"),
        (["listen", "workflow:a", "test:b", "--url", "ws://127.0.0.1:1"], 2, "several services"),
        (["replay", "workflow:a", "--since", "-1m", "--at-once", "--speed", "2"], 2, "--at-once, --speed: give one"),
        (["edge", "nope"], 2, "mahavishnu, akosha"),
        (["edge", "mahavishnu", "--set", "nope=1"], 2, "--set nope"),
        (["edge", "mahavishnu", "--set", "file=x"], 2, "--set file: no such setting"),
        (["edge", "mahavishnu", "--set", "max_connections=0"], 2, "--set max_connections: "),
        (["edge", "mahavishnu", "--set", "port=1", "--port", "1"], 2, "--port, --set port: give one of them"),
        (["edge", "mahavishnu", "--max-connections", "0"], 2, "--max-connections"),
        (["broker", "--port", "6379"], 1, "6379"),
        (["services", "nope"], 2, "mahavishnu, akosha"),
        (["nope"], 2, "No such command"),
        (["publish"], 2, "Missing argument"),
        (["kick"], 2, "say whom: a client's ID, --user USER, or --room CHANNEL"),
        (["kick", "a", "--user", "b"], 2, "CLIENT, --user: give one of them"),
        (["log-level", "mahavishnu", "loud"], 2, "'loud' is not one of"),
        (["rooms", "--by", "size"], 2, "'size' is not one of"),
        (["get", "a\x1b"], 2, "a position is <ms>-<n>"),
        (["edges", "--redis", NOBODY], 3, "edgebus broker"),
        (["top", "--once", "--redis", NOBODY], 3, "edgebus broker"),
        (["drain", "mahavishnu", "--redis", NOBODY], 3, "edgebus broker"),
        (["lag", "--redis", NOBODY], 3, "edgebus broker"),
    ],
)
def test_wrong_call_gets_a_sentence_and_its_exit_code(words: list[str], code: int, sentence: str) -> None:
    """A mistake is answered with a sentence on standard error and no traceback."""
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, done.stdout) == (code, "")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["broker", "--port", "6379"], 1, "6379"),
        (["publish", "nope"], 2, "is an event of no service"),
        (["nope"], 2, "No such command"),
        (["history", "workflow:a", "--redis", NOBODY], 3, "edgebus broker"),
    ],
)
def test_sentence_and_exit_code_are_those_of_the_process(words: list[str], code: int, sentence: str) -> None:
    """What a command ends with in this process, a shell sees as well; ``Traceback`` is nowhere in it."""
    done = run(*words)
    error = done.stderr.decode()
    assert (done.returncode, done.stdout) == (code, b"")
    assert sentence in error
    assert "Traceback" not in error


def test_unknown_variable_is_named() -> None:
    """A misspelt variable ends an edge's start and is named."""
    done = run("edge", "mahavishnu", EDGEBUS_MAX_CONECTIONS="5")
    assert done.returncode == 2
    assert b"EDGEBUS_MAX_CONECTIONS" in done.stderr


def test_redis_that_does_not_answer_is_a_time_out() -> None:
    """A server that accepts and says nothing is told apart from one that is not there."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        done = run("history", "workflow:a", "--redis", f"redis://127.0.0.1:{deaf.getsockname()[1]}")
    assert done.returncode == 4
    assert b"does not answer" in done.stderr


def test_log_in_that_is_refused_says_so(redis_url: str) -> None:
    """A wrong password is no reason to start a broker, and is not shown."""
    url = redis_url.replace("redis://", "redis://nobody:hunter2@")
    for words in (("publish", "workflow.started", '{"workflow_id":"a"}'), ("history", "workflow:a")):
        done = run(*words, "--redis", url)
        error = done.stderr.decode()
        assert done.returncode == 3
        assert "the user or the password in the URL is wrong" in error
        assert "edgebus broker" not in error
        assert "hunter2" not in error


def test_published_event_is_the_state(redis_url: str) -> None:
    """What ``publish`` kept, ``state`` shows, as text and as JSON lines; a channel without a state says so."""
    for worker in ("w1", "w2", "w1"):
        data = f'{{"pool_id":"cli-state","worker_id":"{worker}"}}'
        assert run("publish", "worker.added", data, "--redis", redis_url).returncode == 0
    lines = run("state", "pool:cli-state", "--json", "--redis", redis_url).stdout.splitlines()
    assert [orjson.loads(line)["data"]["worker_id"] for line in lines] == ["w2", "w1"]
    assert b"pool:cli-state  worker.added" in run("state", "pool:cli-state", EDGEBUS_REDIS_URL=redis_url).stdout
    assert b"its family keeps none" in run("state", "workflow:cli-1", "--redis", redis_url).stderr
    assert run("state", "nope:a", "--redis", redis_url).returncode == 2


def test_published_event_is_in_the_history(redis_url: str) -> None:
    """What ``publish`` stored, ``history`` shows, as text and as JSON lines."""
    data = b'{"workflow_id":"cli-1","note":"\\u001b[2J \\u202e"}'
    published = run("publish", "workflow.started", "-", "--json", "--redis", redis_url, stdin=data)
    positions = orjson.loads(published.stdout)["positions"]
    assert set(positions) == {"workflow:cli-1", "global"}
    line = orjson.loads(run("history", "workflow:cli-1", "--json", "--redis", redis_url).stdout)
    assert line["position"] == positions["workflow:cli-1"]
    text = run("history", "workflow:cli-1", EDGEBUS_REDIS_URL=redis_url).stdout
    assert b"\x1b" not in text
    assert "\u202e" not in text.decode()
    assert b"workflow.started" in text


SHOP = """
import datetime, enum, uuid
from bus.channel import Family
from bus.event import Event
from bus.service import Service

ORDER = Family("order:{order}")

class Size(enum.Enum):
    LARGE = "large"

class Ordered(Event, event="shop.ordered", channels=(ORDER,)):
    order: str
    size: Size
    at: datetime.datetime
    id: uuid.UUID
    pair: tuple[int, str]

SERVICE = Service(name="shop", port=8699, welcome="hello", families=(ORDER,), events=(Ordered,))
"""


def test_published_json_may_be_of_any_type_of_a_model(redis_url: str, tmp_path: Path) -> None:
    """Enumerations, times, ids and tuples are typed as JSON has them; a wrong one is named by its field."""
    (tmp_path / "shop.py").write_text(SHOP)
    data = {"order": "a", "size": "large", "at": "2026-01-02T03:04:05Z", "id": str(uuid.UUID(int=1)), "pair": [1, "x"]}
    words = ("publish", "shop.ordered", "-", "--service", "shop:SERVICE", "--redis", redis_url)
    done = run(*words, "--json", stdin=orjson.dumps(data), PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr.decode()
    assert set(orjson.loads(done.stdout)["positions"]) == {"order:a"}
    wrong = run(*words, stdin=orjson.dumps({**data, "size": "huge"}), PYTHONPATH=str(tmp_path))
    assert (wrong.returncode, b"size: " in wrong.stderr) == (2, True)


def test_live_channel_has_no_history(redis_url: str) -> None:
    """A live channel keeps nothing, and the command says so."""
    done = run("history", "cursor:d1", "--redis", redis_url)
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"is live" in done.stderr


def test_listen_ends_after_its_count_and_gives_up_in_time(redis_url: str) -> None:
    """``--count`` ends with 0 and ``--timeout`` with 4; both show what came."""
    edge = start("edge", "mahavishnu", "--port", "0", "--redis", redis_url)
    assert edge.stdout is not None
    found = re.search(r"ws://[\d.:]+", edge.stdout.readline().decode())
    assert found is not None
    quiet = run("listen", "workflow:cli-2", "--url", found[0], "--timeout", "0.5")
    listener = start("listen", "workflow:cli-3", "pool:cli-3", "--count", "2", "--json", "--url", found[0])
    code, shown = None, b""
    while code is None:
        run("publish", "workflow.completed", '{"workflow_id":"cli-3","result":{}}', "--redis", redis_url)
        code = listener.poll()
    shown, _ = listener.communicate()
    edge.send_signal(signal.SIGINT)  # no balancer has to notice
    edge.communicate(timeout=DEADLINE_S)
    assert (quiet.returncode, quiet.stdout) == (4, b"")
    assert code == 0
    assert [orjson.loads(line)["room"] for line in shown.splitlines()] == ["workflow:cli-3"] * 2
    assert edge.returncode == 0


def test_listen_ends_by_sigint_though_a_script_left_it_ignored(redis_url: str) -> None:
    """A script's ``edgebus listen … &`` inherits SIGINT ignored (POSIX, 2.11 of the shell), and ends."""
    edge = start("edge", "mahavishnu", "--port", "0", "--redis", redis_url)
    assert edge.stdout is not None
    found = re.search(r"ws://[\d.:]+", edge.stdout.readline().decode())
    assert found is not None
    ignoring = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")
    listener = start("listen", "workflow:cli-4", "--last", "1", "--json", "--url", found[0], before=ignoring)
    run("publish", "workflow.completed", '{"workflow_id":"cli-4","result":{}}', "--redis", redis_url)
    assert listener.stdout is not None
    assert b"workflow:cli-4" in listener.stdout.readline()
    listener.send_signal(signal.SIGINT)
    try:
        listener.communicate(timeout=DEADLINE_S)
    finally:
        listener.kill()
        edge.send_signal(signal.SIGINT)
        edge.communicate(timeout=DEADLINE_S)
    assert listener.returncode == 0


def test_edge_reads_its_yaml_file_below_environment_and_flags(tmp_path: Path) -> None:
    """The file's form is the ecosystem's; a variable wins over it."""
    file = tmp_path / "mahavishnu.yaml"
    file.write_text("websocket:\n  enabled: true\n  port: 1\n")
    disabled = run("edge", "mahavishnu", "--config", str(file), EDGEBUS_ENABLED="false")
    assert disabled.returncode == 0
    assert b"nothing to do" in disabled.stdout
    file.write_text("websocket:\n  prot: 1\n")
    wrong = run("edge", "mahavishnu", "--config", str(file))
    assert wrong.returncode == 2
    assert b"websocket.prot" in wrong.stderr


def test_edge_on_a_taken_port_says_so() -> None:
    """A port in use is a sentence and exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("edge", "mahavishnu", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert b"cannot listen" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_broker_ends_in_order(number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end the broker with 0 and no traceback."""
    broker = start("broker", "--port", "0")
    assert broker.stdout is not None
    assert b"listens on redis://127.0.0.1:" in broker.stdout.readline()
    broker.send_signal(number)
    _, error = broker.communicate(timeout=DEADLINE_S)
    assert (broker.returncode, error) == (0, b"")


def test_second_signal_ends_an_edge_at_once() -> None:
    """Whoever asks twice does not wait for the drain, and the log says that it was cut short."""
    edge = start("edge", "mahavishnu", "--port", "0", "--redis", NOBODY)
    assert edge.stdout is not None
    assert edge.stderr is not None
    assert b"mahavishnu listens on" in edge.stdout.readline()
    edge.send_signal(signal.SIGTERM)
    assert any(b"edge drains" in line for line in edge.stderr)
    edge.send_signal(signal.SIGTERM)
    _, error = edge.communicate(timeout=DEADLINE_S)
    assert edge.returncode == 128 + signal.SIGTERM
    last = orjson.loads(error.splitlines()[-1])
    assert (last["event"], last["level"], last["signal"]) == ("asked to end twice, ended at once", "info", "SIGTERM")

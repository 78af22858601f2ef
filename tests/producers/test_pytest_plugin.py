"""The pytest plugin in real pytest runs, each in a process of its own and with warnings as errors."""

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis import Redis

import producers
from bus.broker.embedded import EmbeddedBroker
from tests.ports import free_port

ROOT = Path(producers.__file__).resolve().parents[1]
NO_REDIS = "redis://127.0.0.1:1"
DEADLINE_S = 40.0

SUITE = """
import pytest

def test_passes(): pass

def test_fails(): assert 1 == 2, "not equal"

def test_is_skipped(): pytest.skip("not today")

@pytest.fixture
def broken(): raise RuntimeError("no database")

def test_cannot_begin(broken): pass

@pytest.fixture
def untidy():
    yield
    raise RuntimeError("left a mess")

def test_cannot_end(untidy): pass

@pytest.mark.xfail
def test_is_known_to_fail(): assert False
"""


@dataclass(frozen=True)
class Ran:
    """What a run of pytest left."""

    code: int
    output: str
    seconds: float


class Suite:
    """A folder with tests, and pytest in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("pytest.ini", "[pytest]\n")

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def run(self, *arguments: str, **environment: str) -> Ran:
        """Run pytest with the plugin known, and no other; nothing of our own environment's settings reaches it."""
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "producers.pytest_plugin",
            "-p",
            "no:cacheprovider",
            "-W",
            "error",
        ]
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("EDGEBUS_", "PYTEST_"))}
        settings = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
        began = time.monotonic()
        ran = subprocess.run(
            [*command, *arguments],
            cwd=self.folder,
            env={**inherited, **settings, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=DEADLINE_S,
            check=False,
        )
        return Ran(ran.returncode, ran.stdout, time.monotonic() - began)


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    folder = tmp_path / "shop"
    folder.mkdir()
    suite = Suite(folder)
    suite.write("test_shop.py", SUITE)
    return suite


@pytest.fixture
def run_id() -> str:
    return secrets.token_hex(8)


@pytest.fixture
def redis(broker_url: str) -> Iterator[Redis]:
    with Redis.from_url(broker_url) as client:
        yield client


def events(redis: Redis, channel: str) -> list[tuple[str, dict[str, Any]]]:
    """Return what was published on a channel, oldest first, without the time."""
    entries: Any = redis.xrange(f"bus:log:{{{channel}}}")
    lines = [orjson.loads(fields[b"line"]) for _, fields in entries]
    return [(line["event"], {key: line["data"][key] for key in line["data"] if key != "timestamp"}) for line in lines]


def outcomes(redis: Redis, channel: str) -> dict[str, str]:
    return {
        data["test_name"]: data["outcome"] for event, data in events(redis, channel) if event == "test.case_completed"
    }


def failures(redis: Redis, channel: str) -> list[tuple[str, str]]:
    return [(data["test_name"], data["error"]) for event, data in events(redis, channel) if event == "test.failed"]


def ending(redis: Redis, channel: str) -> tuple[int, int]:
    """Return the counts of the last event: how many tests were completed, how many failed."""
    event, data = events(redis, channel)[-1]
    assert event == "test.completed"
    return data["tests_completed"], data["tests_failed"]


def bearable_s(alone: Ran) -> float:
    """Return what the run may take with the plugin on, imports included; on a busy machine all of it takes longer.

    It is less than a run would take that waited for one of the 5 s that Redis has for an answer.
    """
    return alone.seconds * 3 + 2


def complaint(ran: Ran) -> str:
    """Return the one line about events that were not published."""
    [line] = [line for line in ran.output.splitlines() if "not published" in line]
    return line


def test_a_run_is_published_test_by_test(suite: Suite, broker_url: str, redis: Redis, run_id: str) -> None:
    """Start, every test with its outcome, every failure with its reason, the end: in the order they happened in."""
    ran = suite.run("--edgebus", "--edgebus-run-id", run_id, "--edgebus-redis", broker_url)
    published = events(redis, f"test:{run_id}")
    assert ran.code == 1
    assert "not published" not in ran.output
    assert [event for event, _ in published] == [
        "test.started",
        "test.case_completed",
        *("test.failed", "test.case_completed"),
        "test.case_completed",
        *("test.failed", "test.case_completed"),
        *("test.failed", "test.case_completed"),
        "test.case_completed",
        "test.completed",
    ]
    assert {data["run_id"] for _, data in published} == {run_id}
    assert published[0][1] == {"run_id": run_id, "test_suite": "shop", "total_tests": 6}
    assert outcomes(redis, f"test:{run_id}") == {
        "test_shop.py::test_passes": "passed",
        "test_shop.py::test_fails": "failed",
        "test_shop.py::test_is_skipped": "skipped",
        "test_shop.py::test_cannot_begin": "failed",
        "test_shop.py::test_cannot_end": "failed",
        "test_shop.py::test_is_known_to_fail": "skipped",
    }
    assert failures(redis, f"test:{run_id}") == [
        ("test_shop.py::test_fails", "AssertionError: not equal"),
        ("test_shop.py::test_cannot_begin", "error at setup: RuntimeError: no database"),
        ("test_shop.py::test_cannot_end", "error at teardown: RuntimeError: left a mess"),
    ]
    assert 'raise RuntimeError("no database")' in published[5][1]["traceback"]
    assert ending(redis, f"test:{run_id}") == (6, 3)
    durations = [data["duration_seconds"] for event, data in published if event == "test.case_completed"]
    assert all(seconds > 0 for seconds in durations)
    assert sum(durations) < published[-1][1]["duration_seconds"] < ran.seconds


def test_beginning_and_end_are_on_global_too(suite: Suite, broker_url: str, redis: Redis, run_id: str) -> None:
    """Who watches all of crackerjack sees runs begin and end, and no single tests."""
    suite.run("--edgebus", "--edgebus-run-id", run_id, "--edgebus-redis", broker_url)
    mine = [event for event, data in events(redis, "global:crackerjack") if data["run_id"] == run_id]
    assert mine == ["test.started", "test.completed"]


def test_it_is_off_unless_asked_for(suite: Suite, broker_url: str, redis: Redis, run_id: str) -> None:
    """Without the option or the variable nothing is published, said, or even imported."""
    suite.write(
        "test_cost.py",
        """
import sys

def test_cheap():
    assert "producers.pytest_plugin" in sys.modules
    assert not {"redis", "pydantic", "orjson", "asyncio", "producers.producer"} & set(sys.modules)
""",
    )
    ran = suite.run("test_cost.py", EDGEBUS_RUN_ID=run_id, EDGEBUS_REDIS_URL=broker_url, EDGEBUS_PYTEST="0")
    assert ran.code == 0
    assert "edgebus" not in ran.output
    assert not redis.exists(f"bus:log:{{test:{run_id}}}")


def test_the_environment_switches_it_on(suite: Suite, broker_url: str, redis: Redis, run_id: str) -> None:
    """EDGEBUS_PYTEST=1 does what the option does, with the run's id and Redis from the environment as well."""
    suite.write("pytest.ini", "[pytest]\nedgebus_test_suite = till\n")
    suite.run(EDGEBUS_PYTEST="1", EDGEBUS_RUN_ID=run_id, EDGEBUS_REDIS_URL=broker_url)
    assert events(redis, f"test:{run_id}")[0][1]["test_suite"] == "till"
    assert ending(redis, f"test:{run_id}") == (6, 3)


def test_an_option_is_above_the_environment(suite: Suite, broker_url: str, redis: Redis, run_id: str) -> None:
    """What is typed wins over what is inherited."""
    arguments = ("--edgebus-run-id", run_id, "--edgebus-redis", broker_url)
    suite.run(*arguments, EDGEBUS_PYTEST="1", EDGEBUS_RUN_ID=f"{run_id}-2", EDGEBUS_REDIS_URL=NO_REDIS)
    assert ending(redis, f"test:{run_id}") == (6, 3)


def test_the_header_says_where_to_look(suite: Suite) -> None:
    """A run without an id gets one of its own; the header names the channel to watch, and shows no password."""
    with EmbeddedBroker(port=0, extra=("--requirepass", "secret")) as broker:
        url = broker.url.replace("//", "//default:secret@")
        headers = [suite.run("--edgebus", "--edgebus-redis", url).output for _ in range(2)]
        found = [re.search(r"^edgebus: publishing as (test:[0-9a-f]{8}) to redis://\S+$", it, re.M) for it in headers]
        channels = [match[1] for match in found if match]
        with Redis.from_url(url) as redis:
            assert [ending(redis, channel) for channel in channels] == [(6, 3), (6, 3)]
    assert len(set(channels)) == 2
    assert not any("secret" in header for header in headers)


def test_a_run_id_may_be_any_text(suite: Suite, broker_url: str, redis: Redis, run_id: str) -> None:
    """What a channel's name may not hold is percent-encoded there; the event's data has the id as it was given."""
    given = f"{run_id} main #7 ü"
    ran = suite.run("--edgebus", "--edgebus-run-id", given, "--edgebus-redis", broker_url)
    channel = f"test:{run_id}%20main%20%237%20%C3%BC"
    assert f"publishing as {channel} to" in ran.output
    assert events(redis, channel)[-1][1]["run_id"] == given


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--edgebus-run-id", "x" * 129], "run_id must give 1 to 128 characters"),
        (["--edgebus-redis", "redis://127.0.0.1/3"], "database 3"),
        (["--edgebus-redis", "http://127.0.0.1"], "the Redis URL cannot be used"),
    ],
)
def test_what_can_never_be_published_is_told_before_the_first_test(
    suite: Suite, arguments: list[str], reason: str
) -> None:
    """A wrong id or URL is a mistake in the command, not a Redis that is away: pytest says so and runs nothing."""
    ran = suite.run("--edgebus", *arguments)
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert reason in ran.output
    assert "collected" not in ran.output


def test_a_pytest_inside_a_test_is_a_run_of_its_own(suite: Suite, broker_url: str, redis: Redis, run_id: str) -> None:
    """A test that starts pytest hands EDGEBUS_PYTEST on, and not the run's id: the inner run has one of its own."""
    suite.write("inner.py", "def test_inner(): pass\n")
    suite.write(
        "test_shop.py",
        """
import os, subprocess, sys

def test_outer():
    assert "EDGEBUS_RUN_ID" not in os.environ
    command = [sys.executable, "-m", "pytest", "-p", "producers.pytest_plugin", "-p", "no:cacheprovider", "inner.py"]
    print(subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout)
""",
    )
    ran = suite.run("-s", EDGEBUS_PYTEST="1", EDGEBUS_RUN_ID=run_id, EDGEBUS_REDIS_URL=broker_url)
    assert list(outcomes(redis, f"test:{run_id}")) == ["test_shop.py::test_outer"]
    inner = set(re.findall(r"publishing as (test:[0-9a-f]{8}) to", ran.output))
    assert [list(outcomes(redis, channel)) for channel in inner] == [["inner.py::test_inner"]]


def test_a_worker_of_xdist_leaves_it_to_the_controller(
    suite: Suite, broker_url: str, redis: Redis, run_id: str
) -> None:
    """A process that pytest-xdist made a worker of publishes nothing: the controller gets all its reports."""
    suite.write(
        "conftest.py",
        """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    config.workerinput = {}
""",
    )
    ran = suite.run("--edgebus", "--edgebus-run-id", run_id, "--edgebus-redis", broker_url)
    assert ran.code == 1
    assert not redis.exists(f"bus:log:{{test:{run_id}}}")


def test_a_controller_of_xdist_publishes_what_workers_report(
    suite: Suite, broker_url: str, redis: Redis, run_id: str
) -> None:
    """Total and start come from the first worker that has collected; a test that killed its worker is a failed one."""
    suite.write("pytest.ini", "[pytest]\naddopts = -p controller\n")
    suite.write(
        "controller.py",
        """
import pytest
from _pytest.reports import TestReport

class Hooks:
    def pytest_xdist_node_collection_finished(self, node, ids): ...

def pytest_addhooks(pluginmanager):
    pluginmanager.add_hookspecs(Hooks)

def pytest_configure(config):
    config.pluginmanager.register(Controller(), "dsession")

class Controller:
    def pytest_collection(self):
        return True

    def pytest_runtestloop(self, session):
        hook = session.config.hook
        for node in range(2):
            hook.pytest_xdist_node_collection_finished(node=node, ids=["a", "b", "c"])
        for name in ["a", "b"]:
            for when in ["setup", "call", "teardown"]:
                hook.pytest_runtest_logreport(report=TestReport(name, ("f", 0, name), {}, "passed", None, when))
            hook.pytest_runtest_logfinish(nodeid=name, location=("f", 0, name))
        crash = TestReport("c", ("f", 0, "c"), {}, "failed", "worker 'gw0' crashed while running 'c'", "???")
        hook.pytest_runtest_logreport(report=crash)
        return True
""",
    )
    suite.run("--edgebus", "--edgebus-run-id", run_id, "--edgebus-redis", broker_url)
    assert [data["total_tests"] for event, data in events(redis, f"test:{run_id}") if event == "test.started"] == [3]
    assert outcomes(redis, f"test:{run_id}") == {"a": "passed", "b": "passed", "c": "failed"}
    assert failures(redis, f"test:{run_id}") == [("c", "worker 'gw0' crashed while running 'c'")]
    assert ending(redis, f"test:{run_id}") == (3, 1)


def test_collecting_only_is_no_run(suite: Suite, broker_url: str, redis: Redis, run_id: str) -> None:
    """With --collect-only nothing is run, so nothing is published."""
    suite.run("--edgebus", "--collect-only", "--edgebus-run-id", run_id, "--edgebus-redis", broker_url)
    assert not redis.exists(f"bus:log:{{test:{run_id}}}")


def test_what_cannot_be_collected_fails_the_run(suite: Suite, broker_url: str, redis: Redis, run_id: str) -> None:
    """A module that cannot be imported is a failure with its reason, on a run that would else look like a success."""
    suite.write("test_shop.py", "import nowhere_to_be_found\n")
    ran = suite.run("--edgebus", "--edgebus-run-id", run_id, "--edgebus-redis", broker_url)
    assert ran.code == pytest.ExitCode.INTERRUPTED
    [(name, error)] = failures(redis, f"test:{run_id}")
    assert name == "test_shop.py"
    assert error == "error at collection: ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    assert ending(redis, f"test:{run_id}") == (0, 1)


def test_a_run_that_is_broken_off_has_not_passed(suite: Suite, broker_url: str, redis: Redis, run_id: str) -> None:
    """Ctrl-C in the second of three tests: the run ends on the bus as well, with what there is, and as failed."""
    suite.write("test_shop.py", "def test_1(): pass\ndef test_2(): raise KeyboardInterrupt\ndef test_3(): pass\n")
    ran = suite.run("--edgebus", "--edgebus-run-id", run_id, "--edgebus-redis", broker_url)
    assert ran.code == pytest.ExitCode.INTERRUPTED
    assert outcomes(redis, f"test:{run_id}") == {"test_shop.py::test_1": "passed"}
    assert failures(redis, f"test:{run_id}") == [("shop", "the run ended before its tests did")]
    assert ending(redis, f"test:{run_id}") == (1, 1)


def test_subtests_count_as_one_test(suite: Suite, broker_url: str, redis: Redis, run_id: str) -> None:
    """A test with parts is one test, failed if a part did; a part that was skipped does not make it skipped."""
    suite.write(
        "test_shop.py",
        """
import pytest

def test_parts(subtests):
    with subtests.test("a"): assert False
    with subtests.test("b"): pass

def test_most(subtests):
    with subtests.test("a"): pytest.skip("no")
""",
    )
    suite.run("--edgebus", "--edgebus-run-id", run_id, "--edgebus-redis", broker_url)
    assert outcomes(redis, f"test:{run_id}") == {
        "test_shop.py::test_parts": "failed",
        "test_shop.py::test_most": "passed",
    }
    assert ending(redis, f"test:{run_id}") == (2, 1)


def test_an_attempt_that_is_repeated_does_not_count(suite: Suite, broker_url: str, redis: Redis, run_id: str) -> None:
    """Where pytest-rerunfailures has a test run again, only the last attempt is one."""
    suite.write(
        "conftest.py",
        """
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and not hasattr(item, "again"):
        report.outcome = "rerun"
    return report

def pytest_runtest_protocol(item, nextitem):
    from _pytest.runner import pytest_runtest_protocol as attempt
    attempt(item, nextitem)
    if item.name == "test_fails":
        item.again = True
        attempt(item, nextitem)
    return True
""",
    )
    suite.run("--edgebus", "--edgebus-run-id", run_id, "--edgebus-redis", broker_url, "-k", "test_fails or test_passes")
    cases = [data["test_name"] for event, data in events(redis, f"test:{run_id}") if event == "test.case_completed"]
    assert cases == ["test_shop.py::test_passes", "test_shop.py::test_fails"]
    assert ending(redis, f"test:{run_id}") == (2, 1)


def test_any_text_and_any_length_can_be_published(suite: Suite, broker_url: str, redis: Redis, run_id: str) -> None:
    """What UTF-8 cannot carry is escaped, and of what is too long the middle left out, in names as in tracebacks."""
    suite.write(
        "test_shop.py",
        r"""
import pytest

@pytest.mark.parametrize("x", [1], ids=["\udc80" + "n" * 5000])
def test_name(x): raise ValueError("caf\udce9 " + "v" * 5000)

def test_control(): raise ValueError("\x00" * 300_000)
""",
    )
    suite.write("pytest.ini", "[pytest]\ndisable_test_id_escaping_and_forfeit_all_rights_to_community_support = true\n")
    ran = suite.run(
        "--edgebus", "--edgebus-run-id", run_id, "--edgebus-redis", broker_url, "--tb=short", "--no-summary"
    )
    assert "not published" not in ran.output
    assert ending(redis, f"test:{run_id}") == (2, 2)
    [first, second] = [data for event, data in events(redis, f"test:{run_id}") if event == "test.failed"]
    assert re.fullmatch(r"test_shop\.py::test_name\[\\udc80n+ \[…\] n+\]", first["test_name"])
    assert re.fullmatch(r"ValueError: caf\\udce9 v+ \[…\] v+", first["error"])
    assert max(len(first["test_name"]), len(first["error"])) < 1_100
    assert 30_000 < len(second["traceback"]) < 33_000


def test_a_redis_that_is_away_changes_nothing(suite: Suite) -> None:
    """Nothing listens: the same exit code, hardly more time, and one line that says what was lost, and why."""
    suite.write("test_more.py", "import pytest\n@pytest.mark.parametrize('n', range(500))\ndef test_n(n): pass\n")
    alone = suite.run()
    away = suite.run("--edgebus", "--edgebus-redis", NO_REDIS)
    assert (alone.code, away.code) == (1, 1)
    assert away.seconds < bearable_s(alone)
    assert complaint(away).startswith(
        "edgebus: 511 of 511 events were not published: no Redis answers at redis://127.0.0.1:1"
    )
    assert complaint(away).endswith("start one with: edgebus broker (or name yours: --edgebus-redis URL)")


def test_a_redis_that_never_answers_changes_nothing(suite: Suite) -> None:
    """A black hole takes the call and says nothing: the run does not wait for it, and more than fits is counted."""
    suite.write("test_more.py", "import pytest\n@pytest.mark.parametrize('n', range(1500))\ndef test_n(n): pass\n")
    alone = suite.run()
    with socket.create_server(("127.0.0.1", 0)) as server:
        deaf = suite.run("--edgebus", "--edgebus-redis", f"redis://127.0.0.1:{server.getsockname()[1]}")
    assert (alone.code, deaf.code) == (1, 1)
    assert deaf.seconds < bearable_s(alone)
    assert complaint(deaf).startswith("edgebus: 1511 of 1511 events were not published: ")
    assert "Exception" not in deaf.output.partition("not published")[2]


DYING = """
import os, signal, pytest

@pytest.mark.parametrize("n", range(20))
def test_before(n): pass

def test_strike():
    os.kill(int(os.environ["BROKER_PID"]), signal.{signal})

@pytest.mark.parametrize("n", range(200))
def test_after(n): pass
"""


@pytest.mark.parametrize("blow", ["SIGKILL", "SIGSTOP"])
def test_a_redis_that_dies_in_the_middle_changes_nothing(suite: Suite, blow: str) -> None:
    """Killed or hanging since the 21st test: all tests run and pass, and what did not arrive is told."""
    suite.write("test_shop.py", DYING.format(signal=blow))
    alone = suite.run("--deselect", "test_shop.py::test_strike")
    with EmbeddedBroker(port=0) as broker:
        ran = suite.run("--edgebus", "--edgebus-redis", broker.url, BROKER_PID=str(broker.pid))
        with suppress(ProcessLookupError):
            os.kill(broker.pid, signal.SIGCONT)
    assert (alone.code, ran.code) == (0, 0)
    assert "221 passed" in ran.output
    assert re.match(r"edgebus: \d+ of 223 events were not published: ", complaint(ran))
    assert ran.seconds < bearable_s(alone)


def test_a_redis_that_comes_later_gets_what_is_left(suite: Suite, run_id: str) -> None:
    """Events wait while Redis is left alone: one that comes up during the run gets those that were not tried yet."""
    with EmbeddedBroker(port=0) as early:
        port = early.port
    suite.write(
        "test_shop.py",
        """
import os, time
from redis import Redis
from bus.broker.embedded import EmbeddedBroker
broker = EmbeddedBroker(port=int(os.environ["BROKER_PORT"]))

def test_start():
    broker.__enter__()

def test_wait():
    log = "bus:log:{test:" + os.environ["RUN"] + "}"
    deadline = time.monotonic() + 20
    with Redis.from_url(broker.url) as redis:
        while not redis.exists(log) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert redis.exists(log)

def test_stop():
    broker.__exit__(None, None, None)
""",
    )
    url = f"redis://127.0.0.1:{port}"
    ran = suite.run("--edgebus", "--edgebus-run-id", run_id, "--edgebus-redis", url, BROKER_PORT=str(port), RUN=run_id)
    assert ran.code == 0
    assert "not published" in complaint(ran)


QUIET = """
import os, socket
import pytest

SERVER = socket.create_server(("127.0.0.1", int(os.environ["SILENT_PORT"])))
SERVER.settimeout(20)

def test_says_nothing(caplog):
    caplog.set_level(0)
    for _ in range(3):  # the third attempt comes when what was to be told of the first was told
        SERVER.accept()[0].close()
    assert caplog.records == []
"""


def test_nothing_is_written_into_the_logs_of_tests(suite: Suite) -> None:
    """A Redis that hangs up again and again: a test that looks at everything that is logged finds nothing of it."""
    port = free_port()
    suite.write("test_shop.py", QUIET)
    ran = suite.run("--edgebus", "--edgebus-redis", f"redis://127.0.0.1:{port}", SILENT_PORT=str(port))
    assert ran.code == 0, ran.output
    assert "were not published" in complaint(ran)


PYTEST_SOCKET = """
import os, socket, time
import pytest

TRUE_SOCKET = socket.socket

class Blocked(RuntimeError): pass

class GuardedSocket(TRUE_SOCKET):
    def __new__(cls, *args, **kwargs):
        raise Blocked("A test tried to use socket.socket.")

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):  # what pytest-socket does with --disable-socket
    socket.socket = GuardedSocket

def pytest_runtest_teardown():
    socket.socket = TRUE_SOCKET
"""


@pytest.mark.parametrize("is_late", [False, True], ids=["from the first test on", "before the run is told to begin"])
def test_sockets_that_are_closed_to_tests_lose_no_event(
    suite: Suite, broker_url: str, redis: Redis, run_id: str, is_late: bool
) -> None:
    """Beside pytest-socket all events arrive: over a connection made before, else when the tests are over."""
    early = "\ndef pytest_collection_finish(): socket.socket = GuardedSocket\n" if is_late else ""
    suite.write("conftest.py", PYTEST_SOCKET + early)
    ran = suite.run("--edgebus", "--edgebus-run-id", run_id, "--edgebus-redis", broker_url)
    assert ran.code == 1
    assert "not published" not in ran.output
    assert len(events(redis, f"test:{run_id}")) == 11
    assert ending(redis, f"test:{run_id}") == (6, 3)

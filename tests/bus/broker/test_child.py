"""Children that end with their parent, and the traps on the way there."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import bus
from bus.broker.child import LAUNCHER, Child, Launch, spawn_bound, start_launcher
from bus.broker.launcher import NOT_STARTED
from tests.processes import end, ended_within

ROOT = Path(bus.__file__).resolve().parents[1]
SLEEP = ("sleep", "600")
DEADLINE_S = 10.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through pidfd and /proc")
both_ways = pytest.mark.parametrize("watchdog", [pytest.param(False, id="kernel"), pytest.param(True, id="watchdog")])


def run_and_kill(script: str, *arguments: str) -> list[int]:
    """Run a Python script until it has printed a line of process ids; kill it with SIGKILL; return them."""
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as parent:
        assert parent.stdout is not None
        try:
            return [int(pid) for pid in parent.stdout.readline().split()]
        finally:
            parent.kill()


@pytest.fixture
def sleeper() -> Iterator[Child]:
    """Lend a bound child that would run for ten minutes."""
    child = spawn_bound(SLEEP)
    yield child
    child.stop_blocking()


PARENT_OF_TWO = """
import signal, subprocess, sys
from bus.broker.child import spawn_bound
plain = subprocess.Popen(["sleep", "600"], start_new_session=True, stdout=subprocess.DEVNULL)
bound = spawn_bound(["sleep", "600"], watchdog=sys.argv[1] == "True", stdout=subprocess.DEVNULL)
print(bound.pid, plain.pid, flush=True)
signal.pause()
"""


@both_ways
def test_bound_child_ends_when_its_parent_is_killed(watchdog: bool) -> None:
    """SIGKILL of the parent ends the bound child; a plain one, the negative control, goes on running after that."""
    bound, plain = run_and_kill(PARENT_OF_TWO, str(watchdog))
    try:
        assert ended_within(bound, DEADLINE_S)
        assert not ended_within(plain, 0)
    finally:
        end(bound)
        end(plain)


PARENT_OF_WRITER = """
import signal, subprocess, sys
from bus.broker.child import spawn_bound
work = '''
import pathlib, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(pathlib.Path(sys.argv[1]).write_text("bye")))
print("ready", flush=True)
signal.pause()
'''
child = spawn_bound([sys.executable, "-c", work, sys.argv[2]], death_signal=signal.SIGTERM,
                    watchdog=sys.argv[1] == "True", stdout=subprocess.PIPE)
child.process.stdout.readline()
print(child.pid, flush=True)
signal.pause()
"""


@both_ways
def test_bound_child_may_finish_when_bound_with_sigterm(watchdog: bool, tmp_path: Path) -> None:
    """The chosen signal is the one that arrives: a child bound with SIGTERM can write its last words."""
    farewell = tmp_path / "farewell"
    (pid,) = run_and_kill(PARENT_OF_WRITER, str(watchdog), str(farewell))
    try:
        assert ended_within(pid, DEADLINE_S)
        assert farewell.read_text() == "bye"
    finally:
        end(pid)


def spawn_in_a_thread_that_ends() -> Child:
    """Return a bound child whose ``spawn_bound`` was called in a thread that is gone."""
    children: list[Child] = []
    thread = threading.Thread(target=lambda: children.append(spawn_bound(SLEEP)))
    thread.start()
    thread.join()
    return children[0]


def test_bound_child_outlives_the_thread_that_spawned_it() -> None:
    """The end of a thread is not the end of the process; without the thread of its own, a child would die of it."""
    child = spawn_in_a_thread_that_ends()
    unprotected: list[subprocess.Popen[bytes]] = []
    launch = Launch(list(SLEEP), signal.SIGKILL, False, {})
    report, report_end = os.pipe()
    with os.fdopen(report, "rb") as started:

        def spawn_and_leave() -> None:
            unprotected.append(start_launcher(launch, report_end, -1))
            os.close(report_end)
            started.read()

        thread = threading.Thread(target=spawn_and_leave)
        thread.start()
        thread.join()
    assert unprotected[0].wait(DEADLINE_S) == -signal.SIGKILL
    assert child.exit_code is None
    assert child.stop_blocking() == -signal.SIGTERM


def test_launcher_never_becomes_the_program_when_the_parent_is_gone_already(tmp_path: Path) -> None:
    """A parent that dies before the tie holds is noticed: here the launcher is told of one that is not its own."""
    trace = tmp_path / "trace"
    report, report_end = os.pipe()
    not_the_parent = str(os.getppid())
    command = [
        sys.executable,
        "-I",
        "-S",
        str(LAUNCHER),
        not_the_parent,
        "9",
        str(report_end),
        "-1",
        "touch",
        str(trace),
    ]
    ran = subprocess.run(command, pass_fds=[report_end], check=False)
    os.close(report_end)
    os.close(report)
    assert ran.returncode == NOT_STARTED
    assert not trace.exists()


def test_watchdog_leaves_when_the_program_has_ended() -> None:
    """The watching process does not stay behind, nor does it keep the program's output open."""
    script = "exec 3</proc/self/task/$$/children; read watchdog <&3; echo $watchdog"
    child = spawn_bound(["sh", "-c", script], watchdog=True, stdout=subprocess.PIPE)
    watchdog = int(output_of(child))
    assert ended_within(watchdog, DEADLINE_S)


@pytest.mark.parametrize(("program", "number"), [("/nonexistent/program", errno.ENOENT), ("/etc/passwd", errno.EACCES)])
def test_spawn_raises_when_the_program_cannot_run(program: str, number: int) -> None:
    """What prevents the program from running is raised by the spawn, as ``subprocess`` would, and nothing is left."""
    with pytest.raises(OSError, match=program) as caught:
        spawn_bound([program])
    assert caught.value.errno == number


def test_spawn_raises_when_the_folder_is_missing() -> None:
    """An error before the launcher runs is the caller's as well."""
    with pytest.raises(FileNotFoundError):
        spawn_bound(SLEEP, cwd="/nonexistent")


def output_of(child: Child) -> str:
    """Return all that a child writes."""
    output, _ = child.process.communicate(timeout=DEADLINE_S)
    return str(output.decode())


@both_ways
def test_program_has_the_descriptors_that_were_passed_and_no_others(watchdog: bool) -> None:
    """What the launcher needed for itself is closed when the program runs."""
    read_end, write_end = os.pipe()
    child = spawn_bound(["ls", "/proc/self/fd"], watchdog=watchdog, pass_fds=[write_end], stdout=subprocess.PIPE)
    os.close(write_end)
    assert len(output_of(child).split()) == len(["stdin", "stdout", "stderr", "write_end", "the folder that ls reads"])
    with os.fdopen(read_end, "rb") as passed:
        assert passed.read() == b"", "the watchdog has it too"


def test_program_ignores_no_signals() -> None:
    """Python ignores SIGPIPE and SIGXFSZ for itself; a program that inherited this would go on writing to nobody."""
    child = spawn_bound(["cat", "/proc/self/status"], stdout=subprocess.PIPE)
    ignored = int(output_of(child).partition("SigIgn:")[2].split()[0], 16)  # make ignores some of its own, and so do we
    assert [number for number in (signal.SIGPIPE, signal.SIGXFSZ) if ignored >> (number - 1) & 1] == []


def test_child_has_a_session_of_its_own(sleeper: Child) -> None:
    """Ctrl-C at the terminal goes to our session, and so not to the child."""
    assert os.getsid(sleeper.pid) == sleeper.pid != os.getsid(0)


def test_child_is_the_program_itself(sleeper: Child) -> None:
    """The id is that of the program, not of anything between us: its signals and exit codes are the program's own."""
    assert Path(f"/proc/{sleeper.pid}/comm").read_text() == "sleep\n"


async def test_wait_returns_the_exit_code() -> None:
    """The end of a program is awaited, and its exit code is its own."""
    child = await asyncio.to_thread(spawn_bound, ["sh", "-c", "exit 7"])
    assert await asyncio.wait_for(child.wait(), DEADLINE_S) == 7
    assert child.exit_code == 7


async def test_wait_cancelled_leaves_the_program_and_other_waiters_alone(sleeper: Child) -> None:
    """Who no longer wants to know does not keep others from knowing."""
    first, second = asyncio.create_task(sleeper.wait()), asyncio.create_task(sleeper.wait())
    await asyncio.wait([first, second], timeout=0)
    first.cancel()
    await asyncio.wait([first])
    assert sleeper.exit_code is None
    sleeper.process.kill()
    assert await asyncio.wait_for(second, DEADLINE_S) == -signal.SIGKILL


async def test_stop_is_idempotent(sleeper: Child) -> None:
    """Every stop returns the exit code, the one after the end too."""
    assert await sleeper.stop() == -signal.SIGTERM
    assert await sleeper.stop() == -signal.SIGTERM


async def test_stop_kills_after_the_deadline() -> None:
    """A program that ignores SIGTERM gets SIGKILL."""
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    child = spawn_bound([sys.executable, "-c", stubborn], stdout=subprocess.PIPE)
    assert child.process.stdout is not None
    with child.process.stdout as output:
        output.readline()
        assert await child.stop(deadline_s=0.05) == -signal.SIGKILL


FORKING = """
import os, sys, warnings
from bus.broker.child import spawn_bound
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn of a fork beside threads
child = spawn_bound(["sleep", "600"])
fork = os.fork()
if fork == 0:
    for call in (child.stop_blocking, lambda: child.exited_within(1)):
        try:
            call()
        except ChildProcessError as error:
            print("fork:", type(error).__name__, flush=True)
    os._exit(0)
os.waitpid(fork, 0)
print(child.exit_code, child.stop_blocking())
"""


def test_fork_neither_ends_a_child_of_its_parent_nor_waits_for_it() -> None:
    """The thread that watches the program stayed in the parent; the fork is told, and the program goes on."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKING],
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE_S,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    refused = "fork: ChildProcessError"
    assert (ran.stdout.splitlines(), ran.stderr) == ([refused, refused, f"None {-signal.SIGTERM}"], "")

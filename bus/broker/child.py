"""Child processes that end with this process, even by SIGKILL; knows nothing of the programs."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from typing import Any, Final

from bus.values import frozen

__all__ = ["STOP_DEADLINE_S", "Child", "spawn_bound"]

LAUNCHER: Final = Path(__file__).resolve().with_name("launcher.py")
STOP_DEADLINE_S: Final = 3.0
REPORT_LIMIT_BYTES: Final = 4096


class Child:
    """A program that runs as our child. Every method may be called at any time, from any thread, any number of times.

    For a fork of this process the program is no child: waiting and ending raise ``ChildProcessError`` there.

    Attributes:
        process: the ``Popen``, for its pipes. Its ``pid`` and ``returncode`` are the program's own.

    """

    def __init__(self, process: "subprocess.Popen[Any]", exited: "Future[int]") -> None:
        self.process = process
        self._exited = exited
        self._owner_pid = os.getpid()

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """None while the program runs; minus the signal's number when a signal ended the program."""
        return self._exited.result() if self._exited.done() else None

    async def wait(self) -> int:
        """Wait until the program has ended; return its exit code. May be cancelled; the program goes on then."""
        self._check_owner()
        return await asyncio.wrap_future(self._exited)

    def exited_within(self, limit_s: float) -> bool:
        """Wait at most ``limit_s`` for the end of the program, blocking; return whether the program has ended."""
        self._check_owner()
        try:
            self._exited.result(limit_s)
        except TimeoutError:
            return False
        return True

    async def stop(self, deadline_s: float = STOP_DEADLINE_S) -> int:
        """Send SIGTERM, after ``deadline_s`` SIGKILL, and return the exit code once the program has ended.

        Cancelling does not call the stop off: the stop goes on in a thread.
        """
        return await asyncio.to_thread(self.stop_blocking, deadline_s)

    def stop_blocking(self, deadline_s: float = STOP_DEADLINE_S) -> int:
        """Stop as ``stop`` does, in the calling thread."""
        self._check_owner()
        self.process.terminate()
        if not self.exited_within(deadline_s):
            self.process.kill()
        return self._exited.result()

    def _check_owner(self) -> None:
        """Refuse, in a fork, to wait for a thread that stayed behind in the parent, and to end the parent's program."""
        if os.getpid() != self._owner_pid:
            text = f"process {self.pid} is a child of process {self._owner_pid}, which forked this one"
            raise ChildProcessError(errno.ECHILD, text)


def spawn_bound(
    argv: Sequence[str | os.PathLike[str]],
    *,
    death_signal: signal.Signals = signal.SIGKILL,
    watchdog: bool = sys.platform != "linux",
    **popen: Any,
) -> Child:
    """Start a program that is sent ``death_signal`` when this process ends, even by SIGKILL.

    Blocks for the 20 ms or so until the program has taken over. The program has a session of its own: Ctrl-C at the
    terminal reaches only this process, and the order of the shutdown stays ours. Children of the program are not
    bound.

    Args:
        argv: the program, looked up on PATH, and its arguments.
        death_signal: SIGKILL is the guarantee that no process stays behind; a program with work to finish gets
            SIGTERM, and is trusted to end.
        watchdog: bind through a second, watching process instead of the kernel; the only way elsewhere than on Linux.
            There a process that we *fork* without exec delays the signal until its own end.
        popen: further arguments of ``subprocess.Popen`` (stdin is ``DEVNULL`` if not given), but not ``executable``,
            ``shell``, ``preexec_fn`` or ``start_new_session``.

    Raises:
        OSError: the program cannot be run; subclass and ``errno`` are as from ``subprocess.Popen``.

    """
    born: Future[subprocess.Popen[Any]] = Future()
    exited: Future[int] = Future()
    exited.set_running_or_notify_cancel()  # from here on no cancelled waiter can cancel the end for other waiters
    launch = Launch([os.fspath(part) for part in argv], death_signal, watchdog, popen)
    # decisions/0013: PR_SET_PDEATHSIG tells of the end of the spawning *thread*. This thread lasts as long as the
    # program, whatever becomes of the caller's. A daemon, so that a finished process can leave.
    threading.Thread(target=keep, args=(launch, born, exited), name="bound child", daemon=True).start()
    return Child(born.result(), exited)


@frozen
class Launch:
    """The arguments of ``spawn_bound``."""

    argv: list[str]
    death_signal: signal.Signals
    watchdog: bool
    popen: dict[str, Any]


def keep(launch: Launch, born: "Future[subprocess.Popen[Any]]", exited: "Future[int]") -> None:
    """Spawn the program, and hold its lifeline until the program has ended."""
    with ExitStack() as lifeline:
        try:
            process = spawn(launch, lifeline)
        except Exception as error:  # noqa: BLE001 -- not lost: spawn_bound raises it
            born.set_exception(error)
            return
        born.set_result(process)
        exited.set_result(process.wait())


def spawn(launch: Launch, lifeline: ExitStack) -> "subprocess.Popen[Any]":
    """Return the running program; descriptors to be kept open meanwhile are put on ``lifeline``."""
    with ExitStack() as ours:
        report, report_end = pipe(ours, ours)
        watched = pipe(ours, lifeline)[0].fileno() if launch.watchdog else -1
        process = start_launcher(launch, report_end.fileno(), watched)
        report_end.close()  # now only the launcher has a writing end, closed when the launcher becomes the program
        failure = report.read(REPORT_LIMIT_BYTES)
    if failure:
        process.communicate()
        number, _, text = failure.decode(errors="replace").partition(" ")
        raise OSError(int(number), text, launch.argv[0])
    return process


def start_launcher(launch: Launch, report_fd: int, watched_fd: int) -> "subprocess.Popen[Any]":
    """Start the script that becomes the program."""
    # decisions/0013: a script, and not `preexec_fn`, so that no code of ours runs between fork and exec.
    numbers = (os.getpid(), launch.death_signal.value, report_fd, watched_fd)
    passed = [fd for fd in (report_fd, watched_fd) if fd >= 0]
    options = {"stdin": subprocess.DEVNULL, **launch.popen}
    options["pass_fds"] = [*options.get("pass_fds", ()), *passed]
    return subprocess.Popen(  # noqa: S603 -- running what the caller names is the purpose
        [sys.executable, "-I", "-S", LAUNCHER, *map(str, numbers), *launch.argv], start_new_session=True, **options
    )


def pipe(reads: ExitStack, writes: ExitStack) -> tuple[FileIO, FileIO]:
    """Return the two ends of a new pipe, each to be closed by its stack."""
    read_fd, write_fd = os.pipe()
    return reads.enter_context(FileIO(read_fd)), writes.enter_context(FileIO(write_fd, "w"))

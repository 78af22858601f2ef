"""``rediss://`` and a user of Redis' own access lists, with Debian's server."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.broker.embedded import EmbeddedBroker
from bus.errors import BusUnavailable
from bus.redis.link import Batch
from bus.redis.subscriber import Subscriber
from producers import Producer
from producers.services.mahavishnu import WORKFLOW, WorkflowStarted
from tests.appending_log import AppendingLog
from tests.ports import free_port

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None or shutil.which("openssl") is None,
    reason="no redis-server or openssl: apt-get install redis-server openssl",
)

DEADLINE_S = 15.0


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Make a certificate for 127.0.0.1 that is its own authority."""
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem"))
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*argv, *files, *subject, "-days", "1"], check=True, capture_output=True)
    return tmp_path


@pytest.fixture
def tls_url(certificate: Path) -> Iterator[str]:
    port = free_port()
    extra = ("--tls-port", str(port), "--tls-auth-clients", "no", "--tls-cert-file", str(certificate / "cert.pem"))
    more = ("--tls-key-file", str(certificate / "key.pem"), "--tls-ca-cert-file", str(certificate / "cert.pem"))
    with EmbeddedBroker(port=0, binary=shutil.which("redis-server"), extra=(*extra, *more)):
        yield f"rediss://127.0.0.1:{port}"


async def round_trip(url: str) -> bytes:
    """Return the line that a link at ``url`` gets when a producer at ``url`` publishes."""
    came: asyncio.Queue[bytes] = asyncio.Queue()
    up = asyncio.Event()

    def deliver(lines: Batch) -> None:
        for _, line in lines:
            came.put_nowait(line)

    link = Subscriber(url, name="test", deliver=deliver, on_up=up.set)
    async with link, Producer(url, name="test") as producer, asyncio.timeout(DEADLINE_S):
        await up.wait()
        await link.subscribe("workflow:tls")
        await producer.publish(WorkflowStarted(workflow_id="tls"))
        return await came.get()


async def test_tls_carries_log_and_link(tls_url: str, certificate: Path) -> None:
    """Both connections speak TLS, and check the server by the authority that the URL names."""
    line = await round_trip(f"{tls_url}?ssl_ca_certs={certificate / 'cert.pem'}")
    assert b'"workflow.started"' in line


async def test_tls_to_an_unknown_server_is_refused(tls_url: str) -> None:
    """Without the authority the server's certificate is nobody's, and nothing is sent."""
    async with AppendingLog(tls_url, name="test") as log:
        with pytest.raises(BusUnavailable):
            await log.heads([WORKFLOW.fill("tls")])


async def test_user_of_an_access_list_is_logged_in() -> None:
    """User and password of the URL are used by log and link."""
    rules = ("on", ">pa/ss", "~bus:*", "&*", "+@all")
    with EmbeddedBroker(port=0, binary=shutil.which("redis-server")) as broker:
        async with asyncio.timeout(DEADLINE_S):
            done = await asyncio.create_subprocess_exec(
                *("redis-cli", "-p", str(broker.port), "ACL", "SETUSER", "bus", *rules),
                stdout=subprocess.DEVNULL,
            )
            assert await done.wait() == 0
        assert b'"workflow.started"' in await round_trip(f"redis://bus:pa%2Fss@127.0.0.1:{broker.port}")

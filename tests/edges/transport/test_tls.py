"""TLS as values and files, then over real sockets: versions, client certificates, closing handshakes, slow clients."""

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from bus.broker.embedded import EmbeddedBroker
from edgebus.commands.certificates import Pair, issue, make_authority
from edges import Edge, EdgeSettings, SettingsError
from edges.net.addresses import is_loopback
from edges.transport.tls import check_exposure, expiry_warning, identity
from producers import Producer
from producers.services.mahavishnu import SERVICE, Mahavishnu
from tests.edges.conftest import StartEdge
from tests.edges.peers import Client, eventually
from tests.ports import free_port

NO_REDIS = "redis://127.0.0.1:1"
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


class Files:
    """An authority and what it signs, as files."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.authority = folder, make_authority(60)
        self.ca = self.write("ca.pem", self.authority.pem)
        self.certificate, self.key = self.pair("server", SERVER)

    def write(self, name: str, content: bytes) -> Path:
        (self.folder / name).write_bytes(content)
        return self.folder / name

    def pair(self, name: str, purpose: Any, days: int = 60, authority: Pair | None = None) -> tuple[Path, Path]:
        made = issue(authority or self.authority, ["localhost", "127.0.0.1"], days, purpose)
        return self.write(f"{name}.pem", made.pem), self.write(f"{name}.key", made.key_pem)

    @property
    def settings(self) -> dict[str, Any]:
        return {"tls_certificate": self.certificate, "tls_key": self.key}

    def client(self) -> ssl.SSLContext:
        """Return what a client uses that trusts the authority."""
        return ssl.create_default_context(cafile=self.ca)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def wrong(**settings: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        identity(EdgeSettings(**settings))
    return str(caught.value)


# Files


def test_no_certificate_no_tls() -> None:
    """Nothing configured is no TLS."""
    assert identity(EdgeSettings()) is None


def test_files_are_loaded(files: Files) -> None:
    """Certificate and key give a context for TLS 1.2 and newer, and the end of the certificate's life."""
    found = identity(EdgeSettings(**files.settings))
    assert found is not None
    assert found.context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert timedelta(days=59) < found.expires - datetime.now(UTC) <= timedelta(days=60)


def test_one_file_for_both(files: Files) -> None:
    """The key may stand in the certificate's file, and the chain's earliest end counts."""
    issuer = make_authority(9)
    certificate, key = files.pair("short", SERVER, days=30, authority=issuer)
    both = files.write("both.pem", certificate.read_bytes() + issuer.pem + key.read_bytes())
    found = identity(EdgeSettings(tls_certificate=both))
    assert found is not None
    assert (found.expires - datetime.now(UTC)).days == 8


def test_files_that_are_wrong(files: Files) -> None:
    """Each mistake is an error that names the setting, the file and the remedy."""
    nothing, missing = files.write("nothing.pem", b"nothing\n"), files.folder / "missing.pem"
    _, other = files.pair("other", SERVER)
    good = files.settings
    for settings, words in (
        ({**good, "tls_certificate": missing}, ("tls_certificate", "missing.pem", "No such file", "edgebus cert")),
        ({**good, "tls_certificate": nothing}, ("tls_certificate", "nothing.pem", "PEM")),
        ({**good, "tls_certificate": files.folder}, ("tls_certificate", "directory")),
        ({**good, "tls_key": missing}, ("tls_key", "missing.pem", "No such file")),
        ({**good, "tls_key": nothing}, ("tls_key", "nothing.pem", "no usable key")),
        ({**good, "tls_key": other}, ("tls_key", "other.key", "does not belong")),
        ({"tls_certificate": files.certificate}, ("tls_certificate", "no usable key")),
        ({**good, "tls_client_ca": missing}, ("tls_client_ca", "No such file")),
        ({**good, "tls_client_ca": nothing}, ("tls_client_ca", "PEM")),
        ({"tls_key": files.key}, ("tls_key", "tls_certificate")),
        ({"tls_client_ca": files.ca}, ("tls_client_ca", "tls_certificate")),
    ):
        message = wrong(**settings)
        assert all(word in message for word in words), message


def test_encrypted_key_is_refused_and_nobody_is_asked(files: Files) -> None:
    """OpenSSL would ask for the passphrase at the terminal; an edge says how to write a key that it can read."""
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    locked = files.write(
        "locked.key",
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
        ),
    )
    assert "openssl pkey" in wrong(**{**files.settings, "tls_key": locked})


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (timedelta(days=31), None),
        (timedelta(days=30, seconds=1), None),
        (timedelta(days=30), "in 30 days"),
        (timedelta(hours=1), "in 0 days"),
        (timedelta(0), "expired"),
        (timedelta(days=-5), "expired on 2026-06-26"),
    ],
)
def test_expiry_is_warned_of_thirty_days_before(left: timedelta, words: str | None) -> None:
    """Until 30 days before the end nothing is said; then how long it is, and what to do."""
    warning = expiry_warning(NOW + left, NOW)
    assert (warning is None) == (words is None)
    assert words is None or words in str(warning)


@pytest.mark.parametrize("days", [20, 40])
async def test_expiry_is_warned_of_at_start_and_every_day(
    files: Files,
    start_edge: StartEdge,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    days: int,
) -> None:
    """The log has the warning at once, and again a day (here: a moment) later; a good certificate has none."""
    monkeypatch.setattr("edges.lifecycle.housekeeping._DAY_S", 0.01)
    certificate, key = files.pair("soon", SERVER, days=days)

    def warned() -> int:
        return sum("the TLS certificate expires" in record.message for record in caplog.records)

    with caplog.at_level(logging.WARNING, "edgebus"):
        await start_edge(redis_url=NO_REDIS, tls_certificate=certificate, tls_key=key)
        if days == 20:
            await eventually(lambda: warned() > 2)
    assert days == 20 or warned() == 0


# Where to listen


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST", "::ffff:127.0.0.1"])
def test_loopback(host: str) -> None:
    """These are reached from this machine only."""
    assert is_loopback(host)
    check_exposure(host, EdgeSettings(), is_tls=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "8.8.8.8", "example.com", "fe80::1%eth0"])  # noqa: S104
def test_others_need_tls_or_a_word(host: str) -> None:
    """Where others reach the port, it takes TLS, or the operator's word that a proxy ends it."""
    with pytest.raises(SettingsError, match="--insecure-behind-proxy"):
        check_exposure(host, EdgeSettings(), is_tls=False)
    check_exposure(host, EdgeSettings(), is_tls=True)
    check_exposure(host, EdgeSettings(insecure_behind_proxy=True), is_tls=False)


async def test_wildcard_takes_both_families_with_tls(files: Files, start_edge: StartEdge) -> None:
    """An edge that speaks wss on every address is reached by IPv4 and by IPv6, on one port."""
    edge = await start_edge(redis_url=NO_REDIS, host="::", **files.settings)
    for address in ("127.0.0.1", "[::1]"):
        url = f"wss://{address}:{edge.port}"
        async with connect(url, ssl=files.client(), server_hostname="localhost", proxy=None) as client:
            await client.ping()


async def test_edge_refuses_to_start_where_others_read_along() -> None:
    """An edge on every address without TLS does not start, and leaves nothing behind."""
    edge = Edge(SERVICE, EdgeSettings(host="0.0.0.0", port=0, redis_url=NO_REDIS))  # noqa: S104
    with pytest.raises(SettingsError, match="without TLS"):
        await edge.start()
    assert not edge.is_running


# Over sockets


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_tls_1_1_is_refused(files: Files, start_edge: StartEdge) -> None:
    """A client that offers TLS 1.1 at most gets no handshake; 1.2 and 1.3 do."""
    edge = await start_edge(redis_url=NO_REDIS, **files.settings)
    for version, is_good in (("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)):
        context = files.client()
        context.set_ciphers("ALL:@SECLEVEL=0")  # else it is the client's own OpenSSL that refuses
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion[version]
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", edge.port, ssl=context)
        except (ssl.SSLError, ConnectionError):
            assert not is_good, version
            continue
        assert is_good, version
        writer.close()
        await writer.wait_closed()


async def say_hello(edge: Edge, context: ssl.SSLContext) -> dict[str, Any]:
    async with connect(f"wss://localhost:{edge.port}", ssl=context) as client:
        return dict(json.loads(await client.recv())["data"])


async def test_welcome_says_secure(files: Files, start_edge: StartEdge) -> None:
    """A client over TLS is told that it is."""
    edge = await start_edge(redis_url=NO_REDIS, **files.settings)
    assert (await say_hello(edge, files.client()))["secure"] is True


async def test_client_certificate_is_required(files: Files, start_edge: StartEdge) -> None:
    """With an authority for clients only its certificates come in; none, and another authority's, do not."""
    edge = await start_edge(redis_url=NO_REDIS, tls_client_ca=files.ca, **files.settings)
    good, other, wrong_purpose = files.client(), files.client(), files.client()
    good.load_cert_chain(*files.pair("client", CLIENT))
    other.load_cert_chain(*files.pair("stranger", CLIENT, authority=make_authority(60)))
    wrong_purpose.load_cert_chain(*files.pair("purpose", SERVER))
    assert (await say_hello(edge, good))["secure"] is True
    for context in (files.client(), other, wrong_purpose):
        with pytest.raises((OSError, WebSocketException)):  # TLS 1.3: it hears so with its first read only
            await say_hello(edge, context)
    assert edge.health()["connections"] == 0


async def test_plain_http_over_tls(files: Files, start_edge: StartEdge) -> None:
    """Health is answered over TLS, and the connection then closed in order."""
    edge = await start_edge(redis_url=NO_REDIS, **files.settings)
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port, ssl=files.client())
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()
    await writer.wait_closed()


async def test_plain_client_of_a_tls_port(files: Files, start_edge: StartEdge) -> None:
    """Who speaks without TLS gets no answer, and neither a place nor the edge."""
    edge = await start_edge(redis_url=NO_REDIS, **files.settings)
    client = await Client.connect(edge.port)
    client.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"HTTP" not in await client.rest()
    await client.close()
    assert (await say_hello(edge, files.client()))["secure"] is True


async def test_tls_handshake_that_never_completes(files: Files, start_edge: StartEdge) -> None:
    """Who says nothing on a TLS port is cut off like any other half handshake."""
    edge = await start_edge(redis_url=NO_REDIS, open_timeout_s=0.2, **files.settings)
    client = await Client.connect(edge.port)
    with contextlib.suppress(ConnectionError):
        assert await client.rest() == b""
    await client.close()


async def code_after(client: ClientConnection, provoke: Callable[[], Any]) -> int:
    """Return the close code that the client reads after ``provoke``."""
    found = provoke()
    if asyncio.iscoroutine(found):
        with contextlib.suppress(ConnectionClosed):
            await found
    try:
        async with asyncio.timeout(8):
            while True:
                await client.recv()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_closing_handshakes_over_tls(files: Files, loop: str) -> None:
    """The close code arrives whoever begins, on both event loops, also when the client is still sending."""

    async def check() -> None:
        settings = EdgeSettings(port=0, redis_url=NO_REDIS, **files.settings)
        context = files.client()
        async with Edge(SERVICE, settings) as edge:
            url = f"wss://localhost:{edge.port}"
            async with connect(url, ssl=context) as client:
                await client.recv()
            assert client.close_code == 1000
            async with connect(url, ssl=context) as client:  # more on its way than the edge will read
                assert await code_after(client, lambda: client.send("x" * 3_000_000)) == 1009
            async with connect(url, ssl=context) as client:
                await client.recv()
                stopping = asyncio.create_task(edge.stop())
                assert await code_after(client, lambda: None) == 1001
                await stopping

    (uvloop.run if loop == "uvloop" else asyncio.run)(check())


async def test_slow_client_over_tls_is_cut_off(
    files: Files, broker: EmbeddedBroker, start_edge: StartEdge, producer: Producer
) -> None:
    """What waits for a client that reads nothing is bounded with TLS as without; its neighbour gets everything."""
    edge = await start_edge(
        broker, max_waiting_bytes=256 * 1024, send_buffer_bytes=16 * 1024, port=free_port(), **files.settings
    )
    join = '{"type":"request","event":"subscribe","id":"s","data":{"channel":"workflow:x"}}'
    url, context = f"wss://localhost:{edge.port}", files.client()
    async with connect(url, ssl=context) as neighbour, connect(url, ssl=context, max_queue=1) as slow:
        for client in (neighbour, slow):
            await client.send(join)
            await client.recv()
        await neighbour.recv()
        slow.transport.pause_reading()
        payload, sent = {"x": "y" * 20_000}, 0
        while edge.statistics()[0].slow == 0:
            await Mahavishnu(producer).broadcast_workflow_stage_completed("x", str(sent), payload)
            assert f'"stage_name":"{sent}"' in str(await neighbour.recv())
            sent += 1
            assert sent * 20_000 < 8_000_000, "the bound holds"
        slow.transport.abort()

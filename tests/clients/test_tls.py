"""``wss``: the client checks the edge's certificate by the authorities that its settings name."""

import shutil
import ssl
from pathlib import Path

import pytest

from bus.broker.embedded import EmbeddedBroker
from clients import Received, Untrusted, connect
from clients.settings import ClientSettings
from edges import Edge, EdgeSettings
from producers import Producer
from producers.services.mahavishnu import SERVICE, WorkflowStarted
from tests.clients.fake_edge import eventually, take

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl: apt-get install openssl")


async def test_wss_with_the_authority_carries_events(
    broker: EmbeddedBroker, producer: Producer, certificate: Path, served: ssl.SSLContext
) -> None:
    """Handshake, subscription and events go over TLS."""
    settings = ClientSettings(tls=ssl.create_default_context(cafile=certificate))
    async with Edge(SERVICE, EdgeSettings(port=0, redis_url=broker.url), tls=served) as edge:
        await eventually(lambda: edge.not_ready() is None)
        url = f"wss://127.0.0.1:{edge.port}"
        async with connect(url, settings=settings) as client, client.subscribe("workflow:1") as events:
            await producer.publish(WorkflowStarted(workflow_id="1"))
            [event] = await take(events)
    assert isinstance(event, Received)
    assert event.event == "workflow.started"


async def test_wss_of_an_unknown_authority_is_refused(broker: EmbeddedBroker, served: ssl.SSLContext) -> None:
    """Without the authority the certificate is nobody's; the client says so and sends nothing, no token above all."""
    async with Edge(SERVICE, EdgeSettings(port=0, redis_url=broker.url), tls=served) as edge:
        with pytest.raises(
            Untrusted, match=r"certificate at wss://.* is not trusted \(self.signed certificate\).*SSL_CERT_FILE"
        ):
            async with connect(f"wss://127.0.0.1:{edge.port}", token="t"):
                pass
        await eventually(lambda: edge.health()["connections"] == 0)  # it was one while it shook hands


async def test_wss_by_another_name_is_refused(
    broker: EmbeddedBroker, certificate: Path, served: ssl.SSLContext
) -> None:
    """A certificate for another name is told apart from one of an unknown authority, which a file would help."""
    settings = ClientSettings(tls=ssl.create_default_context(cafile=certificate))
    async with Edge(SERVICE, EdgeSettings(port=0, redis_url=broker.url), tls=served) as edge:
        with pytest.raises(Untrusted, match="not valid for 'localhost'") as caught:
            async with connect(f"wss://localhost:{edge.port}", settings=settings):
                pass
    assert "SSL_CERT_FILE" not in str(caught.value)

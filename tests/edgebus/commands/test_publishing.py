"""``edgebus publish --url``: through an edge, by either of its ways in."""

import json
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.errors import BusError, BusUnavailable, EventError
from edgebus.commands.publishing import publish_at
from edges import Edge, EdgeSettings
from tests.clients.fake_edge import eventually
from tests.edges.session.test_publish import BOARD, WRITER
from tests.edges.signing import SECRET, token

DATA = b'{"diagram_id":"d","element_id":"e"}'
WAYS = ("ws", "http")


@pytest.mark.parametrize("scheme", WAYS)
async def test_event_goes_through_the_edge(
    broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str], scheme: str
) -> None:
    """The command prints positions and id; the edge names the sender, and says why it refuses."""
    settings = EdgeSettings(port=0, redis_url=broker.url, auth_secret=SecretStr(SECRET))
    async with Edge(BOARD, settings) as edge:
        await eventually(lambda: edge.not_ready() is None)
        url, shown = f"{scheme}://127.0.0.1:{edge.port}", token("alice", WRITER)
        await publish_at(url, "element.drawn", DATA, token=shown, as_json=True)
        printed = json.loads(capsys.readouterr().out)
        await publish_at(url, "element.drawn", DATA, token=shown, as_json=False)
        assert "diagram:d  " in capsys.readouterr().out
        for event, data, sentence in (
            ("diagram.saved", b"{}", "not open to clients"),
            ("element.drawn", b"{}", "diagram_id: field required"),
            ("element.drawn", b"[]", "are to be a JSON object"),
            ("element.drawn", b"{", "no JSON"),
        ):
            with pytest.raises(EventError, match=sentence):
                await publish_at(url, event, data, token=shown, as_json=False)
        with pytest.raises(BusError, match="token"):
            await publish_at(url, "element.drawn", DATA, token="nonsense", as_json=False)
    async with Redis.from_url(broker.url) as redis:
        entries: Any = await redis.xrange("bus:log:{diagram:d}")
    assert entries[0][0].decode() == printed["positions"]["diagram:d"]
    assert json.loads(entries[0][1][b"line"])["data"]["user_id"] == "alice"


@pytest.mark.parametrize("scheme", WAYS)
async def test_edge_that_is_not_there_is_told(scheme: str) -> None:
    """Out of reach, as for every command."""
    with pytest.raises(BusUnavailable):
        await publish_at(f"{scheme}://127.0.0.1:1", "element.drawn", DATA, token=None, as_json=False)


async def test_address_of_another_kind_is_refused() -> None:
    """The schemes are those of an edge."""
    with pytest.raises(EventError, match="--url"):
        await publish_at("ftp://127.0.0.1:1", "element.drawn", DATA, token=None, as_json=False)

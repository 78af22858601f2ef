"""``services``: what an edge serves, for clients without the service's code."""

from typing import Any, Final

import pytest

from bus.description import describe
from edges import Edge
from producers.services.mahavishnu import SERVICE
from producers.services.session_buddy import SERVICE as SESSION_BUDDY
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.signing import SECRET, token

pytestmark = pytest.mark.virtual_time

NO_REDIS: Final = "redis://127.0.0.1:1"


def names(described: dict[str, Any], part: str, key: str) -> list[str]:
    return [it[key] for it in described[part]]


async def test_edge_says_what_it_serves(start_edge: StartEdge, open_client: OpenClient) -> None:
    """The service's name, the forms of its channels, its events with their fields and its requests; without Redis."""
    client = await open_client(await start_edge(redis_url=NO_REDIS))
    await client.welcomed()
    client.request("services", "s")
    reply = await client.message()
    assert (reply["type"], reply["event"], reply["correlation_id"]) == ("response", "services", "s")
    found = reply["data"]
    assert found["name"] == "mahavishnu"
    assert names(found, "channels", "pattern") == [family.pattern for family in SERVICE.families]
    assert names(found, "events", "event") == [event.event_name for event in SERVICE.events]
    assert names(found, "requests", "request") == ["get_workflow_status", "get_pool_status"]
    started = next(it for it in found["events"] if it["event"] == "workflow.started")
    assert started["channels"] == ["workflow:{workflow_id}", "global"]
    assert "workflow_id" in started["data"]["properties"]


async def test_catalogue_wants_a_token_where_all_else_does(start_edge: StartEdge, open_client: OpenClient) -> None:
    """Names of events are no secret among clients, and are not for strangers."""
    edge: Edge = await start_edge(redis_url=NO_REDIS, auth_secret=SECRET, auth_required=True)
    stranger, client = await open_client(edge), await open_client(edge)
    stranger.request("services", "s")
    assert (await stranger.message())["error_code"] == "AUTH_REQUIRED"
    client.request("auth", token=token("alice"))
    await client.message(), await client.message()
    client.request("services", "s")
    assert (await client.message())["data"]["name"] == "mahavishnu"


async def test_client_of_the_envelope_asks_session_buddy(start_edge: StartEdge, open_client: OpenClient) -> None:
    """The port of the flat dialect answers the envelope, too; a flat message has no such type."""
    edge: Edge = await start_edge(redis_url=NO_REDIS, service=SESSION_BUDDY)
    client, flat = await open_client(edge), await open_client(edge)
    client.request("services", "s")
    assert (await client.message())["data"] == describe(SESSION_BUDDY)
    flat.send({"type": "services"})
    assert (await flat.message())["type"] == "connected"
    assert (await flat.message())["error_code"] == "DECODE_ERROR"

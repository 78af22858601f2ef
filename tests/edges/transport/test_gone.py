"""What a client that went leaves behind: nothing that waits for the garbage collector."""

import gc
from collections.abc import Iterator

import pytest

from bus.broker.embedded import EmbeddedBroker
from edges.session.client import Client as Known
from edges.transport.connection import Connection
from producers.services.session_buddy import SERVICE
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import eventually


def alive() -> int:
    return sum(isinstance(it, Connection | Known) for it in gc.get_objects())


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Switch the collector off, for as long as a test counts what goes without."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
async def test_client_that_went_is_no_garbage(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """Connection, session and client hold each other; they let go, or thousands would wait for minutes."""
    edge = await start_edge(broker)
    client = await open_client(edge)
    await client.welcomed()
    await client.subscribe("workflow:1")
    assert alive() == 2
    await client.close()
    await eventually(lambda: alive() == 0)


@pytest.mark.usefixtures("no_collection")
async def test_client_with_a_first_room_is_no_garbage(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """The way into the first room holds the conversation, and is let go of as well."""
    edge = await start_edge(broker, SERVICE, welcome_delay_ms=1)
    client = await open_client(edge)
    assert (await client.message())["type"] == "connected"
    await eventually(lambda: edge.statistics()[1].rooms == 1)
    await client.close()
    await eventually(lambda: alive() == 0)


@pytest.mark.usefixtures("no_collection")
async def test_application_around_an_edge_keeps_its_collections(start_edge: StartEdge) -> None:
    """Only the edge's own process collects seldom (decisions/0151)."""
    thresholds = gc.get_threshold()
    await start_edge(None)
    assert gc.get_threshold() == thresholds

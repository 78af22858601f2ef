"""What a client that went leaves behind: nothing that waits for the garbage collector."""

import gc

from bus.broker.embedded import EmbeddedBroker
from edges.session.client import Client as Known
from edges.transport.connection import Connection
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import eventually


def alive() -> int:
    return sum(isinstance(it, Connection | Known) for it in gc.get_objects())


async def test_client_that_went_is_no_garbage(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """Connection, session and client hold each other; they let go, or thousands would wait for minutes."""
    edge = await start_edge(broker)
    gc.collect()
    gc.disable()
    try:
        client = await open_client(edge)
        await client.welcomed()
        await client.subscribe("workflow:1")
        assert alive() == 2
        await client.close()
        await eventually(lambda: alive() == 0)
    finally:
        gc.enable()

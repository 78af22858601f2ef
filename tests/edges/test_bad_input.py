"""The table of bad input, row by row, with a neighbour that notices nothing of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from edges import Edge, EdgeSettings
from edges import protocol as codes
from producers import Producer
from producers.services.mahavishnu import SERVICE, WorkflowStarted
from tests.edges.bad_input_table import PAGE, ROWS, Row, page_with_table
from tests.edges.peers import Client, Closed, eventually

OURS: Final = {code.reason for code in vars(codes).values() if isinstance(code, codes.CloseCode)}
"""Reasons that the edge gives; those of the protocol's library may change with it."""


@pytest.fixture
async def edge(broker_url: str) -> AsyncIterator[Edge]:
    """Lend an edge that gives up on half a handshake at once, as far as the clock of its deadlines goes."""
    settings = EdgeSettings(port=0, redis_url=broker_url, open_timeout_s=0.01)
    async with Edge(SERVICE, settings) as edge:
        await eventually(lambda: edge.not_ready() is None)
        yield edge


class Neighbour:
    """Somebody else in a room of the same edge, and who publishes there."""

    def __init__(self, client: Client, producer: Producer) -> None:
        self._client, self._producer, self._count = client, producer, 0

    async def is_undisturbed(self) -> bool:
        """Publish an event, and tell whether it comes next."""
        self._count += 1
        published = await self._producer.publish(WorkflowStarted(workflow_id="neighbour", n=self._count))
        return bool((await self._client.message())["id"] == published.id)


@pytest.fixture
async def neighbour(edge: Edge, broker_url: str) -> AsyncIterator[Neighbour]:
    """Lend a neighbour that is in its room."""
    client = await Client.open(edge.port)
    await client.welcomed()
    await client.subscribe("workflow:neighbour")
    async with Producer(broker_url) as producer:
        yield Neighbour(client, producer)
    await client.close()


def told(message: dict[str, Any]) -> str:
    """Return what an answer says, as the table does."""
    match message["type"]:
        case "error":
            return f"{message['error_code']}: {message['error_message']}"
        case "response" if "recovered" in message["data"]:
            data = message["data"]
            return "response: recovered" if data["recovered"] else f"response: not recovered, {data['reason']}"
        case kind:
            return str(kind)


async def last_word(client: Client) -> str:
    """Return what comes last before the answer to the marker, or the close."""
    client.request("ping", "marker")
    word = "nothing"
    try:
        while (message := await client.message())["correlation_id"] != "marker":
            if message["event"] != "session.created":
                word = told(message)
    except Closed as closed:
        return f"close {closed.code}" + (f": {closed.reason}" if closed.reason in OURS else "")
    return word


async def answer_of_http(client: Client) -> str:
    """Return the status, or that the socket was closed without one."""
    try:
        status, _, _ = await client.head()
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return "nothing; the socket is closed at the deadline"
    return f"HTTP {status}"


@pytest.mark.parametrize(
    "row", ROWS, ids=lambda row: f"{row.kind}: {row.what}".encode("ascii", "replace").decode()[:60]
)
async def test_bad_input_is_answered_and_costs_nobody_else_anything(row: Row, edge: Edge, neighbour: Neighbour) -> None:
    """What the row says comes back, and the neighbour's events flow while it is sent and after it was answered."""
    client = await Client.connect(edge.port) if row.is_handshake else await Client.open(edge.port)
    client.write(row.sent)
    assert await neighbour.is_undisturbed()
    back = await (answer_of_http(client) if row.is_handshake else last_word(client))
    assert back == row.back or (row.back.endswith("…") and back.startswith(row.back.removesuffix("…")))
    assert await neighbour.is_undisturbed()
    await client.close()


def test_page_shows_the_rows() -> None:
    """docs/limits.md has the table of these rows; ``python -m tests.edges.bad_input_table`` writes it."""
    page = PAGE.read_text("utf-8")
    assert page == page_with_table(page)

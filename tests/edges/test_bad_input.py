"""The table of bad input, row by row, with a neighbour that notices nothing of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from bus.event import Event
from edges import Edge, EdgeSettings
from edges.protocol import messages as codes
from producers import Producer
from producers.services.excalidraw import DiagramUpdated
from producers.services.mahavishnu import WorkflowStarted
from tests.edges.bad_caller_rows import CONTROLS, CROWDED, PUBLISHED, elsewhere
from tests.edges.bad_input_row import Row, Setup
from tests.edges.bad_input_table import PAGE, ROWS, page_with_table
from tests.edges.peers import Client, Closed, eventually, upgrade

pytestmark = pytest.mark.virtual_time

OURS: Final = {code.reason for code in vars(codes).values() if isinstance(code, codes.Closing)}
"""Reasons that the edge gives; those of the protocol's library may change with it."""
OPEN_TIMEOUT_S: Final = 0.2
LATER_MS: Final = 60_000


@pytest.fixture(autouse=True)
def deadlines_looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an edge look at deadlines more often than once a second."""
    monkeypatch.setattr("edges.lifecycle.housekeeping._DEADLINES_S", 0.02)


@pytest.fixture
def setup(request: pytest.FixtureRequest) -> Setup:
    """Return the settings of the row under test."""
    row = request.node.callspec.params["row"]
    assert isinstance(row, Row)
    return row.setup


@pytest.fixture
async def edge(setup: Setup, broker_url: str, tmp_path: Path) -> AsyncIterator[Edge]:
    """Lend an edge that gives up on half a handshake soon."""
    async with edge_of(setup, broker_url, tmp_path) as edge:
        yield edge


@asynccontextmanager
async def edge_of(setup: Setup, broker_url: str, folder: Path) -> AsyncIterator[Edge]:
    """Run an edge with the settings of some rows, and their files in ``folder``."""
    for name, content in setup.files.items():
        (folder / name).write_bytes(content)
    files = {name: str(folder / name) for name in setup.files}
    settings: dict[str, Any] = {
        **setup.settings,
        **files,
        "open_timeout_s": OPEN_TIMEOUT_S,
        "welcome_delay_ms": LATER_MS,
    }
    async with Edge(setup.service, EdgeSettings(port=0, redis_url=broker_url, **settings)) as edge:
        await eventually(lambda: edge.not_ready() is None)
        yield edge


class Neighbour:
    """Somebody else in a room of the same edge, and who publishes there."""

    def __init__(self, client: Client, producer: Producer, service: str) -> None:
        self._client, self._producer, self._service, self._count = client, producer, service, 0

    async def is_undisturbed(self) -> bool:
        """Publish an event, and tell whether it comes next."""
        self._count += 1
        published = await self._producer.publish(_TALK[self._service](self._count))
        return bool((await self._client.message())["id"] == published.id)


_ROOMS: Final = {"mahavishnu": "workflow:neighbour", "excalidraw": "diagram:neighbour"}
_TALK: Final[dict[str, Callable[[int], Event]]] = {
    "mahavishnu": lambda count: WorkflowStarted(workflow_id="neighbour", n=count),
    "excalidraw": lambda count: DiagramUpdated(diagram_id="neighbour", n=count),
}


@pytest.fixture
async def neighbour(edge: Edge, setup: Setup, broker_url: str) -> AsyncIterator[Neighbour]:
    """Lend a neighbour that is in its room, with whatever lets it in."""
    client = await shaken_hands(edge, *setup.headers)
    await client.subscribe(_ROOMS[setup.service.name])
    async with Producer(broker_url) as producer:
        yield Neighbour(client, producer, setup.service.name)
    await client.close()


async def shaken_hands(edge: Edge, *headers: str) -> Client:
    """Return a client that was welcomed."""
    client = await Client.connect(edge.port)
    client.write(upgrade("/", *headers))
    status, _, _ = await client.head()
    assert status == 101
    assert (await client.welcomed())["event"] == "session.created"
    return client


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
        return closed_after(word, closed)
    return word


def closed_after(word: str, closed: Closed) -> str:
    """Return a close with the edge's own reason; where that repeats the error before it, behind the error."""
    if closed.reason and closed.reason in word:
        return f"{word}; close {closed.code}"
    return f"close {closed.code}" + (f": {closed.reason}" if closed.reason in OURS else "")


async def answer_of_http(client: Client) -> str:
    """Return the status with the edge's own sentence, or that the socket was closed without one.

    Where a handshake was accepted, return what came after it.
    """
    try:
        status, headers, _ = await client.head()
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return "nothing; the socket is closed at the deadline"
    if status == 101:
        return await last_word(client)
    body = await client.reader.readexactly(int(headers["content-length"]))
    is_ours = headers["content-type"] == "application/json"
    sentence = orjson.loads(body).get("error") if is_ours else None
    return f"HTTP {status}" + (f": {sentence}" if sentence else "")


@pytest.mark.parametrize(
    "row", [*ROWS, *CONTROLS], ids=lambda row: f"{row.kind}: {row.what}".encode("ascii", "replace").decode()[:60]
)
async def test_bad_input_is_answered_and_costs_nobody_else_anything(row: Row, edge: Edge, neighbour: Neighbour) -> None:
    """What the row says comes back, and the neighbour's events flow while it is sent and after it was answered."""
    client = await (Client.connect if row.is_handshake else Client.open)(edge.port)
    client.write(row.sent)
    assert await neighbour.is_undisturbed()
    back = await (answer_of_http(client) if row.is_handshake else last_word(client))
    assert back == row.back or (row.back.endswith("…") and back.startswith(row.back.removesuffix("…")))
    assert await neighbour.is_undisturbed()
    await client.close()


@pytest.mark.parametrize("source", ["jku", "x5u", "auth_jwks"])
async def test_no_key_is_fetched_from_where_a_token_points(broker_url: str, tmp_path: Path, source: str) -> None:
    """A token's ``jku`` or ``x5u`` makes no edge connect anywhere; the operator's ``auth_jwks`` does (the control)."""
    visits = 0

    def visited(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal visits
        visits += 1
        writer.close()

    async with await asyncio.start_server(visited, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
        by_operator = Setup(settings={"auth_required": True, "auth_jwks": url})
        async with edge_of(by_operator if source == "auth_jwks" else PUBLISHED, broker_url, tmp_path) as edge:
            client = await Client.open(edge.port)
            client.request("auth", token=elsewhere(url, source))
            assert (await client.message())["type"] == "error"
            await client.close()
    assert (visits > 0) == (source == "auth_jwks")


@pytest.mark.parametrize("proxies", ["", "127.0.0.1"])
async def test_forwarded_address_is_a_listed_proxys_word(broker_url: str, tmp_path: Path, proxies: str) -> None:
    """A stranger's ``X-Forwarded-For`` makes it nobody else; a listed proxy's does (the control)."""
    setup = replace(CROWDED, settings={**CROWDED.settings, "trusted_proxies": proxies})
    async with edge_of(setup, broker_url, tmp_path) as edge:
        first, second = await shaken_hands(edge), await Client.connect(edge.port)
        second.write(upgrade("/", "X-Forwarded-For: 203.0.113.9"))
        status, _, _ = await second.head()
        assert status == (101 if proxies else 429)
        for client in (first, second):
            await client.close()


def test_page_shows_the_rows() -> None:
    """docs/limits.md has the table of these rows; ``python -m tests.edges.bad_input_table`` writes it."""
    page = PAGE.read_text("utf-8")
    assert page == page_with_table(page)

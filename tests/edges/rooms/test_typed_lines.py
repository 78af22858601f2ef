"""Lines that somebody types on a channel: each costs itself, and neither a room nor the edge."""

import re
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from edges import Edge, EdgeSettings
from producers.services.excalidraw import SERVICE as EXCALIDRAW
from producers.services.mahavishnu import SERVICE as MAHAVISHNU
from tests.edges.peers import Client
from tests.edges.rooms.typed_lines_table import PAGE, ROWS, Line, page_with_table

MARK = b'{"event":"mark","data":{}}'
LOGGED, LIVE = "workflow:x", "cursor:x"


@pytest.fixture(params=[LOGGED, LIVE])
async def watched(
    request: pytest.FixtureRequest, broker: EmbeddedBroker
) -> AsyncIterator[tuple[Edge, Client, Redis, str]]:
    """Lend an edge with a client in a room with a log, or in one without."""
    service = EXCALIDRAW if request.param == LIVE else MAHAVISHNU
    async with (
        Edge(service, EdgeSettings(port=0, redis_url=broker.url)) as edge,
        Redis.from_url(broker.url) as redis,
    ):
        while edge.not_ready() is not None:
            await redis.ping()
        client = await Client.open(edge.port)
        await client.welcomed()
        await client.subscribe(request.param)
        yield edge, client, redis, request.param
        await client.close()


def matches(becomes: str, reason: str) -> bool:
    """Tell whether a reason that was logged is the row's; ``…`` stands for anything."""
    return re.fullmatch(re.escape(becomes.removeprefix("dropped: ")).replace("…", ".*"), reason) is not None


async def test_each_line_becomes_what_its_row_says(
    watched: tuple[Edge, Client, Redis, str], caplog: pytest.LogCaptureFixture
) -> None:
    """It is delivered with its channel's room and no position, or dropped, counted, and named in the log."""
    edge, client, redis, channel = watched
    for row in ROWS:
        caplog.clear()
        dropped = edge.statistics()[1].dropped
        await redis.publish(channel, row.sent)
        await redis.publish(channel, MARK)
        came: list[dict[str, Any]] = []
        while not came or came[-1]["event"] != "mark":
            came.append(await client.message())
        reasons = [vars(it)["reason"] for it in caplog.records if it.getMessage() == "dropped a line"]
        assert became(row, came[:-1], reasons, channel), (row.what, came[:-1], reasons)
        assert edge.statistics()[1].dropped - dropped == len(reasons)
        assert all(len(reason) < 200 for reason in reasons)
    assert edge.not_ready() is None


def became(row: Line, came: list[dict[str, Any]], reasons: list[str], channel: str) -> bool:
    """Tell whether a line became what its row says."""
    if row.becomes.startswith("dropped"):
        return came == [] and len(reasons) == 1 and matches(row.becomes, reasons[0])
    (message,) = came
    given = orjson.loads(row.sent)
    rooms = (message["room"], message["position"], message["previous"], message["type"])
    return rooms == (channel, None, None, "event") and message["data"] == given["data"] and not reasons


def test_page_shows_the_rows() -> None:
    """docs/limits.md has the table of these rows; ``python -m tests.edges.rooms.typed_lines_table`` writes it."""
    page = PAGE.read_text("utf-8")
    assert page == page_with_table(page)

"""The dashboard meets what may be wrong in Redis and in pages' questions: the tables of docs/dashboard.md."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection, connect

from bus.broker.embedded import EmbeddedBroker
from edgebus.dashboard.dashboard import Dashboard
from edges import EdgeSettings
from producers.services import load
from tests.contract.brokers import Cli
from tests.edgebus.dashboard.bad_rows import ASKED, PAGE, TYPED, Typed, page_with_table
from tests.edges.peers import DEADLINE_S
from tests.edges.signing import HIDDEN, token


@pytest.fixture
def broker() -> Any:
    """Lend a server."""
    with EmbeddedBroker(0) as broker:
        yield broker


@pytest.fixture
async def page(broker: EmbeddedBroker) -> AsyncIterator[ClientConnection]:
    """Lend an admin's page whose server hears Redis."""
    settings = EdgeSettings(port=0, redis_url=broker.url, close_timeout_s=0.2, auth_secret=HIDDEN)
    settings = settings.model_copy(update={"message_rate_limit": 100_000})
    header = {"Authorization": f"Bearer {token(permissions=['dashboard:admin'])}"}
    async with (
        asyncio.timeout(4 * DEADLINE_S),
        Dashboard(settings, [load("mahavishnu")]) as dashboard,
        connect(dashboard.url.replace("http", "ws"), additional_headers=header) as page,
    ):
        while (await ask(page, "now"))["data"]["tap"]:
            pass
        yield page


async def ask(page: ClientConnection, verb: str, **data: Any) -> dict[str, Any]:
    """Ask, and return the whole answer."""
    await page.send(json.dumps({"type": "request", "event": f"dashboard.{verb}", "data": data, "id": "q"}))
    while (answer := json.loads(await page.recv()))["type"] == "event":
        pass
    found: dict[str, Any] = answer
    return found


async def rows_after(redis: Cli, page: ClientConnection, typed: Typed) -> list[dict[str, Any]]:
    """Type, then return the rows that the page has; of the flow those before a line that is sent behind."""
    await redis.execute_command(*typed.words)
    if typed.verb != "flow":
        answer = await ask(page, typed.verb, **typed.data)
        assert f"{answer['error_code']}: {answer['error_message']}".startswith(typed.error or "None: None"), answer
        found: list[dict[str, Any]] = answer["data"].get("rows", [])
        return found
    await redis.publish("workflow:end", "{}")
    rows: list[dict[str, Any]] = []
    while not rows or rows[-1]["channel"] != "workflow:end":
        rows += (await ask(page, "flow"))["data"]["rows"]
    return rows[:-1]


async def test_what_is_typed_in_redis(
    broker: EmbeddedBroker, page: ClientConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row shows what the table says, one after the other, on one page."""
    for name in ("_LISTED_S", "_HEADED_S"):
        monkeypatch.setattr(f"edgebus.dashboard.channels.{name}", 0.0)
    redis: Cli
    async with Redis.from_url(broker.url) as redis:
        await ask(page, "flow")
        for typed in TYPED:
            rows = await rows_after(redis, page, typed)
            shown = None if not rows else {name: rows[0].get(name) for name in typed.row or rows[0]}
            assert shown == typed.row, typed


async def test_what_a_page_asks(page: ClientConnection) -> None:
    """Each question has its answer, and the page is not sent away."""
    for verb, data, expected in ASKED:
        answer = await ask(page, verb, **data)
        said = f"{answer['error_code']}: {answer['error_message']}"
        assert said.startswith(expected if expected.partition(":")[0].isupper() else "None: None"), (verb, data)
    assert (await ask(page, "hello"))["error_code"] is None


def test_table_is_the_tables() -> None:
    """The document has the rows that are tried."""
    assert PAGE.read_text("utf-8") == page_with_table(), "python -m tests.edgebus.dashboard.bad_rows writes the table"

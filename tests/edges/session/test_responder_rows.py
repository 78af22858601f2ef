"""What a responder may do wrong, and what its client gets: the rows of docs/limits.md about responders, each tried.

``python -m tests.edges.session.test_responder_rows`` writes the table of that page anew.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import pytest
from pydantic import BaseModel
from redis.asyncio import Redis

from bus.channel import Family
from bus.service import Request, Service
from edges import Edge
from producers import RequestRefused, Responder
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "limits.md"
BEGIN: Final = "<!-- begin: made from tests/edges/session/test_responder_rows.py -->\n"
END: Final = "<!-- end of responders -->\n"


class Render(BaseModel):
    component: str


class Rendered(BaseModel):
    html: str


class Other(BaseModel):
    text: str = "secret"


def refuses(_: Render) -> Rendered:
    raise RequestRefused("x" * 1_000_000)


def raises(_: Render) -> Rendered:
    raise KeyError("secret")


async def never(_: Render) -> Rendered:
    await asyncio.Event().wait()
    raise AssertionError


class Row(NamedTuple):
    what: str
    outcome: str
    function: Callable[[Render], Any] | None
    publishes: bytes | None = None


FAILED: Final = "INTERNAL_ERROR: the service failed to answer; the fault is in the log of its responder"
LATE: Final = "TIMEOUT: no answer came within 0.3 s; the question may have been carried out, and is not asked again"
BROKEN: Final = "INTERNAL_ERROR: the answer of the responder cannot be read"
LARGE: Final = "ANSWER_TOO_LARGE: the answer has {} bytes; max_answer_bytes is 4000000: ask for less"
ROWS: Final = (
    Row("none is there", "NO_RESPONDER: no responder of the service is there to answer; nothing was carried out", None),
    Row("never answers", LATE, never),
    Row("answers with another model", FAILED, lambda _: Other()),
    Row("answers with a field of a wrong type", FAILED, lambda _: {"html": 5}),
    Row("answers with nothing", FAILED, lambda _: None),
    Row("raises an error with a secret in it", FAILED, raises),
    Row("refuses with a sentence of 1 MB", f"INVALID_REQUEST: {'x' * 500}", refuses),
    Row("answers with 10 MB", LARGE.format(10_000_011), lambda _: {"html": "x" * 10_000_000}),
    Row("answers twice", "response", lambda _: {"html": ""}, b' answered {"html":""}'),
    Row("publishes what is no answer", BROKEN, lambda _: {"html": ""}, b" hello"),
    Row("publishes half a JSON object", BROKEN, lambda _: {"html": ""}, b' answered {"html":'),
    Row("publishes two messages in one", BROKEN, lambda _: {"html": ""}, b' answered {},{"type":"event"}'),
    Row("publishes an edge's own code", BROKEN, never, b' refused {"code":"AUTH_FAILED","message":"x"}'),
    Row("publishes 10 MB, past the SDK", LARGE.format(10_000_027), never, b" answered " + b"x" * 10_000_000),
)

RENDER: Final = Request("render", Render, Rendered, permission="shop:do", timeout_s=20)
HASTY: Final = Request("hasty", Render, Rendered, permission="shop:do", timeout_s=0.3)
SHOP: Final = Service("shop", 0, "Hello", (Family("things"),), (), (RENDER, HASTY))


def table() -> str:
    lines = ["| the responder | the client gets |", "|---|---|"]
    lines += [f"| {row.what} | `{row.outcome.replace('x' * 500, 'xxx…')}` |" for row in ROWS]
    return "\n".join([*lines, ""])


def page_with_table() -> str:
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


@pytest.fixture
async def edge(broker_url: str, broker: Any, start_edge: StartEdge) -> Edge:
    edge = await start_edge(broker, SHOP, welcome_delay_ms=60_000)
    await edge.ready()
    return edge


@pytest.fixture
async def client(edge: Edge, open_client: OpenClient) -> Client:
    client = await open_client(edge)
    await client.welcomed()
    return client


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
async def test_row(row: Row, edge: Edge, client: Client, broker: Any, open_client: OpenClient) -> None:
    """The client gets what the row says, once; a neighbour asks and is answered, and nothing is left in Redis."""
    request = HASTY if row.outcome == LATE else RENDER
    async with Redis.from_url(broker.url) as redis, Responder(broker.url, SHOP) as responder:

        async def answer(question: Render) -> Any:
            if question.component == "neighbour" or row.function is None:
                return Rendered(html="fine")
            if row.publishes is not None:
                ((_, fields),) = cast(Any, await redis.xrange(f"bus:questions:{{shop}}:{request.name}"))
                await redis.publish(f"bus:answers:{edge.id}", fields[b"id"] + row.publishes)
            value = row.function(question)
            return await value if asyncio.iscoroutine(value) else value

        if row.function is not None:
            responder.answers(request)(answer)
            async with asyncio.timeout(20):
                while not await redis.zcard(f"bus:responders:{{shop}}:{request.name}"):
                    await asyncio.sleep(0.005)
        client.request(request.name, component="nav")
        message = await client.message()
        outcome = f"{message['error_code']}: {message['error_message']}" if message["error_code"] else message["type"]
        assert outcome == row.outcome
        assert await client.marked() == []
        if row.function is not None:
            neighbour = await open_client(edge)
            await neighbour.welcomed()
            neighbour.request(request.name, component="neighbour")
            assert (await neighbour.message())["data"] == {"html": "fine"}


def test_page_has_the_table() -> None:
    """docs/limits.md says what was tried here."""
    assert PAGE.read_text("utf-8") == page_with_table(), f"python -m {Path(__file__).stem} writes the table"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(), "utf-8")

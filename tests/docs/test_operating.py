"""docs/operating.md: its session, command by command, at a real edge; and what nobody has is said."""

import asyncio
import platform
import re
import shlex
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial

import orjson
import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner, Result

from bus.admin.operator import Operator
from bus.broker.embedded import EmbeddedBroker
from bus.tasks import end
from clients import Client, ClientError, connect
from edgebus.cli import app
from edges import Edge, EdgeSettings
from producers import Producer
from producers.services import load
from producers.services.mahavishnu import WorkflowStarted
from tests.docs.pages import blocks
from tests.edges.peers import eventually

PAGE = "docs/operating.md"

_VARIABLE = (
    (r"\bmahavishnu-\S+?-\d+(-\d+-[0-9a-f]{8})?\b", "EDGE"),
    (r"\bworkflow:edgebus-lag-[0-9a-f]{12}\b", "CHANNEL"),
    (r"\b\d{13}-\d{1,20}\b", "POSITION"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "ID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00|\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "TIME"),
    (r"\b\d+ (s|min|h)\b", "AGE"),
    (r"\b[\d.]+ (ms|B|KB)\b", "SIZE"),
    (r"\b\d+\.\d+\.\d+\S*", "NUMBERS"),
    (r"\b\d+ min\b", "AGE"),
)


def normalised(text: str) -> list[str]:
    """Return the lines of ``text`` with one space for several, and what differs from run to run by its kind."""
    for pattern, kind in _VARIABLE:
        text = re.sub(pattern, kind, text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


async def run(url: str, *words: str) -> Result:
    """Run a command in a thread: the edge is in this one."""
    runner = CliRunner(env={"EDGEBUS_REDIS_URL": url})
    return await asyncio.to_thread(runner.invoke, app, list(words))


@pytest.fixture
async def edge(broker: EmbeddedBroker) -> AsyncIterator[Edge]:
    """Lend an edge with a client in the page's room, in which there was one event."""
    settings = EdgeSettings(port=0, redis_url=broker.url, drain_notice_s=0, drain_window_s=0.1)
    async with Edge(load("mahavishnu"), settings) as edge, Producer(broker.url) as producer:
        await edge.ready()
        watching = asyncio.create_task(_watch(edge))
        await eventually(lambda: edge.statistics()[1].rooms == 1)
        await producer.publish(WorkflowStarted(workflow_id="wf_123", adapter="local"))
        async with Operator(broker.url) as operator:
            await eventually(partial(_says_ready, operator))
        yield edge
        await end([watching])


async def _says_ready(operator: Operator) -> bool:
    return [entry.ready for entry in await operator.edges()] == ["yes"]


async def _watch(edge: Edge) -> None:
    with suppress(ClientError):
        async with connect(f"ws://127.0.0.1:{edge.port}") as client:
            await _follow(client)


async def _follow(client: Client) -> None:
    async for _ in client.subscribe("workflow:wf_123"):
        pass


async def test_session_of_the_page(broker: EmbeddedBroker, edge: Edge) -> None:
    """Every command of the page, in its order, prints what stands below it; names are those of this run."""
    listed = (await run(broker.url, "clients", "--json")).stdout
    position = re.findall(r"position +(\S+),", (await run(broker.url, "room", "workflow:wf_123")).stdout)
    kinds = {"EDGE": f"mahavishnu-{_host()}-{edge.port}", "ID": orjson.loads(listed)["id"], "POSITION": position[0]}
    page = [block.text for block in blocks(PAGE) if block.language == "console"]
    assert len(page) >= 9
    for block in page:
        first, _, expected = block.partition("\n")
        words = [kinds.get(normalised(word)[0], word) for word in shlex.split(first.removeprefix("$ "))[1:]]
        done = await run(broker.url, *words)
        assert done.exit_code == 0, (first, done.stderr)
        lines, shown = normalised(expected), normalised(done.stdout)
        if words[0] == "edges":  # its numbers are three seconds old
            lines, shown = [re.sub(r"\b\d+\b", "N", it) for it in lines], [re.sub(r"\b\d+\b", "N", it) for it in shown]
        assert shown[: len(lines)] == lines, first


async def test_what_nobody_has_and_who_is_silent(broker: EmbeddedBroker, edge: Edge) -> None:
    """Exit code 1 and where was looked; an edge that has died is said at once, and one that says nothing in 2 s."""
    nobody = "00000000-0000-4000-8000-000000000000"
    for words in (("client", nobody), ("kick", nobody), ("kick", "--user", "nobody"), ("room", "nope:x")):
        done = await run(broker.url, *words)
        assert (done.exit_code, done.stdout) == (1, ""), words
        assert f"mahavishnu-{_host()}-{edge.port}" in done.stderr or words[0] == "room", done.stderr
    done = await run(broker.url, "drain", "nope")
    assert done.exit_code == 1
    assert f"no edge's id begins with 'nope'; there are mahavishnu-{_host()}-{edge.port}" in done.stderr
    assert (await run(broker.url, "kick")).exit_code == 2
    dead = "mahavishnu-dead-1-1-00000000"
    async with Redis.from_url(broker.url) as redis:
        await redis.hset(f"bus:edge:{dead}", mapping={"service": "mahavishnu"})
        await redis.zadd("bus:edges", {dead: 2**42})
        done = await run(broker.url, "drain", "mahavishnu-dead")
        assert (done.exit_code, done.stdout) == (4, "")
        assert f"{dead} does not listen" in done.stderr
        await redis.zadd("bus:edges", {"mahavishnu-killed-1-1-00000000": 1000 * (time.time() - 60)})
        done = await run(broker.url, "edges")
        assert re.search(r"^mahavishnu-killed-1-1-00000000 +gone \d+ s ", done.stdout, re.MULTILINE)
        assert "mahavishnu-killed-1 is gone for" in done.stderr
        done = await run(broker.url, "clients")
        assert done.exit_code == 4, "a list without a part of the edges is no whole list"
        assert f"without what is on {dead}: no answer came" in done.stderr
        assert "127.0.0.1" in done.stdout


async def test_dashboard_in_a_pipe(broker: EmbeddedBroker, edge: Edge) -> None:
    """One second as text, with rates; of a service without edges, what to type."""
    done = await run(broker.url, "top")
    assert done.exit_code == 0
    assert done.stdout.startswith("1 edge(s)  1 client(s)  1 room(s) on them  in 0/s  out 0/s  redis://127.0.0.1:")
    assert "all is well: 1 edge(s) ready" in done.stdout
    assert "no edge yet: start one with" in (await run(broker.url, "top", "akosha")).stdout


def _host() -> str:
    return platform.node()

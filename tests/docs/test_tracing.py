"""docs/tracing.md: its program publishes, and what it prints of an event is what Redis and the command say."""

import asyncio
import os
import re
import sys
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from clients import connect
from edgebus.commands import tracing
from edges import Edge, EdgeSettings
from producers import Producer
from producers.services.mahavishnu import SERVICE, WorkflowStarted
from tests.docs.pages import ROOT, blocks
from tests.edges.peers import eventually

PAGE = "docs/tracing.md"
DEADLINE_S = 20.0


def block(language: str, note: str = "") -> str:
    (found,) = [it.text for it in blocks(PAGE) if (it.language, it.note) == (language, note)]
    return found


async def test_event_of_the_page_is_traced_to_the_client(broker: EmbeddedBroker, capsys: Any) -> None:
    """The page's program publishes, a client and Redis have the key, and the stages are there to read."""
    redis: Any
    async with (
        Edge(SERVICE, EdgeSettings(port=0, redis_url=broker.url)) as edge,
        connect(f"ws://127.0.0.1:{edge.port}") as client,
        Redis.from_url(broker.url) as redis,
    ):
        async with client.subscribe("workflow:wf_123") as events:
            await eventually(lambda: edge.rooms() or edge.statistics()[1].rooms)
            event_id = await _run(block("python", "publish"), broker.url)
            received: Any = await anext(aiter(events))
        assert (received.id, received.traceparent) == (event_id, orjson.loads(block("json"))["traceparent"])
        ((_, entry),) = await redis.xrange("bus:log:{workflow:wf_123}")
        shown = orjson.loads(block("json"))
        assert orjson.loads(entry[b"line"])["traceparent"] == shown["traceparent"]
        assert entry[b"line"].startswith(b'{"traceparent":')
        await eventually(lambda: redis.exists(f"bus:trace:{event_id}"))
        fields = await redis.hgetall(f"bus:trace:{event_id}")
    assert _names(fields) == _names_on_page()
    await tracing.show_trace(broker.url, event_id, count=1, as_json=False)
    assert _plain(capsys.readouterr().out) == _plain(block("console").partition("\n")[2])


async def _run(program: str, url: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        env={**os.environ, "EDGEBUS_REDIS_URL": url, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(DEADLINE_S):
        printed, _ = await process.communicate()
    return printed.decode().strip()


def _names(fields: dict[bytes, bytes]) -> set[str]:
    return {re.sub(r"mahavishnu-\S+", "EDGE", it.decode()) for it in fields} - {"traceparent"}


def _names_on_page() -> set[str]:
    section = (ROOT / "docs/redis-cli.md").read_text("utf-8").split("HGETALL bus:trace:")[1].split("```")[0]
    names = re.findall(r'^[1357]\) "(.*)"$', section, re.MULTILINE)
    return {re.sub(r"mahavishnu-\S+", "EDGE", it) for it in names}


def _plain(text: str) -> str:
    """Return what is printed with ids, times, positions, names of edges and numbers alike."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", "TIME", text)
    text = re.sub(r"mahavishnu-\S+", "EDGE", text)
    text = re.sub(r" +[+-]\d+\.\d{3} ms", "  MS", text)
    text = re.sub(r"\d{13}-\d+", "POSITION", text)
    return re.sub(r"\d+ client", "N client", text).strip()


async def test_stages_of_an_event_that_asks(broker: EmbeddedBroker, capsys: Any) -> None:
    """``trace=True`` is found by the event's id, by its trace, and in the list of the newest."""
    redis: Any
    async with (
        Edge(SERVICE, EdgeSettings(port=0, redis_url=broker.url)) as edge,
        connect(f"ws://127.0.0.1:{edge.port}") as client,
        Redis.from_url(broker.url) as redis,
        Producer(broker.url) as producer,
    ):
        async with client.subscribe("global") as events:
            await eventually(lambda: edge.statistics()[1].rooms)
            started = WorkflowStarted(workflow_id="wf_1", adapter="local")
            published = await producer.publish(started, trace=True)
            await anext(aiter(events))
        await eventually(lambda: redis.exists(f"bus:trace:{published.id}"))
    for wanted in (published.id, published.id.replace("-", "")):
        await tracing.show_trace(broker.url, wanted, count=1, as_json=True)
        told = orjson.loads(capsys.readouterr().out)
        assert (told["id"], [it["clients"] for it in told["handovers"]]) == (published.id, [1])
        assert told["handovers"][0]["read"] <= told["handovers"][0]["written"]
    await tracing.show_trace(broker.url, None, count=5, as_json=False)
    assert f"{published.id}  workflow.started  global  1 client(s)" in capsys.readouterr().out
    with pytest.raises(Exception, match="no stages of nobody are kept"):
        await tracing.show_trace(broker.url, "nobody", count=1, as_json=False)

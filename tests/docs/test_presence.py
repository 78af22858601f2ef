"""docs/redis-cli.md shows who is in a room as Redis has it, and the programs of docs/presence.md do what they say."""

import asyncio
import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.channel import Family
from bus.service import Service
from clients import Client, connect
from edges import Edge, EdgeSettings
from tests.docs.pages import ROOT, blocks
from tests.edges.peers import eventually

SERVICE = Service(
    name="excalidraw", port=0, welcome="", families=(Family("diagram:{diagram_id}", presence="members"),), events=()
)
SECTION = (ROOT / "docs" / "redis-cli.md").read_text("utf-8").split("\n## Who is in a room\n")[1].split("\n## ")[0]


def shown(command: str) -> list[str]:
    """Return what the page prints for a command, without quotes."""
    block = SECTION.split(f"$ redis-cli -p 6390 {command}\n")[1].split("```")[0].split("$ ")[0]
    return [line.split(") ", 1)[1][1:-1].replace("\\", "") for line in block.splitlines()]


def plain(text: str) -> str:
    """Return a text with every edge, time and score alike."""
    text = re.sub(r"excalidraw-[^|]+-\d+-\d+-[0-9a-f]{8}", "EDGE", text)
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00|^\d{13}$", "TIME", text)


@pytest.fixture
async def redis(broker: EmbeddedBroker) -> AsyncIterator[Any]:
    """Lend what a person with redis-cli has, while alice is in the page's room."""
    seen_as = {"user": "alice", "info": {"name": "Alice"}}
    async with Edge(SERVICE, EdgeSettings(port=0, redis_url=broker.url)) as edge:
        await edge.ready()
        async with (
            Redis.from_url(broker.url, decode_responses=True) as redis,
            connect(f"ws://127.0.0.1:{edge.port}") as client,
            client.subscribe("diagram:d1", presence=seen_as),
        ):
            yield redis


async def test_room_is_as_the_page_shows_it(redis: Any) -> None:
    """Keys, fields and values of the page are those of an edge with one user."""
    await eventually(lambda: redis.hlen("bus:presence:{diagram:d1}"))
    beats = await redis.zrange("bus:alive:excalidraw", 0, -1, withscores=True)
    found = {
        "HGETALL 'bus:presence:{diagram:d1}'": await redis.hgetall("bus:presence:{diagram:d1}"),
        "HGETALL 'bus:members:{diagram:d1}'": await redis.hgetall("bus:members:{diagram:d1}"),
        "ZRANGE bus:alive:excalidraw 0 -1 WITHSCORES": {name: str(int(score)) for name, score in beats},
    }
    for command, answer in found.items():
        flat = [part for pair in answer.items() for part in pair]
        assert [*map(plain, flat)] == [*map(plain, shown(command))], command


async def test_service_and_client_of_the_page(broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str]) -> None:
    """The page's service is served, its client is told of another user, and the log has the service's events."""
    service, client = [{"__name__": "rooms"}, {"__name__": "client"}]
    for names, block in zip((service, client), blocks("docs/presence.md"), strict=True):
        exec(block.text, names)  # noqa: S102 (the page's own program)
    served: Any = service["SERVICE"]
    async with Edge(served, EdgeSettings(port=0, redis_url=broker.url)) as edge:
        await edge.ready()
        url = f"ws://127.0.0.1:{edge.port}"
        told: Any = client["main"]
        watching = asyncio.create_task(told(url))
        seen_as = {"user": "bob", "info": {"name": "Bob"}}
        async with connect(url) as other:
            await eventually(partial(_is_there, other, 1))
            async with other.subscribe("room:1", presence=seen_as):
                await eventually(partial(_is_there, other, 2))
        await eventually(lambda: "bob left" in _printed(capsys))
        watching.cancel()
        await asyncio.wait([watching])
    async with Redis.from_url(broker.url) as redis:
        entries: Any = await redis.xrange("bus:log:{news:1}")
    assert [fields[b"event"] for _, fields in entries][:2] == [b"user.joined"] * 2
    assert [fields[b"event"] for _, fields in entries].count(b"user.left") == 2


_SHOWN: list[str] = []


def _printed(capsys: pytest.CaptureFixture[str]) -> str:
    _SHOWN.append(capsys.readouterr().out)
    return "".join(_SHOWN)


async def _is_there(client: Client, count: int) -> bool:
    return (await client.presence("room:1")).count == count

"""The programs of docs/collaboration.md do what the page says."""

import asyncio
from typing import Any

import pytest

from bus.broker.embedded import EmbeddedBroker
from clients import Refused, connect
from edges import Edge, EdgeSettings
from producers.services import load
from tests.docs.pages import blocks
from tests.edges.peers import eventually

PAGE = "docs/collaboration.md"
PROGRAMS = [block.text for block in blocks(PAGE) if block.language == "python"]
(PRINTED,) = [block.text for block in blocks(PAGE) if block.language == "text"]


def program(number: int) -> Any:
    names: dict[str, Any] = {"__name__": "page"}
    exec(PROGRAMS[number], names)  # noqa: S102 (the page's own program)
    return names["main"]


def edge_of(service: str, broker: EmbeddedBroker) -> Edge:
    return Edge(load(service), EdgeSettings(port=0, redis_url=broker.url))


async def test_two_users_draw_as_the_page_shows(broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str]) -> None:
    """Joining, elements, the lock and the state print what stands below the program."""
    async with edge_of("excalidraw", broker) as edge:
        await edge.ready()
        await asyncio.wait_for(program(0)(f"ws://127.0.0.1:{edge.port}"), 30)
    assert capsys.readouterr().out == PRINTED


async def test_component_is_rendered_by_the_pages_responder(broker: EmbeddedBroker) -> None:
    """Nobody is there at first; then the render is answered, and the component registered."""
    async with edge_of("fastblocks", broker) as edge, connect(f"ws://127.0.0.1:{edge.port}") as client:
        await edge.ready()
        with pytest.raises(Refused, match="NO_RESPONDER"):
            await client.request("trigger_render", component_id="home")
        serving = asyncio.create_task(program(1)(broker.url))

        async def rendered() -> Any:
            try:
                return await client.request("trigger_render", component_id="home")
            except Refused:
                return None

        assert (await eventually(rendered))["status"] == "completed"
        found = await client.request("register_component", component_id="home", page_id="start")
        assert found["status"] == "registered"
        assert (await client.request("get_component_status", component_id="home"))["page_id"] == "start"
        serving.cancel()
        await asyncio.wait([serving])


async def test_adapter_reaches_the_agent_of_the_page(
    broker: EmbeddedBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    """An agent joins, hears of the adapter, and acknowledges."""
    async with edge_of("dhruva", broker) as edge, connect(f"ws://127.0.0.1:{edge.port}") as client:
        await edge.ready()
        await client.request("join_repository", repo="blog", agent_id="one")
        async with client.subscribe("distribution:blog") as values:
            work = asyncio.create_task(program(2)(broker.url))
            async for value in values:
                if getattr(value, "event", None) == "adapter.distributed":
                    break
            await client.publish("adapter.acknowledged", adapter_id="cache", repo="blog", agent_id="one")
            await asyncio.wait_for(work, 20)
    assert capsys.readouterr().out == "True ['one'] {}\n"

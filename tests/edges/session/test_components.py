"""fastblocks: components are asked after, registered and rendered; a process of the service does the work."""

import asyncio
from typing import Any

import pytest

from bus.broker.embedded import EmbeddedBroker
from producers import Producer, Responder
from producers.services.fastblocks import (
    SERVICE,
    ComponentRegistered,
    ComponentRegistration,
    Fastblocks,
    RenderAccepted,
    RenderTrigger,
)
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.session.test_publish import Said, watch


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            {"type": "request", "event": "subscribe", "data": {"component_id": "home"}, "id": "1"},
            'channel: expected a text such as \'global\'; write "data": {"channel": "component:home"}',
        ),
        (
            {"action": "subscribe", "channel": "render"},
            '; write {"type": "request", "event": "subscribe", "data": {"ch',
        ),
        ({"component_id": "home"}, '; write {"type": "request", "event": "subscribe", "data": {"channel": "component'),
    ],
)
async def test_form_of_an_old_guide_is_answered_with_the_right_one(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, message: dict[str, Any], words: str
) -> None:
    """Whoever follows the old page reads in the error what to write."""
    client = Said(await open_client(await start_edge(broker, SERVICE)))
    refused = await client.ask(message)
    assert refused["type"] == "error"
    assert words in refused["error_message"]


async def test_render_and_registration_are_a_responders(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """The responder publishes as it works; the client has an answer, and all who watch see the render."""
    edge = await start_edge(broker, SERVICE)
    client = Said(await open_client(edge))
    for channel in ("render", "component:home", "page:start"):
        await watch(client, channel)
    trigger = {"type": "request", "event": "trigger_render", "data": {"component_id": "home"}, "id": "r"}
    assert (await client.ask(trigger))["error_code"] == "NO_RESPONDER"
    async with Producer(broker.url) as producer, Responder(broker.url, SERVICE) as responder:
        fastblocks = Fastblocks(producer)

        @responder.answers(RenderTrigger)
        async def render(asked: RenderTrigger) -> RenderAccepted:
            await fastblocks.broadcast_render_started(asked.component_id, asked.render_type)
            await fastblocks.broadcast_render_completed(asked.component_id, 0.1, {"html": "<p>"})
            return RenderAccepted(component_id=asked.component_id, status="completed")

        @responder.answers(ComponentRegistration)
        async def register(asked: ComponentRegistration) -> ComponentRegistered:
            await fastblocks.broadcast_component_mounted(asked.component_id, asked.page_id)
            return ComponentRegistered(component_id=asked.component_id, page_id=asked.page_id)

        async with asyncio.timeout(20):
            while (answer := await client.ask(trigger))["type"] == "error":
                assert answer["error_code"] == "NO_RESPONDER"
        assert answer["data"] == {"component_id": "home", "status": "completed"}
        seen = [(await client.event(name))["room"] for name in ("render.started", "render.completed")]
        assert set(seen) <= {"render", "component:home"}
        data = {"component_id": "home", "page_id": "start", "props": {"x": 1}}
        answer = await client.ask({"type": "request", "event": "register_component", "data": data, "id": "c"})
        assert answer["data"] == {"component_id": "home", "page_id": "start", "status": "registered"}
        await client.event("component.mounted")
    status = {"type": "request", "event": "get_component_status", "data": {"component_id": "home"}, "id": "s"}
    assert (await client.ask(status))["data"] == {"component_id": "home", "status": "mounted", "page_id": "start"}

"""Clients slower than their events, as an operator sees them."""

import pytest

from bus.admin.operator import Operator
from bus.admin.values import Look
from bus.broker.embedded import EmbeddedBroker
from bus.channel import LATEST, SKIP, Family
from bus.event import Event
from bus.service import Service
from producers import Producer
from tests.edges.admin.test_lists import heard, member
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import eventually

NEWEST = Family("newest:{id}", LATEST, when_slow=SKIP)


class Grown(Event, event="grown", channels=(NEWEST,)):
    id: str
    text: str = "y" * 16_000


SERVICE = Service("test", 1, "w", (NEWEST,), (Grown,), ())


async def first_look(operator: Operator) -> Look:
    """Return the first look that an edge writes."""
    views = operator.look()
    async for view in views:
        if view.looks:
            break
    await views.aclose()  # type: ignore[attr-defined]
    return view.looks[0]


async def test_slow_client_is_shown_with_what_waits(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    operator: Operator,
    producer: Producer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that stops reading is listed as slow, with its state, until it has read on; others are not."""
    monkeypatch.setattr("bus.admin.operator._LOOK_EVERY_S", 0.1)
    monkeypatch.setattr("edges.admin.looks._EVERY_S", 0.05)
    bounds = {"max_waiting_bytes": 256 * 1024, "send_buffer_bytes": 16 * 1024}
    edge = await start_edge(broker, SERVICE, **bounds)
    _, reader = await member(edge, open_client, "newest:x")
    slow = await open_client(edge, receive_buffer=4096)
    welcome = await slow.welcomed()
    await slow.subscribe("newest:x")
    await heard(operator, edge)
    assert (await operator.clients(slow=True)).rows == ()
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
    for _ in range(60):
        await producer.publish(Grown(id="x"))
        assert (await reader.message())["event"] == "grown"
    (row,) = (await operator.clients(slow=True)).rows
    assert (row.id, row.state, row.rooms) == (welcome["data"]["connection_id"], "left out", ("newest:x",))
    assert row.waiting_bytes > 64 * 1024
    assert row.lagging_since is not None
    assert row.lagging_since >= (row.connected or 0) > 0
    assert (await operator.room("newest:x")).edges[0].left_out == 1
    assert [it.id for it in (await operator.clients(room="newest:x", slow=True)).rows] == [row.id]
    assert len((await operator.clients(room="newest:x")).rows) == 2

    look = await first_look(operator)
    assert ([it.id for it in look.clients], look.lagging) == ([row.id], 1)
    assert look.waiting_bytes == look.clients[0].waiting_bytes > 0
    slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
    await slow.marked()

    async def is_read() -> bool:
        return (await operator.clients(slow=True)).rows == ()

    await eventually(is_read)

"""Clients of plain HTTP, as operators see them and send them away."""

import pytest

from bus.admin.operator import Operator
from bus.broker.embedded import EmbeddedBroker
from tests.edges.admin.test_lists import heard
from tests.edges.conftest import Listen, StartEdge


async def test_stream_is_shown_and_kicked(
    broker: EmbeddedBroker, start_edge: StartEdge, operator: Operator, listen: Listen
) -> None:
    """It is listed with its kind; let out of a channel it is told by name; kicked, it is told not to come back."""
    edge = await start_edge(broker)
    stream = await listen(edge, "workflow:x", "workflow:y")
    name = (await stream.named("session.created")).value["data"]["connection_id"]
    for _ in range(2):
        await stream.named("subscribed")
    await heard(operator, edge)
    (row,) = (await operator.clients()).rows
    assert (row.id, row.dialect, set(row.rooms)) == (name, "event-stream", {"workflow:x", "workflow:y"})
    assert (await operator.kick(client=name, room="workflow:x")).count == 1
    left = (await stream.named("room.left")).value
    assert (left["room"], left["data"]["reason"]) == ("workflow:x", "kicked")
    assert (await operator.kick(client=name)).count == 1
    closed = (await stream.named("closed")).value["data"]
    assert (closed["code"], closed["come_back"]) == (3503, False)
    with pytest.raises(EOFError):
        await stream.next()

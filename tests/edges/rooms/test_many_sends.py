"""A room of many clients over real sockets, with a ring and without: each client gets each event once and in order."""

import asyncio
import socket
from collections.abc import Collection, Sequence

import pytest

from bus.broker.embedded import EmbeddedBroker
from edges.rooms.ring import LEAST_SENDS, Ring, ring_at_hand
from producers import Producer
from producers.services.mahavishnu import Mahavishnu
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client

EVENTS = 40
TEXT = "y" * 4_000


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many sends each call of a ring had."""
    counts: list[int] = []
    send = Ring.send

    def counting(self: Ring, groups: Sequence[tuple[Collection[socket.socket], bytes]]) -> list[int]:
        counts.append(sum(len(sockets) for sockets, _ in groups))
        return send(self, groups)

    monkeypatch.setattr(Ring, "send", counting)
    return counts


@pytest.mark.parametrize("io_uring", [True, False])
async def test_each_event_once_and_in_order(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    producer: Producer,
    rung: list[int],
    io_uring: bool,
) -> None:
    """Also for clients that read nothing meanwhile, whose sockets take a part; and by the way that the setting says."""
    edge = await start_edge(broker, io_uring=io_uring, send_buffer_bytes=8192)
    readers = [await open_client(edge) for _ in range(LEAST_SENDS)]
    late = [await open_client(edge, receive_buffer=4096) for _ in range(3)]
    for client in (*readers, *late):
        await client.welcomed()
        client.request("subscribe", channel="workflow:x")
        assert (await client.message())["type"] == "response"

    async def read(client: Client) -> list[str]:
        return [(await client.message())["data"]["stage_name"] for _ in range(EVENTS)]

    async with asyncio.TaskGroup() as reading:
        found = [reading.create_task(read(it)) for it in readers]
        for number in range(EVENTS):
            await Mahavishnu(producer).broadcast_workflow_stage_completed("x", str(number), {"text": TEXT})
    whole = [str(number) for number in range(EVENTS)]
    assert [it.result() for it in found] == [whole] * len(readers)
    assert [await read(it) for it in late] == [whole] * len(late)
    if io_uring and ring_at_hand() is None:
        pytest.skip("the system keeps io_uring from this process: the events came, by a call for each client")
    assert bool(rung) is io_uring
    assert not rung or max(rung) >= LEAST_SENDS

import asyncio
import itertools
import re
from contextlib import ExitStack
from typing import Final

import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.peer import ROOM, ROOMS, SEQUENCE, TIME, NotInstallable, Running, known, resp
from bus.broker.embedded import EmbeddedBroker

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]

EVENTS: Final = 100
ROOMS_OF_ALL: Final = 3
CLIENTS_OF_A_ROOM: Final = 4
MARK: Final = re.compile(rb"E!(\d{6})\.(\d{10})\.\d{19}")
BESIDE_OURS: Final = ("centrifugo", "centrifugo-history", "centrifuge", "nchan", "socketio", "python-socketio")


async def until(client: ClientConnection, expected: bytes) -> None:
    while expected not in await client.recv(decode=False):
        pass


async def joined(running: Running, room: bytes) -> ClientConnection:
    """Connect, and go through the steps of the wire."""
    path = running.wire.request.split(b" ")[1].replace(ROOMS, room).replace(ROOM, room).decode()
    client = await connect(f"ws://127.0.0.1:{running.port}{path}", compression=None, proxy=None)
    for step in running.wire.steps:
        if step.send:
            await client.send(step.send, text=True)
        await until(client, step.expect)
    if running.wire.subscribe:
        await client.send(running.wire.subscribe.replace(ROOM, room), text=True)
        await until(client, running.wire.subscribed.replace(ROOM, room))
    return client


async def subscribed(broker: EmbeddedBroker, rooms: list[bytes]) -> None:
    """Wait for what nchan tells no client: that it has subscribed to the rooms in Redis."""
    async with Redis(port=broker.port) as redis:
        while missing := [room for room in rooms if not await redis.pubsub_channels(b"*%b*" % room)]:
            await asyncio.sleep(0.01 * len(missing))


async def received(client: ClientConnection) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    while len(found) < EVENTS:
        found += MARK.findall(await client.recv(decode=False))
    return found


async def fed(redis_port: int, running: Running, rooms: list[bytes]) -> None:
    """Publish ``EVENTS`` into each room, and wait until Redis has heard them all."""
    reader, writer = await asyncio.open_connection("127.0.0.1", redis_port)
    for number, room in itertools.product(range(1, EVENTS + 1), rooms):
        event = running.wire.publish.replace(ROOM, room).replace(SEQUENCE, b"%010d" % number)
        writer.write(event.replace(TIME, b"0" * 19))
    writer.write(resp("ECHO", "the end"))
    await reader.readuntil(b"the end\r\n")
    writer.close()


@pytest.mark.parametrize("name", BESIDE_OURS)
async def test_a_peer_delivers_all_that_it_is_fed_with(name: str) -> None:
    """A peer's figure counts events that arrived: the wire, the subscription and the overheard publish are right."""
    peer = known()[name]
    try:
        peer.install()
    except NotInstallable as reason:
        pytest.skip(str(reason))
    rooms = [b"%06d" % number for number in range(ROOMS_OF_ALL)]
    with EmbeddedBroker(port=0) as broker, ExitStack() as stack:
        running = peer.start(stack, 0, broker.port)
        async with asyncio.timeout(60):
            clients = [(room, await joined(running, room)) for room in rooms for _ in range(CLIENTS_OF_A_ROOM)]
            if name == "nchan":
                await subscribed(broker, rooms)
            await fed(broker.port, running, rooms)
            for room, client in clients:
                assert await received(client) == [(room, b"%010d" % number) for number in range(1, EVENTS + 1)]
                await client.close()

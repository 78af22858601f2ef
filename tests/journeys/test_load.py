"""Many clients, many rooms, two replicas: everything arrives, once, in order, and soon.

``LOAD_SECONDS=10 pytest tests/journeys/test_load.py`` is the full show. (Not ``EDGEBUS_…``: those are settings.)
"""

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, cast

import orjson
import pytest
import uvloop
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from bus.broker.embedded import EmbeddedBroker
from bus.position import BEGINNING, no_log
from producers import Producer
from producers.producer import Published
from producers.services.mahavishnu import WORKFLOW, WorkflowStageCompleted
from tests.journeys.processes import DEADLINE_S, Processes

CLIENTS: Final = 200
ROOMS: Final = 20
REPLICAS: Final = 2
RATE: Final = 2_000
BATCH: Final = 2
"""Events of one call of the producer: every millisecond one call."""
SECONDS: Final = float(os.environ.get("LOAD_SECONDS", "3"))
ROOM_IDS: Final = tuple(f"load-{number}" for number in range(ROOMS))
THE_END: Final = "the end"
MARK_LIMIT_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as a client got it, or as its publisher knows it (then it has no ``previous``)."""

    id: str
    position: str
    previous: str = ""


def faults(sent: Sequence[Seen], seen: Sequence[Seen], joined_at: str) -> list[str]:
    """Return what is wrong with what one client saw of one channel.

    Two ways of looking, neither of which needs the other: by name, whether each event came exactly once; by the chain
    of positions, whether each event follows the one before it, and the first one the position of the subscription.
    """
    due, came = Counter(it.id for it in sent), Counter(it.id for it in seen)
    found = [f"lost {id}" for id in due if id not in came]
    found += [f"invented {id}" for id in came if id not in due]
    found += [f"{count} times {id}" for id, count in came.items() if count > 1]
    starts_well = (
        not seen or seen[0].previous == joined_at or (joined_at.endswith("-0") and seen[0].previous == BEGINNING)
    )
    if not starts_well:
        found.append(f"{seen[0].position} follows {seen[0].previous}, and the subscription began at {joined_at}")
    found += [
        f"{later.position} follows {later.previous}, and came after {earlier.position}"
        for earlier, later in pairwise(seen)
        if later.previous != earlier.position
    ]
    if [it.position for it in sent] != [it.position for it in seen]:
        found.append("other positions than were published")
    return found


def without(log: Sequence[Seen], index: int) -> list[Seen]:
    """Return a log from which one event was removed."""
    return [*log[:index], *log[index + 1 :]]


def doubled(log: Sequence[Seen], index: int) -> list[Seen]:
    """Return a log in which one event stands twice."""
    return [*log[: index + 1], *log[index:]]


def swapped(log: Sequence[Seen], index: int) -> list[Seen]:
    """Return a log in which one event changed places with the one after it, or the last with the one before."""
    index = min(index, len(log) - 2)
    return [*log[:index], log[index + 1], log[index], *log[index + 2 :]]


FORGERIES: Final = (without, doubled, swapped)


@pytest.mark.parametrize("forge", FORGERIES)
@pytest.mark.parametrize("index", [0, 1, 3, 4])
def test_checker_finds_a_forged_log(forge: Callable[[Sequence[Seen], int], list[Seen]], index: int) -> None:
    """The negative control: an event that is missing, double or out of its place is found, wherever it stands."""
    positions = [BEGINNING, *(f"1795430000000-{number}" for number in range(1, 6))]
    log = [Seen(f"id of {position}", position, previous) for previous, position in pairwise(positions)]
    assert faults(log, log, no_log(1795420000000)) == []
    assert faults(log, forge(log, index), no_log(1795420000000)) != []


def test_checker_finds_a_late_start() -> None:
    """A client that stands at a position and gets something else than its successor has lost something."""
    log = [Seen("a", "7-1", "6-1")]
    assert faults(log, log, "6-1") == []
    assert faults(log, log, "5-1") != []


class Recorder(asyncio.Protocol):
    """A client that only notes when which bytes came; what they mean is read out of them when the load is over."""

    def __init__(self, port: int, channel: str) -> None:
        self.channel = channel
        self._websocket = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}"))
        self._chunks: list[tuple[float, bytes]] = []
        self._mark, self._tail = b"", b""
        loop = asyncio.get_running_loop()
        self._marked: asyncio.Future[None] = loop.create_future()
        self._closed: asyncio.Future[None] = loop.create_future()
        self._transport = cast(asyncio.Transport, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._chunks.append((time.time(), data))
        if self._mark and self._mark in self._tail + data and not self._marked.done():
            self._marked.set_result(None)
        self._tail = data[-MARK_LIMIT_BYTES:]

    def connection_lost(self, error: Exception | None) -> None:
        self._closed.set_result(None)
        if not self._marked.done():
            self._marked.set_exception(error or ConnectionResetError("the edge closed the connection"))

    def until(self, mark: bytes) -> "asyncio.Future[None]":
        """Return what is done as soon as ``mark`` has come; what came before this call does not count."""
        self._mark, self._marked = mark, asyncio.get_running_loop().create_future()
        self._tail = b""
        return self._marked

    async def enter(self) -> None:
        """Shake hands and subscribe; the welcome follows the confirmation."""
        answered = self.until(b"\r\n\r\n")
        self._websocket.send_request(self._websocket.connect())
        self._transport.writelines(self._websocket.data_to_send())
        await answered
        await self.ask(b'"session.created"', type="subscribe", data={"channel": self.channel}, id="1")

    async def ask(self, mark: bytes, **message: Any) -> None:
        """Send a message, and return when ``mark`` has come."""
        answered = self.until(mark)
        self._transport.write(Frame(Opcode.TEXT, orjson.dumps(message)).serialize(mask=True))
        await answered

    async def leave(self) -> None:
        """Close the socket."""
        self._transport.abort()
        await self._closed

    def messages(self) -> Iterator[tuple[float, dict[str, Any]]]:
        """Yield every message and when it came, in order. Once only: the parser keeps its place."""
        for came_at, chunk in self._chunks:
            self._websocket.receive_data(chunk)
            for event in self._websocket.events_received():
                if isinstance(event, Frame):
                    yield came_at, orjson.loads(event.data)


@asynccontextmanager
async def recording(ports: Sequence[int], channels: Sequence[str]) -> AsyncIterator[list[Recorder]]:
    """Lend ``CLIENTS`` recorders, of every room as many on each replica."""
    loop = asyncio.get_running_loop()
    recorders: list[Recorder] = []
    try:
        for number in range(CLIENTS):
            port, channel = ports[number // len(channels) % len(ports)], channels[number % len(channels)]
            _, recorder = await loop.create_connection(partial(Recorder, port, channel), "127.0.0.1", port)
            recorders.append(recorder)
            await recorder.enter()  # at once: the edge's deadline for the handshake begins with the connection
        yield recorders
    finally:
        await asyncio.gather(*(recorder.leave() for recorder in recorders))


async def publish_steadily(producer: Producer, rooms: Sequence[str], count: int) -> tuple[list[Published], float]:
    """Publish ``count`` events, one room after another, then the end in each room; return them all, and the true rate.

    No call waits for the one before it: calls begin in order, and the producer keeps that order. What is late is made
    up for at once.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    calls: list[asyncio.Task[list[Published]]] = []
    async with asyncio.TaskGroup() as publishing:
        for first in range(0, count, BATCH):
            await asyncio.sleep(began + first / RATE - loop.time())
            events = [stage(rooms[number % len(rooms)], f"stage {number}") for number in range(first, first + BATCH)]
            calls.append(publishing.create_task(producer.publish_all(events)))
    rate = count / (loop.time() - began)
    ends = await producer.publish_all([stage(room, THE_END) for room in rooms])
    return [published for call in calls for published in call.result()] + ends, rate


def stage(room: str, name: str) -> WorkflowStageCompleted:
    """Return an event of one channel, about 550 bytes on the wire."""
    return WorkflowStageCompleted(workflow_id=room, stage_name=name, result={"text": "x" * 120})


async def publish_into(file: Path, redis_url: str, count: int) -> None:
    """Be the service: publish, and write down what was published and how fast."""
    async with Producer(redis_url, name="load") as producer:
        published, rate = await publish_steadily(producer, ROOM_IDS, count)
    sent = [(it.id, channel, position) for it in published for channel, position in it.positions.items()]
    file.write_bytes(orjson.dumps({"rate": rate, "sent": sent}))


async def run_publisher(
    processes: Processes, redis_url: str, file: Path, count: int
) -> tuple[dict[str, list[Seen]], float]:
    """Run this file as a process of its own, as a service is; return what it published by channel, and how fast."""
    arguments = (os.fspath(file), redis_url, str(count))
    service = processes.start(sys.executable, "-m", "tests.journeys.test_load", *arguments)
    assert await asyncio.to_thread(service.exit_code, DEADLINE_S + 3 * SECONDS) == 0, service.output
    written = orjson.loads(file.read_bytes())
    sent: dict[str, list[Seen]] = {}
    for id, channel, position in written["sent"]:
        sent.setdefault(channel, []).append(Seen(id, position))
    return sent, written["rate"]


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of all values lie."""
    return sorted_values[min(int(share * len(sorted_values)), len(sorted_values) - 1)]


@pytest.mark.timeout(60 + 6 * SECONDS)
async def test_load_arrives_whole_once_and_in_order(
    broker: EmbeddedBroker, processes: Processes, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    """200 clients in 20 rooms over 2 replicas, 2,000 events/s: each gets each event of its room once, in order."""
    ports = [port for _, port in processes.edges("mahavishnu", broker.url, REPLICAS)]
    count = int(RATE * SECONDS) // BATCH * BATCH
    async with recording(ports, [WORKFLOW.fill(room).name for room in ROOM_IDS]) as recorders:
        ends = [recorder.until(THE_END.encode()) for recorder in recorders]
        sent, rate = await run_publisher(processes, broker.url, tmp_path / "published.json", count)
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(*ends)
            await asyncio.gather(*(recorder.ask(b'"type":"pong"', type="ping") for recorder in recorders))

    latencies_s: list[float] = []
    wrong: list[str] = []
    for number, recorder in enumerate(recorders):
        log, joined_at = read(recorder, latencies_s)
        due = sent[recorder.channel]
        wrong += [f"client {number}: {fault}" for fault in faults(due, log, joined_at)]
        assert all(faults(due, forge(log, len(log) // 2), joined_at) for forge in FORGERIES)
    latencies_s.sort()
    figures = {
        "published": sum(map(len, sent.values())),
        "published per second": round(rate),
        "deliveries expected": sum(len(sent[recorder.channel]) for recorder in recorders),
        "delivered": len(latencies_s),
        "faults": len(wrong),
        "p50 ms": round(percentile(latencies_s, 0.50) * 1000, 2),
        "p99 ms": round(percentile(latencies_s, 0.99) * 1000, 2),
        "longest ms": round(latencies_s[-1] * 1000, 2),
    }
    words = ", ".join(f"{name} {value}" for name, value in figures.items())
    figure(f"load: {CLIENTS} clients in {ROOMS} rooms over {REPLICAS} replicas, {SECONDS:g} s: {words}")
    assert wrong[:10] == []
    assert figures["delivered"] == figures["deliveries expected"]
    assert figures["published"] == count + ROOMS


def read(recorder: Recorder, latencies_s: list[float]) -> tuple[list[Seen], str]:
    """Return the events that a client got and the position at which it joined; note how late each event was."""
    log: list[Seen] = []
    joined_at = ""
    for came_at, message in recorder.messages():
        if message["type"] == "response":
            joined_at = message["data"]["position"]
        elif message["room"] is not None:
            assert message["room"] == recorder.channel
            log.append(Seen(message["id"], message["position"], message["previous"]))
            latencies_s.append(came_at - datetime.fromisoformat(message["data"]["timestamp"]).timestamp())
    return log, joined_at


if __name__ == "__main__":
    uvloop.run(publish_into(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))

"""The processor time of one publish for the program that calls, beside a floor that writes the same script.

``python -m benchmarks.callers --redis PORT`` prints microseconds as JSON. The floor is ``hiredis`` and a transport of
asyncio (for the blocking way a socket): it makes an id and JSON, packs the bus's command, writes, reads the answer, and
promises nothing. Ours and the floor take turns.
"""

import argparse
import asyncio
import json
import socket
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import hiredis
import orjson

from benchmarks.peer import resp
from bus.channel import Family
from bus.event import Event
from bus.log.appending import SCRIPT, Entry, command
from producers import OutboxSettings, Producer
from producers.blocking import Producer as BlockingProducer

ROOM: Final = Family("bench:{room}")
TOGETHER: Final = 100
_TEXT: Final = "x" * 100
_CHANNEL: Final = ROOM.fill("floor")
_READ_BYTES: Final = 64 * 1024

Step = Callable[[int], Awaitable[None]]


class Sample(Event, event="bench.sample", channels=(ROOM,)):
    """The published events."""

    room: str
    text: str = _TEXT


def _packed() -> bytes:
    """Return the bytes of a publish by the least work: an id, a time, JSON, a salt, a command."""
    event_id, timestamp = str(uuid.uuid4()), datetime.now(UTC).isoformat()
    line: dict[str, object] = {"id": event_id, "correlation_id": None, "type": "event", "event": "bench.sample"}
    line |= {"data": {"room": "floor", "text": _TEXT, "timestamp": timestamp}, "timestamp": timestamp}
    line |= {"room": "bench:floor", "error_code": None, "error_message": None}
    packed: bytes = hiredis.pack_command(command(Entry(_CHANNEL, event_id, "bench.sample", orjson.dumps(line))))
    return packed


class Floor(asyncio.Protocol):
    """Commands and their answers, in order."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand answers to waiting futures, in order."""
        self._reader.feed(data)
        while (answer := self._reader.gets()) is not False:
            self._waiting.popleft().set_result(answer)

    def send(self, packed: bytes) -> asyncio.Future[Any]:
        """Write a command; the future has the answer."""
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self.transport.write(packed)
        return answer

    def send_all(self, packed: list[bytes]) -> asyncio.Future[Any]:
        """Write commands at once; the future has the last answer."""
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in packed]
        self._waiting += futures
        self.transport.write(b"".join(packed))
        return futures[-1]


def floors(floor: Floor) -> dict[str, Step]:
    """Return the floor's ways, by name; a way takes a number of events."""

    async def one(count: int) -> None:
        for _ in range(count):
            await floor.send(_packed())

    async def concurrent(count: int) -> None:
        for _ in range(count // TOGETHER):
            await asyncio.gather(*(floor.send(_packed()) for _ in range(TOGETHER)))

    async def together(count: int) -> None:
        for _ in range(count // TOGETHER):
            await floor.send_all([_packed() for _ in range(TOGETHER)])

    return {"awaited": one, "concurrent": concurrent, "batch": together, "emit": together}


def ours(producer: Producer) -> dict[str, Step]:
    """Return the product's ways, by name."""

    async def one(count: int) -> None:
        for _ in range(count):
            await producer.publish(Sample(room="one"))

    async def concurrent(count: int) -> None:
        for _ in range(count // TOGETHER):
            await asyncio.gather(*(producer.publish(Sample(room="one")) for _ in range(TOGETHER)))

    async def batch(count: int) -> None:
        for _ in range(count // TOGETHER):
            async with producer.batch() as batch:
                for _ in range(TOGETHER):
                    batch.add(Sample(room="one"))

    async def emit(count: int) -> None:
        for _ in range(count):
            producer.emit(Sample(room="one"))
        assert await producer.flush(30)

    return {"awaited": one, "concurrent": concurrent, "batch": batch, "emit": emit}


async def _micros(step: Step, count: int) -> float:
    began = time.process_time()
    await step(count)
    return (time.process_time() - began) / count * 1e6


async def measure(port: int, rounds: int, count: int) -> dict[str, dict[str, list[float]]]:
    """Return microseconds by way, of ours and of the floor."""
    outbox = OutboxSettings(max_events=100_000)
    async with Producer(f"redis://127.0.0.1:{port}", outbox=outbox) as producer:
        loop = asyncio.get_running_loop()
        _, floor = await loop.create_connection(Floor, "127.0.0.1", port)
        await floor.send(resp("SCRIPT", "LOAD", SCRIPT))
        mine, others = ours(producer), floors(floor)
        found: dict[str, dict[str, list[float]]] = {way: {"ours": [], "hiredis": []} for way in mine}
        for number in range(rounds + 1):
            for way, both in found.items():
                figures = await _micros(mine[way], count), await _micros(others[way], count)
                if number:  # the first warms up
                    both["ours"].append(figures[0])
                    both["hiredis"].append(figures[1])
        floor.transport.close()
    return found


def measure_blocking(port: int, rounds: int, count: int) -> dict[str, list[float]]:
    """Return microseconds of the blocking way; process time, so that the producer's thread counts, too."""
    found: dict[str, list[float]] = {"ours": [], "hiredis": []}
    reader = hiredis.Reader()
    with (
        BlockingProducer(f"redis://127.0.0.1:{port}") as producer,
        socket.create_connection(("127.0.0.1", port)) as link,
    ):
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(rounds + 1):
            began = time.process_time()
            for _ in range(count):
                producer.publish(Sample(room="one"))
            middle = time.process_time()
            for _ in range(count):
                link.sendall(_packed())
                reader.feed(link.recv(_READ_BYTES))
                while reader.gets() is False:
                    reader.feed(link.recv(_READ_BYTES))
            end = time.process_time()
            if number:
                found["ours"].append((middle - began) / count * 1e6)
                found["hiredis"].append((end - middle) / count * 1e6)
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--redis", type=int, required=True, help="port")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--count", type=int, default=2_000, help="events of each way in a round")
    given = arguments.parse_args()
    found = asyncio.run(measure(given.redis, given.rounds, given.count))
    found["blocking"] = measure_blocking(given.redis, given.rounds, given.count)
    print(json.dumps(found))


if __name__ == "__main__":
    main()

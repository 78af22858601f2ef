"""What presence costs: thousands of users come into one room over several replicas, and one replica is killed.

``python -m benchmarks.presence [--users 5000] [--edges 3]`` prints how long the storm takes, what Redis and the edges
hold, what watchers are told, and how long a look at the room takes. All on this machine, which the clients share.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar, Final

from redis.asyncio import Redis
from websockets.frames import Frame, Opcode

from bus.broker.child import Child, spawn_bound
from bus.broker.embedded import EmbeddedBroker
from bus.channel import Family
from bus.service import Service
from clients import Client, connect

SERVICE: Final = Service(
    name="bench",
    port=8697,
    welcome="",
    families=(Family("room:{room_id}", presence="members"), Family("plain:{room_id}")),
    events=(),
)
ROOM: Final = "room:1"
PORT: Final = 18_700
WATCHED: Final = ("room.joined", "room.left", "room.presence")
WORKERS: Final = 100


class Raw(asyncio.Protocol):
    """A client that counts what it is told, and reads no more of it."""

    told: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        self.answers = 0
        self._answered = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Shake hands."""
        self.transport: Any = transport
        transport.write(  # type: ignore[attr-defined]
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        """Count answers and notices; none of them is cut in two but for the rare one."""
        for name in WATCHED:
            self.told[name] += data.count(name.encode())
        if b"101 Switching" in data or b'"type":"response"' in data:
            self.answers += 1
            self._answered.set()

    async def answered(self, count: int) -> None:
        """Wait until the edge has answered so often."""
        while self.answers < count:
            self._answered.clear()
            await self._answered.wait()

    def subscribe(self, channel: str, **more: Any) -> None:
        """Come into a room."""
        text = json.dumps({"type": "request", "event": "subscribe", "id": "1", "data": {"channel": channel, **more}})
        self.transport.write(bytes(Frame(Opcode.TEXT, text.encode()).serialize(mask=True)))


def start_edge(port: int, redis_url: str, users: int) -> Child:
    """Start an edge in a process of its own."""
    env = {**os.environ, "EDGEBUS_MAX_CONNECTIONS": str(users + 100), "EDGEBUS_MAX_HANDSHAKES": str(users + 100)}
    words = ("edge", "benchmarks.presence:SERVICE", "--port", str(port), "--redis", redis_url, "--log-level", "error")
    return spawn_bound([sys.executable, "-m", "edgebus", *words], env=env)


def resident_mb(pid: int) -> float:
    """Return what a process holds, in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def scripts(redis: Any) -> tuple[int, float]:
    """Return how often Redis ran a script since its start, and the seconds of all."""
    found = (await redis.info("commandstats")).get("cmdstat_evalsha", {"calls": 0, "usec": 0})
    return found["calls"], found["usec"] / 1e6


async def until_count(client: Client, count: int) -> None:
    """Wait until the room has so many users."""
    while (await client.request("presence", channel=ROOM, limit=1))["count"] != count:  # noqa: ASYNC110 (polls Redis)
        await asyncio.sleep(0.02)


async def connected(users: int, ports: list[int]) -> list[Raw]:
    """Open all connections, spread over the edges, some at a time."""
    loop, clients, gate = asyncio.get_running_loop(), list[Raw](), asyncio.Semaphore(WORKERS)

    async def one(number: int) -> None:
        async with gate:
            _, client = await loop.create_connection(Raw, "127.0.0.1", ports[number % len(ports)])
            await client.answered(1)
            client.subscribe("plain:1")
            await client.answered(2)
            clients.append(client)

    await asyncio.gather(*map(one, range(users)))
    return clients


async def storm(clients: list[Raw], asking: Client, redis: Any) -> None:
    """Have all users come into the room at once, and print what it took."""
    calls, busy_s = await scripts(redis)
    began_s = time.perf_counter()
    for number, client in enumerate(clients):
        client.subscribe(ROOM, presence={"user": f"user-{number}", "info": {"name": f"User {number}"}})
    await asyncio.gather(*(client.answered(3) for client in clients))
    answered_s = time.perf_counter() - began_s
    await until_count(asking, len(clients))
    seen_s = time.perf_counter() - began_s
    await asyncio.sleep(2.0)  # the last notice with counts comes up to a second later
    now_calls, now_busy_s = await scripts(redis)
    print(f"storm of {len(clients)}: all answered after {answered_s:.2f} s, all seen after {seen_s:.2f} s")
    print(f"  scripts in Redis: {now_calls - calls}, {1e3 * (now_busy_s - busy_s):.0f} ms together")
    told = ", ".join(f"{name} {Raw.told[name] / len(clients):.1f}" for name in WATCHED)
    print(f"  notices to each of {len(clients)} watchers: {told}")


async def looks(asking: Client) -> None:
    """Print how long it takes to look at the room."""
    await asyncio.sleep(1.0)
    for words in ("read from Redis", "kept"):
        began_s = time.perf_counter()
        await asking.request("presence", channel=ROOM, limit=1_000)
        print(f"page of 1,000 members, {words}: {1e3 * (time.perf_counter() - began_s):.0f} ms")
    began_s = time.perf_counter()
    room = await asking.presence(ROOM)
    print(f"all {len(room.members)} members by client.presence: {1e3 * (time.perf_counter() - began_s):.0f} ms")


async def kill(edge: Child, asking: Client, left: int) -> None:
    """Kill an edge, and print when its users are gone from the room."""
    os.kill(edge.pid, signal.SIGKILL)
    began_s = time.perf_counter()
    await until_count(asking, left)
    print(f"edge killed with SIGKILL: {left} users left in the room after {time.perf_counter() - began_s:.2f} s")


async def main(users: int, count: int) -> None:
    """Measure."""
    with EmbeddedBroker(port=0) as broker:
        ports = [PORT + number for number in range(count)]
        edges = [start_edge(port, broker.url, users) for port in ports]
        async with (
            Redis.from_url(broker.url) as redis,
            connect(f"ws://127.0.0.1:{ports[0]}", retry_first=True) as asking,
        ):
            for port in ports:
                async with (
                    connect(f"ws://127.0.0.1:{port}", retry_first=True) as first,
                    first.subscribe("plain:0"),
                ):
                    pass
            async with asking.subscribe("plain:0"):
                pass
            clients = await connected(users, ports)
            before = [resident_mb(edge.pid) for edge in edges]
            await storm(clients, asking, redis)
            grown = [f"{resident_mb(edge.pid) - mb:.1f}" for edge, mb in zip(edges, before, strict=True)]
            print(
                f"  an edge with {users // count} clients held {before[0]:.0f} MB; then {', '.join(grown)} MB more each"
            )
            keys = ("bus:members:{room:1}", "bus:presence:{room:1}")
            sizes = [await redis.memory_usage(key, samples=0) or 0 for key in keys]
            print(f"  Redis holds {sum(sizes) / 1e6:.2f} MB of the room, {sum(sizes) / users:.0f} bytes for a user")
            await looks(asking)
            await kill(edges[-1], asking, users - users // count)
            for client in clients:
                client.transport.abort()
        for edge in edges[:-1]:
            os.kill(edge.pid, signal.SIGTERM)
            await asyncio.to_thread(edge.exited_within, 20.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--edges", type=int, default=3)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.users, arguments.edges))

"""The peer beside us: a fan-out written in an afternoon with ``websockets`` and ``redis.asyncio``.

One process, one pub/sub connection, one set of connections per channel, ``broadcast()`` for each message. The peer has
every help: hiredis, uvloop, no compression, no pings, and bytes that go out as text without being decoded. The peer
speaks as much of the protocol as the load needs: a message with ``data.channel`` subscribes and is answered once.
"""

import argparse
import asyncio
import signal
import ssl
from collections import defaultdict

import orjson
import uvloop
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosedError

_CLIENTS_AT_ONCE = 1024


class Fanout:
    """Rooms by channel, each filled from Redis."""

    def __init__(self, pubsub: PubSub) -> None:
        self._pubsub = pubsub
        self._rooms: dict[str, set[ServerConnection]] = defaultdict(set)
        self._confirmed: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def serve(self, connection: ServerConnection) -> None:
        """Let a client into the rooms asked for, until the client goes."""
        channels = set()
        try:
            async for message in connection:
                channel = orjson.loads(message)["data"]["channel"]
                channels.add(channel)
                await self._join(channel, connection)
                await connection.send(orjson.dumps({"status": "subscribed", "channel": channel}), text=True)
        except ConnectionClosedError:
            pass  # the crowd drops its connections at the end
        finally:
            for channel in channels:
                self._rooms[channel].discard(connection)

    async def _join(self, channel: str, connection: ServerConnection) -> None:
        if channel not in self._confirmed:
            await self._pubsub.subscribe(channel)
        await self._confirmed[channel].wait()
        self._rooms[channel].add(connection)

    async def forward(self) -> None:
        """Send Redis' messages to their rooms."""
        async for message in self._pubsub.listen():
            channel = message["channel"].decode()
            if message["type"] == "message":
                broadcast(self._rooms[channel], message["data"], text=True)
            elif message["type"] == "subscribe":
                self._confirmed[channel].set()


async def main(redis_url: str, port: int, context: ssl.SSLContext | None) -> None:
    """Serve on ``port`` of 127.0.0.1 (0: a free one), print the port, and end with SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with Redis.from_url(redis_url, protocol=2) as redis, redis.pubsub() as pubsub:
        await pubsub.subscribe("plain-websockets")  # until it has a channel, a PubSub cannot be listened to
        fanout = Fanout(pubsub)
        forwarding = asyncio.create_task(fanout.forward())
        async with serve(
            fanout.serve,
            "127.0.0.1",
            port,
            ssl=context,
            compression=None,
            ping_interval=None,
            backlog=_CLIENTS_AT_ONCE,
        ) as server:
            print(f"listens on ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
            end = asyncio.create_task(ended.wait())
            await asyncio.wait([end, forwarding], return_when=asyncio.FIRST_COMPLETED)
            if forwarding.done():
                forwarding.result()
        forwarding.cancel()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--redis", required=True)
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--certificate", help="for wss, with --key")
    arguments.add_argument("--key")
    given = arguments.parse_args()
    context = None
    if given.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(given.certificate, given.key)
    uvloop.run(main(given.redis, given.port, context))

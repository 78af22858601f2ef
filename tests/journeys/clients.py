"""A client as people write it, on the ``websockets`` library: asks, and keeps what else arrives."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect

DEADLINE_S: Final = 20.0
NINE_KEYS: Final = frozenset(
    ("id", "correlation_id", "type", "event", "data", "timestamp", "room", "error_code", "error_message")
)
EVENT_KEYS: Final = NINE_KEYS | {"position", "previous"}

Message = dict[str, Any]


class Viewer:
    """One connection that speaks the envelope, or the flat dialect with ``receive`` and ``send`` alone."""

    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket
        self._numbers = itertools.count(1)
        self.waiting: list[Message] = []

    async def send(self, message: Message) -> None:
        """Send one message."""
        await self._websocket.send(json.dumps(message))

    async def receive(self, deadline_s: float = DEADLINE_S) -> Message:
        """Return the next message, whatever it is."""
        async with asyncio.timeout(deadline_s):
            message = json.loads(await self._websocket.recv())
        assert isinstance(message, dict)
        return message

    async def ask(self, verb: str, **data: Any) -> Message:
        """Send a request and return its answer; events that came before it are kept in ``waiting``."""
        asked = f"r{next(self._numbers)}"
        await self.send({"type": "request", "event": verb, "data": data, "id": asked})
        while (message := await self.receive())["correlation_id"] != asked:
            self.waiting.append(message)
        return message

    async def subscribe(self, channel: str) -> Message:
        """Subscribe, and return the data of the reply."""
        reply = await self.ask("subscribe", channel=channel)
        assert reply["type"] == "response", reply
        data: Message = reply["data"]
        return data

    async def event(self, deadline_s: float = DEADLINE_S) -> Message:
        """Return the next event of a room."""
        while True:
            message = self.waiting.pop(0) if self.waiting else await self.receive(deadline_s)
            if message["room"] is not None:
                return message

    async def events(self, count: int) -> list[Message]:
        """Return the next ``count`` events of rooms."""
        return [await self.event() for _ in range(count)]

    async def until(self, name: str, deadline_s: float = DEADLINE_S) -> Message:
        """Return the next event called ``name``, dropping those before it."""
        async with asyncio.timeout(deadline_s):
            while (message := await self.event())["event"] != name:
                pass
        return message

    async def rest(self) -> list[Message]:
        """Send a ping, and return the events that came before its pong: the proof that no others did."""
        await self.ask("ping")
        came, self.waiting = self.waiting, []
        return [message for message in came if message["room"] is not None]


@asynccontextmanager
async def viewing(port: int, *channels: str) -> AsyncIterator[Viewer]:
    """Lend a client of an edge on this machine, subscribed to ``channels``."""
    async with connect(f"ws://127.0.0.1:{port}", proxy=None, max_queue=None) as websocket:  # it reads, come what may
        viewer = Viewer(websocket)
        for channel in channels:
            await viewer.subscribe(channel)
        yield viewer


async def eventually(fact: Callable[[], Any | Awaitable[Any]], deadline_s: float = DEADLINE_S) -> Any:
    """Return the first true value of ``fact``, which may be a coroutine function; fail at the deadline."""
    async with asyncio.timeout(deadline_s):
        while True:
            value = fact()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.01)

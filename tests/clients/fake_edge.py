"""An edge that does what a test tells it: the test reads what the client asks, and says what comes back."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

import orjson
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from clients import Value
from clients.settings import ClientSettings, Timing
from clients.subscription import Subscription

DEADLINE_S: Final = 10.0
CHANNEL: Final = "workflow:42"


def at(number: int) -> str:
    """Return the position of event ``number``; 0 is an empty log's."""
    return f"{1000 + number}-{number}"


class Waiting:
    """Time that passes when the test says so: every sleep is recorded, and over at once unless the test holds it."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept: list[float] = []
        self.is_held = False
        self._sleepers: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self.is_held:
            over = asyncio.Event()
            self._sleepers.put_nowait(over)
            await over.wait()
        self.now_s += seconds

    async def sleeper(self) -> asyncio.Event:
        """Wait until something sleeps; set what is returned to wake it."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._sleepers.get()

    def timing(self, dice: float = 0.5) -> Timing:
        return Timing(self.sleep, lambda: self.now_s, lambda: dice)

    def settings(self, **more: Any) -> ClientSettings:
        return ClientSettings(**{"timing": self.timing(), **more})


class Talk:
    """One connection, from the edge's side."""

    def __init__(self, websocket: ServerConnection) -> None:
        self.websocket = websocket

    async def settled(self) -> None:
        """Wait until the client has had what was sent, and what it says to that has come."""
        for _ in range(3):
            await (await self.websocket.ping())

    async def asked(self, verb: str) -> dict[str, Any]:
        """Return the next message of the client, which must be of this verb."""
        async with asyncio.timeout(DEADLINE_S):
            message = orjson.loads(await self.websocket.recv())
        assert message["type"] == "request"
        assert message["event"] == verb, message
        return dict(message)

    async def say(self, **keys: Any) -> None:
        empty = dict.fromkeys(("correlation_id", "event", "room", "error_code", "error_message"))
        await self.websocket.send(
            orjson.dumps({"id": "x", **empty, "timestamp": "2026-01-01T00:00:00+00:00", "data": {}, **keys}).decode()
        )

    async def reply(self, asked: dict[str, Any], **data: Any) -> None:
        await self.say(type="response", event=asked["event"], correlation_id=asked["id"], data=data)

    async def refuse(self, asked: dict[str, Any] | None, code: str, **data: Any) -> None:
        asked_id = asked["id"] if asked else None
        await self.say(type="error", correlation_id=asked_id, error_code=code, error_message="no", data=data)

    async def notice(self, event: str, room: str | None = None, **data: Any) -> None:
        await self.say(type="event", event=event, room=room, data=data, position=None, previous=None)

    async def event(self, number: int, previous: int | None = None, *, channel: str = CHANNEL) -> None:
        """Send event ``number``; the one before it is ``number - 1`` unless ``previous`` says otherwise."""
        before = number - 1 if previous is None else previous
        await self.say(
            type="event",
            event="workflow.stage",
            id=f"e{number}",
            room=channel,
            data={"n": number},
            position=at(number),
            previous=at(before) if before else "0-0",
        )

    async def events(self, *numbers: int, channel: str = CHANNEL) -> None:
        for number in numbers:
            await self.event(number, channel=channel)

    async def joins(self, position: int | None = 0, **data: Any) -> dict[str, Any]:
        """Confirm the next subscription at the position of event ``position``; return what was asked."""
        asked = await self.asked("subscribe")
        stands = None if position is None else at(position)
        await self.reply(asked, status="subscribed", channel=asked["data"]["channel"], position=stands, **data)
        return dict(asked["data"])

    async def resumes(self, position: int, replayed: int, reason: str | None = None) -> dict[str, Any]:
        """Confirm a subscription that asked for a replay; return what was asked."""
        return await self.joins(position, recovered=reason is None, reason=reason, replayed=replayed)

    async def close(self, code: int, reason: str = "") -> None:
        await self.websocket.close(code, reason)

    async def cut(self) -> None:
        """Drop the connection without a word, once the client has had what was sent."""
        await (await self.websocket.ping())
        self.websocket.transport.abort()

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        async with asyncio.timeout(DEADLINE_S):
            await self.websocket.wait_closed()


class FakeEdge:
    """Where clients connect."""

    def __init__(self) -> None:
        self.port = 0
        self.statuses: list[int | None] = [None]
        """What the next handshakes are answered with, the last one for ever; None takes the client in."""
        self.headers: dict[str, str] = {}
        self.requests: list[Request] = []
        self._talks: asyncio.Queue[Talk] = asyncio.Queue()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def accept(self) -> Talk:
        """Return the next connection."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._talks.get()

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Note an opening handshake, and answer it as ``statuses`` and ``headers`` say."""
        self.requests.append(request)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status is None:
            return None
        response = connection.respond(HTTPStatus(status), "no")
        for name, value in self.headers.items():
            response.headers[name] = value
        return response

    async def serve(self, websocket: ServerConnection) -> None:
        self._talks.put_nowait(Talk(websocket))
        await websocket.wait_closed()


@asynccontextmanager
async def fake_edge(port: int = 0, status: int | None = None) -> AsyncIterator[FakeEdge]:
    """Serve; with ``status`` answer every handshake with it instead."""
    edge = FakeEdge()
    edge.statuses = [status]
    async with serve(edge.serve, "127.0.0.1", port, close_timeout=1, process_request=edge.answer) as server:
        edge.port = next(iter(server.sockets)).getsockname()[1]
        yield edge


async def take(subscription: Subscription, count: int = 1) -> list[Value]:
    """Return the next ``count`` values."""
    async with asyncio.timeout(DEADLINE_S):
        return [await anext(subscription) for _ in range(count)]


def short(values: list[Value]) -> list[Any]:
    """Return what matters of values: an event's number, or the value itself."""
    return [value.data["n"] if hasattr(value, "data") else value for value in values]


async def eventually(fact: Any) -> None:
    """Wait until ``fact()`` is true."""
    async with asyncio.timeout(DEADLINE_S):
        for _ in itertools.count():
            if fact():
                return
            await asyncio.sleep(0)


__all__ = [
    "CHANNEL",
    "DEADLINE_S",
    "FakeEdge",
    "Talk",
    "Waiting",
    "at",
    "eventually",
    "fake_edge",
    "short",
    "take",
]

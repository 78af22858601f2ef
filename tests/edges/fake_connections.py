"""Connections to the Redis in memory: the client library's client, the log above it, and the subscription link."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from bus.errors import BusError, BusUnavailable
from bus.log.appending import Appended, Entry, outcome
from bus.log.log import Log
from bus.redis.link import Batch
from bus.redis.subscriber import SubscriberStatistics
from tests.edges.fake_redis import Command, FakeRedis, Way

__all__ = ["FakeClient", "FakeLink", "FakeLog"]


class FakeClient:
    """The client library's client, as far as the bus uses one: every method is a command, and a round trip."""

    def __init__(self, redis: FakeRedis, comes: Way | None = None) -> None:
        self._server, self._comes, self.connection_pool = redis, comes, self

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def ask(*arguments: Any, **options: Any) -> Any:
            (answer,) = await self._server.answer([(name, arguments, options)], self._comes)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return ask

    async def execute_command(self, *words: Any) -> Any:
        """Send a command as its words."""
        return await self.__getattr__(_name(words[0]))(*words[1:])

    def pipeline(self, *, transaction: bool) -> "FakePipeline":
        """Return what gathers commands."""
        return FakePipeline(self._server, self._comes, transaction=transaction)

    async def disconnect(self) -> None:
        """Count that the connection was given up."""
        self._server.drops += 1

    async def aclose(self) -> None:
        """Do nothing: there is no socket."""


class FakePipeline:
    """Commands that go out together."""

    def __init__(self, redis: FakeRedis, comes: Way | None, *, transaction: bool) -> None:
        self._server, self._comes, self._commands = redis, comes, list[Command]()
        self.transaction = transaction

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments, **options: self._commands.append((name, arguments, options))

    def execute_command(self, *words: Any) -> None:
        """Add a command as its words; of the ranges only the form with a number is known."""
        name, *arguments = words
        if name == "XREVRANGE":
            assert arguments[3] == "COUNT"
            del arguments[3]
        self._commands.append((_name(name), tuple(arguments), {}))

    async def execute(self, *, raise_on_error: bool) -> list[Any]:
        """Return the answers."""
        assert not raise_on_error
        return await self._server.answer(self._commands, self._comes)


def _name(words: str) -> str:
    return words.lower().replace(" ", "_")


class FakeLog(Log):
    """The log of an edge or of a producer, on a Redis in memory; ``comes`` says when answers do."""

    def __init__(self, redis: FakeRedis, *, comes: Way | None = None) -> None:
        super().__init__("redis://127.0.0.1:1", name="edgebus-test")
        self._redis = FakeClient(redis, comes)  # type: ignore[assignment]
        self._server = redis

    async def append(self, entries: Sequence[Entry]) -> list[Appended | BusError]:
        """Store and publish every entry, as ``Appender.append`` does."""
        async with self.connected():
            answers = [(await self._server.answer([("append", (entry,), {})]))[0] for entry in entries]
        return [outcome(entry, answer, None) for entry, answer in zip(entries, answers, strict=True)]


class FakeLink:
    """The subscription link of an edge: confirmations come behind the lines that were published before.

    Attributes:
        deliver: takes lines that arrive.
        on_the_way: lines that have not arrived.
        asked: what was subscribed (``+``) and left (``-``), in order.
        may_confirm: cleared, Redis keeps its confirmations back.

    """

    def __init__(self, redis: FakeRedis, deliver: Callable[[Batch], None] = lambda _: None) -> None:
        self.deliver = deliver
        self.is_up, self.generation = True, 1
        self.subscribed: set[str] = set()
        self.on_the_way: list[tuple[bytes, bytes]] = []
        self.asked: list[str] = []
        self.lines = 0
        self.fails = False
        self.may_confirm = asyncio.Event()
        self.may_confirm.set()
        redis.links.append(self)

    def send(self, channel: str, line: bytes) -> bool:
        """Have a line on its way, if somebody wants it."""
        is_wanted = self.is_up and channel in self.subscribed
        if is_wanted:
            self.on_the_way.append((channel.encode(), line))
        return is_wanted

    def arrive(self, count: int | None = None) -> None:
        """Let the oldest lines arrive that are on their way, or all."""
        count = len(self.on_the_way) if count is None else count
        batch, self.on_the_way = self.on_the_way[:count], self.on_the_way[count:]
        self.lines += len(batch)
        self.deliver(batch)

    def statistics(self) -> SubscriberStatistics:
        return SubscriberStatistics(self.is_up, self.generation, len(self.subscribed), self.lines, self.generation - 1)

    async def subscribe(self, channel: str) -> None:
        self.asked.append(f"+{channel}")
        await self._confirmed()
        self.subscribed.add(channel)
        self.arrive()

    async def unsubscribe(self, channel: str) -> None:
        self.forget(channel)
        await self._confirmed()
        self.arrive()

    def forget(self, channel: str) -> None:
        self.asked.append(f"-{channel}")
        self.subscribed.discard(channel)

    async def _confirmed(self) -> None:
        await self.may_confirm.wait()
        await asyncio.sleep(0)
        if self.fails or not self.is_up:
            raise BusUnavailable("the link to Redis is down")

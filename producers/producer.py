"""The SDK for services: publish an event, and know that Redis has it.

Publishes that are under way at the same time share round trips: one task owns the connection, takes what waits, and
sends it as one pipeline.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from bus.address import check_url, default_url
from bus.envelope import LINE_LIMIT_BYTES, Message, compose
from bus.errors import BusError, PublishIncomplete
from bus.event import Event
from bus.log import Appended, Entry, Log

__all__ = ["Producer", "Published"]

_PIPELINE_EVENTS: Final = 200


@dataclass(frozen=True, slots=True)
class Published:
    """What Redis answered to a publish.

    Attributes:
        id: of the event, the same in every room.
        positions: channel name to the event's position there; None on a ``live`` channel, which has no log.
        receivers: how many subscribers (edges, and whoever types ``SUBSCRIBE``) Redis sent it to, over all channels.

    """

    id: str
    positions: dict[str, str | None]
    receivers: int


@dataclass(frozen=True, slots=True)
class _Waiting:
    message: Message
    done: "asyncio.Future[Published]"


class Producer:
    """Publishes events to Redis over one connection.

    ``async with Producer() as producer`` connects at the first publish. Calls may come from any number of tasks of one
    event loop; events of one task keep their order.

    Args:
        url: of Redis; None takes ``EDGEBUS_REDIS_URL``, else ``redis://127.0.0.1:6390``.
        name: of the service, for ``CLIENT LIST``: the connection is called ``edgebus-producer-<name>``.
        limit_bytes: the largest line that is sent.

    Raises:
        AddressError: the URL cannot be used.

    """

    def __init__(self, url: str | None = None, *, name: str = "unnamed", limit_bytes: int = LINE_LIMIT_BYTES) -> None:
        self._url = url or default_url()
        check_url(self._url)
        self._name, self._limit_bytes = f"edgebus-producer-{name}", limit_bytes
        self._waiting: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start the sender; Redis is not asked for anything yet."""
        self._sender = asyncio.create_task(self._send(), name=self._name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let publishes that are under way end, then close the connection."""
        await self.close()

    async def close(self) -> None:
        """Let publishes that are under way end, then close the connection; calling it twice is harmless."""
        sender, self._sender = self._sender, None
        if sender is not None:
            self._wake.set()
            await sender

    async def publish(self, event: Event) -> Published:
        """Publish ``event`` on every channel it lists, and return when Redis has it on all of them.

        If the caller is cancelled the event may still be published; other calls are not disturbed.

        Raises:
            pydantic.ValidationError: the event is not valid; nothing was sent.
            EventError: its line is too large; nothing was sent.
            BusUnavailable: Redis cannot be reached; whether the event is there is not known.
            PublishError: Redis refused the event on every channel.
            PublishIncomplete: Redis refused it on some channels; the error names both kinds.

        """
        return (await self.publish_all([event]))[0]

    async def publish_all(self, events: Sequence[Event]) -> list[Published]:
        """Publish several events in order, in one pipeline where they fit; all are validated before the first is sent.

        Raises:
            Exception: as ``publish`` does, for the first event that failed; later ones were tried all the same.

        """
        if self._sender is None:
            raise BusError("the producer is not open: use it as `async with Producer(...) as producer`")
        messages = [compose(event, limit_bytes=self._limit_bytes) for event in events]
        futures = [self._put(message) for message in messages]
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return [outcome for outcome in outcomes if isinstance(outcome, Published)]

    async def publish_every(self, interval_s: float, make: Callable[[], Sequence[Event]]) -> None:
        """Publish what ``make`` returns every ``interval_s`` seconds, from start to start, until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self.publish_all(make())
            due = max(due + interval_s, loop.time())
            await asyncio.sleep(due - loop.time())

    def _put(self, message: Message) -> "asyncio.Future[Published]":
        future: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(message, future))
        self._wake.set()
        return future

    async def _send(self) -> None:
        """Send what waits until the producer is closed and nothing waits any more."""
        async with Log(self._url, name=self._name) as log:
            while self._sender is not None or self._waiting:
                batch, self._waiting = self._waiting[:_PIPELINE_EVENTS], self._waiting[_PIPELINE_EVENTS:]
                if batch:
                    await _send_batch(log, batch)
                    continue
                self._wake.clear()
                await self._wake.wait()


async def _send_batch(log: Log, batch: Sequence[_Waiting]) -> None:
    entries = [
        Entry(channel, one.message.id, one.message.event, line) for one in batch for channel, line in one.message.lines
    ]
    try:
        outcomes = iter(await log.append(entries))
    except BusError as error:
        for one in batch:
            _fail(one.done, type(error)(*error.args))
        return
    for one in batch:
        _settle(one, [next(outcomes) for _ in one.message.lines])


def _settle(one: _Waiting, outcomes: Sequence[Appended | BusError]) -> None:
    names = [channel.name for channel, _ in one.message.lines]
    positions = {name: it.position for name, it in zip(names, outcomes, strict=True) if isinstance(it, Appended)}
    missing = {name: it for name, it in zip(names, outcomes, strict=True) if isinstance(it, BusError)}
    if not missing and not one.done.done():
        receivers = sum(it.receivers for it in outcomes if isinstance(it, Appended))
        one.done.set_result(Published(one.message.id, positions, receivers))
    elif missing:
        _fail(one.done, PublishIncomplete(positions, missing) if positions else next(iter(missing.values())))


def _fail(future: "asyncio.Future[Published]", error: BusError) -> None:
    if not future.done():
        future.set_exception(error)

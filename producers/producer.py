"""The SDK for services: publish an event, and know that Redis has it.

Publishes that are under way at the same time share round trips: one task owns the connection, takes what waits, and
sends it as one pipeline.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from bus.address import ANSWER_DEADLINE_S, check_url, default_url
from bus.envelope import LINE_LIMIT_BYTES, Message, compose
from bus.errors import BusError, BusUnavailable, PublishError, PublishIncomplete
from bus.event import Event
from bus.log import Appended, Entry, Log

__all__ = ["Producer", "Published"]

_PIPELINE_EVENTS: Final = 200
_PIPELINE_BYTES: Final = 4 * 1024 * 1024
"""Past this no further event is added: all of a pipeline shares one deadline."""


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
    since_s: float
    done: "asyncio.Future[Published]"


class Producer:
    """Publishes events to Redis over one connection.

    ``async with Producer() as producer`` connects at the first publish. Calls may come from any number of tasks of the
    event loop it was opened in; events of one task keep their order. Once closed it may be opened again.

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
        self._waiting: deque[_Waiting] = deque()
        self._under_way: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._sender: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start the sender; Redis is not asked for anything yet."""
        if self._sender is not None and not self._sender.done():
            raise BusError("the producer is open already: use one `async with` at a time, or another producer")
        self._wake, self._closing = asyncio.Event(), False  # an Event belongs to the loop that first waited for it
        self._sender = asyncio.create_task(self._send(), name=self._name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let publishes that are under way end, then close the connection."""
        await self.close()

    async def close(self) -> None:
        """Let publishes that are under way end, then close the connection; calling it twice is harmless.

        If this is cancelled, the publishes are given up: their callers get a ``BusError``.

        Raises:
            Exception: what ended the sender, if that was an error of ours.

        """
        self._closing = True
        self._wake.set()
        if self._sender is not None:
            await self._sender

    async def publish(self, event: Event) -> Published:
        """Publish ``event`` on every channel it lists, and return when Redis has it on all of them.

        If the caller is cancelled the event may still be published; other calls are not disturbed.

        Raises:
            pydantic.ValidationError: the event is not valid; nothing was sent.
            EventError: its line is too large; nothing was sent.
            BusUnavailable: Redis cannot be reached; whether the event is there is not known.
            PublishError: Redis refused the event on every channel.
            PublishIncomplete: Redis refused it on some channels; the error names both kinds.
            BusError: the producer is not open, or not in this event loop.

        """
        return (await self.publish_all([event]))[0]

    async def publish_all(self, events: Sequence[Event]) -> list[Published]:
        """Publish several events in order, in one pipeline where they fit; all are validated before the first is sent.

        Raises:
            Exception: as ``publish`` does, for the first event that failed; later ones were tried all the same.

        """
        self._check_open()
        messages = [compose(event, limit_bytes=self._limit_bytes) for event in events]
        futures = [self._put(message) for message in messages]
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return [outcome for outcome in outcomes if isinstance(outcome, Published)]

    async def publish_every(self, interval_s: float, make: Callable[[], Sequence[Event]]) -> None:
        """Publish what ``make`` returns every ``interval_s`` seconds, from start to start.

        Ends only with an exception: when cancelled, or that of a publish or of ``make``.
        """
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self.publish_all(make())
            due = max(due + interval_s, loop.time())
            await asyncio.sleep(due - loop.time())

    def _check_open(self) -> None:
        if self._sender is None or self._closing:
            raise BusError("the producer is not open: use it as `async with Producer(...) as producer`")
        if self._sender.done():
            raise BusError("the producer has failed; closing it raises the reason")
        if self._sender.get_loop() is not asyncio.get_running_loop():
            raise BusError("the producer is open in another event loop: open one in each, and after a fork a new one")

    def _put(self, message: Message) -> "asyncio.Future[Published]":
        loop = asyncio.get_running_loop()
        one = _Waiting(message, loop.time(), loop.create_future())
        self._waiting.append(one)
        self._wake.set()
        return one.done

    async def _send(self) -> None:
        """Send what waits until the producer is closed and nothing waits any more."""
        try:
            async with Log(self._url, name=self._name) as log:
                while self._waiting or not self._closing:
                    if self._waiting:
                        await self._send_batch(log)
                        continue
                    self._wake.clear()
                    await self._wake.wait()
        finally:
            text = "the producer ended before Redis answered; whether the event is there is not known"
            _fail([*self._under_way, *self._waiting], BusError, text)
            self._waiting.clear()

    async def _send_batch(self, log: Log) -> None:
        self._under_way = self._take()
        entries = [
            Entry(channel, one.message.id, one.message.event, line)
            for one in self._under_way
            for channel, line in one.message.lines
        ]
        try:
            outcomes = iter(await log.append(entries))
        except BusUnavailable as error:
            _fail([*self._under_way, *self._take_overdue()], type(error), str(error), error.__cause__)
        except BusError as error:
            _fail(self._under_way, PublishError, str(error), error.__cause__)
        else:
            for one in self._under_way:
                _settle(one, [next(outcomes) for _ in one.message.lines])

    def _take(self) -> list[_Waiting]:
        """Take what one pipeline carries, leaving out those whose caller was cancelled."""
        batch: list[_Waiting] = []
        size_bytes = 0
        while self._waiting and len(batch) < _PIPELINE_EVENTS and size_bytes < _PIPELINE_BYTES:
            one = self._waiting.popleft()
            if not one.done.done():
                batch.append(one)
                size_bytes += sum(len(line) for _, line in one.message.lines)
        return batch

    def _take_overdue(self) -> list[_Waiting]:
        """Take what has waited for as long as Redis had to answer: it would now wait as long again, in turns."""
        latest_s = asyncio.get_running_loop().time() - ANSWER_DEADLINE_S
        batch: list[_Waiting] = []
        while self._waiting and self._waiting[0].since_s <= latest_s:
            batch.append(self._waiting.popleft())
        return batch


def _settle(one: _Waiting, outcomes: Sequence[Appended | BusError]) -> None:
    if one.done.done():  # its caller was cancelled meanwhile
        return
    names = [channel.name for channel, _ in one.message.lines]
    positions = {name: it.position for name, it in zip(names, outcomes, strict=True) if isinstance(it, Appended)}
    missing = {name: it for name, it in zip(names, outcomes, strict=True) if isinstance(it, BusError)}
    if not missing:
        receivers = sum(it.receivers for it in outcomes if isinstance(it, Appended))
        one.done.set_result(Published(one.message.id, positions, receivers))
    else:
        one.done.set_exception(PublishIncomplete(positions, missing) if positions else next(iter(missing.values())))


def _fail(batch: Iterable[_Waiting], kind: type[BusError], text: str, cause: BaseException | None = None) -> None:
    """Give each caller an error of its own; one that is shared would gather the tracebacks of them all."""
    for one in batch:
        if not one.done.done():
            error = kind(text)
            error.__cause__ = cause
            one.done.set_exception(error)

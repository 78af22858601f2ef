"""A connection to Redis for subscriptions: commands out, answers and lines in.

Lines are read with ``hiredis`` straight from the socket and handed on in batches, one per read. Links are opened by
``bus.redis.opening``, and kept up by ``bus.redis.subscriber``.
"""

import asyncio
import errno
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import field
from typing import Any, Final, TypeAlias, cast

import hiredis

from bus.errors import BusUnavailable
from bus.redis.refusals import refusal, said
from bus.values import mutable

__all__ = ["BATCH_CHANNELS", "Batch", "Link"]

Batch: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Channel and line of each message, in the order of arrival."""

BATCH_CHANNELS: Final = 500
"""The most channels that a command names."""
_SLICE_BYTES: Final = 16 * 1024
"""``hiredis.Reader`` moves its whole buffer on every reply, so large feeds cost the square of their size."""


class Link(asyncio.Protocol):
    """A connection in RESP2: plain commands first, then subscriptions and their messages.

    Args:
        deliver: gets the messages of each read, on the event loop; must not wait.

    Attributes:
        cause: the error at the end of the link; None before the end, and when the link was dropped from here.
        refused: Redis' words, when the last answer to a plain command was an error.
        reads: how often bytes came.
        closed: done when the link is over; with the error of ``deliver``, if that ended the link.

    """

    def __init__(self, deliver: Callable[[Batch], None]) -> None:
        self._deliver = deliver
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._replies: deque[asyncio.Future[Any]] = deque()
        self._asked: deque[_Subscription] = deque()
        self._unsent: list[_Subscription] = []
        self._watch: asyncio.TimerHandle | None = None
        self.cause: Exception | None = None
        self.refused = ""
        self.reads = 0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes; an error of ``deliver`` ends the link."""
        batch: list[tuple[bytes, bytes]] = []
        self.reads += 1
        try:
            for start in range(0, len(data), _SLICE_BYTES):
                self._reader.feed(data, start, min(_SLICE_BYTES, len(data) - start))
                self._read(batch)
            if batch:
                self._deliver(batch)
        except hiredis.ProtocolError as error:  # no Redis, or a Redis out of step with us: the link is of no use now
            self._end(None, error)
        except MemoryError as error:  # a shortage passes: the lines of this read are made up for on the next link
            self._end(None, error)
        except Exception as error:  # noqa: BLE001 (handed on: the supervisor ends with it)
            self._end(error)

    def _read(self, batch: list[tuple[bytes, bytes]]) -> None:
        # The hot path: no function is called per message, and a message is told by its shape alone.
        gets, append = self._reader.gets, batch.append
        try:
            while (reply := gets()) is not False:
                if type(reply) is list and reply[0] == b"message":
                    _, channel, line = reply
                    append((channel, line))
                else:
                    self._answered(reply)
        except (LookupError, TypeError, ValueError) as error:
            raise hiredis.ProtocolError("an answer of a form that Redis does not give") from error

    def _answered(self, reply: Any) -> None:
        if self._replies:
            self.refused = said(reply) if isinstance(reply, hiredis.ReplyError) else ""
            _settle(self._replies.popleft(), reply)
        elif not self._asked:
            raise hiredis.ProtocolError("an answer that nobody asked for")
        elif isinstance(reply, hiredis.ReplyError):
            self._conclude(reply)
        elif self._asked[0].confirm(reply[1]):
            self._conclude(None)

    def _conclude(self, outcome: Any) -> None:
        self._asked.popleft().settle(outcome)
        if self._watch is not None and not (self._asked or self._unsent):
            self._watch.cancel()
            self._watch = None

    def command(self, *words: bytes) -> Awaitable[Any]:
        """Send a command with a single reply."""
        future = asyncio.get_running_loop().create_future()
        self._replies.append(future)
        self._write(words)
        if self.closed.done():  # no reply comes any more; uvloop would not even take the words
            self._settle_all()
        return future

    def ask(self, verb: bytes, channels: Sequence[bytes], *, alone: bool = False) -> "asyncio.Future[None]":
        """Subscribe or unsubscribe; requests of a tick with the same verb share a command.

        ``alone``: in a command of its own, which Redis may refuse without harm to the others.
        """
        # A thousand rooms that open in one tick cost Redis two commands and the edge two writes.
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        if not self._unsent:
            loop.call_soon(self._flush)
        last = self._unsent[-1] if self._unsent else None
        is_full = last is None or last.verb != verb or len(last.channels) + len(channels) > BATCH_CHANNELS
        if last is None or is_full or alone or last.is_alone:
            last = _Subscription(verb, is_alone=alone)
            self._unsent.append(last)
        last.channels.update(channels)
        last.waiting.append(future)
        return future

    @property
    def owed(self) -> object:
        """The oldest subscription that was sent, and not confirmed whole; None for none. Told apart by identity."""
        return self._asked[0] if self._asked else None

    async def answer(self, asked: "asyncio.Future[None]", standstill_s: float) -> None:
        """Wait for an answer for as long as bytes come.

        Raises:
            TimeoutError: no byte came for ``standstill_s``.
            BusUnavailable: the link was lost, or Redis refused.

        """
        if self._watch is None and not asked.done():
            self._begin_watch(standstill_s)
        await asked

    def _begin_watch(self, standstill_s: float) -> None:
        # One timer for all that wait: a thousand rooms that open at once would set three thousand.
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(standstill_s, self._look, self.reads, standstill_s)

    def _look(self, reads: int, standstill_s: float) -> None:
        """Tell all that wait of a standstill; look again while anybody waits."""
        self._watch = None
        waiting = [it for asked in self._asked for it in asked.waiting if not it.done()]
        if waiting and reads == self.reads:
            # decisions/0052: a deadline from the last byte, since over a narrow path an answer comes behind long lines.
            for future in waiting:
                _settle(future, TimeoutError())
        elif waiting:
            self._begin_watch(standstill_s)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        for subscription in unsent:
            self._asked.append(subscription)
            self._write((subscription.verb, *subscription.channels))
        if self.closed.done():
            self._settle_all()

    def _write(self, words: Sequence[bytes]) -> None:
        if self._transport is not None and not self.closed.done():
            self._transport.write(hiredis.pack_command(tuple(words)))  # type: ignore[arg-type]  # its stub knows one word only

    def connection_lost(self, error: Exception | None) -> None:
        """Take note that the socket is gone."""
        self._end(None, error or ConnectionResetError(errno.ECONNRESET, "no reason given"))

    def abort(self) -> None:
        """Drop the connection now."""
        self._end(None)

    def _end(self, error: Exception | None, cause: Exception | None = None) -> None:
        if self._transport is not None:
            self._transport.abort()
        if self._watch is not None:
            self._watch.cancel()
        if not self.closed.done():
            self.cause = error or cause
            self.closed.set_result(None) if error is None else self.closed.set_exception(error)
        self._settle_all()

    def _settle_all(self) -> None:
        """Give all waiting callers the error that ended the link."""
        lost = BusUnavailable("the link to Redis was lost")
        lost.__cause__ = self.cause
        replies, asked = [*self._replies], [*self._asked, *self._unsent]
        self._replies.clear()
        self._asked.clear()
        self._unsent.clear()
        for future in replies:
            _settle(future, lost)
        for subscription in asked:
            subscription.settle(lost)


@mutable
class _Subscription:
    """A command on its way: the channels that Redis has still to confirm, and the waiting callers."""

    verb: bytes
    is_alone: bool = False
    channels: set[bytes] = field(default_factory=set)
    waiting: list["asyncio.Future[None]"] = field(default_factory=list)

    def confirm(self, channel: bytes) -> bool:
        self.channels.discard(channel)
        return not self.channels

    def settle(self, outcome: Any) -> None:
        for future in self.waiting:
            _settle(future, outcome)


def _settle(future: "asyncio.Future[Any]", outcome: Any) -> None:
    if future.done():
        return
    if isinstance(outcome, hiredis.ReplyError):
        error = refusal(said(outcome))
        refused = error if isinstance(error, BusUnavailable) else BusUnavailable(str(error))
        refused.__cause__ = outcome
        future.set_exception(refused)
    elif isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)

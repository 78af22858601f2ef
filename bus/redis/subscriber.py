"""The subscription link: one connection to Redis, on which channels are subscribed while somebody wants them.

Lines are read with ``hiredis`` straight from the socket and handed on in batches, one per read: the client library's
own pub/sub costs ten times as much per line. The link is kept up by one task, which reconnects and subscribes anew.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final, Self

import hiredis
from tenacity import RetryCallState

from bus.errors import BusError, BusNotReady, BusUnavailable
from bus.redis.address import (
    ANSWER_DEADLINE_S,
    ATTEMPT_DEADLINE_S,
    check_url,
    fit_name,
    login,
    open_link,
    start_line,
    without_password,
)
from bus.redis.failures import failure
from bus.redis.link import BATCH_CHANNELS, Batch, Link
from bus.redis.probe import Probe
from bus.redis.refusals import is_about_command, said
from bus.redis.role import is_untold, misplaced
from bus.retrying import attempts_after
from bus.shortage import is_closed_handle, shortage
from bus.tasks import end

__all__ = ["Subscriber", "SubscriberStatistics"]

_REASONS: Final = 20
"""So many are told per outage: some name a moment, and each would be another one."""

_logger = logging.getLogger("edgebus.bus")


@dataclass(frozen=True, slots=True)
class SubscriberStatistics:
    """Counters since the start. ``generation`` is how often the link came up; ``channels`` are subscribed now."""

    is_up: bool
    generation: int
    channels: int
    lines: int
    lost: int


class Subscriber:
    """A supervised link that delivers the lines of exact channels; never a pattern.

    Per channel, lines are delivered in the order in which Redis published them, each at most once. What is published
    while the link is down is not delivered; ``on_up`` and ``on_down`` tell when that was.

    Args:
        url: of Redis, see ``bus.redis.address``.
        name: what ``CLIENT LIST`` shows.
        deliver: gets each batch, on the event loop, and must neither wait nor raise. If it raises, the supervisor
            ends with that error, and ``closed`` raises it.
        on_up: called after every channel was subscribed (again) on a new link.
        on_down: called when the link is lost.
        probe: tells whether the link hears; one that does not is dropped. None: it is trusted.

    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        deliver: Callable[[Batch], None],
        on_up: Callable[[], None] = lambda: None,
        on_down: Callable[[], None] = lambda: None,
        probe: Probe | None = None,
    ) -> None:
        check_url(url)
        self._url, self._name = url, name
        self._deliver, self._on_up, self._on_down = deliver, on_up, on_down
        self._wanted: dict[bytes, None] = {}
        self._link: Link | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._generation = self._lines = self._lost = 0
        self._probe = probe
        self._own: dict[bytes, Callable[[bytes], None]] = {}
        self._trouble = start_line(url)
        self._told: set[str] = set()
        if probe is not None:
            self.listen(probe.channel, probe.take)

    async def __aenter__(self) -> Self:
        """Start to connect; returns without waiting for it."""
        self._supervisor = asyncio.create_task(self._supervise(), name=f"subscriber {self._name}")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """End the link."""
        await self.close()

    async def close(self) -> None:
        """End the link and the task behind it; calling it twice is harmless."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait([self._supervisor])

    async def closed(self) -> None:
        """Wait until the supervisor ends.

        Raises:
            Exception: whatever ``deliver`` raised.

        """
        if self._supervisor is not None:
            await asyncio.shield(self._supervisor)

    @property
    def is_up(self) -> bool:
        """Whether the link is connected and Redis confirmed every channel that was wanted when it came up."""
        return self._link is not None

    @property
    def trouble(self) -> str:
        """Why the link is down, or was when it was last; for people, and without a password."""
        return self._trouble

    @property
    def is_heard(self) -> bool:
        """Whether a probe came back by the link lately."""
        return self._probe is None or self._probe.is_heard

    def listen(self, channel: str, take: Callable[[bytes], None]) -> None:
        """Hand what comes on a channel of the bus's own (``bus:…``) to ``take``, and not to ``deliver``.

        For as long as the link is kept up; to be called before it is opened. ``take`` must neither wait nor raise.
        """
        self._own[channel.encode()] = take
        self._wanted[channel.encode()] = None

    def statistics(self) -> SubscriberStatistics:
        """Return the counters."""
        return SubscriberStatistics(self.is_up, self._generation, len(self._wanted), self._lines, self._lost)

    async def subscribe(self, channel: str) -> None:
        """Return once Redis confirmed that lines of ``channel`` will come. Calls of one tick share a command.

        Raises:
            BusUnavailable: the link is down, was lost meanwhile, or Redis refused.

        """
        await self._ask(b"SUBSCRIBE", channel)
        self._wanted[channel.encode()] = None

    async def unsubscribe(self, channel: str) -> None:
        """Return once Redis confirmed that no more lines of ``channel`` will come.

        Raises:
            BusUnavailable: the link is down or was lost meanwhile; then the channel is not subscribed anew.

        """
        self._wanted.pop(channel.encode(), None)
        await self._ask(b"UNSUBSCRIBE", channel)

    def forget(self, channel: str) -> None:
        """Unsubscribe without waiting: for a subscription that nobody got to use."""
        self._wanted.pop(channel.encode(), None)
        if self._link is not None:
            self._link.ask(b"UNSUBSCRIBE", [channel.encode()]).add_done_callback(asyncio.Future.exception)

    async def _ask(self, verb: bytes, channel: str) -> None:
        link = self._link
        if link is None:
            raise BusUnavailable(self._trouble)
        try:
            await link.answer(link.ask(verb, [channel.encode()]), ANSWER_DEADLINE_S)
        except TimeoutError as error:
            link.abort()
            raise BusUnavailable("Redis did not confirm a subscription in time") from error

    async def _supervise(self) -> None:
        while True:
            link = await self._connected()
            self._link = link
            self._generation += 1
            _logger.info("link to Redis is up", extra={"generation": self._generation, "channels": len(self._wanted)})
            self._told.clear()
            self._on_up()
            watch = self._watch(link)
            try:
                await link.closed
            finally:
                self._link = None
                link.abort()
                await end(watch)
            self._lost += 1
            self._trouble = self._reason(link)
            fields = {"generation": self._generation, "reason": self._trouble}
            _logger.warning("link to Redis is lost", extra=fields)
            self._on_down()

    def _reason(self, link: Link) -> str:
        """Return why a link that was up is no more."""
        found = None if self._probe is None else self._probe.trouble
        if found is None and isinstance(link.cause, ConnectionError):
            return f"Redis at {without_password(self._url)} closed the connection"
        return found or str(failure(link.cause or TimeoutError(), self._url))

    def _watch(self, link: Link) -> "list[asyncio.Task[None]]":
        if self._probe is None:
            return []
        watch = self._probe.watch(link.abort, progress=lambda: link.reads)
        return [asyncio.create_task(watch, name=f"probe of {self._name}")]

    async def _connected(self) -> Link:
        async for attempt in attempts_after(BusError, tell=self._tell):
            with attempt:
                return await self._attempt()
        raise AssertionError("tries without end")

    def _tell(self, state: RetryCallState) -> None:
        """Say each reason once per outage; every further attempt is for the curious."""
        self._trouble = str(state.outcome.exception()) if state.outcome else ""
        is_news = self._trouble not in self._told and len(self._told) < _REASONS
        self._told.add(self._trouble)
        level = logging.WARNING if is_news else logging.DEBUG
        fields = {"attempt": state.attempt_number, "reason": self._trouble}
        _logger.log(level, "there is no link to Redis", extra=fields)

    async def _attempt(self) -> Link:
        """Make one link.

        Raises:
            BusError: there is none to be had now; the text says why.

        """
        try:
            return await self._opened()
        except (OSError, TimeoutError, BusError) as error:
            raise failure(error, self._url)  # noqa: B904 (its cause is set)
        except (RuntimeError, MemoryError) as error:
            if shortage(error) is None and not (isinstance(error, RuntimeError) and is_closed_handle(error)):
                raise
            raise failure(error, self._url)  # noqa: B904 (likewise)

    async def _opened(self) -> Link:
        """Connect, log in, and subscribe what is wanted, in commands of bounded size."""
        link = await open_link(self._url, lambda: Link(self._count))
        is_ready = False
        try:
            async with asyncio.timeout(ATTEMPT_DEADLINE_S):
                await _log_in(link, self._url, self._name)
            for channels in _batches(self._wanted, BATCH_CHANNELS):
                await link.answer(link.ask(b"SUBSCRIBE", channels), ATTEMPT_DEADLINE_S)
            is_ready = True
        finally:
            if not is_ready:
                link.abort()
                link.closed.result()  # what `deliver` raised is no failure of the link, and must not be retried
        return link

    def _count(self, batch: Batch) -> None:
        self._lines += len(batch)
        if self._own and any(channel.startswith(b"bus:") for channel, _ in batch):
            batch = self._without_own(batch)
        self._deliver(batch)

    def _without_own(self, batch: Batch) -> Batch:
        for channel, message in batch:
            if (take := self._own.get(channel)) is not None:
                take(message)
        return [line for line in batch if line[0] not in self._own]


async def _log_in(link: Link, url: str, name: str) -> None:
    words = login(url)
    if words:
        await link.command(b"AUTH", *(word.encode() for word in words))
    try:
        await link.command(b"CLIENT", b"SETNAME", fit_name(name).encode())
    except BusUnavailable as error:  # a Redis that names no connections is used without
        if not isinstance(error.__cause__, hiredis.ReplyError) or not is_about_command(said(error.__cause__)):
            raise
    await _check_role(link, url)


async def _check_role(link: Link, url: str) -> None:
    """Refuse a server that producers do not publish to. A link that has subscribed cannot ask any more.

    Raises:
        BusNotReady: it is a replica, or a sentinel.

    """
    try:
        where = misplaced(await link.command(b"ROLE"))
    except BusUnavailable as error:
        if not is_untold(link.refused):
            raise
        fields = {"run": "ACL SETUSER USER +role", "reason": str(error)}
        _logger.info("the role of Redis may not be asked for: a replica is not told from its primary", extra=fields)
        return
    if where is not None:
        raise BusNotReady(f"Redis at {without_password(url)} {where}")


def _batches(channels: Iterable[bytes], size: int) -> Iterable[list[bytes]]:
    iterator = iter(list(channels))
    while batch := list(islice(iterator, size)):
        yield batch

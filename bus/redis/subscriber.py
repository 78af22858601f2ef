"""The subscription link: one connection to Redis, on which channels are subscribed while clients want them.

Lines are read with ``hiredis`` straight from the socket and handed on in batches, one per read: the client library's
own pub/sub costs ten times as much per line. One task keeps the link up: it reconnects and subscribes anew.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Self

from bus.errors import BusUnavailable
from bus.redis.address import ANSWER_DEADLINE_S, check_url, without_password
from bus.redis.failures import failure
from bus.redis.link import Batch, Link
from bus.redis.opening import Opener
from bus.redis.probe import Probe
from bus.tasks import end
from bus.values import frozen

__all__ = ["Subscriber", "SubscriberStatistics"]

_logger = logging.getLogger("edgebus.bus")


@frozen
class SubscriberStatistics:
    """Counters since the start.

    Attributes:
        is_up: whether the link is up now.
        generation: how often the link came up.
        channels: how many are subscribed now.
        lines: how many came.
        lost: how often the link was lost.

    """

    is_up: bool
    generation: int
    channels: int
    lines: int
    lost: int


class Subscriber:
    """A supervised link that delivers the lines of exact channels; never a pattern.

    Per channel, lines are delivered in the order in which Redis published them, each at most once. Lines published
    while the link is down are not delivered; ``on_up`` and ``on_down`` tell when the link was down.

    Args:
        url: of Redis, see ``bus.redis.address``.
        name: for ``CLIENT LIST``.
        deliver: gets each batch, on the event loop, and must neither wait nor raise. If ``deliver`` raises, the
            supervisor ends with that error, and ``closed`` raises the error.
        on_up: called after every channel was subscribed (again) on a new link.
        on_down: called when the link is lost.
        probe: tells whether the link hears; a deaf link is dropped. None: the link is trusted.
        tells: whether the subscriber itself tells the log of the link's coming and going; else ``on_up`` and
            ``on_down`` do.

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
        tells: bool = True,
    ) -> None:
        check_url(url)
        self._url, self._name = url, name
        self._deliver, self._on_up, self._on_down = deliver, on_up, on_down
        self._tells = tells
        self._wanted: dict[bytes, None] = {}
        self._link: Link | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._generation = self._lines = self._lost = 0
        self._probe = probe
        self._own: dict[bytes, Callable[[bytes], None]] = {}
        self._opener = Opener(url, name, self._count)
        if probe is not None:
            self.listen(probe.channel, probe.take)

    async def __aenter__(self) -> Self:
        """Start to connect; returns without waiting for a connection."""
        self._supervisor = asyncio.create_task(self._supervise(), name=f"subscriber {self._name}")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """End the link."""
        await self.close()

    async def close(self) -> None:
        """End the link and the task behind the link; a second call is harmless."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait([self._supervisor])

    async def closed(self) -> None:
        """Wait until the supervisor ends.

        Raises:
            Exception: the error of ``deliver``.

        """
        if self._supervisor is not None:
            await asyncio.shield(self._supervisor)

    @property
    def is_up(self) -> bool:
        """Whether the link is connected and Redis confirmed every channel that was wanted when the link came up."""
        return self._link is not None

    @property
    def trouble(self) -> str:
        """Why the link is down, or was when last down; for people, and without a password."""
        return self._opener.trouble

    @property
    def is_heard(self) -> bool:
        """Whether a probe came back by the link lately."""
        return self._probe is None or self._probe.is_heard

    @property
    def probe_age_s(self) -> float | None:
        """How long ago a probe came back by the link, seconds; None before the first, and without probes."""
        return None if self._probe is None else self._probe.age_s

    def listen(self, channel: str, take: Callable[[bytes], None]) -> None:
        """Hand the messages of a channel of the bus's own (``bus:…``) to ``take``, and not to ``deliver``.

        For as long as the link is kept up, or until ``unlisten``; on a link that is up already, ``subscribe`` is to be
        called behind. ``take`` must neither wait nor raise.
        """
        self._own[channel.encode()] = take
        self._wanted[channel.encode()] = None

    async def overhear(self, channel: str, take: Callable[[bytes], None]) -> None:
        """Hand the messages of a channel of the bus's own to ``take`` on the link that is up, and on no later one.

        For a channel that the user may not be allowed: a refusal leaves the link as it is.

        Raises:
            BusUnavailable: the link is down, was lost meanwhile, or Redis refused.

        """
        self._own[channel.encode()] = take
        if self._link is None:
            raise BusUnavailable(self.trouble)
        await self._link.answer(self._link.ask(b"SUBSCRIBE", [channel.encode()], alone=True), ANSWER_DEADLINE_S)

    def unlisten(self, channel: str) -> None:
        """Hand messages of a channel to ``take`` no more, and unsubscribe without waiting."""
        self._own.pop(channel.encode(), None)
        self.forget(channel)

    def statistics(self) -> SubscriberStatistics:
        """Return the counters."""
        return SubscriberStatistics(self.is_up, self._generation, len(self._wanted), self._lines, self._lost)

    async def subscribe(self, channel: str) -> None:
        """Return once Redis confirmed that lines of ``channel`` will come. Calls of one tick share a command.

        Raises:
            BusUnavailable: the link is down, was lost meanwhile, or Redis refused.

        """
        # decisions/0015: a second call for a channel sends SUBSCRIBE again. Its confirmation is behind every line that
        # Redis published before, and so tells an edge that all of a log's end that was read has arrived.
        await self._ask(b"SUBSCRIBE", channel)
        self._wanted[channel.encode()] = None

    async def unsubscribe(self, channel: str) -> None:
        """Return once Redis confirmed that no more lines of ``channel`` will come.

        Raises:
            BusUnavailable: the link is down or was lost meanwhile; then the channel is not subscribed anew.

        """
        # Unwanted first: a link lost before the answer must not subscribe to the channel anew.
        self._wanted.pop(channel.encode(), None)
        await self._ask(b"UNSUBSCRIBE", channel)

    def forget(self, channel: str) -> None:
        """Unsubscribe without waiting: for a subscription that no client got to use."""
        self._wanted.pop(channel.encode(), None)
        if self._link is not None:
            self._link.ask(b"UNSUBSCRIBE", [channel.encode()]).add_done_callback(asyncio.Future.exception)

    async def _ask(self, verb: bytes, channel: str) -> None:
        link = self._link
        if link is None:
            raise BusUnavailable(self.trouble)
        try:
            await link.answer(link.ask(verb, [channel.encode()]), ANSWER_DEADLINE_S)
        except TimeoutError as error:
            # A link on which nothing came for so long is deaf. Dropped, it is opened anew, and every room compared.
            link.abort()
            raise BusUnavailable("Redis did not confirm a subscription in time") from error

    async def _supervise(self) -> None:
        while True:
            link = await self._opener.open(self._wanted)
            self._link = link
            # delivery.md: a changed generation makes every room compare its position with the log, since the client
            # library's silent resubscription loses the events in between.
            self._generation += 1
            if self._tells:
                _logger.info(
                    "link to Redis is up", extra={"generation": self._generation, "channels": len(self._wanted)}
                )
            self._on_up()
            watch = self._watch(link)
            try:
                await link.closed
            finally:
                self._link = None
                link.abort()
                await end(watch)
            self._lost += 1
            self._opener.trouble = self._reason(link)
            if self._tells:
                _logger.warning("link to Redis is lost", extra={"generation": self._generation, "reason": self.trouble})
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
        # decisions/0052: on a narrow path a token may come late behind long lines, so bytes count for a while, too.
        watch = self._probe.watch(link.abort, progress=lambda: link.reads, owed=lambda: link.owed)
        return [asyncio.create_task(watch, name=f"probe of {self._name}")]

    def _count(self, batch: Batch) -> None:
        # The hot path: once per read. An edge's own messages are taken out only of batches that have some.
        self._lines += len(batch)
        if not self._own.keys().isdisjoint(channel for channel, _ in batch):
            batch = self._without_own(batch)
        self._deliver(batch)

    def _without_own(self, batch: Batch) -> Batch:
        for channel, message in batch:
            if (take := self._own.get(channel)) is not None:
                take(message)
        return [line for line in batch if line[0] not in self._own]

"""Publishing for waiting callers: the promise of ``producers.Producer.publish``, for a server such as an edge.

Publishes under way at the same time share round trips, and keep the order of the calls. Every event has a caller, so
there is neither an outbox nor a policy for a full outbox: a caller beyond the bound is refused.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Final

from bus.envelope import Message
from bus.errors import BusError, OutboxFull
from bus.event import Attempt
from bus.held import Hold
from bus.log.appender import Appender
from bus.log.publication import Publication, Published
from bus.log.publisher import Counts, Publisher, outcomes_of
from bus.retrying import until_true

__all__ = ["OUTGOING_BYTES", "Outgoing"]

OUTGOING_BYTES: Final = 16 * 1024 * 1024
_ENDED: Final = "the publisher ended before Redis answered; whether the event is there is not known"


class Outgoing:
    """Publishes over a connection opened by ``run``; the owner runs ``run`` in a task, and ends the task.

    Args:
        url: of Redis.
        name: for ``CLIENT LIST``.
        logger: is told when Redis goes and comes back.
        max_bytes: of the lines of all waiting callers.

    """

    def __init__(self, url: str, *, name: str, logger: logging.Logger, max_bytes: int = OUTGOING_BYTES) -> None:
        self._url, self._name, self._max_bytes = url, name, max_bytes
        self._queue = _Callers()
        self._publisher = Publisher(self._queue, name=name, replicas=0, logger=logger)
        self._bytes = 0
        self._is_ended = False

    @property
    def counts(self) -> Counts:
        """Outcomes so far."""
        return self._publisher.counts

    @property
    def is_away(self) -> bool:
        """Whether the last attempt to reach Redis failed."""
        return self._publisher.is_away

    async def run(self) -> None:
        """Send until cancelled; every caller has an answer then."""
        try:
            # decisions/0028: an edge may not end connections. A publish that a cut connection still carries is known by
            # its repetition (0106).
            async with Appender(self._url, name=self._name, once=True, ends_predecessor=False) as log:
                while await self._queue.filled():
                    await until_true(lambda: self._publisher.attempt(log))
        finally:
            # Set before callers are answered: an answered caller may publish again at once, and must hear of the end.
            self._is_ended = True
            self._publisher.give_up(self._queue.clear(), _ENDED)

    async def publish(
        self, message: Message, attempt: Attempt, *, deadline_s: float, once: str = "", hold: Hold | None = None
    ) -> Published:
        """Publish ``message`` on every channel named in the message, and return when Redis has all of the lines.

        Attempts are repeated until the deadline, and store once; 0 makes a single attempt. A call with the same
        ``attempt`` and message completes a publish left open by an earlier call. With ``once`` (``once_name``) a call
        of any process completes it, within two minutes: channels that have the event answer with its position.

        Raises:
            PublishHeld: another user holds the key of ``hold``.
            BusError: as ``producers.Producer.publish`` does; ``OutboxFull``: too much is under way.

        """
        publication = Publication(message, attempt, once, hold)
        # A bound and a refusal, in place of an outbox's policies (0021): a client's publish has a caller, who can wait.
        if self._bytes + publication.size_bytes > self._max_bytes:
            raise OutboxFull(f"{self._bytes} bytes wait for Redis already; this event has {publication.size_bytes}")
        self._bytes += publication.size_bytes
        try:
            [outcome] = await outcomes_of([publication], deadline_s, put=self._put, expire=self._publisher.expire)
        finally:
            self._bytes -= publication.size_bytes
        if isinstance(outcome, BusError):
            raise outcome
        return outcome

    def _put(self, publications: Sequence[Publication]) -> None:
        if self._is_ended:
            raise BusError("the publisher has ended")
        self._queue.put(publications)


class _Callers:
    """Publications in the order of the calls."""

    def __init__(self) -> None:
        self._waiting: deque[Publication] = deque()
        self._wake = asyncio.Event()

    async def filled(self) -> bool:
        """Return True as soon as a publication waits."""
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        return True

    def put(self, publications: Sequence[Publication]) -> None:
        """Put behind all others."""
        self._waiting.extend(publications)
        self._wake.set()

    def take(self, limit: int, limit_bytes: int) -> Sequence[Publication]:
        """Take the oldest for a pipeline; publications given up fall out."""
        batch: list[Publication] = []
        size_bytes = 0
        while self._waiting and len(batch) < limit and size_bytes < limit_bytes:
            publication = self._waiting.popleft()
            if not publication.is_given_up:
                batch.append(publication)
                size_bytes += publication.size_bytes
        return batch

    def give_back(self, batch: Sequence[Publication]) -> None:
        """Put publications without an outcome back in front."""
        # In front, so that no later event overtakes an event that is repeated.
        self._waiting.extendleft(it for it in reversed(batch) if not it.is_given_up)

    def calls(self) -> Sequence[Publication]:
        """Return all waiting publications."""
        return list(self._waiting)

    def discharge(self, items: Sequence[Publication], error: BusError | None = None) -> None:
        """Keep no account: every publication has a caller."""

    def clear(self) -> Sequence[Publication]:
        """Return all waiting publications, and be empty."""
        waiting, self._waiting = list(self._waiting), deque()
        return waiting

"""Attempts to publish, and repetition: takes from a queue, sends a pipeline, gives every caller an outcome.

Publications without an outcome go back to the front of the queue before later ones are taken: no event overtakes. The
log belongs to the runner of attempts, so a cancelled caller leaves no half-read answer to others.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final, Generic, Protocol, TypeVar, cast

from bus.channel import Channel
from bus.errors import BusError, BusNotReady, BusUnavailable, LoginRefused, PublishError
from bus.event import Attempt
from bus.log.absence import Absence, Standing
from bus.log.appending import Appended, Entry, Replicas
from bus.log.pipelines import PIPELINE_EVENTS, PipelinePace
from bus.log.publication import Call, Publication, Published, Slot, copied, is_answer
from bus.redis.address import ANSWER_DEADLINE_S
from bus.redis.clock import now
from bus.values import mutable

__all__ = ["AppendLog", "Counts", "LinkedLog", "PublicationQueue", "Publisher", "outcomes_of"]

_ALL_APPENDED: Final = {Appended}
_LATEST_CHANNELS: Final = 4_096
_WAIT_MAX_S: Final = 0.8 * ANSWER_DEADLINE_S
"""What ``WAIT`` may take, so that its answer comes before the connection is given up."""

PublicationT = TypeVar("PublicationT", bound=Publication)


class AppendLog(Protocol):
    """A log as far as publishing goes, such as ``bus.log.appender.Appender``."""

    @property
    def sent_ms(self) -> int | None:
        """A time not after the last ``append`` was sent, by the log's clock; None when nothing was sent."""

    async def append(self, entries: Sequence[Entry], *, replicas: Replicas | None = None) -> list[Appended | BusError]:
        """Store and publish every entry, in order; return a result or an error for each."""


class LinkedLog(AppendLog, Protocol):
    """A log over a link, such as ``bus.log.appender.Appender``."""

    @property
    def is_up(self) -> bool:
        """Whether ``send`` may be called."""

    def send(
        self,
        entries: Sequence[Entry],
        settle: Callable[[Sequence[Appended | BusError] | BusError], None],
        *,
        replicas: Replicas | None = None,
    ) -> None:
        """Do as ``append`` does, and call ``settle`` with the results, or with the error of all."""


class PublicationQueue(Protocol[PublicationT]):
    """Waiting publications, in order."""

    def take(self, limit: int, limit_bytes: int) -> Sequence[PublicationT]:
        """Take the oldest for a pipeline, at least one, leaving out publications without a caller any more."""

    def give_back(self, batch: Sequence[PublicationT]) -> None:
        """Put a batch back in order, without publications discharged or given up."""

    def calls(self) -> Iterable[PublicationT]:
        """Return waiting publications with a caller, without the batch under way."""

    def discharge(self, items: Sequence[PublicationT], error: BusError | None = None) -> None:
        """Let go of publications without a caller: published, or given up for ``error``."""


@mutable
class Counts:
    """Publications by outcome, and attempts beyond the first."""

    published: int = 0
    failed: int = 0
    retried: int = 0
    unreplicated: int = 0


class Publisher(Generic[PublicationT]):
    """Sends the publications of ``queue`` in pipelines, and settles each.

    Args:
        queue: of publications to be sent.
        name: of the connection, for the log.
        replicas: how many replicas are to confirm each event; 0 asks none.
        logger: is told when Redis goes and comes back.
        outside: how many publications without a caller wait, and how many were dropped so far.
        now: the clock of deadlines, in seconds.

    Attributes:
        counts: since the publisher was made.
        last_error: of any attempt.

    """

    def __init__(
        self,
        queue: PublicationQueue[PublicationT],
        *,
        name: str,
        replicas: int,
        logger: logging.Logger,
        outside: Callable[[], tuple[int, int]] = lambda: (0, 0),
        now: Callable[[], float] = now,
    ) -> None:
        self._queue, self._replicas, self._outside, self._now = queue, replicas, outside, now
        self.counts = Counts()
        self._absence = Absence(name, logger, self._standing, now)
        self.last_error: BusError | None = None
        self._latest: OrderedDict[str, str] = OrderedDict()
        self._under_way: Sequence[PublicationT] = ()
        self._discharged: list[PublicationT] = []
        self._is_refused = False
        self._pace = PipelinePace()

    @property
    def is_away(self) -> bool:
        """Whether the last attempt to reach Redis failed."""
        return self._absence.is_away

    def _standing(self) -> Standing:
        waiting, dropped = self._outside()
        calls = [it for it in (*self._under_way, *self._queue.calls()) if it.done is not None and not it.done.done()]
        return Standing(waiting + len(calls), self.counts.published, self.counts.failed, dropped)

    @property
    def is_under_way(self) -> bool:
        """Whether a pipeline is under way."""
        return bool(self._under_way)

    async def attempt(self, log: AppendLog) -> bool:
        """Send a pipeline; return whether every publication in the pipeline is done."""
        batch, entries = self._begun(self._taken())
        began_s = self._now()
        outcomes, is_certain = await self._append(log, batch, entries)
        return self._noted(log, batch, entries, outcomes, began_s, is_certain=is_certain)

    def begin(
        self,
        log: LinkedLog,
        done: Callable[[bool], None],
        fail: Callable[[Exception], None],
        batch: "Sequence[PublicationT] | None" = None,
    ) -> None:
        """Do as ``attempt`` on a log that ``is_up``, and call ``done`` where the answers come in; no task is woken.

        ``fail`` gets an error of ours. ``batch`` None takes from the queue; a batch of publications was in no queue.
        """
        given, entries = self._begun(self._taken() if batch is None else batch)
        if not entries:  # every caller has left
            self._under_way = ()
            done(True)
            return
        began_s = self._now()

        def settle(outcomes: Sequence[Appended | BusError] | BusError) -> None:
            is_cut = isinstance(outcomes, BusError)
            try:
                some = self._cut(outcomes, entries) if isinstance(outcomes, BusError) else outcomes
                is_done = self._noted(log, given, entries, some, began_s, is_certain=not is_cut)
            except Exception as error:  # noqa: BLE001 (handed on: the owner ends with it)
                fail(error)
            else:
                done(is_done)

        replicas = Replicas(self._replicas, _wait_ms(given, began_s)) if self._replicas else None
        log.send(entries, settle, replicas=replicas)

    def _taken(self) -> Sequence[PublicationT]:
        # decisions/0020: a Redis that refused is asked with one event. A pipeline is no transaction: Redis might refuse
        # its beginning and take the rest, and the refused events would come last.
        return self._queue.take(1 if self._is_refused else PIPELINE_EVENTS, self._pace.limit_bytes)

    def _begun(self, batch: Sequence[PublicationT]) -> tuple[Sequence[PublicationT], list[Entry]]:
        self._under_way = batch  # for `give_up`, which may come while Redis is asked
        entries: list[Entry] = []
        for item in batch:
            item.tries += 1
            if item.tries > 1 or item.has_latest:
                self._begin(item)
            entries += item.entries()
        return batch, entries

    async def _append(
        self, log: AppendLog, batch: Sequence[PublicationT], entries: Sequence[Entry]
    ) -> tuple[Sequence[Appended | BusError], bool]:
        """Return an outcome for each entry, and whether failed entries are certainly not in the log."""
        if not entries:
            return [], True
        try:
            # decisions/0063: with WAIT a cut pipeline is repeated whole, since WAIT comes last and speaks for all.
            if self._replicas:
                return await log.append(entries, replicas=Replicas(self._replicas, _wait_ms(batch, self._now()))), True
            return await log.append(entries), True
        except BusError as error:
            return self._cut(error, entries), False

    def _cut(self, error: BusError, entries: Sequence[Entry]) -> list[BusError]:
        """Return the error of a whole pipeline for each entry."""
        if isinstance(error, BusNotReady):
            self._absence.began(error)
        kind = None if isinstance(error, BusUnavailable) else PublishError
        return [copied(error, kind) for _ in entries]

    def _noted(
        self,
        log: AppendLog,
        batch: Sequence[PublicationT],
        entries: Sequence[Entry],
        outcomes: Sequence[Appended | BusError],
        began_s: float,
        *,
        is_certain: bool,
    ) -> bool:
        """Write the outcomes of an attempt down; return whether every publication of ``batch`` is done."""
        if {*map(type, outcomes)} == _ALL_APPENDED:
            self._note_places(batch, cast(Sequence[Appended], outcomes), log.sent_ms, self._now() - began_s)
            return True
        self._note_pace(log, entries, outcomes, self._now() - began_s)
        self._note_errors(outcomes)
        sent_ms, given = log.sent_ms, iter(zip(entries, outcomes, strict=True))
        for item in batch:
            item.note(list(islice(given, item.left)), sent_ms, is_certain=is_certain)
            self._settle(item)
        is_done = all(item.is_settled or item.is_given_up for item in batch)
        self._discharge()
        if not is_done:
            self._put_back(batch)
        self._end_attempt()
        return is_done

    def _note_places(
        self, batch: Sequence[PublicationT], places: Sequence[Appended], sent_ms: int | None, took_s: float
    ) -> None:
        """Do as ``_noted`` where every entry has its place, which is the common case."""
        self._pace.done(sum([item.size_bytes for item in batch]), took_s)
        self._is_refused = False
        self._absence.ended()
        given = iter(places)
        for item in batch:
            item.place(given, sent_ms)
            self.answer(item)
        self._end_attempt()

    def _discharge(self) -> None:
        """Have the queue let go of published items without a caller: of a whole pipeline at once."""
        if self._discharged:
            discharged, self._discharged = self._discharged, []
            self._queue.discharge(discharged)

    def _end_attempt(self) -> None:
        self._discharge()
        self._under_way = ()
        if self._absence.is_untold:
            self._absence.look()

    def _note_pace(
        self, log: AppendLog, entries: Sequence[Entry], outcomes: Sequence[Appended | BusError], took_s: float
    ) -> None:
        size_bytes = sum([len(entry.line) for entry in entries])
        if all(isinstance(it, Appended) or is_answer(it) for it in outcomes):
            self._pace.done(size_bytes, took_s)
        elif log.sent_ms is not None:
            self._pace.cut(size_bytes)

    def _note_errors(self, outcomes: Sequence[Appended | BusError]) -> None:
        self._is_refused = any(isinstance(outcome, BusNotReady) for outcome in outcomes)
        self.last_error = next((it for it in outcomes if isinstance(it, BusError)), self.last_error)
        cut = next((it for it in outcomes if isinstance(it, BusError) and not is_answer(it)), None)
        if cut is not None:
            self._absence.began(cut)

    def _begin(self, item: PublicationT) -> None:
        if item.tries > 1:
            self.counts.retried += 1
        elif item.attempt.since_ms is None:
            for channel, _ in item.message.lines:
                # decisions/0020: on `latest` the producer's own event before is not newer than a repetition.
                if channel.retention.kind == "latest":
                    self._note_before(item.attempt, channel)
            # Channels of long ago are forgotten: a repetition there may hear of a newer value, and overwrites none.
            while len(self._latest) > _LATEST_CHANNELS:
                self._latest.popitem(last=False)

    def _note_before(self, attempt: Attempt, channel: Channel) -> None:
        before = self._latest.pop(channel.redis, "")
        self._latest[channel.redis] = attempt.id
        if before != attempt.id:  # else the same event, of which nothing was sent yet
            others = [it for it in attempt.after if it[0] != channel.name]
            attempt.after = (*others, (channel.name, before))

    def _settle(self, item: PublicationT) -> None:
        if item.is_settled:
            self._absence.ended()
            self.answer(item)
        # decisions/0020: a wrong password is told at once, since time does not help; emitted events stay.
        elif isinstance(item.last_error, LoginRefused) and item.done is not None:
            self.expire([item])

    def answer(self, item: PublicationT) -> None:
        """Give the outcome of ``item`` to the caller or to the queue, once every channel has answered."""
        if item.failed:
            self.fail(item, item.refusal())
            return
        # Stored, and not confirmed: told apart from a failure, since the event is in the primary's log and was seen.
        unreplicated = item.unreplicated(self._replicas) if self._replicas else None
        if unreplicated is not None:
            self.counts.unreplicated += 1
            if item.done is not None:
                self.fail(item, unreplicated)
                return
        self.counts.published += 1
        if item.done is None:
            self._discharged.append(item)
        elif not item.done.done():
            item.done.set_result(item.published())

    def fail(self, item: PublicationT, error: BusError) -> None:
        """Give ``error`` to the caller of ``item``; without a caller, the queue lets go of the item."""
        if item.done is None:
            self._queue.discharge([item], error)
        elif not item.done.done():
            self.counts.failed += 1
            item.done.set_exception(error)

    def expire(self, items: Iterable[PublicationT]) -> None:
        """Give the callers of ``items`` the error of the deadline; a pipeline under way is not recalled."""
        for item in items:
            if not item.is_given_up and not item.is_settled:
                self.fail(item, item.overdue())

    def give_up(self, waiting: Iterable[PublicationT], text: str) -> None:
        """Answer the callers of the pipeline under way and of ``waiting``; items without a caller are left alone."""
        for item in [*self._under_way, *waiting]:
            if item.done is not None:
                self.fail(item, BusError(text))
        self._under_way = ()

    def _put_back(self, batch: Sequence[PublicationT]) -> None:
        self._queue.give_back(batch)
        now_s = self._now()
        self.expire([item for item in self._queue.calls() if item.deadline_s <= now_s])


async def outcomes_of(
    items: Sequence[PublicationT],
    deadline_s: float,
    *,
    put: Callable[[Sequence[PublicationT]], None],
    expire: Callable[[Sequence[PublicationT]], None],
) -> list[Published | BusError]:
    """Return the outcome of each item: at the deadline at the latest, and at once when cancelled.

    Args:
        items: of a single caller.
        deadline_s: from now; 0 makes a single attempt.
        put: puts items into the queue and wakes the sender; a ``BusError`` raised there is the outcome of all.
        expire: is called with the items at the deadline, as ``Publisher.expire``.

    """
    loop = asyncio.get_running_loop()
    if not items:
        return []
    call, due_s = Call(len(items)), loop.time() + deadline_s
    slots = [Slot(call) for _ in items]
    for item, slot in zip(items, slots, strict=True):
        item.done, item.deadline_s = slot, due_s
    try:
        put(items)
    except BusError as error:  # closed, between two slices
        return [error] * len(items)
    timer = loop.call_later(deadline_s, expire, items) if deadline_s else None  # one for a thousand events, not each
    try:
        await call.future
    finally:
        if timer is not None:
            timer.cancel()
    return [cast(Published | BusError, slot.outcome) for slot in slots]


def _wait_ms(batch: Sequence[Publication], now_s: float) -> int:
    """Return how long replicas may take, for an answer in time to the first of the callers."""
    left_s = [item.deadline_s - now_s for item in batch if item.deadline_s > now_s]
    return max(1, int(min([_WAIT_MAX_S, *(0.8 * it for it in left_s)]) * 1000))

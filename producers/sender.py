"""The one task of a producer that talks to Redis: takes from the outbox, sends a pipeline, repeats what must be.

It owns the connection, so a caller that is cancelled leaves nobody a half-read answer. What a pipeline did not settle
goes back to the front of the outbox before anything else is taken: later events do not overtake.
"""

import asyncio
import itertools
import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from tenacity import AsyncRetrying, retry_if_result, wait_random_exponential

from bus.errors import (
    BusError,
    BusNotReady,
    BusTimeout,
    BusUnavailable,
    LoginRefused,
    PublishError,
    PublishIncomplete,
    PublishUncertain,
    PublishUnreplicated,
)
from bus.log.log import Appended, Entry, Log, Replicas
from bus.redis.address import ANSWER_DEADLINE_S, without_password
from producers.outbox import PIPELINE_EVENTS, DropReason, Item, Outbox
from producers.pace import Pace
from producers.published import ProducerStatistics, Published

__all__ = ["LOGGER", "Sender"]

_PAUSE_S: Final = 0.05
_PAUSE_MAX_S: Final = 1.0
"""The pause before attempt n is random between 0 and ``_PAUSE_S * 2**n``, at most this: full jitter."""
_LATEST_CHANNELS: Final = 4_096
_WAIT_MAX_S: Final = 0.8 * ANSWER_DEADLINE_S
"""What ``WAIT`` may take, so that its answer comes before the connection is given up."""

LOGGER: Final = logging.getLogger("edgebus.producers")


class Sender:
    """Sends what is in ``outbox`` until it is closed and empty.

    Args:
        url: of Redis.
        name: what ``CLIENT LIST`` shows.
        outbox: what is to be sent.
        replicas: how many replicas are to confirm each event; 0 asks none.
        logger: is told of outages and losses.

    """

    def __init__(self, url: str, *, name: str, outbox: Outbox, replicas: int, logger: logging.Logger = LOGGER) -> None:
        self._logger = logger
        self._url, self._name, self._outbox, self._replicas = url, name, outbox, replicas
        self._published = self._failed = self._retried = self._unreplicated = 0
        self._latest: OrderedDict[str, str] = OrderedDict()
        self._under_way: Sequence[Item] = ()
        self._is_away = self._is_refused = self._is_closing = False
        self._wake, self._progress = asyncio.Event(), asyncio.Event()
        self._pace = Pace()
        self._last_error: BusError | None = None
        self._told: dict[str, int] = {}

    @property
    def is_forked(self) -> bool:
        """Whether this is a copy, in a child, of what runs in the parent."""
        return self._outbox.is_forked

    def statistics(self) -> ProducerStatistics:
        """Return the counters."""
        events, size_bytes = self._outbox.size
        return ProducerStatistics(
            self._published,
            self._failed,
            self._retried,
            self._unreplicated,
            events,
            size_bytes,
            self._outbox.dropped,
            self._is_away,
        )

    def open(self) -> None:
        """Prepare for the running event loop: an Event belongs to the one that first waited for it."""
        self._wake, self._progress, self._is_closing = asyncio.Event(), asyncio.Event(), False
        self._told = self._outbox.dropped
        self._outbox.open()

    def wake(self) -> None:
        """Look into the outbox, and tell what was dropped."""
        self._wake.set()

    def close(self) -> None:
        """End as soon as nothing waits any more."""
        self._is_closing = True
        self._wake.set()

    async def progress(self) -> None:
        """Return when something of the outbox was sent or dropped."""
        await self._progress.wait()

    async def run(self) -> None:
        """Send until closed; whatever ends it, every caller has an answer then, and every drop is told."""
        try:
            async with Log(self._url, name=self._name) as log:
                while await self._is_wanted():
                    if not await self._attempt(log):
                        await self._repeat(log)
        finally:
            self.give_up()

    async def _repeat(self, log: Log) -> None:
        """Attempt until an attempt is done whole, each after a pause. The one before this call counts as the first."""
        tries = itertools.count()

        async def attempt() -> bool:
            return next(tries) > 0 and await self._attempt(log)

        wait = wait_random_exponential(multiplier=_PAUSE_S, max=_PAUSE_MAX_S)
        await AsyncRetrying(retry=retry_if_result(lambda is_done: not is_done), wait=wait)(attempt)

    async def _is_wanted(self) -> bool:
        while self._outbox.is_empty and not self._is_closing:
            self._wake.clear()
            self.tell()
            if self._outbox.is_empty:
                await self._wake.wait()
        return not self._outbox.is_empty

    def give_up(self) -> None:
        """Answer whoever waits, drop what is left, and tell both; calling it twice is harmless."""
        for item in [*self._under_way, *self._outbox.clear()]:
            if item.done is None:
                continue  # the outbox has dropped it
            text = "the producer ended before Redis answered; whether the event is there is not known"
            self._fail(item, BusError(text))
        self._under_way = ()
        self.tell()
        self.tell_losses()

    def tell_losses(self) -> None:
        """Say once, where nobody has to ask for it, how many emitted events did not get to Redis since the start."""
        self._outbox.clear()
        self._outbox.tell()
        dropped = self._outbox.dropped
        lost = {reason: count - self._told.get(reason, 0) for reason, count in dropped.items()}
        lost, self._told = {reason: count for reason, count in lost.items() if count}, dropped
        if not lost:
            return
        reasons = ", ".join(f"{count} {reason}" for reason, count in lost.items())
        why = f"; the last error was: {self._last_error}" if self._last_error else ""
        address = without_password(self._url)
        self._logger.warning(
            "%d emitted events did not get to Redis at %s (%s)%s", sum(lost.values()), address, reasons, why
        )

    async def _attempt(self, log: Log) -> bool:
        """Send one pipeline; return whether all of it is done."""
        # A Redis that refused is asked with one event: it might take the rest of a pipeline whose beginning it refused.
        limit = 1 if self._is_refused else PIPELINE_EVENTS
        batch = self._outbox.take(limit, self._pace.limit_bytes)
        self._under_way = batch
        for item in batch:
            self._begin(item)
        entries = [item.entries() for item in batch]
        began_s = asyncio.get_running_loop().time()
        outcomes, is_certain = await self._append(log, batch, [entry for some in entries for entry in some])
        self._note_pace(log, entries, outcomes, asyncio.get_running_loop().time() - began_s)
        self._is_refused = any(isinstance(outcome, BusNotReady) for outcome in outcomes)
        self._last_error = next((it for it in outcomes if isinstance(it, BusError)), self._last_error)
        cut = next((it for it in outcomes if isinstance(it, BusError) and not _is_answer(it)), None)
        if cut is not None:
            self._note_away(cut)
        given = iter(outcomes)
        for item, some in zip(batch, entries, strict=True):
            _note(item, some, [next(given) for _ in some], log.sent_ms, is_certain=is_certain)
            if item.is_settled:
                self._settle(item)
            elif isinstance(item.last_error, LoginRefused) and item.done is not None:
                self.expire([item])
        is_done = all(item.is_settled or item.is_given_up for item in batch)
        if not is_done:
            self._put_back(batch)
        self._under_way = ()
        self.tell()
        return is_done

    async def _append(
        self, log: Log, batch: Sequence[Item], entries: Sequence[Entry]
    ) -> tuple[Sequence[Appended | BusError], bool]:
        """Return an outcome for each entry, and whether it is certain that those that failed are not there."""
        if not entries:
            return [], True
        try:
            if self._replicas:
                return await log.append(entries, replicas=Replicas(self._replicas, _wait_ms(batch))), True
            return await log.append(entries), True
        except BusUnavailable as error:
            if isinstance(error, BusNotReady):
                self._note_away(error)
            return [_copy(error) for _ in entries], False
        except BusError as error:
            return [_copy(error, PublishError) for _ in entries], False

    def _note_pace(
        self, log: Log, entries: Sequence[Sequence[Entry]], outcomes: Sequence[Appended | BusError], took_s: float
    ) -> None:
        size_bytes = sum(len(entry.line) for some in entries for entry in some)
        if all(isinstance(it, Appended) or _is_answer(it) for it in outcomes):
            self._pace.done(size_bytes, took_s)
        elif log.sent_ms is not None:
            self._pace.cut(size_bytes)

    def _begin(self, item: Item) -> None:
        item.tries += 1
        if item.tries > 1:
            self._retried += 1
        elif item.attempt.since_ms is None:
            for channel, _ in item.message.lines:
                if channel.retention.kind == "latest":
                    item.attempt.after[channel.name] = self._latest.pop(channel.redis, "")
                    self._latest[channel.redis] = item.attempt.id
            while len(self._latest) > _LATEST_CHANNELS:
                self._latest.popitem(last=False)

    def _settle(self, item: Item) -> None:
        self._note_back()
        positions = {name: it.position for name, it in item.settled.items()}
        replicas = min((it.replicas for it in item.settled.values() if it.replicas is not None), default=None)
        if item.failed:
            self._fail(item, _refusal(item))
            return
        if replicas is not None and replicas < self._replicas:
            self._unreplicated += 1
            if item.done is not None:
                self._fail(item, PublishUnreplicated(positions, replicas=replicas, wanted=self._replicas))
                return
        self._published += 1
        if item.done is None:
            self._outbox.discharge(item)
        elif not item.done.done():
            receivers = sum(it.receivers for it in item.settled.values())
            item.done.set_result(Published(item.attempt.id, positions, receivers, replicas))

    def _fail(self, item: Item, error: BusError) -> None:
        if item.done is None:
            self._outbox.discharge(item, _reason(error))
        elif not item.done.done():
            self._failed += 1
            item.done.set_exception(error)

    def expire(self, items: Iterable[Item]) -> None:
        """Answer the callers of ``items`` that their time is over; what is being sent now is not recalled."""
        for item in items:
            if not item.is_given_up and not item.is_settled:
                self._fail(item, _overdue(item))

    def _put_back(self, batch: Sequence[Item]) -> None:
        self._outbox.give_back(batch)
        now_s = asyncio.get_running_loop().time()
        self.expire([item for item in self._outbox.calls() if _is_overdue(item, now_s)])

    def tell(self) -> None:
        """Tell whoever waits for progress, and ``on_drop``."""
        self._progress.set()
        self._progress = asyncio.Event()
        if self._outbox.has_untold:
            self._outbox.tell()

    def _note_away(self, error: BusError) -> None:
        if not self._is_away:
            self._is_away = True
            self._logger.warning("redis is away", extra={"producer": self._name, "reason": str(error)})

    def _note_back(self) -> None:
        if self._is_away:
            self._is_away = False
            self._logger.info("redis is back", extra={"producer": self._name})


def _note(
    item: Item,
    entries: Sequence[Entry],
    outcomes: Sequence[Appended | BusError],
    sent_ms: int | None,
    *,
    is_certain: bool,
) -> None:
    """Write down what became of one attempt: also for an event whose caller has left, and may come back to repeat."""
    attempt = item.attempt
    if sent_ms is not None:
        attempt.since_ms = sent_ms if attempt.since_ms is None else min(attempt.since_ms, sent_ms)
    for entry, outcome in zip(entries, outcomes, strict=True):
        name = entry.channel.name
        if isinstance(outcome, Appended):
            item.settled[name] = outcome
        elif isinstance(outcome, BusUnavailable):
            item.last_error = outcome
        else:
            item.failed[name] = outcome
        if isinstance(outcome, Appended) or (sent_ms is not None and not (is_certain and _is_answer(outcome))):
            attempt.maybe.add(name)


def _is_answer(outcome: BusError) -> bool:
    """Tell whether Redis said by it that the event is not there; else the line was cut before an answer."""
    return isinstance(outcome, BusNotReady) or not isinstance(outcome, BusUnavailable)


def _refusal(item: Item) -> BusError:
    """Return the error of an event that some channel refused for good."""
    if item.settled:
        return PublishIncomplete({name: it.position for name, it in item.settled.items()}, item.failed)
    return next(iter(item.failed.values()))


def _overdue(item: Item) -> BusError:
    """Return the error of an event whose time is over."""
    last = item.last_error or BusTimeout("Redis did not answer before the deadline of the publish")
    missing = {channel.name: last for channel, _ in item.message.lines if channel.name not in item.settled}
    if not item.settled:
        return _copy(last)
    return PublishIncomplete({name: it.position for name, it in item.settled.items()}, {**missing, **item.failed})


def _is_overdue(item: Item, now_s: float) -> bool:
    return item.deadline_s <= now_s


def _copy(error: BusError, kind: type[BusError] | None = None) -> BusError:
    """Return an error for one caller; one that is shared would gather the tracebacks of them all."""
    copy = (kind or type(error))(str(error))
    copy.__cause__ = error.__cause__
    return copy


def _reason(error: BusError) -> DropReason:
    match error:
        case PublishIncomplete():
            return DropReason.INCOMPLETE
        case PublishUncertain():
            return DropReason.UNCERTAIN
        case _:
            return DropReason.REFUSED


def _wait_ms(batch: Sequence[Item]) -> int:
    """Return how long replicas may take, such that the first of the callers has its answer in time."""
    now_s = asyncio.get_running_loop().time()
    left_s = [item.deadline_s - now_s for item in batch if item.deadline_s > now_s]
    return max(1, int(min([_WAIT_MAX_S, *(0.8 * it for it in left_s)]) * 1000))

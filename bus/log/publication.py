"""A publish: an event on the way to all channels, every attempt so far, and the outcome for the caller.

Knows neither a connection nor a clock: ``bus.log.publisher`` sends, and writes the answers of Redis down here.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol

from bus.envelope import Message
from bus.errors import (
    BusError,
    BusNotReady,
    BusTimeout,
    BusUnavailable,
    PublishIncomplete,
    PublishUnreplicated,
)
from bus.event import Attempt
from bus.held import Hold
from bus.log.appending import Appended, Entry
from bus.values import frozen

__all__ = ["Call", "Done", "Publication", "Published", "Slot", "copied", "is_answer"]

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@frozen
class Published:
    """The answer of Redis to a publish.

    Attributes:
        id: of the event, the same in every room.
        positions: channel name to the event's position there; None on a ``live`` channel, for want of a log.
        receivers: how many subscribers (edges, and people with redis-cli) Redis sent the event to, over all channels.
            A channel where a repeated attempt found the event counts 0.
        replicas: how many replicas have the event for certain; None where no confirmation was asked for.

    """

    id: str
    positions: dict[str, str | None]
    receivers: int
    replicas: int | None = None


class Call:
    """A caller with several publications: each has an outcome of its own, and the caller one future for all."""

    # decisions/0158: a future each took 3 us of an event's 25, with a turn of the caller's task for each.

    __slots__ = ("future", "left")

    def __init__(self, count: int) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.left = count


class Done(Protocol):
    """A caller of a publication, in the manner of ``asyncio.Future``."""

    def done(self) -> bool:
        """Tell whether there is an outcome, or the caller has left."""

    def set_result(self, result: Published, /) -> None:
        """Take the outcome."""

    def set_exception(self, error: BusError, /) -> None:
        """Take the outcome, an error."""


class Slot:
    """The outcome of one publication of a call; to a publisher the same as a future."""

    __slots__ = ("_call", "outcome")

    def __init__(self, call: Call) -> None:
        self._call = call
        self.outcome: Published | BusError | None = None

    def done(self) -> bool:
        """Tell whether there is an outcome, or the caller has left."""
        return self.outcome is not None or self._call.future.done()

    def set_result(self, outcome: Published) -> None:
        """Take the outcome."""
        self._take(outcome)

    def set_exception(self, error: BusError) -> None:
        """Take the outcome, an error."""
        self._take(error)

    def _take(self, outcome: Published | BusError) -> None:
        self.outcome, call = outcome, self._call
        call.left -= 1
        if call.left == 0 and not call.future.done():
            call.future.set_result(None)


@dataclass(slots=True, eq=False)
class Publication:
    """An event under way, with the answers so far. ``done`` is None for an event without a caller.

    Attributes:
        message: the event's line for each channel.
        attempt: the event's own memory of attempts; outlives a caller, for a repetition by the next.
        once: what a client's publish is known by in Redis (``Entry.once``); empty: a producer's.
        hold: with ``once``: refuse the event while another user holds a key of a state.
        deadline_s: by the event loop's clock.
        tries: attempts so far, an attempt under way included.
        settled: channel name to the event's place there.
        failed: channel name to the error of a refusal for good.
        last_error: of an attempt to be repeated.
        size_bytes: of all lines.
        has_latest: whether a channel keeps the latest event alone.

    """

    message: Message
    attempt: Attempt
    once: str = ""
    hold: Hold | None = None
    done: Done | None = None
    deadline_s: float = 0.0
    tries: int = 0
    settled: Mapping[str, Appended] = field(init=False)
    failed: Mapping[str, BusError] = field(init=False)
    last_error: BusError | None = None
    size_bytes: int = field(init=False)
    has_latest: bool = field(init=False)

    def __post_init__(self) -> None:
        """Count the bytes once, and look for channels that keep the latest event alone."""
        # Shared: ten thousand events that wait are no forty thousand empty containers for the garbage collector.
        self.settled = self.failed = _NOTHING
        size_bytes, has_latest = 0, False
        for channel, line in self.message.lines:
            size_bytes += len(line)
            has_latest |= channel.retention.kind == "latest"
        self.size_bytes, self.has_latest = size_bytes, has_latest

    @property
    def is_given_up(self) -> bool:
        """Whether the caller has an answer, or has left."""
        return self.done is not None and self.done.done()

    @property
    def is_settled(self) -> bool:
        """Whether every channel has the event or has refused it for good."""
        return len(self.settled) + len(self.failed) == len(self.message.lines)

    def entries(self) -> list[Entry]:
        """Return the entries left to append, marked as repeated where an attempt may have stored the event."""
        one, since_ms = self.attempt, self.attempt.since_ms
        if since_ms is None and not one.after and not self.failed:  # the common case: a first attempt
            name, event, once, hold = one.id, self.message.event, self.once, self.hold
            return [Entry(channel, name, event, line, None, "", once, hold) for channel, line in self.message.lines]
        after = dict(one.after)
        return [
            Entry(
                channel,
                one.id,
                self.message.event,
                line,
                # decisions/0020: a refused event is not there, and a first attempt pays for no search. On `latest` the
                # search goes on all the same: another producer may have set a newer value since.
                since_ms if channel.name in one.maybe or channel.retention.kind == "latest" else None,
                after.get(channel.name, ""),
                self.once,
                self.hold,
            )
            for channel, line in self.message.lines
            if channel.name not in self.settled and channel.name not in self.failed
        ]

    @property
    def left(self) -> int:
        """How many channels are without an outcome."""
        return len(self.message.lines) - len(self.settled) - len(self.failed)

    def place(self, places: Iterator[Appended], sent_ms: int | None) -> None:
        """Write down that an attempt stored all entries, as ``note`` does; the next ``places`` are theirs."""
        attempt = self.attempt
        if sent_ms is not None and (attempt.since_ms is None or sent_ms < attempt.since_ms):
            attempt.since_ms = sent_ms
        lines = self.message.lines
        if len(lines) == 1 and not (self.settled or self.failed):  # the common case
            name = lines[0][0].name
            self.settled, attempt.maybe = {name: next(places)}, frozenset((name,))
            return
        names = [it.name for it, _ in lines if it.name not in self.settled and it.name not in self.failed]
        self.settled = {**self.settled, **{name: next(places) for name in names}}
        attempt.maybe = attempt.maybe.union(names)

    def note(
        self, outcomes: Iterable[tuple[Entry, Appended | BusError]], sent_ms: int | None, *, is_certain: bool
    ) -> None:
        """Write down the outcomes of one attempt, for the caller and for a repetition.

        ``sent_ms`` is None where no entry was sent; ``is_certain``: a refused event is not there.
        """
        attempt = self.attempt
        # decisions/0020: the earliest time counts. A promoted primary's clock may be behind, and moves the time back.
        if sent_ms is not None:
            attempt.since_ms = sent_ms if attempt.since_ms is None else min(attempt.since_ms, sent_ms)
        for entry, outcome in outcomes:
            name = entry.channel.name
            if isinstance(outcome, Appended):
                self.settled = {**self.settled, name: outcome}
            elif isinstance(outcome, BusUnavailable):
                self.last_error = outcome
            else:
                self.failed = {**self.failed, name: outcome}
            if isinstance(outcome, Appended) or (sent_ms is not None and not (is_certain and is_answer(outcome))):
                attempt.maybe |= {name}

    @property
    def positions(self) -> dict[str, str | None]:
        """The event's position on each channel that has the event."""
        return {name: it.position for name, it in self.settled.items()}

    @property
    def replicas(self) -> int | None:
        """How many replicas have the event on every channel; None where none was asked."""
        return min((it.replicas for it in self.settled.values() if it.replicas is not None), default=None)

    def published(self) -> Published:
        """Return the answer for the caller, once every channel has the event."""
        if len(self.settled) == 1:  # the common case
            [(name, it)] = self.settled.items()
            return Published(self.attempt.id, {name: it.position}, it.receivers, it.replicas)
        receivers = sum(it.receivers for it in self.settled.values())
        return Published(self.attempt.id, self.positions, receivers, self.replicas)

    def refusal(self) -> BusError:
        """Return the error for the caller, where some channel refused for good."""
        if self.settled:
            return PublishIncomplete(self.positions, self.failed)
        return next(iter(self.failed.values()))

    def unreplicated(self, wanted: int) -> PublishUnreplicated | None:
        """Return the error for the caller where fewer than ``wanted`` replicas confirmed, else None."""
        replicas = self.replicas
        if replicas is None or replicas >= wanted:
            return None
        return PublishUnreplicated(self.positions, replicas=replicas, wanted=wanted)

    def overdue(self) -> BusError:
        """Return the error for the caller at the deadline."""
        # The last error names the reason, such as a refusal that never passed; a plain timeout only where none came.
        last = self.last_error or BusTimeout("Redis did not answer before the deadline of the publish")
        if not self.settled:
            return copied(last)
        missing = {channel.name: last for channel, _ in self.message.lines if channel.name not in self.settled}
        return PublishIncomplete(self.positions, {**missing, **self.failed})


def is_answer(outcome: BusError) -> bool:
    """Tell whether the error is an answer of Redis (the event is not there), or the line was cut before an answer."""
    return isinstance(outcome, BusNotReady) or not isinstance(outcome, BusUnavailable)


def copied(error: BusError, kind: type[BusError] | None = None) -> BusError:
    """Return an error for a single caller; a shared error would gather the tracebacks of all callers."""
    # An exception raised to several callers is one object, on which each raise would hang another traceback.
    copy = (kind or type(error))(str(error))
    copy.__cause__ = error.__cause__
    return copy

"""Appending to logs over a link of our own: a pipeline of publishes, with an outcome for each.

Commands and the meaning of answers are ``bus.log.appending``'s; repetition is a publisher's.
"""

import asyncio
import functools
from collections.abc import Callable, Sequence
from typing import Any, Final, Self, TypeAlias

from bus.errors import BusError, BusNotReady
from bus.log.appending import ONCE_SCRIPTS, SCRIPTS, Appended, Entry, Packer, Replicas, outcome
from bus.log.several import LEFT_ALONE, SEVERAL, Plan, is_worth_it, plan, spread
from bus.redis import library
from bus.redis.address import check_url
from bus.redis.clock import now, redis_ms
from bus.redis.command_link import CommandLink, packed
from bus.redis.command_opening import open_command_link
from bus.redis.failures import failure
from bus.redis.greeting import Greeting
from bus.values import mutable

__all__ = ["Appender", "Outcomes", "Settle"]

Outcomes: TypeAlias = list[Appended | BusError]
Settle: TypeAlias = Callable[[Outcomes | BusError], None]
"""Gets an outcome for each entry; or one error for all, where the link was cut before any answer."""

_TIME: Final = packed(("TIME",))


class Appender:
    """A link for publishing: made at the first ``append``, and anew after a failure. One pipeline at a time.

    Args:
        url: of database 0, see ``bus.redis.address``.
        name: for ``CLIENT LIST``.
        once: whether the link publishes for clients, too (``Entry.once``).
        ends_predecessor: whether a link ends the link before at Redis' end, too.

    Attributes:
        sent_ms: a time by Redis' clock, not after the last pipeline was sent; None when nothing was sent.

    """

    def __init__(self, url: str, *, name: str, once: bool = False, ends_predecessor: bool = True) -> None:
        check_url(url)
        self._url, self._name = url, name
        # decisions/0028: edges face strangers, so an edge's user has neither SCRIPT LOAD nor CLIENT KILL.
        scripts = (*SCRIPTS, *ONCE_SCRIPTS) if once else (*SCRIPTS, SEVERAL)
        self._groups = not once
        self._greeting = Greeting(scripts, ends_predecessor=ends_predecessor)
        self._packer = Packer()
        self._link: CommandLink | None = None
        self._rerunning: asyncio.Task[None] | None = None
        self.sent_ms: int | None = None

    async def __aenter__(self) -> Self:
        """Return the object; no link is made yet."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the link."""
        await self.close()

    async def close(self) -> None:
        """Close the link; a second call is harmless."""
        self._drop()

    @property
    def is_up(self) -> bool:
        """Whether ``send`` may be called: there is a link, with no pipeline under way."""
        return self._link is not None and self._link.is_free and self._rerunning is None

    async def append(self, entries: Sequence[Entry], *, replicas: Replicas | None = None) -> Outcomes:
        """Store and publish every entry, in order, in one pipeline; return a result or an error for each.

        Entries are independent: some may fail while others do not. An entry is stored and published, or neither.
        An entry sent before (``since_ms``) is stored and published only if the log lacks the event.

        Raises:
            BusNotReady: Redis took no entry, and will when its state has passed.
            BusUnavailable: the link failed before any entry was answered; any may or may not have been stored, or none
                if ``sent_ms`` is None. Once some are answered, the others have this error as their outcome.

        """
        self.sent_ms = None
        if not entries:
            return []
        if self._link is None or not self._link.is_free:
            self._drop()
            self._link = await open_command_link(self._url, self._name, self._greeting)
        told: asyncio.Future[Outcomes | BusError] = asyncio.get_running_loop().create_future()
        try:
            self.send(entries, lambda outcomes: None if told.done() else told.set_result(outcomes), replicas=replicas)
            outcomes = await told
        finally:
            if not told.done() or told.cancelled():  # unread answers would be taken for those of the next commands
                self._drop()
        if isinstance(outcomes, BusError):
            raise outcomes
        return outcomes

    def send(self, entries: Sequence[Entry], settle: Settle, *, replicas: Replicas | None = None) -> None:
        """Do as ``append`` on a link that ``is_up``, and call ``settle`` where the answers come in."""
        link, clock, now_s = self._link, self._greeting.clock, now()
        self.sent_ms = clock.floor_ms(now_s)
        if len(entries) == 1 and replicas is None and link is not None and not clock.is_stale(now_s):
            # The common case, without a round and its looks: a twentieth of an awaited publish's instructions.
            pieces = self._packer.pack(entries[0], by_function=self._greeting.calls_function)
            link.send(b"".join(pieces), 1, functools.partial(self._answered_alone, entries, settle))
        else:
            self._send(entries, settle, replicas)

    def _answered_alone(
        self, entries: Sequence[Entry], settle: Settle, replies: list[Any], cut: Exception | None
    ) -> None:
        if cut is None and type(reply := replies[0]) is bytes:
            settle([outcome(entries[0], reply, None)])
        else:
            round_ = _Round(entries, settle, None, 1, None, is_stale=False, again=False)
            self._answered(round_, replies, cut)

    def _send(
        self, entries: Sequence[Entry], settle: Settle, replicas: Replicas | None, *, again: bool = False
    ) -> None:
        assert self._link is not None  # noqa: S101 (the link is up)
        is_stale = self._greeting.clock.is_stale(now())
        pack, by_function = self._packer.pack, self._greeting.calls_function
        # decisions/0020: TIME goes along once a second; a round trip of its own would cost every publish.
        pieces = [_TIME] if is_stale else []
        count = len(entries)
        # decisions/0160, 0166: several entries as one command. A user of functions has no such function, and whatever
        # was left alone goes one by one.
        stands_for: Plan | None = None
        if count > 1 and self._groups and not (by_function or again) and is_worth_it(entries):
            several, stands_for = plan(entries, functools.partial(pack, by_function=by_function))
            pieces += several
            count = len(stands_for)
        else:
            for entry in entries:
                pieces += pack(entry, by_function=by_function)
        if replicas is not None:
            pieces.append(packed(("WAIT", replicas.count, replicas.timeout_ms)))
        count += is_stale + (replicas is not None)
        # decisions/0020: no transaction. MULTI would hold up all other clients of Redis for a whole pipeline.
        round_ = _Round(entries, settle, replicas, count, stands_for, is_stale=is_stale, again=again)
        self._link.send(b"".join(pieces), count, functools.partial(self._answered, round_))

    def _answered(self, round_: "_Round", replies: list[Any], cut: Exception | None) -> None:
        if cut is not None:
            if not replies:
                round_.settle(failure(cut, self._url))
                return
            # decisions/0063: answered commands keep their answers. Sent again with all the rest, a line too poor for a
            # whole pipeline would never get on.
            replies.append(cut)
            replies += [library.RedisConnectionError("the connection was closed")] * (round_.count - len(replies))
        if round_.is_stale and not isinstance(time := replies.pop(0), Exception):
            try:
                self._greeting.clock.take(redis_ms(*time), now())
            except (TypeError, ValueError):
                self._drop()
                round_.settle(failure(library.InvalidResponse("its answer to TIME has another form"), self._url))
                return
        confirmed = None
        if round_.replicas is not None:
            confirmed = replies.pop()
            if _is_cut(confirmed):  # half of the answers would tell a caller nothing of replicas
                round_.settle(failure(confirmed, self._url))
                return
            confirmed = confirmed if isinstance(confirmed, int) else 0
        if round_.stands_for is not None:
            replies = spread(round_.stands_for, replies)
        if (library.NoScriptError in map(type, replies) or LEFT_ALONE in replies) and not round_.again:
            self._rerunning = asyncio.create_task(self._rerun(round_, replies, confirmed))
        else:
            self._tell(round_, replies, confirmed)

    def _tell(self, round_: "_Round", replies: Sequence[Any], confirmed: int | None) -> None:
        outcomes: Outcomes = []
        is_plain = True
        for entry, reply in zip(round_.entries, replies, strict=True):
            is_plain &= type(reply) is bytes
            outcomes.append(outcome(entry, reply, confirmed) if is_plain else self._outcome(entry, reply, confirmed))
        self._settle(round_, outcomes, is_good=is_plain)

    def _settle(self, round_: "_Round", outcomes: Outcomes, *, is_good: bool = False) -> None:
        # A round that was sent again is settled by the round before, on whose task it runs.
        if not (is_good or round_.again) and any(isinstance(it, BusNotReady) for it in outcomes):
            # decisions/0020: the primary may be elsewhere by now, and the address leads there on a new link.
            self._drop()
        round_.settle(outcomes)

    def _outcome(self, entry: Entry, reply: Any, confirmed: int | None) -> Appended | BusError:
        return failure(reply, self._url) if _is_cut(reply) else outcome(entry, reply, confirmed)

    async def _rerun(self, round_: "_Round", replies: list[Any], confirmed: int | None) -> None:
        """Run again the entries that no script took, as after ``SCRIPT FLUSH``; none of these was stored."""
        unknown = library.NoScriptError
        missing = [index for index, it in enumerate(replies) if isinstance(it, unknown) or it == LEFT_ALONE]
        entries = [round_.entries[index] for index in missing]
        told: asyncio.Future[Outcomes | BusError] = asyncio.get_running_loop().create_future()
        try:
            assert self._link is not None  # noqa: S101 (the answers came on the link)
            if unknown in map(type, replies):
                await self._greeting.begin(self._link.ask)
            self._send(entries, told.set_result, round_.replicas, again=True)
            outcomes = await told
        except (library.RedisError, OSError) as error:
            for index in missing:
                replies[index] = error
            self._rerunning = None
            self._tell(round_, replies, confirmed)
            return
        finally:
            self._rerunning = None
        # Entries of live channels need no script, and have their answers.
        given = iter(outcomes if isinstance(outcomes, list) else [outcomes] * len(missing))
        found = [self._outcome(*pair, confirmed) for pair in zip(round_.entries, replies, strict=True)]
        for index in missing:
            found[index] = next(given)
        self._settle(round_, found)

    def _drop(self) -> None:
        if self._rerunning is not None:
            self._rerunning.cancel()
            self._rerunning = None
        if self._link is not None:
            self._link.abort()
            self._link = None


@mutable
class _Round:
    """A pipeline under way: the entries, and their caller."""

    entries: Sequence[Entry]
    settle: Settle
    replicas: Replicas | None
    count: int
    stands_for: Plan | None
    is_stale: bool
    again: bool


def _is_cut(answer: Any) -> bool:
    """Tell whether ``answer`` stands for the answer to a command whose line was cut."""
    if not isinstance(answer, Exception):
        return False
    return isinstance(answer, (library.RedisConnectionError, library.RedisTimeoutError, OSError))

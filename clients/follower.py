"""One channel as a client follows it: what to ask the edge, and what its messages mean to the caller. Pure.

Values wait here until the caller takes them, in the order of the log. The rules:

- The place to resume at is the last event that came, for all that came before waits here or was taken.
- An event is known by its position. One that was here not long ago is dropped; positions are never compared by size.
- When too many values wait, the room is left. What comes meanwhile is read from the log later, as after any other
  interruption: so nothing grows, no other room and no answer has to wait, and nothing is lost unless the log is too
  short, which is told.
- After ``Interrupted`` comes one ``Recovered`` or ``Gap``. A gap is told once it is known where the stream goes on.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, Literal

from bus.log.replay import SinceTime, parse_since
from bus.position import Step, is_position, step, went_back
from bus.words import NoticeName, Verb
from clients.values import Cause, Gap, Interrupted, Received, Recovered, Value
from clients.wire import milliseconds

__all__ = ["LEAST_LIMIT", "Follower", "Phase"]

LEAST_LIMIT: Final = 16
"""Below this a room that was left for slowness would hardly get on: each return costs a value of its own."""
_RECENT: Final = 4_096
"""Positions to know an event again by: some replays' worth (``bus.log.replay``)."""


class Phase(Enum):
    """How the follower and the edge stand."""

    AWAY = auto()
    """To be subscribed as soon as there is a connection."""
    ASKED = auto()
    JOINED = auto()
    PAUSED = auto()
    """The edge said: later."""
    FULL = auto()
    """To be left, because too much waits."""
    LEFT = auto()
    """Left until the caller has caught up."""


@dataclass(frozen=True, slots=True)
class _Hole:
    """A gap that the edge told, while it is not known yet where the stream goes on."""

    after: str | None
    reason: str


@dataclass(slots=True)
class _Debt:
    """A replay that was confirmed: all behind its end is owed, though nothing of it should come.

    ``is_due``: nothing came, and another one was asked for. ``until`` is the first event of that; None while none came.
    """

    after: str
    is_due: bool = False
    until: str | None = None


class Follower:
    """Follows ``channel`` from its beginning: ``since`` or ``last`` as the caller gave them, or from now.

    Args:
        channel: its name, as clients use it.
        since: position, ISO time or span; passed on as it is.
        last: a number of events.
        kind: what is kept of the channel, None when it is not known.
        limit: how many values may wait.
        now_ms: the time of the call, for a span that must be asked for once more later.

    """

    def __init__(
        self,
        channel: str,
        *,
        since: str | None = None,
        last: int | None = None,
        kind: Literal["live", "latest", "history"] | None = None,
        limit: int = 2_000,
        now_ms: int = 0,
    ) -> None:
        self.channel = channel
        self.phase = Phase.AWAY
        self.duplicates = 0
        self.has_joined = False
        self._since, self._last, self._now_ms = since, last, now_ms
        self._is_latest, self._is_live = kind == "latest", False
        self._limit = limit
        self._waiting: deque[tuple[Value, str | None]] = deque()
        self._at = since if since is not None and is_position(since) else None
        self._handed = self._at
        self._recent: dict[str, None] = {self._at: None} if self._at is not None else {}
        self._hole: _Hole | None = None
        self._debt: _Debt | None = None
        self._replaying = 0
        self._is_interrupted = False
        self._trusts_next = True
        self._wants_replay = False
        self._back_at: str | None = None
        """Where the edge said that a ``latest`` channel went back to: the event there is next, and no repeat."""

    # The caller's side.

    @property
    def position(self) -> str | None:
        """Where the caller stands: to go on from here later, subscribe with it as ``since``."""
        return self._handed

    def __len__(self) -> int:
        """Return how many values wait."""
        return len(self._waiting)

    def take(self) -> Value | None:
        """Hand the next value over, None when none waits; from here on the caller has it."""
        if not self._waiting:
            return None
        value, position = self._waiting.popleft()
        self._handed = position or self._handed
        if self.phase is Phase.LEFT and not self._is_behind:
            self.phase = Phase.AWAY
        return value

    # The edge's side: what to say to it.

    @property
    def has_command(self) -> bool:
        """Whether ``command`` would return anything."""
        return self.phase in (Phase.AWAY, Phase.FULL)

    @property
    def is_known(self) -> bool:
        """Whether the edge may have the client in the room."""
        return self.phase in (Phase.ASKED, Phase.JOINED, Phase.FULL)

    @property
    def is_left(self) -> bool:
        """Whether the room was left, and is not to be joined for now."""
        return self.phase is Phase.LEFT

    def command(self, now_ms: int) -> tuple[Verb, dict[str, Any]] | None:
        """Return verb and data of what is to be sent now, None for nothing. Asked for only while connected."""
        match self.phase:
            case Phase.AWAY:
                self.phase = Phase.ASKED
                start = self._start(now_ms)
                self._wants_replay = bool(start)
                return Verb.SUBSCRIBE, {"channel": self.channel, **start}
            case Phase.FULL:
                self.phase = Phase.LEFT
                return Verb.UNSUBSCRIBE, {"channel": self.channel}
        return None

    def _start(self, now_ms: int) -> dict[str, Any]:
        if self.has_joined and (self._is_live or self._is_latest):
            return {}  # no log to resume from, or the edge shows what it holds to every newcomer
        if self._at is not None:
            return {"since": self._at}
        if self._last is not None:
            if self._debt is not None:
                self._debt.is_due = True
            return {"last": self._last}
        return {} if self._since is None else {"since": _stretched(self._since, now_ms - self._now_ms)}

    # The edge's side: what it says.

    def joined(self, data: Mapping[str, Any]) -> None:
        """Take the reply to a subscribe."""
        if self.phase is not Phase.ASKED:
            return
        given, replayed = data.get("position"), milliseconds(data, "replayed") or 0
        position = given if isinstance(given, str) else None
        was_in, self.has_joined = self.has_joined, True
        self._tell_debt()
        self.phase, self._is_live, self._trusts_next = Phase.JOINED, position is None, True
        self._replaying, self._hole, self._back_at = replayed, None, None
        is_whole = data.get("recovered", not self._wants_replay) is True or _has_gap_inside(data)
        if position is None:
            self._joined_live(was_in=was_in)
        elif is_whole:
            self._joined_whole(replayed, position)
        else:
            self._hole = _Hole(self._at, str(data.get("reason") or "unknown"))
        if replayed == 0 and position is not None:
            self._pay(position, position)
            self._tell_debt()
            self._tell_hole(position)
            self._stand(position)
        elif position is not None and self._at is None and self._last is not None and self._debt is None:
            self._debt = _Debt(position)

    def _joined_live(self, *, was_in: bool) -> None:
        if was_in or self._wants_replay:
            self._go_on(Gap(self.channel, None, None, "live"))
        elif self._is_interrupted:
            self._go_on(Recovered(self.channel, 0))

    def _joined_whole(self, replayed: int, position: str) -> None:
        if self._wants_replay or self._is_interrupted:
            self._go_on(Recovered(self.channel, replayed), None if replayed else position)

    def arrived(self, received: Received) -> None:
        """Take an event; one that belongs to an earlier membership of the room is not waited for any more."""
        if self.phase is not Phase.JOINED:
            return
        if received.position is None:
            if self._has_room(1):
                self._waiting.append((received, None))
            return
        found, self._back_at = self._step(received.position, received.previous), None
        if found is Step.DUPLICATE:
            self.duplicates += 1
        elif not self._accept(received, found):
            return
        self._pay(received.position, received.previous)
        self._at, self._trusts_next = received.position, False
        self._count_replayed()

    def _step(self, position: str, previous: str | None) -> Step:
        """Judge by identity; an event that nothing is known of before follows.

        Of a ``latest`` channel the last one alone is a repeat: after a failover it may show one that was there before.
        """
        if position == self._back_at:
            return Step.NEXT
        if self._is_latest and position != self._at and went_back(self._at, position):
            return Step.GAP
        if position in self._recent:
            return Step.DUPLICATE
        if self._trusts_next or self._is_latest or self._at is None or previous is None:
            return Step.NEXT
        return step(self._at, position, previous, ())

    def _accept(self, received: Received, found: Step) -> bool:
        """Have the event wait, after the gap before it; both, or the room is left before either."""
        values: list[tuple[Value, str | None]] = [(received, received.position)]
        if self._hole is not None:
            values.insert(0, (Gap(self.channel, self._hole.after, received.position, self._hole.reason), None))
        elif found is Step.GAP:
            reason = "diverged" if self._is_latest else "skipped"
            values.insert(0, (Gap(self.channel, self._at, received.position, reason), None))
        if not self._has_room(len(values)):
            return False
        self._is_interrupted = self._is_interrupted and self._hole is None
        self._hole = None
        self._waiting.extend(values)
        self._remember(received.position)
        return True

    def _count_replayed(self) -> None:
        """Tell a gap at the end of its replay at the latest: all of that may have been known already."""
        if self._replaying > 0:
            self._replaying -= 1
            if self._replaying == 0 and self._hole is not None:
                self._tell_hole(self._at)
            if self._replaying == 0:
                self._tell_debt()

    def _pay(self, position: str, previous: str | None) -> None:
        """Take an event in the place of what is owed; one that follows the lost replay, or was in it, settles that."""
        debt = self._debt
        if debt is None:
            return
        debt.until = debt.until or position
        if not debt.is_due or debt.after in (position, previous):
            self._debt = None

    def _tell_debt(self) -> None:
        """Tell that something lies between a lost replay and what came in its stead."""
        debt = self._debt
        if debt is not None and debt.until is not None:
            self._debt = None
            self._go_on(Gap(self.channel, debt.after, debt.until, "limit"))

    def _tell_hole(self, until: str | None) -> None:
        hole, self._hole = self._hole, None
        if hole is not None:
            self._go_on(Gap(self.channel, hole.after, until, hole.reason), until)

    def told_gap(self, data: Mapping[str, Any]) -> None:
        """Take a ``room.gap``. Its ``to`` may be the position of the next event, so nothing is resumed from there."""
        if self.phase is Phase.JOINED:
            *places, reason = NoticeName.ROOM_GAP.values(data)
            after, until = (value if isinstance(value, str) else None for value in places)
            self._trusts_next = True
            if reason == "diverged" and after == self._at and went_back(after, until):
                self._back_at, self._hole = until, None  # the reply may have told of it, too
            self._go_on(Gap(self.channel, after, until, str(reason or "unknown")))

    def refused(self) -> None:
        """Take a refusal that will pass; ``retry`` ends the pause."""
        if self.phase is Phase.ASKED:
            self.phase = Phase.PAUSED

    def retry(self) -> None:
        """End a pause."""
        if self.phase is Phase.PAUSED:
            self.phase = Phase.AWAY

    def interrupted(self, cause: Cause, detail: str) -> None:
        """Take note that nothing comes for now; ``link``: that there is no connection any more."""
        if cause == "link":
            self.phase = Phase.LEFT if self._is_behind else Phase.AWAY
        if cause == "bus" or self.has_joined:
            self._tell_interruption(cause, detail)

    def restored(self) -> None:
        """Take note that the edge has Redis again, and has compared the room with its log."""
        if self.phase is Phase.JOINED and self._is_interrupted:
            self._go_on(Recovered(self.channel, 0))

    # What waits.

    @property
    def _is_behind(self) -> bool:
        return len(self._waiting) > self._limit // 2

    def _go_on(self, value: Recovered | Gap, position: str | None = None) -> None:
        """End an interruption, if there is one, with ``value``."""
        if self._has_room(1):
            self._is_interrupted = False
            self._waiting.append((value, position))

    def _tell_interruption(self, cause: Cause, detail: str) -> None:
        if not self._is_interrupted:
            self._is_interrupted = True
            self._waiting.append((Interrupted(self.channel, cause, detail), None))

    def _has_room(self, count: int) -> bool:
        """Tell whether ``count`` values may wait as well; if not, leave the room."""
        if len(self._waiting) + count <= self._limit:
            return True
        self.phase = Phase.FULL
        self._tell_interruption("slow", f"{len(self._waiting)} values wait to be taken")
        return False

    def _stand(self, position: str) -> None:
        if not self._is_latest:  # there the event at that position is still to come
            self._at = position
        if not self._waiting:
            self._handed = position

    def _remember(self, position: str | None) -> None:
        if position is not None:
            self._recent[position] = None
            if len(self._recent) > _RECENT:
                del self._recent[next(iter(self._recent))]


def _has_gap_inside(data: Mapping[str, Any]) -> bool:
    """Tell whether nothing is missing before what is replayed: a ``room.gap`` stands where it is, behind some of it."""
    return isinstance(data.get("gap_after"), str)


def _stretched(since: str, elapsed_ms: int) -> str:
    """Return a span that still begins where it began ``elapsed_ms`` ago; anything else as it is."""
    try:
        start = parse_since(since)
    except ValueError:
        return since  # the edge says what is wrong with it
    if elapsed_ms <= 0 or not isinstance(start, SinceTime) or not start.is_span:
        return since
    return f"-{math.ceil((start.ms + elapsed_ms) / 1000)}s"

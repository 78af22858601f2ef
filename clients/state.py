"""One subscription's state: the commands that are due to the edge, and the meaning of the edge's messages. Pure.

The rules:

- A subscription resumes at the last event that came, since all events before either wait or were taken.
- An event is known by its position (``clients.sequencer``). A repeated event is dropped.
- When too many values wait, the room is left. Events that come meanwhile are read from the log later, as after any
  other interruption: nothing grows, no other room and no answer has to wait, and no event is lost unless the log is
  too short. The caller is told of such a loss.
- A gap is told once the first event behind the gap is known.
- A state is one value, and counts once all of it has come; until then the subscription stands where it stood before.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum, auto
from typing import Any, Literal, NamedTuple

from bus.log.replay import SinceTime, parse_since
from bus.position import Step, is_position
from bus.spelling import canonical_name
from bus.words import NoticeName, Verb
from clients.lost_replay import LostReplay
from clients.presence import presence_value
from clients.queue import Entry, Queue
from clients.sequencer import Sequencer
from clients.snapshot import Snapshot
from clients.values import Cause, Gap, Received, Recovered, State, Value
from clients.wire import milliseconds

__all__ = ["Phase", "SubscriptionState"]


class Phase(Enum):
    """How the subscription and the edge stand."""

    AWAY = auto()
    """To be subscribed as soon as there is a connection."""
    ASKED = auto()
    JOINED = auto()
    PAUSED = auto()
    """The edge said: later."""
    FULL = auto()
    """To be left, because too many values wait."""
    LEFT = auto()
    """Left until the caller has caught up."""


class _PendingGap(NamedTuple):
    """A gap that the edge told, while the first event behind the gap is not known yet."""

    after: str | None
    reason: str


class SubscriptionState:
    """The state of a subscription of ``channel``, from its beginning: ``since``, ``last``, or now.

    Args:
        channel: its name, as the caller spells it; ``room`` is the name that events have, and values the caller's.
        since: position, ISO time or span; passed on unread.
        last: a number of events.
        kind: the channel's retention, None when it is not known.
        limit: how many values may wait.
        presence: for the edge: as whom the client is seen, and whether it is told of others; None for neither.
        now_ms: the time of the call. A span that is asked for later still begins there.
        with_state: whether the channel's state is wanted first, and in place of events that are missing.

    """

    def __init__(  # noqa: PLR0913 (each is a word of the caller's)
        self,
        channel: str,
        *,
        since: str | None = None,
        last: int | None = None,
        kind: Literal["live", "latest", "history"] | None = None,
        limit: int = 2_000,
        presence: bool | Mapping[str, Any] | None = None,
        now_ms: int = 0,
        with_state: bool = False,
    ) -> None:
        at = since if since is not None and is_position(since) else None
        self.channel, self.room = channel, canonical_name(channel)
        self.phase = Phase.AWAY
        self.has_joined = False
        self.queue = Queue(channel, limit=limit, position=at)
        self.sequencer = Sequencer(at=at, is_latest=kind == "latest")
        self._since, self._last, self._now_ms = since, last, now_ms
        self._presence = {} if presence is None else {"presence": presence}
        self._is_live = self._wants_replay = False
        self._with_state, self._is_stale = with_state, False
        self._snapshot: Snapshot | None = None
        """The state that is coming."""
        self._gap: _PendingGap | None = None
        self._lost = LostReplay()
        self._replaying = 0
        self._began: str | None = None
        """When the Redis of the last replay began, where the span reaches further back."""

    def take(self) -> Value | None:
        """Hand the next value to the caller, None when none waits; a caller that has caught up joins the room again."""
        value = self.queue.take()
        if value is not None and self.phase is Phase.LEFT and not self.queue.is_behind:
            self.phase = Phase.AWAY
        return value

    # Commands to the edge.

    @property
    def has_command(self) -> bool:
        """Whether ``command`` would return a command."""
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
        """Return verb and data of the command to send now, None when there is none. Called only while connected."""
        match self.phase:
            case Phase.AWAY:
                self.phase = Phase.ASKED
                start = self._start(now_ms)
                self._wants_replay = bool(start)
                state = {"state": True} if self._with_state else {}
                return Verb.SUBSCRIBE, {"channel": self.room, **start, **self._presence, **state}
            case Phase.FULL:
                # While the unsubscribe waited for the edge's pace, the caller may have caught up: no later value would
                # bring the room back.
                self.phase = Phase.LEFT if self.queue.is_behind else Phase.AWAY
                return Verb.UNSUBSCRIBE, {"channel": self.room}
        return None

    def _start(self, now_ms: int) -> dict[str, Any]:
        if self._is_stale or (self.has_joined and (self._is_live or self.sequencer.is_latest)):
            return {}  # no log to resume from, or the edge shows what it holds to every newcomer
        if self.sequencer.at is not None:
            return {"since": self.sequencer.at}
        if self._last is not None:
            self._lost.asked_again()
            return {"last": self._last}
        return {} if self._since is None else {"since": _stretched(self._since, now_ms - self._now_ms)}

    # Answers of the edge.

    def joined(self, data: Mapping[str, Any]) -> None:
        """Take the reply to a subscribe."""
        if self.phase is not Phase.ASKED:
            return
        # The reply is input: an edge of another make, or of another version, may leave any of the keys out.
        given, replayed = data.get("position"), milliseconds(data, "replayed") or 0
        position = given if isinstance(given, str) else None
        was_in, self.has_joined = self.has_joined, True
        self._tell_lost_replay()
        self.phase, self._is_live = Phase.JOINED, position is None
        self._replaying, self._gap = replayed, None
        self.sequencer.confirmed()
        if self._with_state and position is not None and not (self._wants_replay and data.get("recovered") is True):
            self._begin_state(data, position)
        elif position is None:
            self._joined_live(was_in=was_in)
        else:
            self._joined_log(data, replayed, position, was_in=was_in)

    # The state.

    def _begin_state(self, data: Mapping[str, Any], position: str) -> None:
        reason = data.get("reason")
        self._replaying = 0
        self._snapshot = Snapshot(
            self.channel, data, position=position, reason=reason if isinstance(reason, str) else None
        )
        self._end_state()

    def _end_state(self) -> None:
        """Hand the state over once it is whole; without a place for it, it is asked for again later."""
        if self._snapshot is None or not self._snapshot.is_whole:
            return
        snapshot, self._snapshot = self._snapshot, None
        if self._go_on(snapshot.value(), snapshot.position):
            self._is_stale = False
            self.sequencer.begin_anew(snapshot.position)

    def told_state(self, data: Mapping[str, Any]) -> None:
        """Take a ``room.state``: how the state goes on, or that another one begins."""
        position, *_, is_anew = NoticeName.ROOM_STATE.values(data)
        if self.phase is not Phase.JOINED or not self._with_state or not isinstance(position, str):
            return
        if is_anew is not False:
            self._begin_state({"reason": "unknown", **data}, position)
        elif self._snapshot is not None:
            self._snapshot.go_on(data, position)
            self._end_state()

    def _joined_live(self, *, was_in: bool) -> None:
        if was_in or self._wants_replay:
            self._go_on(Gap(self.channel, None, None, "live"))
        elif self.queue.is_interrupted:
            self._go_on(Recovered(self.channel, 0))

    def _joined_log(self, data: Mapping[str, Any], replayed: int, position: str, *, was_in: bool) -> None:
        began, before = data.get("began"), self._began
        self._began = began if isinstance(began, str) else None
        # decisions/0098: a client that was in the room, and had no event yet, asks for its span once more. A Redis that
        # began in between is a loss to that client, though none to newcomers.
        is_another = was_in and self._began not in (None, before)
        is_whole = data.get("recovered", not self._wants_replay) is True or _has_gap_inside(data)
        if is_whole and not is_another:
            self._recovered(replayed, position)
        else:
            self._gap = _PendingGap(self.sequencer.at, str(data.get("reason") or "unknown"))
        if replayed == 0:
            self._stand(position)
        elif self.sequencer.at is None and self._last is not None:
            self._lost.confirmed(position)

    def _recovered(self, replayed: int, position: str) -> None:
        if self._wants_replay or self.queue.is_interrupted:
            self._go_on(Recovered(self.channel, replayed, self._began), None if replayed else position)

    def _stand(self, position: str) -> None:
        """Go on from the log's end: no event of a replay follows, before which a gap could be told."""
        self._lost.follow(position, position)
        self._tell_lost_replay()
        self._tell_gap(position)
        self.sequencer.stand(position)
        self.queue.stand(position)

    def refused(self) -> None:
        """Take a refusal that will pass; ``retry`` ends the pause."""
        if self.phase is Phase.ASKED:
            self.phase = Phase.PAUSED

    def retry(self) -> None:
        """End a pause."""
        if self.phase is Phase.PAUSED:
            self.phase = Phase.AWAY

    # Events and notices of the edge.

    def arrived(self, received: Received) -> None:
        """Take an event. An event of an earlier membership of the room is dropped: the replay has that event, too."""
        if self.phase is not Phase.JOINED:
            return
        if received.channel != self.channel:  # the caller tells values of several subscriptions apart by it
            received = replace(received, channel=self.channel)
        if self._snapshot is not None and received.position is not None:
            self._snapshot.take(received)
            self._end_state()
            return
        if received.position is None:  # a line typed into Redis by hand, or of a live channel
            self._put(Entry(received))
            return
        found = self.sequencer.judge(received.position, received.previous)
        if found is not Step.DUPLICATE and not self._accept(received, found):
            return
        self._lost.follow(received.position, received.previous)
        self.sequencer.advance(received.position)
        self._count_replayed()

    def _accept(self, received: Received, found: Step) -> bool:
        """Have the event wait, after the gap before the event; both, or the room is left before either."""
        # A gap alone in the queue would be told again after the return: the resume begins before the gap then.
        entries = [Entry(received, received.position)]
        if self._gap is not None:
            entries.insert(0, Entry(Gap(self.channel, self._gap.after, received.position, self._gap.reason)))
        elif found is Step.GAP:
            reason = "diverged" if self.sequencer.is_latest else "skipped"
            entries.insert(0, Entry(Gap(self.channel, self.sequencer.at, received.position, reason)))
        if not self._put(*entries):
            return False
        if self._gap is not None:
            self._gap, self.queue.is_interrupted = None, False
        self.sequencer.remember(received.position)
        return True

    def _count_replayed(self) -> None:
        """Tell a gap at the end of the replay at the latest: all events of the replay may have been known already."""
        if self._replaying > 0:
            self._replaying -= 1
            if self._replaying == 0:
                self._tell_gap(self.sequencer.at)
                self._tell_lost_replay()

    def told_gap(self, data: Mapping[str, Any]) -> None:
        """Take a ``room.gap``. Its ``to`` may be the next event's position, so no resume begins there."""
        if self.phase is not Phase.JOINED:
            return
        *places, reason = NoticeName.ROOM_GAP.values(data)
        after, until = (value if isinstance(value, str) else None for value in places)
        if self.sequencer.gap_told(after, until, reason):
            self._gap = None  # the reply may have told of the same gap
        self._go_on(Gap(self.channel, after, until, str(reason or "unknown")))
        if self._with_state and self.phase is Phase.JOINED:  # the caller's state lacks events, so another is fetched
            self._snapshot, self._is_stale, self.phase = None, True, Phase.AWAY

    def told_of_users(self, event: str, data: Mapping[str, Any]) -> None:
        """Take a notice of who came into the room or left."""
        value = presence_value(self.channel, event, data)
        if value is not None and self.phase is Phase.JOINED:
            self._put(Entry(value))

    def interrupted(self, cause: Cause, detail: str) -> None:
        """Take note that no event comes for now; with ``link``, that there is no connection any more."""
        if cause == "link":
            self._snapshot = None  # the subscription resumes where it stood before
            # A caller that is behind has the new connection wait: a resume would fill the queue at once again.
            self.phase = Phase.LEFT if self.queue.is_behind else Phase.AWAY
        if cause == "bus" or self.has_joined:
            self.queue.interrupt(cause, detail)

    def restored(self) -> None:
        """Take note that the edge has Redis again, and has compared the room with the room's log."""
        if self.phase is Phase.JOINED and self.queue.is_interrupted:
            self._go_on(Recovered(self.channel, 0))

    # Gaps that are told later.

    def _tell_gap(self, until: str | None) -> None:
        gap, self._gap = self._gap, None
        if gap is not None:
            self._go_on(Gap(self.channel, gap.after, until, gap.reason), until)

    def _tell_lost_replay(self) -> None:
        gap = self._lost.gap()
        if gap is not None:
            self._go_on(Gap(self.channel, *gap, "limit"))

    # Values into the queue.

    def _put(self, *entries: Entry) -> bool:
        """Have values wait; where there are too many, leave the room."""
        if self.queue.put(*entries):
            return True
        self.phase = Phase.FULL
        return False

    def _go_on(self, value: Recovered | Gap | State, position: str | None = None) -> bool:
        if self.queue.go_on(value, position):
            return True
        self.phase = Phase.FULL
        return False


def _has_gap_inside(data: Mapping[str, Any]) -> bool:
    """Tell whether nothing is missing before the replay's first events.

    decisions/0055: the gap lies inside the replay, and a ``room.gap`` comes in its place.
    """
    return isinstance(data.get("gap_after"), str)


def _stretched(since: str, elapsed_ms: int) -> str:
    """Return a span that still begins where it began ``elapsed_ms`` ago; any other beginning unchanged."""
    try:
        start = parse_since(since)
    except ValueError:
        return since  # the edge says what is wrong with it
    if elapsed_ms <= 0 or not isinstance(start, SinceTime) or not start.is_span:
        return since
    return f"-{math.ceil((start.ms + elapsed_ms) / 1000)}s"

"""The rules of one subscription, without a socket: P1 to P3 against a model of a log."""

from collections import deque
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from clients.queue import LEAST_LIMIT
from clients.state import Phase, SubscriptionState
from clients.values import Gap, Interrupted, Received, Recovered, Value

KEPT = 30


def received(position: str | None, previous: str | None) -> Received:
    return Received("c", "id", "e", {}, "", position, previous)


def joined(state: SubscriptionState, **data: Any) -> None:
    assert state.command(0) is not None
    state.joined({"position": "9-9", **data})


def taken(state: SubscriptionState) -> list[Value]:
    values = []
    while (value := state.take()) is not None:
        values.append(value)
    return values


def test_latest_channel_is_asked_for_plainly_and_never_has_a_gap() -> None:
    """The edge shows the last value to every newcomer, so nothing is resumed, and values in between are no loss."""
    state = SubscriptionState("skills", kind="latest")
    joined(state, position="5-1")
    state.arrived(received("5-1", "4-1"))
    state.arrived(received("9-1", "8-1"))
    state.interrupted("link", "")
    assert state.command(0) == ("subscribe", {"channel": "skills"})
    state.joined({"position": "9-1"})
    state.arrived(received("9-1", "8-1"))
    positions = [value.position if isinstance(value, Received) else value for value in taken(state)]
    assert positions == ["5-1", "9-1", Interrupted("skills", "link", ""), Recovered("skills", 0)]


@pytest.mark.parametrize("is_known", [True, False])
def test_latest_channel_that_went_back_is_handed_over_again(is_known: bool) -> None:
    """The edge says that the event is gone, and shows what there is: no repeat, with a catalogue at hand or without."""
    state = SubscriptionState("skills", kind="latest" if is_known else None)
    joined(state, position="2-2")
    state.arrived(received("3-3", "2-2"))
    state.arrived(received("4-4", "3-3"))
    state.told_gap({"from": "4-4", "to": "3-3", "reason": "diverged"})
    state.arrived(received("3-3", "2-2"))
    state.arrived(received("3-3", "2-2"))
    gap = Gap("skills", "4-4", "3-3", "diverged")
    assert places(taken(state)) == ["3-3", "4-4", gap, "3-3"]
    assert (state.sequencer.duplicates, state.queue.position) == (1, "3-3")


def test_latest_channel_that_went_back_meanwhile_is_told() -> None:
    """A client that was away is a newcomer to the edge; that it is shown an older event, it finds by itself."""
    state = SubscriptionState("skills", kind="latest")
    joined(state, position="2-2")
    state.arrived(received("3-3", "2-2"))
    state.arrived(received("4-4", "3-3"))
    state.interrupted("link", "")
    assert state.command(0) == ("subscribe", {"channel": "skills"})
    state.joined({"position": "3-3"})
    state.arrived(received("3-3", "2-2"))
    found = places(taken(state))
    assert found[3:] == [Recovered("skills", 0), Gap("skills", "4-4", "3-3", "diverged"), "3-3"]


def test_channel_of_no_known_kind_that_went_back_meanwhile_is_told_once() -> None:
    """Without a catalogue the client asks with ``since``: the reply says it, and the notice before the event too."""
    state = SubscriptionState("skills")
    joined(state, position="2-2")
    state.arrived(received("3-3", "2-2"))
    state.arrived(received("4-4", "3-3"))
    state.interrupted("link", "")
    assert state.command(0) == ("subscribe", {"channel": "skills", "since": "4-4"})
    state.joined({"position": "3-3", "recovered": False, "reason": "diverged", "replayed": 1})
    state.told_gap({"from": "4-4", "to": "3-3", "reason": "diverged"})
    state.arrived(received("3-3", "2-2"))
    assert places(taken(state))[3:] == [Gap("skills", "4-4", "3-3", "diverged"), "3-3"]


def test_history_that_went_back_repeats_nothing() -> None:
    """There the edge tells where the log stands, and goes on with what is new."""
    state = SubscriptionState("c")
    joined(state, position="2-2")
    state.arrived(received("3-3", "2-2"))
    state.arrived(received("4-4", "3-3"))
    state.told_gap({"from": "4-4", "to": "3-3", "reason": "diverged"})
    state.arrived(received("9-9", "3-3"))
    state.arrived(received("3-3", "2-2"))
    assert places(taken(state)) == ["3-3", "4-4", Gap("c", "4-4", "3-3", "diverged"), "9-9"]


def places(values: list[Value]) -> list[object]:
    """Return positions of events, other values as they are."""
    return [value.position if isinstance(value, Received) else value for value in values]


def test_event_without_a_position_is_handed_over_and_moves_nothing() -> None:
    """A line that somebody typed into Redis has no place in the log."""
    state = SubscriptionState("c")
    joined(state)
    state.arrived(received(None, None))
    state.interrupted("link", "")
    assert state.command(0) == ("subscribe", {"channel": "c", "since": "9-9"})
    assert taken(state)[0] == received(None, None)
    assert state.queue.position == "9-9"


def test_events_before_the_confirmation_belong_to_an_earlier_membership() -> None:
    """What arrives between asking and the answer comes again with the replay."""
    state = SubscriptionState("c", since="1-1")
    assert state.command(0) is not None
    state.arrived(received("2-1", "1-1"))
    state.told_gap({"from": "1-1", "to": "2-1", "reason": "trimmed"})
    assert len(state.queue) == 0


def test_answers_out_of_turn_change_nothing() -> None:
    """A second confirmation, a pause or its end where none was asked for are passed over."""
    state = SubscriptionState("c")
    state.joined({"position": "1-1"})
    state.refused()
    state.retry()
    state.restored()
    assert (state.phase, len(state.queue), state.has_joined) == (Phase.AWAY, 0, False)
    joined(state)
    state.joined({"position": "1-1"})
    assert state.queue.position == "9-9"


def test_position_follows_a_replay_that_held_nothing() -> None:
    """A caller that came by a span knows where it stands although nothing happened in it."""
    state = SubscriptionState("c", since="-1m")
    joined(state, recovered=True, replayed=0)
    assert state.queue.position is None
    assert taken(state) == [Recovered("c", 0)]
    assert state.queue.position == "9-9"


def test_span_that_was_asked_for_late_begins_where_it_began() -> None:
    """Time and position stay as they are; a span grows by what went by since the call."""
    for since, asked in (("-2m", "-125s"), ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"), ("soon", "soon")):
        assert SubscriptionState("c", since=since).command(4_001) == ("subscribe", {"channel": "c", "since": asked})


def test_window_that_reaches_past_this_redis_is_no_gap() -> None:
    """Nobody missed what was before a first look; when Redis began is told with the replay."""
    state = SubscriptionState("c", since="-15m")
    joined(state, recovered=True, replayed=0, began="2026-01-01T00:00:00+00:00")
    assert taken(state) == [Recovered("c", 0, "2026-01-01T00:00:00+00:00")]


@pytest.mark.parametrize(("first", "second", "is_gap"), [("a", "a", False), (None, "b", True), ("a", "b", True)])
def test_window_that_another_redis_answers_is_a_gap(first: str | None, second: str, is_gap: bool) -> None:
    """A client that was there before, and asks for its window once more, is told that Redis began in between."""
    state = SubscriptionState("c", since="-15m")
    joined(state, position="3-1", recovered=True, replayed=3, began=first)
    assert taken(state) == [Recovered("c", 3, first)]
    state.interrupted("link", "")
    joined(state, position="9-1", recovered=True, replayed=1, began=second)
    state.arrived(received("9-1", "0-0"))
    values = [value for value in taken(state) if not isinstance(value, Interrupted)]
    assert values[0] == (Gap("c", None, "9-1", "unknown") if is_gap else Recovered("c", 1, second))
    assert values[1:] == [received("9-1", "0-0")]


def lost_before_its_replay() -> SubscriptionState:
    """Return a subscription that was promised 1 to 3 as the last three, and lost the connection before they came."""
    state = SubscriptionState("c", last=3)
    joined(state, position="3-1", recovered=True, replayed=3)
    state.interrupted("link", "")
    assert state.command(0) == ("subscribe", {"channel": "c", "last": 3})
    return state


@pytest.mark.parametrize("first", [2, 3, 4])
def test_replay_that_was_lost_is_asked_for_once_more(first: int) -> None:
    """What it brings reaches back to where the lost one ended: nothing is missing, and no gap is told."""
    state = lost_before_its_replay()
    state.joined({"position": f"{first + 2}-1", "recovered": True, "replayed": 3})
    for number in range(first, first + 4):
        state.arrived(received(f"{number}-1", f"{number - 1}-1"))
    assert not [value for value in taken(state) if isinstance(value, Gap)]


def test_events_between_a_lost_replay_and_the_next_are_told() -> None:
    """More came meanwhile than was asked for: what lies between is a gap, told when it is known."""
    state = lost_before_its_replay()
    state.joined({"position": "9-1", "recovered": True, "replayed": 3})
    for number in range(7, 11):
        state.arrived(received(f"{number}-1", f"{number - 1}-1"))
    gaps = [value for value in taken(state) if isinstance(value, Gap)]
    assert gaps == [Gap("c", "3-1", "7-1", "limit")]


def test_events_between_a_lost_replay_and_one_that_broke_off_are_told() -> None:
    """The second replay is lost in the middle: it goes on behind its last event, and the gap before it is told."""
    state = lost_before_its_replay()
    state.joined({"position": "9-1", "recovered": True, "replayed": 3})
    state.arrived(received("7-1", "6-1"))
    state.interrupted("link", "")
    assert state.command(0) == ("subscribe", {"channel": "c", "since": "7-1"})
    state.joined({"position": "9-1", "recovered": True, "replayed": 2})
    state.arrived(received("8-1", "7-1"))
    gaps = [value for value in taken(state) if isinstance(value, Gap)]
    assert gaps == [Gap("c", "3-1", "7-1", "limit")]


def test_log_that_is_gone_after_a_lost_replay_is_told() -> None:
    """There is nothing left of what was promised."""
    state = lost_before_its_replay()
    state.joined({"position": "9-0", "recovered": True, "replayed": 0})
    gaps = [value for value in taken(state) if isinstance(value, Gap)]
    assert gaps == [Gap("c", "3-1", "9-0", "limit")]


def test_replay_lost_twice_is_owed_from_the_first_on() -> None:
    """Nothing came of the second one either: what lies behind the first is owed still."""
    state = lost_before_its_replay()
    state.joined({"position": "9-1", "recovered": True, "replayed": 3})
    state.interrupted("link", "")
    joined(state, position="9-1", recovered=True, replayed=3)
    for number in range(7, 10):
        state.arrived(received(f"{number}-1", f"{number - 1}-1"))
    assert Gap("c", "3-1", "7-1", "limit") in taken(state)


def test_replay_that_broke_off_in_the_middle_owes_nothing() -> None:
    """Its first event says where to go on."""
    state = SubscriptionState("c", last=3)
    joined(state, position="3-1", recovered=True, replayed=3)
    state.arrived(received("1-1", "0-1"))
    state.interrupted("link", "")
    assert state.command(0) == ("subscribe", {"channel": "c", "since": "1-1"})
    state.joined({"position": "9-1", "recovered": True, "replayed": 8})
    state.arrived(received("2-1", "1-1"))
    assert not [value for value in taken(state) if isinstance(value, Gap)]


def test_gap_of_the_edge_ends_an_interruption() -> None:
    """After ``bus.degraded`` and a gap there is no recovery to tell as well."""
    state = SubscriptionState("c")
    joined(state)
    state.interrupted("bus", "")
    state.told_gap({"from": None, "to": "12-1"})
    state.restored()
    assert taken(state) == [Interrupted("c", "bus", ""), Gap("c", None, "12-1", "unknown")]


def test_skipped_for_being_slow_is_one_gap() -> None:
    """What an edge left out is told as it told it, and the newest event behind it is no second gap."""
    state = SubscriptionState("c")
    joined(state)
    state.told_gap({"from": "9-9", "to": "20-1", "reason": "slow"})
    for position, previous in (("20-1", "19-1"), ("21-1", "20-1")):
        state.arrived(received(position, previous))
    gap, *rest = taken(state)
    assert gap == Gap("c", "9-9", "20-1", "slow")
    assert rest == [received("20-1", "19-1"), received("21-1", "20-1")]


def test_known_positions_have_a_bound() -> None:
    """What is remembered to drop repetitions does not grow for ever."""
    state = SubscriptionState("c", limit=100_000)
    joined(state, position="0-0")
    for number in range(1, 6_000):
        state.arrived(received(f"{number}-1", f"{number - 1}-1"))
    state.arrived(received("5999-1", "5998-1"))
    state.arrived(received("2500-1", "2499-1"))
    assert state.sequencer.duplicates == 2
    assert len(state.sequencer._recent) <= 4_096  # noqa: SLF001 (the bound itself)


class Log(RuleBasedStateMachine):
    """A log that grows, is trimmed and loses its end to a failover; an edge that replays it; one subscription."""

    def __init__(self) -> None:
        super().__init__()
        self.chain: list[tuple[str, str]] = []
        self.log: list[tuple[str, str]] = []
        self.number = 0
        self.sent: deque[tuple[str, str]] = deque()
        self.is_connected = self.is_in = False
        self.values: list[Value] = []

    @initialize(limit=st.integers(LEAST_LIMIT, 40))
    def begin(self, limit: int) -> None:
        self.state = SubscriptionState("c", limit=limit)
        self.started = False

    @rule(count=st.integers(1, 12))
    def publish(self, count: int) -> None:
        for _ in range(count):
            self.number += 1
            entry = (f"{self.number}-7", self.log[-1][0] if self.log else "0-0")
            self.log = [*self.log, entry][-KEPT:]
            if self.is_in:
                self.sent.append(entry)

    @precondition(lambda self: len(self.log) > 3)
    @rule(count=st.integers(1, 3))
    def fail_over(self, count: int) -> None:
        """Lose the newest entries; whoever was in the room had them, or is cut."""
        self.cut()
        self.log = self.log[:-count]

    @rule()
    def connect(self) -> None:
        self.is_connected = True
        self.serve()

    @rule()
    def cut(self) -> None:
        if self.is_connected:
            self.is_connected = self.is_in = False
            self.sent.clear()
            self.state.interrupted("link", "cut")

    def serve(self) -> None:
        command = self.state.command(0) if self.is_connected else None
        match command:
            case ("subscribe", {"since": since}):
                self.resume(since)
            case ("subscribe", _):
                assert not self.started
                self.start_at = self.log[-1][0] if self.log else "0-0"
                self.started = self.is_in = True
                self.state.joined({"position": self.start_at})
            case ("unsubscribe", _):
                self.is_in = False
                self.sent.clear()

    def resume(self, since: str) -> None:
        positions = [position for position, _ in self.log]
        end = positions[-1] if positions else "0-0"
        if since in positions:
            missed, reason = self.log[positions.index(since) + 1 :], None
        elif since == "0-0" and (not self.log or self.log[0][1] == "0-0"):
            missed, reason = self.log, None
        else:
            missed, reason = self.log, "trimmed"
        self.sent.clear()
        self.state.joined({"position": end, "recovered": reason is None, "reason": reason, "replayed": len(missed)})
        self.sent.extend(missed)
        self.is_in = True

    @rule(count=st.integers(1, 30), again=st.booleans())
    def deliver(self, count: int, again: bool) -> None:
        for _ in range(min(count, len(self.sent))):
            if not self.sent:
                return
            entry = self.sent.popleft()
            for _ in range(1 + again):
                self.state.arrived(received(*entry))
                self.serve()

    @rule(count=st.integers(1, 40))
    def take(self, count: int) -> None:
        for _ in range(count):
            value = self.state.take()
            if value is not None:
                self.values.append(value)
                self.serve()

    @invariant()
    def is_bounded(self) -> None:
        assert not hasattr(self, "state") or len(self.state.queue) <= 41

    def teardown(self) -> None:
        """Let everything arrive, and judge what the caller was handed."""
        if not hasattr(self, "state"):
            return
        self.connect()
        while self.sent or len(self.state.queue):
            self.deliver(1, again=False)
            self.take(40)
        if self.started:
            self.judge()

    def judge(self) -> None:
        events = [value.position for value in self.values if isinstance(value, Received)]
        assert len(events) == len(set(events)), "twice"
        known, newest, has_gap, was_interrupted = {self.start_at}, 0, False, False
        for value in self.values:
            match value:
                case Gap():
                    has_gap, was_interrupted = True, False
                case Interrupted():
                    assert not was_interrupted
                    was_interrupted = True
                case Recovered():
                    assert was_interrupted
                    was_interrupted = False
                case Received(position=str(position), previous=previous):
                    assert not was_interrupted
                    number = int(position.partition("-")[0])
                    assert has_gap or previous in known, "silent loss"
                    assert has_gap or newest < number, "out of order"  # after a gap comes what there is, older or not
                    newest, has_gap = number, False
                    known.add(position)
        assert not was_interrupted
        assert not self.log or self.log[-1][0] in known, "silent loss at the end"


TestLog = Log.TestCase
TestLog.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, derandomize=True)

import pytest

from bus.channel import LATEST, LIVE, SKIP, Channel, conflate
from bus.envelope import Arrived, splice
from bus.log.log import Head
from edges.protocol.envelope import ENVELOPE, Dialect
from edges.protocol.messages import Notice
from edges.rooms.room import Room
from edges.rooms.slow_consumers import SlowConsumers
from edges.transport.backpressure import StallDetector

NEWEST = Channel("skills", "skills", LATEST, when_slow=SKIP)
CURSOR = Channel("cursor:d", "cursor:d", LIVE, when_slow=conflate("user_id"))
STEPS = Channel("workflow:x", "workflow:x", when_slow=SKIP)
KIB = 1024


class Member:
    direct = direct_joined = None
    dialect: Dialect = ENVELOPE

    def deliver(self, frames: bytes) -> bool:
        return False

    def uncork(self) -> int:
        return 0

    def takes(self, size: int) -> bool:
        return size >= 0

    def recover(self, channel: Channel, position: str) -> None:
        raise AssertionError("it takes all")

    def fail(self) -> None: ...


def moved(user: str, x: int, event: str = "moved") -> bytes:
    return splice(b'{"event":"%b","data":{"user_id":"%b","x":%d}}' % (event.encode(), user.encode(), x), None, None)


def gap(channel: Channel, start: str | None, end: str | None) -> Notice:
    return Notice("room.gap", {"from": start, "to": end, "reason": "slow"}, channel.name)


def lagging(channel: Channel, limit_bytes: int = KIB, position: str | None = None) -> SlowConsumers[str]:
    slow = SlowConsumers[str](channel, limit_bytes)
    slow.add("ada", position)
    return slow


# Whether what waits gets less.


def test_ebb_never_read_is_stuck_since_the_beginning() -> None:
    """Who reads nothing is stuck, whatever is added meanwhile."""
    stall = StallDetector(100, now=0.0)
    for now in range(1, 11):
        stall.add(10)
        assert stall.stuck_s(100 + 10 * now, float(now)) == now


def test_ebb_less_than_ever_begins_anew() -> None:
    """A byte less than the least so far is progress."""
    stall = StallDetector(100, now=0.0)
    assert stall.stuck_s(99, 5.0) == 0.0
    assert stall.stuck_s(99, 9.0) == 4.0


def test_ebb_all_that_waited_has_left() -> None:
    """Who reads as fast as it is written to is not stuck, although as much waits as ever."""
    stall = StallDetector(100, now=0.0)
    stall.add(99)
    assert stall.stuck_s(100, 1.0) == 1.0
    stall.add(1)
    assert stall.stuck_s(100, 2.0) == 0.0
    assert stall.stuck_s(100, 3.0) == 1.0


# What members that lag are given.


def test_skip_gives_the_newest_behind_a_gap() -> None:
    """Of what was left out the newest is given, and the gap before it says from where to where."""
    slow = lagging(STEPS, position="1-1")
    slow.note([b"two"])
    slow.note([b"three", b"four"])
    assert slow.take("ada", "4-4") == [gap(STEPS, "1-1", "4-4"), b"four"]
    assert slow.lost == 2
    assert "ada" not in slow


def test_skip_nothing_missed_is_no_gap() -> None:
    """Who missed nothing is told nothing, and who missed one is given that."""
    slow = lagging(STEPS, position="1-1")
    assert slow.take("ada", "1-1") == []
    slow.add("ada", "1-1")
    slow.note([b"two"])
    assert slow.take("ada", "2-2") == [b"two"]
    assert slow.lost == 0


def test_skip_counts_from_when_each_member_was_left_out() -> None:
    """What came before a member was left out is not given to it again."""
    slow = lagging(STEPS, position="1-1")
    slow.note([b"two", b"three"])
    slow.add("bob", "3-3")
    assert slow.take("bob", "3-3") == []
    assert slow.take("ada", "3-3") == [gap(STEPS, "1-1", "3-3"), b"three"]


def test_skip_over_a_gap_of_the_room_tells_it() -> None:
    """A notice that was left out is told with the rest, also where no line followed."""
    slow = lagging(STEPS, position="1-1")
    slow.note([gap(STEPS, "1-1", "9-9")])
    assert slow.take("ada", "9-9") == [gap(STEPS, "1-1", "9-9")]


def test_conflate_gives_the_newest_of_each_key() -> None:
    """Of each user's positions the newest is given, in the order in which they came, and nothing is told."""
    slow = lagging(CURSOR)
    slow.note([moved("bob", 1), moved("eve", 1), moved("bob", 2), moved("eve", 2), moved("bob", 3)])
    assert slow.take("ada", None) == [moved("eve", 2), moved("bob", 3)]
    assert slow.lost == 3


def test_conflate_keeps_events_of_other_names_apart() -> None:
    """One user's newest move does not replace that user's newest click."""
    slow = lagging(CURSOR)
    slow.note([moved("bob", 1, "clicked"), moved("bob", 2)])
    assert slow.take("ada", None) == [moved("bob", 1, "clicked"), moved("bob", 2)]


def test_conflate_without_the_key_is_a_key_of_its_own() -> None:
    """A line that somebody typed may lack the field, or have it of any type."""
    slow, odd = lagging(CURSOR), splice(b'{"event":"moved","data":{"user_id":["x"]}}', None, None)
    bare = splice(b'{"event":"moved","data":{}}', None, None)
    slow.note([bare, odd, bare])
    assert slow.take("ada", None) == [odd, bare]


@pytest.mark.parametrize(
    "odd", [b"oops", b"[]", b'{"event":"moved","data":{"user_id":' + b"[" * 300 + b"]" * 300 + b"}}"]
)
def test_conflate_a_line_without_any_key_is_left_out_and_told(odd: bytes) -> None:
    """What is no JSON object ends nothing: the others are kept, and who lags hears that something is missing."""
    slow = lagging(CURSOR)
    slow.note([moved("bob", 1), odd, moved("eve", 2)])
    assert slow.take("ada", None) == [gap(CURSOR, None, None), moved("bob", 1), moved("eve", 2)]


def test_conflate_more_keys_than_is_kept_is_told() -> None:
    """What is kept is bounded; of the oldest keys nothing is given then, and the gap says so."""
    slow = lagging(CURSOR, limit_bytes=3 * len(moved("u0", 0)))
    slow.note([moved(f"u{number}", 0) for number in range(9)])
    assert slow.take("ada", None) == [gap(CURSOR, None, None), *(moved(f"u{number}", 0) for number in (6, 7, 8))]


def test_member_that_goes_for_good_counts_what_it_lost() -> None:
    """Who leaves while it lags lost all that was left out; whoever does not lag is ignored."""
    slow = lagging(STEPS)
    slow.note([b"two", b"three"])
    slow.remove("ada")
    slow.remove("ada")
    assert (slow.lost, len(slow)) == (2, 0)


# In a room.


def line(number: int) -> Arrived:
    position, previous = f"{number}-{number}", f"{number - 1}-{number - 1}"
    return Arrived(splice(b'{"n":%d}' % number, position, previous), position, previous)


def opened(channel: Channel) -> tuple[Room, Member]:
    room, member = Room(channel), Member()
    room.begin(Head("1-1", line(1).line))
    room.add(member)
    return room, member


def test_room_chain_goes_on_after_a_gap() -> None:
    """The gap ends where the newest line stands, which is what the next one names as the one before it."""
    room, member = opened(STEPS)
    room.suspend(member)
    for number in (2, 3, 4):
        room.sequencer.accept(line(number))
        room.take()
    assert room.readmit(member) == [gap(STEPS, "1-1", "4-4"), line(4).line]
    room.sequencer.accept(line(5))
    assert room.take() == [line(5).line]
    assert member in room.subscribers[ENVELOPE]


def test_room_line_that_waits_is_not_given_twice() -> None:
    """What waits to be written when a member comes back comes to it anyway."""
    room, member = opened(STEPS)
    room.suspend(member)
    room.sequencer.accept(line(2))
    assert room.readmit(member) == []
    assert room.take() == [line(2).line]


def test_room_member_that_lags_is_in_it() -> None:
    """A room with members that lag is not empty; joining it twice, or leaving it, is as ever."""
    room, member = opened(STEPS)
    room.suspend(member)
    room.add(member)
    assert len(room) == 1
    assert not room.subscribers[ENVELOPE]
    room.remove(member)
    assert len(room) == 0
    assert room.readmit(member) == []


def test_room_suspends_after_a_pass() -> None:
    """In the middle of a pass nobody knows whether the member has had its part: it is left out afterwards."""
    room, member = opened(STEPS)
    room.passes = 1
    room.suspend(member)
    assert member in room.subscribers[ENVELOPE]
    room.end_pass()
    assert member not in room.subscribers[ENVELOPE]
    assert room.readmit(member) == []


def test_room_nobody_lags_keeps_nothing() -> None:
    """What is kept for members that lag goes with the last of them."""
    room, member = opened(NEWEST)
    room.suspend(member)
    room.sequencer.accept(line(2))
    room.take()
    room.readmit(member)
    room.suspend(member)
    assert room.readmit(member) == []
    assert room.lost == 0

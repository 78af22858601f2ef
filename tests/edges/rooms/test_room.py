from collections.abc import Iterable

from bus.channel import HISTORY, LATEST, LIVE, Channel, Retention
from bus.envelope import Arrived, splice
from bus.log.log import Head
from bus.log.replay import Replay
from bus.position import Reason
from edges.protocol.envelope import ENVELOPE, Dialect
from edges.protocol.messages import Notice
from edges.protocol.session_buddy import FLAT
from edges.rooms.room import Room
from edges.rooms.sequencer import Sequencer


class Member:
    direct = direct_joined = None

    def __init__(self, dialect: Dialect = ENVELOPE) -> None:
        self.dialect = dialect

    def deliver(self, frames: bytes) -> bool:
        return False

    def uncork(self) -> int:
        return 0

    def takes(self, size: int) -> bool:
        return size >= 0

    def recover(self, channel: Channel, position: str) -> None:
        raise AssertionError("it takes all")

    def fail(self) -> None: ...


def event(number: int, previous: int | None = None) -> Arrived:
    """Return event ``number`` of a chain; position n-n, previous the one before."""
    before = number - 1 if previous is None else previous
    position, link = f"{number}-{number}", f"{before}-{before}"
    return Arrived(splice(b'{"event":"e","data":{},"n":%d}' % number, position, link), position, link)


def foreign(text: bytes = b"{}") -> Arrived:
    """Return a line that somebody typed."""
    return Arrived(splice(text, None, None), None, None)


def head(number: int) -> Head:
    """Return the end of a log whose last entry is event ``number``."""
    return Head(f"{number}-{number}", event(number).line)


def opened(begins: Head, held: Iterable[Arrived] = (), retention: Retention = HISTORY) -> Sequencer:
    """Return the order of a channel of which ``held`` came before the log was read."""
    room = Sequencer(Channel("workflow:x", "workflow:x", retention))
    for arrived in held:
        room.accept(arrived)
    room.begin(begins)
    return room


def test_begin_stands_at_the_head() -> None:
    """A newcomer stands at the end of the log, and nothing waits for it."""
    room = opened(head(5))
    assert (room.position, room.take()) == ("5-5", [])


def test_line_next_in_the_chain_is_delivered_once() -> None:
    """The next event waits to be written, and a second copy of it is dropped."""
    room = opened(head(5))
    assert room.accept(event(6))
    assert not room.accept(event(6))
    assert room.take() == [event(6).line]
    assert not room.accept(event(6))


def test_line_of_the_head_itself_is_dropped() -> None:
    """An event that the position already includes is not delivered."""
    room = opened(head(5))
    assert not room.accept(event(5))


def test_gap_is_counted_and_held() -> None:
    """What is missing stands in the log, so what came, and what comes after it, waits for it."""
    room = opened(head(5))
    assert not room.accept(event(9))
    assert not room.accept(event(10))
    assert (room.gaps, room.position, room.is_in_sync, room.take()) == (1, "5-5", False, [])


def test_gap_of_a_latest_channel_is_none() -> None:
    """A latest channel never reports a gap."""
    room = opened(head(5), retention=LATEST)
    assert room.accept(event(9))
    assert room.gaps == 0


def test_position_smaller_is_delivered() -> None:
    """Positions are never compared by size: after a failover a smaller one may be the newer."""
    room = opened(head(5))
    assert room.accept(Arrived(b"{}", "2-7", "5-5"))
    room.take()
    assert room.position == "2-7"


def test_first_event_of_a_log_follows_no_log() -> None:
    """Where there was no log, the event whose previous is 0-0 is the next one, and no gap."""
    room = opened(Head("1000-0", None))
    assert room.accept(event(1, 0))
    assert room.gaps == 0


def test_held_before_the_head_is_dropped_and_after_it_moves_the_position() -> None:
    """The head is among the held lines: up to it they were before, those after it are read already."""
    room = opened(head(6), [event(5), event(6), event(7)])
    lines = room.take()
    assert event(5).line not in lines
    assert event(6).line not in lines
    assert not room.accept(event(7))
    assert room.accept(event(8))
    assert room.gaps == 0


def test_held_after_the_head_is_accounted_for() -> None:
    """An event that came between the reading of the log and the opening is either in the position or still to come."""
    room = opened(head(5), [event(6)])
    assert (room.position, room.take()) in [("6-6", []), ("5-5", [event(6).line])]
    assert room.accept(event(7))
    assert room.gaps == 0


def test_held_after_no_log_does_not_silence_the_room() -> None:
    """The first event ever came after the log was found absent: it and what follows count."""
    room = opened(Head("1000-0", None), [event(1, 0)])
    assert (room.position, room.take()) in [("1-1", []), ("1000-0", [event(1, 0).line])]
    assert room.accept(event(2))
    assert room.gaps == 0


def test_held_foreign_does_not_silence_the_room() -> None:
    """A hand-typed line that came while the room opened has no position and changes nothing."""
    for begins, next_one in ((head(5), event(6)), (Head("1000-0", None), event(1, 0))):
        room = opened(begins, [foreign()])
        room.take()
        assert room.accept(next_one)
        assert room.gaps == 0


def test_log_deleted_by_hand_does_not_silence_the_room() -> None:
    """Somebody deleted the log: the next event starts a new chain; that is told, and it is delivered."""
    room = opened(head(5))
    assert not room.accept(event(1, 0))
    room.begin_recovery()
    assert room.recover(Replay((event(1, 0),), Reason.DIVERGED, "1-1"))
    assert room.accept(event(2))
    notice, *lines = room.take()
    assert isinstance(notice, Notice)
    assert (notice.event, notice.room) == ("room.gap", "workflow:x")
    assert notice.data["from"] == "5-5"
    assert lines[-1] == event(2).line


def test_live_channel_has_no_position() -> None:
    """Where there is no log every line is delivered, and nobody stands anywhere."""
    room = opened(Head(None, None), retention=LIVE)
    assert room.accept(foreign(b'{"a":1}'))
    assert room.accept(foreign(b'{"a":1}'))
    assert (room.position, room.latest, len(room.take())) == (None, None, 2)


def test_latest_is_shown_to_newcomers_until_a_newer_one_came() -> None:
    """A newcomer of a latest channel is shown the newest event, wherever it came from."""
    room = opened(head(5), retention=LATEST)
    assert room.latest == event(5).line
    room.accept(event(6))
    room.take()
    assert room.latest == event(6).line


def test_latest_waiting_is_not_shown_as_well() -> None:
    """A newcomer is never given the same event twice: one that waits to be written comes anyway."""
    room = opened(head(5), retention=LATEST)
    room.accept(event(6))
    assert room.latest is None
    assert room.position == "5-5"


def test_latest_of_a_history_channel_is_none() -> None:
    """Only a latest channel shows its last event to newcomers."""
    assert opened(head(5)).latest is None


def test_foreign_line_is_delivered_and_moves_nothing() -> None:
    """A hand-typed line has no position, so the chain goes on behind it."""
    room = opened(head(5))
    assert room.accept(foreign())
    assert room.take() == [foreign().line]
    assert room.position == "5-5"
    assert room.accept(event(6))
    assert room.gaps == 0


def test_duplicate_long_ago_is_known_among_the_recent() -> None:
    """A copy of an event that is not the last one is dropped as well."""
    room = opened(head(5))
    for number in range(6, 106):
        room.accept(event(number))
    assert not room.accept(event(7))
    assert room.gaps == 0


def test_member_added_twice_counts_once() -> None:
    """Joining twice is joining once, and leaving a room never joined is harmless."""
    room = Room(Channel("workflow:x", "workflow:x"))
    member, other = Member(), Member(FLAT)
    room.add(member)
    room.add(member)
    room.add(other)
    assert len(room) == 2
    room.remove(member)
    room.remove(member)
    assert len(room) == 1


def test_member_that_changed_its_dialect_leaves_all_the_same() -> None:
    """A member leaves whatever it spoke when it came."""
    room = Room(Channel("workflow:x", "workflow:x"))
    member = Member(FLAT)
    room.add(member)
    member.dialect = ENVELOPE
    room.remove(member)
    assert len(room) == 0

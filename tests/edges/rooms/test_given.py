"""Lines older than all that a room remembers by name are given to no subscriber a second time (P2), with a gap told."""

from bus.envelope import Arrived, splice
from bus.log.log import Head
from bus.position import BEGINNING
from edges.rooms.recent import RECENT_LINES
from edges.rooms.sequencer import Sequencer
from tests.edges.rooms.test_recovery import at, mend, tail, told
from tests.edges.rooms.test_room import opened

MANY = RECENT_LINES + 50
"""More lines than a room remembers by name."""


def log_of(ids: list[str], *, first: int = 1, previous: str = BEGINNING) -> tuple[Arrived, ...]:
    """Return lines at these positions, each behind the one before, with numbers from ``first`` on."""
    befores = [previous, *ids[:-1]]
    return tuple(
        Arrived(splice(b'{"n":%d}' % number, position, before), position, before)
        for number, (position, before) in enumerate(zip(ids, befores, strict=True), first)
    )


def heard(room: Sequencer, lines: tuple[Arrived, ...]) -> None:
    """Have lines arrive, and written."""
    for line in lines:
        assert room.accept(line)
    room.take()


def room_that_heard(lines: tuple[Arrived, ...]) -> Sequencer:
    """Return a room that opened at the first line, and was given the others."""
    room = opened(Head(at(lines[0]), lines[0].line))
    heard(room, lines[1:])
    return room


def test_takeover_by_an_old_replica_within_one_millisecond_gives_nothing_twice() -> None:
    """With a clock behind, all ids have one millisecond; the replica lacks all that the room remembers by name."""
    lines = log_of([f"1001-{n}" for n in range(1, MANY + 1)])
    room = room_that_heard(lines)
    room.lose_sync()
    assert mend(room, tail(*lines[:20]))
    assert told(room) == [(at(lines[-1]), at(lines[19]), "diverged")]


def test_takeover_by_an_old_replica_gives_what_is_certainly_new() -> None:
    """An id above all that is forgotten was never given, whatever the newest id of the room is."""
    lines = log_of([f"1001-{n}" for n in range(1, MANY + 1)])
    room = room_that_heard(lines)
    room.lose_sync()
    new = log_of([f"1001-{MANY}9"], first=1_000, previous=at(lines[19]))
    assert mend(room, tail(*lines[:20], *new))
    assert told(room) == [(at(lines[-1]), at(new[0]), "diverged"), 1_000]


def test_two_takeovers_by_clocks_behind_give_nothing_twice() -> None:
    """The room stands at an older time than the log of the oldest replica, and that log looks trimmed."""
    old = log_of([f"{ms}-5" for ms in range(1_001, 1_011)])
    room = room_that_heard(old)
    room.lose_sync()
    behind = log_of([f"{ms}-7" for ms in range(1, MANY)], first=100)
    assert mend(room, tail(*behind[:1], epoch_ms=0))
    told(room)
    heard(room, behind[1:])
    room.lose_sync()
    assert mend(room, tail(*old[:4]))
    assert told(room) == [(at(behind[-1]), at(old[3]), "trimmed")]


def test_lines_of_a_log_that_is_gone_make_a_room_give_none_of_the_new_log_twice() -> None:
    """More lines waited for recovery than a room remembers by name, and Redis has begun anew."""
    room = room_that_heard(log_of(["1-5"]))
    gone = log_of([f"{ms}-5" for ms in range(1_000, 1_000 + MANY)])
    for line in gone:
        room.accept(line)
    new = log_of(["9000-3"], first=5_000)
    log = tail(*new, epoch_ms=8_000)
    given = []
    while not room.is_in_sync:
        mend(room, log)
        given += told(room)
    numbers = [item for item in given if isinstance(item, int)]
    assert sorted(numbers) == [*range(1, MANY + 1), 5_000]
    assert room.newest == "9000-3"
    assert given[-1] == (at(gone[-1]), "9000-3", "unknown")


def test_log_that_was_gone_and_is_back_is_not_given_twice() -> None:
    """The log expired, and a replica that has it yet took over: as nobody knows what else it had, a gap is told."""
    lines = log_of([f"{ms}-5" for ms in range(1, MANY)])
    room = room_that_heard(lines)
    room.lose_sync()
    assert mend(room, tail())
    assert told(room) == [(at(lines[-1]), "9000-0", "unknown")]
    heard(room, log_of([f"{ms}-5" for ms in range(9_001, 9_001 + MANY)]))
    room.lose_sync()
    assert mend(room, tail(epoch_ms=0))
    told(room)
    room.lose_sync()
    assert mend(room, tail(*lines[:9]))
    assert told(room) == [("9000-0", at(lines[8]), "unknown")]


def test_room_without_a_log_stands_where_a_clock_behind_says() -> None:
    """Another Redis without the log took over, its clock behind: clients that read there join, and wait for nothing."""
    room = opened(Head("9500-0", None))
    room.lose_sync()
    assert mend(room, tail())
    assert told(room) == []
    assert room.since("9000-0", was_absent=True) == ()
    assert room.position == "9000-0"


def test_subscriber_that_catches_up_alone_is_given_nothing_twice() -> None:
    """The subscriber left at a position; its own lines are told from a log by what the room gave up to there."""
    lines = log_of([f"1001-{n}" for n in range(1, MANY + 1)])
    given = room_that_heard(lines).given_up_to(at(lines[-5]))
    unseen = given.unseen(lines[:20], follow=False)
    assert list(unseen) == []
    assert given.is_in_doubt(lines[:20], unseen)
    assert list(given.unseen(lines, follow=False)) == list(lines[-4:])


def test_subscriber_at_a_position_that_the_room_forgot_is_given_later_ids_alone() -> None:
    """No name is left that leads to its lines: only ids above where it stood, and above older runs, are new."""
    lines = log_of([f"1001-{n}" for n in range(1, MANY + 1)])
    given = room_that_heard(lines).given_up_to(at(lines[2]))
    assert list(given.unseen(lines, follow=False)) == list(lines[3:])
    assert list(given.unseen(lines[3:], follow=True)) == list(lines[3:])

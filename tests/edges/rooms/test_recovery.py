"""A room that misses something: what is read from the log is given in its place, what cannot be had is told there."""

import pytest

from bus.channel import LATEST
from bus.envelope import Arrived, splice
from bus.log.log import Head
from bus.log.replay import Replay, Since, Tail
from bus.position import BEGINNING
from edges.protocol.messages import Notice
from edges.rooms import sequencer
from edges.rooms.recent import RECENT_LINES
from edges.rooms.sequencer import PENDING_LINES, Sequencer
from tests.edges.rooms.test_room import event, foreign, head, opened

Told = int | str | tuple[str, str | None, str]


def chain(first: int, last: int) -> tuple[Arrived, ...]:
    return tuple(event(number) for number in range(first, last + 1))


def other(number: int, previous: int) -> Arrived:
    """Return an event of another Redis: the salt differs."""
    position, link = f"{number}-9", f"{previous}-{previous}" if previous < 100 else f"{previous}-9"
    return Arrived(splice(b'{"n":%d}' % number, position, link), position, link)


def tail(*lines: Arrived, epoch_ms: int = 0, is_cut: bool = False) -> Tail:
    """Return a log that holds these lines."""
    if not lines:
        return Tail(9_000, epoch_ms, (), None, None, BEGINNING, is_cut)
    return Tail(
        9_000, epoch_ms, lines, "0-1" if is_cut else lines[0].position, lines[0].previous, at(lines[-1]), is_cut
    )


def at(line: Arrived) -> str:
    assert line.position is not None
    return line.position


def mend(room: Sequencer, log: Tail) -> bool:
    """Read the log now, and go on from it, as the hub does."""
    return room.recover(log.replay(Since(room.begin_recovery() or "")))


def told(room: Sequencer) -> list[Told]:
    """Return what waits: numbers of events, `typed`, and gaps as (from, to, reason)."""
    return [_told(item) for item in room.take()]


def _told(item: bytes | Notice) -> Told:
    if isinstance(item, Notice):
        assert (item.event, item.room) == ("room.gap", "workflow:x")
        return item.data["from"], item.data["to"], item.data["reason"]
    return "typed" if b'"position":null' in item else int(item.rpartition(b":")[2][:-1])


def test_gap_is_filled_in_the_order_of_the_log() -> None:
    """What is missing stands in the log: members get it, and then what was held, each once."""
    room = opened(head(5))
    room.accept(event(9))
    room.accept(event(10))
    assert mend(room, tail(*chain(1, 10)))
    assert told(room) == [6, 7, 8, 9, 10]
    assert room.accept(event(11))
    assert (room.position, room.gaps, room.repaired) == ("10-10", 1, 3)


def test_held_lines_newer_than_the_log_that_was_read_follow_it() -> None:
    """The log is read while lines go on to arrive; those it has are given once, the others after it."""
    room = opened(head(5))
    room.accept(event(8))
    room.accept(event(9))
    start = Since(room.begin_recovery() or "")
    room.accept(event(10))
    room.accept(event(11))
    assert room.recover(tail(*chain(3, 9)).replay(start))
    assert told(room) == [6, 7, 8, 9, 10, 11]


def test_duplicates_among_the_held_are_dropped() -> None:
    """A copy of what members had, or of what is held, is given to nobody."""
    room = opened(head(5))
    room.accept(event(6))
    assert told(room) == [6]
    for number in (9, 6, 9, 10, 10, 8):
        room.accept(event(number))
    assert mend(room, tail(*chain(1, 10)))
    assert told(room) == [7, 8, 9, 10]


def test_typed_lines_do_not_wait_for_what_is_missing() -> None:
    """A hand-typed line has no place in the log: it is given at once, and the others in their order as they come."""
    room = opened(head(5))
    for line in (event(8), foreign(), event(9), foreign(), event(10), event(11)):
        assert room.accept(line) == (line.position is None)
    assert told(room) == ["typed", "typed"]
    assert mend(room, tail(*chain(1, 11)))
    assert told(room) == [6, 7, 8, 9, 10, 11]


def test_typed_lines_stand_before_what_was_read_where_nothing_was_written_yet() -> None:
    """A line that waits to be written is given before what the log had; the position is that of the log's line."""
    room = opened(head(5))
    room.lose_sync()
    for line in (foreign(), event(5), foreign(), event(6)):
        room.accept(line)
    assert room.position == "5-5"
    assert mend(room, tail(*chain(1, 6)))
    assert room.position == "5-5"
    assert told(room) == ["typed", "typed", 6]
    assert room.position == "6-6"


def test_trimmed_log_is_told_and_what_there_is_follows() -> None:
    """What the log lost is told in its place: from where members stood to what comes next."""
    room = opened(head(5))
    room.accept(event(9))
    assert mend(room, tail(*chain(8, 9)))
    assert told(room) == [("5-5", "8-8", "trimmed"), 8, 9]
    assert room.accept(event(10))


def test_more_than_a_replay_may_hold_is_told() -> None:
    """The limit of one replay is told as a reason of its own."""
    room = opened(head(5))
    room.accept(event(30))
    assert mend(room, tail(*chain(20, 30), is_cut=True))
    assert told(room) == [("5-5", "20-20", "limit"), *range(20, 31)]


def test_held_lines_lead_up_to_what_was_read() -> None:
    """More may be held than one read gives: what is held before it comes before it, and if it is all, none is told."""
    room = opened(head(5))
    room.lose_sync()
    for number in range(6, 31):
        room.accept(event(number))
    assert mend(room, tail(*chain(20, 30), is_cut=True))
    assert told(room) == list(range(6, 31))
    room.accept(event(33))
    for number in range(34, 50):
        room.accept(event(number))
    assert mend(room, tail(*chain(40, 49), is_cut=True))
    assert told(room) == [("30-30", "33-33", "limit"), *range(33, 50)]


def test_more_than_can_be_held_is_read() -> None:
    """Of more than fit the newest are held; the others stand in the log, and nothing is doubled or out of order."""
    room = opened(head(5))
    newest = 8 + PENDING_LINES + 500
    for number in range(8, newest + 1):
        room.accept(event(number))
    assert mend(room, tail(*chain(1, newest)))
    assert told(room) == list(range(6, newest + 1))


def large(number: int, size: int = 1_000) -> Arrived:
    """Return event ``number`` with a line of some size."""
    line = event(number)
    return Arrived(splice(b'{"t":"%b","n":%d}' % (b"x" * size, number), line.position, line.previous), *names(line))


def names(line: Arrived) -> tuple[str | None, str | None]:
    return line.position, line.previous


def test_held_lines_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of large lines fewer are held; the oldest go, stand in the log and are read, and nothing is doubled."""
    monkeypatch.setattr(sequencer, "PENDING_BYTES", 10_000)
    room = opened(head(5))
    for number in range(8, 100):
        room.accept(large(number))
    assert 5_000 < room.pending_bytes <= 10_000
    lines = [*chain(1, 5), *(large(number) for number in range(6, 100))]
    assert mend(room, tail(*lines))
    assert told(room) == list(range(6, 100))
    assert room.pending_bytes == 0


def test_held_lines_are_bounded_in_bytes_between_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a read did not have is held on, and counts; the newest line is held however large it is."""
    monkeypatch.setattr(sequencer, "PENDING_BYTES", 10_000)
    room = opened(head(5))
    room.lose_sync()
    start = Since(room.begin_recovery() or "")
    for number in range(8, 14):
        room.accept(large(number))
    assert not room.recover(tail(*chain(1, 5)).replay(start))
    assert 6_000 < room.pending_bytes < 7_000
    room.accept(large(14, 50_000))
    assert room.pending_bytes > 50_000
    assert mend(room, tail(*chain(1, 7), *(large(number) for number in range(8, 15))))
    assert told(room) == list(range(6, 15))


def test_more_than_can_be_held_or_read_is_told() -> None:
    """What neither fits nor stands in the log any more is told once, in its place."""
    room = opened(head(5))
    newest = 8 + PENDING_LINES + 500
    for number in range(8, newest + 1):
        room.accept(event(number))
    oldest = newest - PENDING_LINES + 1
    assert mend(room, tail(*chain(newest - 99, newest)))
    assert told(room) == [("5-5", f"{oldest}-{oldest}", "trimmed"), *range(oldest, newest + 1)]


def test_another_redis_goes_on_behind_the_common_ancestor() -> None:
    """Members had 4 and 5, which this Redis never had: they are told, get what is new, and nothing again."""
    room = opened(head(1))
    for number in (2, 3, 4, 5):
        room.accept(event(number))
    room.take()
    room.accept(other(101, 100))
    fork = (*chain(1, 3), other(100, 3), other(101, 100))
    assert mend(room, tail(*fork))
    assert told(room) == [("5-5", "100-9", "diverged"), 100, 101]
    assert room.accept(other(102, 101))


def test_another_redis_that_has_nothing_new() -> None:
    """The ancestor is the end of the log: that members had more is told, and what comes next follows."""
    room = opened(head(1))
    for number in (2, 3, 4, 5):
        room.accept(event(number))
    room.take()
    room.lose_sync()
    assert mend(room, tail(*chain(1, 3)))
    assert told(room) == [("5-5", "3-3", "diverged")]
    assert room.accept(other(100, 3))
    assert told(room) == [100]


def test_another_redis_without_a_common_ancestor_gives_what_is_later() -> None:
    """A room that remembers nothing takes what is not older than where it stands."""
    room = opened(head(5))
    room.lose_sync()
    assert mend(room, tail(*chain(1, 4), other(100, 4)))
    assert told(room) == [("5-5", "100-9", "diverged"), 100]


def test_lines_of_the_redis_before_are_given_with_a_gap_told_on_either_side() -> None:
    """The last lines before a failover were held; the log lacks them: nothing is lost, and nothing is given twice."""
    room = opened(head(1))
    room.accept(event(2))
    room.take()
    room.accept(event(5))
    fork = (*chain(1, 2), other(100, 2), other(101, 100))
    assert not mend(room, tail(*fork))
    assert told(room) == [100, 101]
    assert not mend(room, tail(*fork))
    assert told(room) == [("101-9", "5-5", "unknown"), 5]
    room.accept(other(102, 101))
    assert mend(room, tail(*fork, other(102, 101)))
    assert told(room) == [("5-5", "102-9", "diverged"), 102]
    assert room.accept(other(103, 102))


def test_lines_that_the_log_lost_are_given_before_later_ones() -> None:
    """The log expired between two held lines: the one that it lacks comes first, with gaps told around it."""
    room = opened(head(5))
    room.accept(event(7))
    room.accept(event(8, 0))
    room.accept(event(9))
    begun = tuple(Arrived(line.line, line.position, BEGINNING) for line in chain(8, 8))
    assert mend(room, tail(*begun, event(9)))
    assert told(room) == [("5-5", "7-7", "unknown"), 7, ("7-7", "8-8", "diverged"), 8, 9]
    assert room.accept(event(10))


def test_lines_that_the_log_lost_are_given_behind_those_that_both_logs_have() -> None:
    """5 and 6 came to neither link, 7 and 8 died with the Redis before: all of them in the order of that one's log."""
    room = opened(head(4))
    for line in (event(7), event(8), other(101, 100)):
        room.accept(line)
    assert mend(room, tail(*chain(1, 6), other(100, 6), other(101, 100)))
    assert told(room) == [5, 6, 7, 8, ("8-8", "100-9", "diverged"), 100, 101]
    assert [fork.position for fork in room.forks.unmarked] == ["6-6"]
    assert room.accept(other(102, 101))


def test_lines_that_two_logs_lost_are_given_each_in_its_place() -> None:
    """Two takeovers, each with lines that the next one lacks; 6 and 7 nobody has: gaps are told where they are."""
    room = opened(head(4))
    for line in (event(8), other(100, 5), other(101, 100), other(201, 200)):
        room.accept(line)
    assert mend(room, tail(*chain(1, 5), other(100, 5), other(200, 100), other(201, 200)))
    expected = [5, ("5-5", "8-8", "unknown"), 8, ("8-8", "100-9", "diverged"), 100]
    assert told(room) == [*expected, 101, ("101-9", "200-9", "diverged"), 200, 201]
    assert [fork.position for fork in room.forks.unmarked] == ["5-5", "100-9"]


def test_redis_that_is_empty_is_told_as_unknown() -> None:
    """No log: members are told where they were, and where they are now; the first event of the new log follows."""
    room = opened(head(5))
    room.lose_sync()
    assert mend(room, tail(epoch_ms=8_000))
    assert told(room) == [("5-5", "9000-0", "unknown")]
    assert room.accept(Arrived(b"{}", "9100-3", BEGINNING))


def test_room_without_a_log_on_another_redis_is_told() -> None:
    """A room in which nothing was yet may have missed something that died with the Redis before."""
    room = opened(Head("1000-0", None))
    room.lose_sync()
    assert mend(room, tail(epoch_ms=8_000))
    assert told(room) == [("1000-0", "9000-0", "unknown")]


def test_room_without_a_log_gets_all_of_one_that_a_clock_behind_wrote() -> None:
    """There was no log at 1000-0; all that is in it now is new, whatever its ids say."""
    room = opened(Head("1000-0", None))
    room.accept(event(702))
    first = Arrived(event(701).line, "701-701", BEGINNING)
    assert mend(room, tail(first, event(702)))
    assert told(room) == [701, 702]


def test_line_that_the_log_lacks_is_given_behind_a_gap() -> None:
    """A line that was held before the log was read, and is not in it, is no reason to wait for ever."""
    room = opened(head(5))
    room.accept(event(9))
    room.accept(event(10))
    assert not mend(room, tail(*chain(1, 5)))
    assert told(room) == [("5-5", "9-9", "unknown"), 9, 10]
    assert mend(room, tail(*chain(1, 5)))
    assert told(room) == [("10-10", "5-5", "diverged")]
    assert room.accept(event(11, 5))


def test_line_that_the_log_lost_and_the_link_repeated_is_given_once() -> None:
    """Copies are pending, and the log has none of them."""
    room = opened(head(5))
    for line in (event(8, 0), event(8, 0), event(9, 0)):
        room.accept(line)
    mend(room, tail(event(9, 0)))
    assert [item for item in told(room) if isinstance(item, int)] == [8, 9]


def test_line_that_follows_what_was_read_and_that_the_log_lacks_is_a_fork() -> None:
    """A replica took over without the newest line, which was held: the chain is whole here, and others learn."""
    room = opened(head(1))
    room.accept(event(3))
    assert not mend(room, tail(*chain(1, 2)))
    assert told(room) == [2, 3]
    assert mend(room, tail(*chain(1, 2)))
    assert told(room) == [("3-3", "2-2", "diverged")]
    assert room.newest == "2-2"
    assert [fork.position for fork in room.forks.unmarked] == ["2-2"]


def test_line_of_a_log_that_is_gone_follows_no_absence() -> None:
    """Its log was deleted, or is that of the Redis before: what else that held is told behind the line, too."""
    room = opened(head(5))
    room.accept(event(6, 0))
    assert not mend(room, tail(epoch_ms=8_000))
    assert told(room) == [("5-5", "9000-0", "unknown"), ("9000-0", "6-6", "unknown"), 6]
    assert mend(room, tail(epoch_ms=8_000))
    assert told(room) == [("6-6", "9000-0", "unknown")]
    assert room.accept(Arrived(b"{}", "9100-3", BEGINNING))


def test_line_that_came_while_the_log_was_read_is_not_given_up() -> None:
    """What came after the reading began may stand in a log that is read later: no gap is told before."""
    room = opened(head(5))
    room.lose_sync()
    start = Since(room.begin_recovery() or "")
    room.accept(event(8))
    assert not room.recover(tail(*chain(1, 5)).replay(start))
    assert room.take() == []
    assert mend(room, tail(*chain(1, 8)))
    assert told(room) == [6, 7, 8]


def test_log_read_before_the_room_became_suspect_again_changes_nothing() -> None:
    """The link was lost while the log was read: what that read says is not what is missing now."""
    room = opened(head(5))
    room.lose_sync()
    start = Since(room.begin_recovery() or "")
    room.lose_sync()
    assert not room.recover(tail(*chain(1, 5)).replay(start))
    assert not room.is_in_sync
    assert mend(room, tail(*chain(1, 7)))
    assert told(room) == [6, 7]


def test_more_came_while_a_room_opened_than_can_be_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not follow from the head is read from the log, though no further event comes."""
    monkeypatch.setattr(sequencer, "PENDING_LINES", 3)
    room = opened(head(5), chain(6, 12))
    assert not room.is_in_sync
    assert mend(room, tail(*chain(1, 12)))
    assert room.position == "5-5"
    assert told(room) == [6, 7, 8, 9, 10, 11, 12]


def test_since_across_a_told_gap_is_not_remembered() -> None:
    """Whoever stands before a gap is not given what follows it as if nothing lay between."""
    room = opened(head(5))
    room.accept(event(6))
    room.accept(event(20))
    assert mend(room, tail(*chain(18, 20)))
    room.take()
    assert room.since("5-5") is None
    assert room.since("6-6") is None
    assert room.since("17-17") == tuple(chain(18, 20))
    assert room.since("20-20") == ()


def test_since_leaves_out_what_still_waits() -> None:
    """A newcomer gets what waits anyway; hand-typed lines among it change nothing."""
    room = opened(head(5))
    for number in (6, 7):
        room.accept(event(number))
    room.take()
    for line in (foreign(), event(8), foreign()):
        room.accept(line)
    assert room.since("5-5") == tuple(chain(6, 7))
    assert room.since("7-7") == ()
    assert room.since("8-8") is None


def test_since_of_a_told_gap_that_still_waits_is_not_remembered() -> None:
    """While the notice waits a newcomer stands before it, or is not let in."""
    room = opened(head(5))
    room.accept(event(6))
    room.take()
    room.accept(event(20))
    mend(room, tail(*chain(18, 20)))
    assert room.position == "6-6"
    assert room.since("6-6") == ()
    assert room.since("5-5") is None
    assert room.since("18-18") is None


def test_since_forgets_what_is_long_ago() -> None:
    """A room keeps its last 256 lines, and no more than a mebibyte of them."""
    room = opened(head(5))
    for number in range(6, 6 + RECENT_LINES + 1):
        room.accept(event(number))
    room.take()
    assert room.since("5-5") is None
    assert len(room.since("6-6") or ()) == RECENT_LINES
    large = splice(b'{"t":"' + b"x" * 600_000 + b'"}', "900-1", room.position)
    room.accept(Arrived(large, "900-1", room.position))
    room.accept(Arrived(large, "901-1", "900-1"))
    room.take()
    assert room.since("6-6") is None
    assert len(room.since("900-1") or ()) == 1


def test_since_where_there_was_no_log() -> None:
    """Who read that there is no log stands where a room without one stands, and gets the first events ever."""
    room = opened(Head("1000-0", None))
    assert room.since("2000-0") is None
    assert room.since("2000-0", was_absent=True) == ()
    assert room.since("900-0", was_absent=True) is None
    first = Arrived(b"{}", "2100-3", BEGINNING)
    room.accept(first)
    room.accept(Arrived(b"{}", "2101-3", "2100-3"))
    room.take()
    assert [line.position for line in room.since("2000-0", was_absent=True) or ()] == ["2100-3", "2101-3"]
    assert room.since("2000-0") is None


@pytest.mark.parametrize("epoch_ms", [0, 8_000])
def test_latest_channel_never_tells_a_gap(epoch_ms: int) -> None:
    """The newest event stands for all before it, whatever happened to the log."""
    room = opened(head(5), retention=LATEST)
    room.lose_sync()
    assert mend(room, tail(event(9), epoch_ms=epoch_ms))
    assert told(room) == [9]
    assert (room.latest, room.position) == (event(9).line, "9-9")
    room.lose_sync()
    assert mend(room, tail(epoch_ms=8_000))
    assert told(room) == []


def test_latest_channel_that_went_back_is_told_and_shown() -> None:
    """A replica took over that lacks the newest event: what it has is the latest again, for all, behind a gap."""
    room = opened(head(4), retention=LATEST)
    room.accept(event(5))
    room.take()
    room.lose_sync()
    assert mend(room, tail(event(4)))
    assert told(room) == [("5-5", "4-4", "diverged"), 4]
    assert (room.latest, room.position, room.forks.unmarked) == (event(4).line, "4-4", ())
    room.lose_sync()
    assert mend(room, tail(event(4)))
    assert told(room) == []


def test_latest_channel_is_given_nothing_older_than_what_was_read() -> None:
    """What is held was before the newest event, or after it; before it is of no use any more."""
    room = opened(head(5), retention=LATEST)
    room.lose_sync()
    for number in (6, 7, 8, 9):
        room.accept(event(number))
    assert mend(room, tail(event(8)))
    assert told(room) == [8, 9]
    assert room.latest == event(9).line
    room.lose_sync()
    room.accept(event(10))
    assert mend(room, tail(event(11)))
    assert not room.accept(event(11))
    assert told(room) == [11]
    assert room.latest == event(11).line


def test_replay_of_a_room_that_is_whole_changes_nothing() -> None:
    """Only a room that asked is mended."""
    room = opened(head(5))
    assert room.recover(Replay((event(6),), None, "6-6"))
    assert (room.take(), room.position) == ([], "5-5")


def test_room_astray_is_asked_about_again_though_a_line_followed() -> None:
    """A line that no log has was given up on, and one came behind it after the read: the log may end before both."""
    room = opened(head(5))
    room.accept(event(8))
    start = Since(room.begin_recovery() or "")
    room.accept(event(9))
    assert not room.recover(tail(*chain(1, 5)).replay(start))
    assert told(room) == [("5-5", "8-8", "unknown"), 8, 9]
    assert not room.is_in_sync
    assert mend(room, tail(*chain(1, 5), other(100, 5)))
    assert told(room) == [("9-9", "100-9", "diverged"), 100]

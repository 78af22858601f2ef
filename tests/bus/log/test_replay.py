from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bus.envelope import Arrived
from bus.log.forks import Fork
from bus.log.replay import Last, Since, SinceTime, Start, Tail, parse_since
from bus.position import BEGINNING, Reason

NOW_MS = 10_000


def entry(number: int, previous: int | None = None) -> Arrived:
    """Return event ``number``: at n00-n, after the one before."""
    before = number - 1 if previous is None else previous
    return Arrived(b"%d" % number, at(number), at(before) if before else BEGINNING)


def at(number: int) -> str:
    return f"{number}00-{number}"


def tail(first: int, last: int, *, begins: int | None = None, epoch_ms: int = 50) -> Tail:
    """Return events ``first`` to ``last`` of a log that begins with ``begins``; what lies between was cut off."""
    begin = entry(first if begins is None else begins)
    lines = tuple(entry(number) for number in range(first, last + 1))
    return Tail(NOW_MS, epoch_ms, lines, begin.position, begin.previous, at(last), is_cut=begins is not None)


NO_LOG = Tail(NOW_MS, 50, (), None, None, BEGINNING, is_cut=False)
EMPTIED = Tail(NOW_MS, 50, (), None, None, at(5), is_cut=False)
WHOLE, TRIMMED, CUT, CUT_TRIMMED = tail(1, 5), tail(3, 5), tail(3, 5, begins=1), tail(4, 5, begins=2)


@pytest.mark.parametrize(
    ("read", "start", "numbers", "reason"),
    [
        pytest.param(WHOLE, Since(at(2)), [3, 4, 5], None, id="after an entry"),
        pytest.param(WHOLE, Since(at(5)), [], None, id="after the last entry"),
        pytest.param(WHOLE, Since("50-0"), [1, 2, 3, 4, 5], None, id="there was no log"),
        pytest.param(WHOLE, Since("350-0"), [1, 2, 3, 4, 5], None, id="there was no log, by a clock ahead"),
        pytest.param(WHOLE, Since("200-9"), [1, 2, 3, 4, 5], Reason.DIVERGED, id="between two entries"),
        pytest.param(WHOLE, Since("501-1"), [1, 2, 3, 4, 5], Reason.DIVERGED, id="past the end"),
        pytest.param(WHOLE, Since("60-1"), [1, 2, 3, 4, 5], Reason.TRIMMED, id="before a log that knows no such thing"),
        pytest.param(WHOLE, Since("49-1"), [1, 2, 3, 4, 5], Reason.UNKNOWN, id="before this Redis began"),
        pytest.param(TRIMMED, Since(at(2)), [3, 4, 5], None, id="trimmed up to it"),
        pytest.param(TRIMMED, Since(at(1)), [3, 4, 5], Reason.TRIMMED, id="trimmed past it"),
        pytest.param(
            TRIMMED, Since("50-0"), [3, 4, 5], Reason.TRIMMED, id="there was no log, and its beginning is gone"
        ),
        pytest.param(CUT, Since(at(3)), [4, 5], None, id="cut, and within"),
        pytest.param(CUT, Since(at(2)), [3, 4, 5], None, id="cut right behind it"),
        pytest.param(CUT, Since(at(1)), [3, 4, 5], Reason.LIMIT, id="cut past it"),
        pytest.param(CUT, Since("50-0"), [3, 4, 5], Reason.LIMIT, id="there was no log, and too much came"),
        pytest.param(CUT, Since("350-0"), [3, 4, 5], Reason.LIMIT, id="the same, by a clock ahead"),
        pytest.param(CUT, Since("49-1"), [3, 4, 5], Reason.UNKNOWN, id="cut, and before this Redis began"),
        pytest.param(CUT, Since("400-1"), [3, 4, 5], Reason.DIVERGED, id="cut, and between two entries"),
        pytest.param(CUT_TRIMMED, Since(at(1)), [4, 5], Reason.LIMIT, id="cut and trimmed"),
        pytest.param(NO_LOG, Since(at(3)), [], Reason.UNKNOWN, id="no log"),
        pytest.param(NO_LOG, Since("300-0"), [], None, id="no log, then nor now"),
        pytest.param(EMPTIED, Since(at(5)), [], None, id="emptied, and at its end"),
        pytest.param(EMPTIED, Since(at(4)), [], Reason.TRIMMED, id="emptied"),
        pytest.param(WHOLE, SinceTime(200), [2, 3, 4, 5], None, id="from a time on"),
        pytest.param(WHOLE, SinceTime(9_700, is_span=True), [3, 4, 5], None, id="a span back from Redis' now"),
        pytest.param(WHOLE, SinceTime(60), [1, 2, 3, 4, 5], None, id="from before the first ever"),
        pytest.param(WHOLE, SinceTime(10), [1, 2, 3, 4, 5], Reason.UNKNOWN, id="from before this Redis began"),
        pytest.param(WHOLE, SinceTime(10**9, is_span=True), [1, 2, 3, 4, 5], None, id="a span past 1970"),
        pytest.param(TRIMMED, SinceTime(10**9, is_span=True), [3, 4, 5], Reason.TRIMMED, id="a long span of the rest"),
        pytest.param(CUT, SinceTime(10**9, is_span=True), [3, 4, 5], Reason.LIMIT, id="a long span past the cut"),
        pytest.param(NO_LOG, SinceTime(10**9, is_span=True), [], None, id="a long span, no log"),
        pytest.param(WHOLE, SinceTime(NOW_MS * 9), [], None, id="from a time to come"),
        pytest.param(TRIMMED, SinceTime(200), [3, 4, 5], Reason.TRIMMED, id="from before what is kept"),
        pytest.param(TRIMMED, SinceTime(301), [4, 5], None, id="from within what is kept"),
        pytest.param(CUT, SinceTime(200), [3, 4, 5], Reason.LIMIT, id="from before the cut"),
        pytest.param(CUT, SinceTime(301), [4, 5], None, id="from behind the cut"),
        pytest.param(NO_LOG, SinceTime(300), [], None, id="from a time on, no log"),
        pytest.param(EMPTIED, SinceTime(300), [], Reason.TRIMMED, id="from a time on, emptied"),
        pytest.param(WHOLE, Last(2), [4, 5], None, id="the last two"),
        pytest.param(WHOLE, Last(0), [], None, id="none of the last"),
        pytest.param(WHOLE, Last(9), [1, 2, 3, 4, 5], None, id="more than there are"),
        pytest.param(CUT, Last(3), [3, 4, 5], None, id="as many as are left"),
        pytest.param(CUT, Last(4), [3, 4, 5], Reason.LIMIT, id="more than may be given"),
        pytest.param(NO_LOG, Last(3), [], None, id="the last of no log"),
    ],
)
def test_replay_gives_what_follows_and_says_whether_that_is_all(
    read: Tail, start: Start, numbers: list[int], reason: Reason | None
) -> None:
    """A reader gets what follows its start, oldest first, and the reason if events may be missing before it."""
    replay = read.replay(start)
    assert [int(line.line) for line in replay.lines] == numbers
    assert replay.reason is reason


@pytest.mark.parametrize(
    ("start", "began"),
    [
        pytest.param(SinceTime(NOW_MS - 50, is_span=True), None, id="a span to the beginning"),
        pytest.param(SinceTime(NOW_MS - 49, is_span=True), "1970-01-01T00:00:00.050+00:00", id="a longer span"),
        pytest.param(SinceTime(49), "1970-01-01T00:00:00.050+00:00", id="an earlier time"),
        pytest.param(SinceTime(50), None, id="the time of the beginning"),
        pytest.param(Since("49-1"), None, id="an earlier position"),
        pytest.param(Last(9), None, id="a number"),
    ],
)
def test_replay_says_when_this_redis_began(start: Start, began: str | None) -> None:
    """A window that reaches past the epoch is answered with the epoch, as the time from which the log is known."""
    assert WHOLE.replay(start).began == began


def test_reader_stands_at_the_end_of_the_log() -> None:
    """After a replay a reader stands at the last id, or at Redis' time where there is no log."""
    assert {read.replay(Last(1)).position for read in (WHOLE, TRIMMED, CUT, EMPTIED)} == {at(5)}
    assert NO_LOG.replay(Last(1)).position == f"{NOW_MS}-0"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1795434311852-3751705067", Since("1795434311852-3751705067")),
        ("0-0", Since("0-0")),
        ("5-0", Since("5-0")),
        ("-15m", SinceTime(900_000, is_span=True)),
        ("-1ms", SinceTime(1, is_span=True)),
        ("-30s", SinceTime(30_000, is_span=True)),
        ("-2h", SinceTime(7_200_000, is_span=True)),
        ("-1d", SinceTime(86_400_000, is_span=True)),
        ("-0s", SinceTime(0, is_span=True)),
        ("1970-01-01T00:00:01+00:00", SinceTime(1_000)),
        ("1970-01-01T01:00:01.5+01:00", SinceTime(1_500)),
        ("1970-01-01T00:00:02Z", SinceTime(2_000)),
        ("1969-12-31T00:00:00+00:00", SinceTime(0)),
    ],
)
def test_since_is_a_position_a_time_or_a_span(text: str, expected: Since | SinceTime) -> None:
    """Each form of the protocol is understood."""
    assert parse_since(text) == expected


def test_since_is_the_time_that_events_carry() -> None:
    """A timestamp of an event, as it is written, can be given back."""
    moment = datetime(2026, 11, 23, 12, 0, 0, 123_000, tzinfo=UTC)
    assert parse_since(moment.isoformat()) == SinceTime(int(moment.timestamp() * 1000))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "15m",
        "-15",
        "-15 m",
        "-15M",
        "--15m",
        "-1.5h",
        "-1234567890s",
        "-m",
        "1-",
        "1-2-3",
        "yesterday",
        "2026-11-23T12:00:00",
        "2026-11-23",
        "12:00:00+00:00",
        "2026-13-01T00:00:00+00:00",
        "-15m\n",
        "\u0661-\u0662",
        "$",
    ],
)
def test_since_of_another_form_is_refused_with_the_forms(text: str) -> None:
    """A time without an offset, a span without a minus and everything else is refused, and the forms are shown."""
    with pytest.raises(ValueError, match=r"offset.*-15m"):
        parse_since(text)


@pytest.mark.parametrize(
    ("start", "numbers", "reason"),
    [
        pytest.param(Since(at(2)), [3, 4, 5], Reason.DIVERGED, id="before the fork"),
        pytest.param(Since(at(3)), [4, 5], Reason.DIVERGED, id="on it"),
        pytest.param(Since(at(4)), [5], Reason.DIVERGED, id="behind it, and it came back from before that was known"),
        pytest.param(Since(at(4), has_stayed=True), [5], None, id="behind it, and it stayed"),
        pytest.param(Since("50-0"), [1, 2, 3, 4, 5], Reason.DIVERGED, id="there was no log"),
        pytest.param(Since("49-1"), [1, 2, 3, 4, 5], Reason.UNKNOWN, id="another reason comes first"),
        pytest.param(SinceTime(900), [], Reason.DIVERGED, id="a time before it was found"),
        pytest.param(SinceTime(901), [], None, id="a time after"),
        pytest.param(Last(3), [3, 4, 5], Reason.DIVERGED, id="the last, of both sides"),
        pytest.param(Last(1), [5], None, id="the last, behind it"),
    ],
)
def test_reader_across_a_fork_is_told(start: Start, numbers: list[int], reason: Reason | None) -> None:
    """Events were lost behind the third one: who passes that place gets what there is, and is told."""
    replay = replace(WHOLE, forks=(Fork(at(3), 900),)).replay(start)
    assert [int(line.line) for line in replay.lines] == numbers
    assert replay.reason is reason


@pytest.mark.parametrize(
    ("start", "forks", "places", "gap_after"),
    [
        pytest.param(Since(at(2)), [3], [3], 3, id="in the middle"),
        pytest.param(Since(at(2)), [5], [5], 5, id="at the end"),
        pytest.param(Since(at(3)), [3], [], None, id="in front"),
        pytest.param(Since(at(2)), [2, 4], [4], None, id="in front and in the middle"),
        pytest.param(Since(at(1)), [4, 2], [2, 4], 2, id="two, whatever their order"),
        pytest.param(Since(at(2)), [1], [], None, id="before"),
        pytest.param(Since("49-1"), [3], [3], None, id="behind another gap"),
        pytest.param(Since("501-1"), [3], [], None, id="where this log never was"),
        pytest.param(Last(3), [3], [3], 3, id="the last, of both sides"),
        pytest.param(SinceTime(250), [3], [3], 3, id="a time"),
        pytest.param(SinceTime(350), [3], [], None, id="a time before it was found, and its place is not in it"),
    ],
)
def test_fork_stands_in_its_place(start: Start, forks: list[int], places: list[int], gap_after: int | None) -> None:
    """A replay names the entries behind which events are lost, and the first one where nothing is missing up to it."""
    replay = replace(WHOLE, forks=tuple(Fork(at(number), 900) for number in forks)).replay(start)
    assert replay.forks == tuple(at(number) for number in places)
    assert replay.gap_after == (None if gap_after is None else at(gap_after))
    again = replay.passing([at(number) for number in places])
    assert (again.forks, again.gap_after, again.reason) == (replay.forks, replay.gap_after, replay.reason)

from dataclasses import replace

import pytest

from bus.position import BEGINNING, Past, Reason, Step, is_position, judge, judge_time, no_log, step

RECENT = frozenset({"100-7", "100-9"})


@pytest.mark.parametrize(
    ("at", "position", "previous", "expected"),
    [
        pytest.param("100-9", "101-3", "100-9", Step.NEXT, id="its predecessor is where I stand"),
        pytest.param("100-9", "99-3", "100-9", Step.NEXT, id="next, though smaller: never compared by size"),
        pytest.param("100-9", "100-9", "100-7", Step.DUPLICATE, id="I stand on it"),
        pytest.param("100-9", "100-7", "100-1", Step.DUPLICATE, id="I had it not long ago"),
        pytest.param("100-9", "100-7", "0-0", Step.DUPLICATE, id="I had it, and it began the log"),
        pytest.param("100-9", "102-1", "101-3", Step.GAP, id="something lies between"),
        pytest.param("100-9", "102-1", "100-7", Step.GAP, id="follows one I had, not the one where I stand"),
        pytest.param("100-9", "50-1", "40-1", Step.GAP, id="older, yet not one I had"),
        pytest.param("100-9", "102-1", "0-0", Step.GAP, id="the log began anew behind my back"),
        pytest.param("100-0", "101-3", "0-0", Step.NEXT, id="there was no log, and this begins it"),
        pytest.param("100-0", "101-3", "90-4", Step.GAP, id="there was no log, and this does not begin it"),
        pytest.param("100-0", "101-3", "100-0", Step.NEXT, id="its predecessor is literally where I stand"),
        pytest.param("100-10", "101-3", "0-0", Step.GAP, id="a position that ends with 0 is not one without a log"),
        pytest.param(BEGINNING, "101-3", "0-0", Step.NEXT, id="I stand at the beginning"),
        pytest.param(BEGINNING, "102-1", "101-3", Step.GAP, id="I stand at the beginning and missed it"),
    ],
)
def test_step_follows_the_chain(at: str, position: str, previous: str, expected: Step) -> None:
    """Next, duplicate or gap follows from identities alone."""
    assert step(at, position, previous, RECENT) is expected


def test_chain_read_in_order_is_next_all_along() -> None:
    """A reader that starts where there was no log meets nothing but next."""
    at = no_log(1_795_000_000_000)
    previous = BEGINNING
    for position in ("1795000000001-4", "1795000000001-9", "1795000000000-77", "1795000000002-1"):
        assert step(at, position, previous, ()) is Step.NEXT
        at = previous = position


@pytest.mark.parametrize(
    "text", ["0-0", "1795434311852-3751705067", "1-0", "18446744073709551615-18446744073709551615"]
)
def test_position_has_two_numbers(text: str) -> None:
    """What a stream entry may be called is a position."""
    assert is_position(text)


@pytest.mark.parametrize(
    "text",
    ["", "1", "1-", "-1", "1-2-3", "1-2\n", " 1-2", "-15m", "a-b", "1-*", "$", "\u0661-\u0662", "1" * 21 + "-1"],
)
def test_other_text_is_no_position(text: str) -> None:
    """Spans, times, Redis' special ids, digits of other scripts and stray characters are none."""
    assert not is_position(text)


def test_position_without_a_log_is_the_time_of_redis() -> None:
    """The position of a channel without a log is `<Redis ms>-0`."""
    assert no_log(1_795_434_311_852) == "1795434311852-0"
    assert is_position(no_log(0))


NO_LOG = Past(epoch_ms=50)
LOG = Past(epoch_ms=50, first="100-5", first_previous="90-4", last="300-7")
WHOLE = replace(LOG, first_previous=BEGINNING)
EMPTIED = Past(epoch_ms=50, last="300-7")
AGED = Past(epoch_ms=50, now_ms=1_000, life_ms=1_000)
LATE = replace(WHOLE, now_ms=9_000, life_ms=1_000)


@pytest.mark.parametrize(
    ("since", "past", "expected"),
    [
        pytest.param("200-6", replace(LOG, holds=True, next_previous="200-6"), None, id="the log has it"),
        pytest.param("300-7", replace(LOG, holds=True), None, id="the log ends with it"),
        pytest.param("90-4", replace(LOG, next_previous="90-4"), None, id="the first entry follows it"),
        pytest.param(
            "200-6", replace(LOG, next_previous="200-6"), None, id="deleted by hand, and its successor is there"
        ),
        pytest.param("300-7", EMPTIED, None, id="nothing follows, and it is the last one ever generated"),
        pytest.param("80-1", replace(LOG, next_previous="90-4"), Reason.TRIMMED, id="older than the first entry"),
        pytest.param("80-1", replace(WHOLE, next_previous="0-0"), Reason.TRIMMED, id="older, though the log is whole"),
        pytest.param("200-6", EMPTIED, Reason.TRIMMED, id="older than the end of an emptied log"),
        pytest.param("200-9", replace(LOG, next_previous="200-6"), Reason.DIVERGED, id="lacking between its entries"),
        pytest.param("301-1", LOG, Reason.DIVERGED, id="past its end"),
        pytest.param("301-1", EMPTIED, Reason.DIVERGED, id="past the end of an emptied log"),
        pytest.param(
            "100-4", replace(LOG, next_previous="90-4"), Reason.TRIMMED, id="of the first entry's moment, before it"
        ),
        pytest.param("200-6", NO_LOG, Reason.UNKNOWN, id="no log"),
        pytest.param("49-6", replace(LOG, holds=True), Reason.UNKNOWN, id="this Redis began later"),
        pytest.param("50-6", replace(LOG, holds=True), None, id="this Redis began in that moment"),
        pytest.param("200-0", NO_LOG, None, id="no log then, none now"),
        pytest.param(
            "200-0", replace(WHOLE, first="250-5", next_previous="0-0"), None, id="no log then, a whole one now"
        ),
        pytest.param(
            "200-0", replace(WHOLE, next_previous="150-1"), None, id="no log then, a whole one by a clock behind"
        ),
        pytest.param(
            "200-0", replace(LOG, first="250-5"), Reason.TRIMMED, id="no log then, one without its beginning now"
        ),
        pytest.param("200-0", EMPTIED, Reason.TRIMMED, id="no log then, an emptied one now"),
        pytest.param("400-0", replace(LOG, first="250-5"), Reason.DIVERGED, id="no log then, an older one now"),
        pytest.param("49-0", NO_LOG, Reason.UNKNOWN, id="no log then, and this Redis began later"),
        pytest.param("49-0", WHOLE, Reason.UNKNOWN, id="the same, with a log"),
        pytest.param(BEGINNING, WHOLE, Reason.UNKNOWN, id="the beginning of all is before every epoch"),
        pytest.param("200-0", replace(AGED, now_ms=1_199), None, id="no log then, and none can have come and gone"),
        pytest.param("200-0", replace(AGED, now_ms=1_200), Reason.UNKNOWN, id="no log for as long as one lives"),
        pytest.param("200-0", replace(LATE, first="1199-5"), None, id="a log that began within the life of one"),
        pytest.param("200-0", replace(LATE, first="1200-5"), Reason.UNKNOWN, id="a log that began a life later"),
        pytest.param("2000-0", replace(LATE, first="250-5"), None, id="a log by a clock behind, with a life"),
    ],
)
def test_judge_follows_the_table(since: str, past: Past, expected: Reason | None) -> None:
    """Whether what follows a position is all, by the table of delivery.md."""
    assert judge(since, past) is expected


@pytest.mark.parametrize(
    ("since_ms", "past", "expected"),
    [
        pytest.param(150, LOG, None, id="the log reaches back further"),
        pytest.param(100, LOG, Reason.TRIMMED, id="the first entry is of that very moment"),
        pytest.param(99, LOG, Reason.TRIMMED, id="before the first entry"),
        pytest.param(99, WHOLE, None, id="before the first entry there ever was"),
        pytest.param(60, NO_LOG, None, id="no log"),
        pytest.param(200, EMPTIED, Reason.TRIMMED, id="before the end of an emptied log"),
        pytest.param(301, EMPTIED, None, id="after the end of an emptied log"),
        pytest.param(49, WHOLE, Reason.UNKNOWN, id="before this Redis began"),
        pytest.param(49, NO_LOG, Reason.UNKNOWN, id="before this Redis began, and no log"),
        pytest.param(201, replace(AGED, now_ms=1_200), None, id="no log, and none can have come and gone"),
        pytest.param(200, replace(AGED, now_ms=1_200), Reason.UNKNOWN, id="no log for as long as one lives"),
        pytest.param(201, replace(LATE, first="1200-5"), None, id="a log that began within the life of one"),
        pytest.param(200, replace(LATE, first="1200-5"), Reason.UNKNOWN, id="a log that began a life later"),
    ],
)
def test_judge_time_says_whether_the_log_reaches_back(since_ms: int, past: Past, expected: Reason | None) -> None:
    """From a time on, a log has all only if it reaches back to it, or to its beginning."""
    assert judge_time(since_ms, past) is expected

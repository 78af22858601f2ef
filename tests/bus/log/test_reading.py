"""Reading a log backwards: how much a page holds, what ends a reading, what is taken over from an attempt before."""

import pytest

from bus.envelope import Arrived
from bus.log.reading import PAGE, PagePace, Reading
from bus.position import BEGINNING


def line(number: int, size: int = 10) -> Arrived:
    return Arrived(b"x" * size, f"{number}-1", f"{number - 1}-1" if number > 1 else BEGINNING)


def read(reading: Reading, newest: int, oldest: int = 1) -> None:
    """Read from the end of a log of so many back to some entry, as long as that is wanted."""
    number = newest
    while number >= oldest and reading.wants(f"{number}-1"):
        if not reading.take(line(number)):
            return
        number = int((reading.reached or "").partition("-")[0]) - 1 if reading.take_over() else number - 1


def numbers(reading: Reading) -> list[int]:
    return [int((it.position or "").partition("-")[0]) for it in reading.lines]


def test_reading_ends_at_what_is_known() -> None:
    """It includes what whoever asks has, and says that the log goes on before."""
    reading = Reading(until={"7-1", "3-1"})
    reading.begin()
    read(reading, 10)
    assert (numbers(reading), reading.is_cut, reading.is_done) == ([7, 8, 9, 10], True, True)


def test_reading_of_whole_pages_takes_the_rest_of_one() -> None:
    """What came with the position that was looked for is there already, and serves readers from further back."""
    reading = Reading(until={"7-1"}, whole_pages=True)
    reading.begin()
    read(reading, 10)
    assert (numbers(reading)[0], reading.is_cut, reading.ends_with_page) == (1, True, True)


def test_reading_ends_at_a_break() -> None:
    """Another log's entry is no part of the chain."""
    reading = Reading()
    reading.begin()
    read(reading, 10, 6)
    assert not reading.wants("4-1")
    assert (numbers(reading), reading.is_cut) == ([6, 7, 8, 9, 10], False)


@pytest.mark.parametrize(
    ("limits", "count"), [({"limit_events": 3}, 3), ({"limit_bytes": 45}, 4), ({"limit_bytes": 1}, 1)]
)
def test_reading_has_limits(limits: dict[str, int], count: int) -> None:
    """So many, or so much, and one at least."""
    reading = Reading(**limits)  # type: ignore[arg-type]
    reading.begin()
    read(reading, 10)
    assert (len(numbers(reading)), reading.is_cut) == (count, True)


def test_attempt_takes_over_what_the_one_before_had_read() -> None:
    """The path broke at 40 of 100; five more came; only those are read again, and what was not."""
    reading = Reading()
    reading.begin()
    read(reading, 100, 40)
    reading.begin()
    for number in range(105, 99, -1):
        assert reading.wants(f"{number}-1")
        assert reading.take(line(number))
    assert reading.take_over()
    assert reading.reached == "40-1"
    read(reading, 39)
    assert numbers(reading) == list(range(1, 106))


def test_attempt_that_got_less_far_loses_nothing() -> None:
    """An attempt that broke at once leaves what the one before had read."""
    reading = Reading()
    for oldest in (40, 103):
        reading.begin()
        read(reading, 104 if oldest > 100 else 100, oldest)
    reading.begin()
    read(reading, 110)
    assert numbers(reading) == list(range(1, 111))


def test_attempt_at_another_log_takes_nothing_over() -> None:
    """Where the chain does not lead to what was read, that is of no use."""
    reading = Reading()
    reading.begin()
    read(reading, 100, 90)
    reading.begin()
    assert reading.take(Arrived(b"x", "200-2", "199-2"))
    assert not reading.take_over()
    assert reading.wants("199-2")
    assert numbers(reading) == [200]


def test_limit_holds_for_what_is_taken_over() -> None:
    """Together they are no more than one attempt may read."""
    reading = Reading(limit_events=50)
    reading.begin()
    read(reading, 100, 61)
    reading.begin()
    read(reading, 120)
    assert (numbers(reading), reading.is_cut) == (list(range(71, 121)), True)


def test_pace_finds_what_a_path_carries() -> None:
    """Whatever a path carries, a page takes about a quarter of a second on it after a few, and no more than a page."""
    for bytes_per_s, entry_bytes in ((100_000, 3_000), (1_000_000, 3_000), (20_000, 500), (100_000, 250_000)):
        pace = PagePace()
        for _ in range(10):
            count = pace.count(entry_bytes, most=PAGE)
            pace.take(count * entry_bytes, count * entry_bytes / bytes_per_s)
        assert 1 <= count <= PAGE
        assert count == 1 or 0.1 <= count * entry_bytes / bytes_per_s <= 0.3 or count == PAGE


def test_pace_of_a_fast_path_is_whole_pages() -> None:
    """Where pages come at once they are as long as they may be."""
    pace = PagePace()
    for _ in range(5):
        pace.take(pace.count(300, most=PAGE) * 300, 0.001)
    assert pace.count(300, most=PAGE) == PAGE


def test_pace_is_not_slowed_by_small_answers() -> None:
    """An answer of two lines over a long way says nothing of how much the way carries."""
    pace = PagePace()
    before = pace.count(300, most=PAGE)
    for _ in range(10):
        pace.take(600, 0.2)
    assert pace.count(300, most=PAGE) == before

import hiredis

from bus.channel import HISTORY, LATEST, LIVE, Channel, Retention
from bus.log.appending import Entry
from bus.log.several import LEFT_ALONE, is_worth_it, plan, spread
from bus.redis import library


def entry(name: str, number: int, retention: Retention = HISTORY, **more: int | str) -> Entry:
    return Entry(Channel(name, name, retention), str(number), "e", b"{}", **more)  # type: ignore[arg-type]


def planned(*entries: Entry) -> list[tuple[int, ...]]:
    commands, stands_for = plan(entries, lambda one: (one.id.encode(),))
    assert len(commands) == len(stands_for)
    return [tuple(numbers) for numbers in stands_for]


def test_entries_go_together_by_channel_and_by_what_logs_hold() -> None:
    """Entries whose logs hold the same are one command, log by log and in order; one that is left is of its own."""
    small = Retention(max_events=5)
    assert planned(
        entry("a", 0),
        entry("b", 1),
        entry("a", 2),
        entry("c", 3, LATEST),
        entry("c", 4, LATEST),
        entry("d", 5, small),
        entry("e", 6, LIVE),
        entry("f", 7),
    ) == [(0, 2, 1, 7), (3, 4), (5,), (6,)]


def test_command_holds_so_many_logs() -> None:
    """Redis serves nobody else while a script runs, so a command ends after some logs; of one log all go together."""
    numbers = [*range(60), *[0] * 300]
    sizes = [len(it) for it in planned(*(entry(f"c{name}", number) for number, name in enumerate(numbers)))]
    assert sizes == [25 + 300, 25, 10]


def test_no_entry_overtakes_another_of_its_channel() -> None:
    """Where one entry of a channel must go alone, all of that channel do: a repetition, a client's, those of live."""
    assert planned(entry("a", 0), entry("a", 1, since_ms=5), entry("b", 2), entry("b", 3, once="x")) == [
        (0,),
        (1,),
        (2,),
        (3,),
    ]
    assert planned(entry("a", 0, LIVE), entry("a", 1, LIVE)) == [(0,), (1,)]


def test_command_has_every_entry_with_a_salt_of_its_own() -> None:
    """The command is EVALSHA with the logs, their bounds, how many entries each has, and four words of each entry."""
    commands, _ = plan([entry("a", 0), entry("b", 1), entry("a", 2)], lambda one: (one.id.encode(),))
    reader = hiredis.Reader()
    reader.feed(commands[0])
    words = reader.gets()
    assert words[2:9] == [b"2", b"bus:log:{a}", b"bus:log:{b}", b"1000", b"86401000", b"2", b"1"]
    assert [words[at : at + 3] for at in (9, 13, 17)] == [[number, b"e", b"{}"] for number in (b"0", b"2", b"1")]
    assert len({words[at] for at in (12, 16, 20)}) == 3
    assert len(words) == 21


def test_places_are_given_to_their_entries() -> None:
    """Each entry has its place, or was left alone; an error speaks for all, unless rights to one log are missing."""
    error, refused = ValueError(), library.NoPermissionError()
    stands_for = [(0, 3), (1,), (2, 5, 4), (6, 7), (8, 9), (10, 11), (12,)]
    replies = [b"1-1 0,2-2 1", b"3-3 0", b"4-4 1,,5-5 0", error, b",", refused, refused]
    assert spread(stands_for, replies) == [
        *(b"1-1 0", b"3-3 0", b"4-4 1", b"2-2 1", b"5-5 0", LEFT_ALONE),
        *(error, error, LEFT_ALONE, LEFT_ALONE, LEFT_ALONE, LEFT_ALONE, refused),
    ]


def test_plan_is_made_where_it_saves_something() -> None:
    """The channels of a single event go one by one; entries of one channel go together, and so do some of many."""
    assert not is_worth_it([entry("a", 0), entry("b", 0)])
    assert is_worth_it([entry("a", 0), entry("b", 1), entry("a", 1)])
    assert is_worth_it([entry(name, 0) for name in "abcde"])

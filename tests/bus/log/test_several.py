import hiredis

from bus.channel import HISTORY, LATEST, LIVE, Channel, Retention
from bus.log.appending import Entry
from bus.log.several import LEFT_ALONE, have_common, plan, spread


def entry(name: str, number: int, retention: Retention = HISTORY, **more: int | str) -> Entry:
    return Entry(Channel(name, name, retention), str(number), "e", b"{}", **more)  # type: ignore[arg-type]


def planned(*entries: Entry) -> list[tuple[int, ...]]:
    commands, stands_for = plan(entries, lambda one: (one.id.encode(),))
    assert len(commands) == len(stands_for)
    return [tuple(numbers) for numbers in stands_for]


def test_entries_of_a_channel_go_together() -> None:
    """Entries of one channel are one command, wherever they stand; in order, and one of its own where it is alone."""
    assert planned(entry("a", 0), entry("b", 1), entry("a", 2), entry("c", 3, LATEST), entry("c", 4, LATEST)) == [
        (0, 2),
        (1,),
        (3, 4),
    ]


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
    """The command is EVALSHA with the log, its bounds, and four words of each entry."""
    commands, _ = plan([entry("a", 0), entry("a", 1)], lambda one: (one.id.encode(),))
    reader = hiredis.Reader()
    reader.feed(commands[0])
    words = reader.gets()
    assert words[2:6] == [b"1", b"bus:log:{a}", b"1000", b"86400000"]
    assert [words[6:9], words[10:13]] == [[b"0", b"e", b"{}"], [b"1", b"e", b"{}"]]
    assert words[9] != words[13]


def test_places_are_given_to_their_entries() -> None:
    """Each entry has its place; behind the last place entries were left alone; an error speaks for all."""
    error = ValueError()
    found = spread([(0, 3), (1,), (2, 4, 5), (6, 7), (8, 9)], [b"1-1 0,2-2 1", b"3-3 0", b"4-4 1", error, b""])
    assert found == [b"1-1 0", b"3-3 0", b"4-4 1", b"2-2 1", *[LEFT_ALONE] * 2, error, error, *[LEFT_ALONE] * 2]


def test_entries_of_one_event_have_no_channel_in_common() -> None:
    """The short way is for channels that all differ; two entries of one channel go together."""
    assert not have_common([entry("a", 0), entry("b", 0)])
    assert have_common([entry("a", 0), entry("b", 1), entry("a", 1)])


def test_places_of_a_single_command() -> None:
    """Where one command speaks for all entries, too, the rest was left alone, and surplus places are nobody's."""
    assert spread([(0, 1, 2)], [b"1-1 0,2-2 1"]) == [b"1-1 0", b"2-2 1", LEFT_ALONE]
    assert spread([(0, 1)], [b"1-1 0,2-2 1,3-3 0"]) == [b"1-1 0", b"2-2 1"]
    assert spread([(0, 1)], [None]) == [None, None]

"""Ids of streams of several channels, as bytes."""

from edges.protocol.event_stream import EVENT_STREAM
from edges.protocol.places import Places

NAMES = b"a,b,c"


def event(room: str, position: str, previous: str = "0-0") -> bytes:
    line = (
        f'{{"position":"{position}","previous":"{previous}","data":{{"room":"b"}},"room":"{room}","error_code":null}}'
    )
    made = EVENT_STREAM.frame(line.encode())
    assert made is not None
    return made


def ids(events: bytes) -> list[bytes]:
    return [it[4:].partition(b"\n")[0] for it in events.split(b"\n\n") if it.startswith(b"id: ")]


def test_each_event_moves_the_place_of_its_channel() -> None:
    """Places that are not known stay empty; the data of an event name no channel."""
    events, stands = Places().placed(
        NAMES, b"1-1,,", event("a", "1-2") + b":\n\n" + event("c", "1-3") + event("a", "1-4")
    )
    assert ids(events) == [b"1-2,,", b"1-2,,1-3", b"1-4,,1-3"]
    assert stands == b"1-4,,1-3"
    assert events.count(b"\n\n") == 4


def test_client_at_another_place_gets_ids_of_its_own() -> None:
    """What was made for one client is another's only where both stand at the same places."""
    places, line = Places(), event("b", "1-2")
    made = [places.placed(NAMES, stood, line)[0] for stood in (b"1-1,,", b"1-1,,", b",,1-9")]
    assert made[0] is made[1]
    assert [ids(it) for it in made] == [[b"1-1,1-2,"], [b"1-1,1-2,"], [b",1-2,1-9"]]


def test_kept_events_are_few() -> None:
    """A client of large or many events does not make the edge remember them."""
    places = Places()
    for number in range(100):
        places.placed(NAMES, b",,", event("a", f"{number}-1"))
    places.placed(NAMES, b",,", b"data: %b\n\n" % bytes(100_000))
    assert len(places._made) <= 16  # noqa: SLF001 (the bound itself)

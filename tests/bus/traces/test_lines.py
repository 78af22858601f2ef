"""Which lines' stages are kept, and what those lines say of themselves."""

import pytest

from bus.envelope import compose, splice
from bus.event import Attempt
from bus.traceparent import EXAMPLE
from bus.traces.lines import Marked, is_kept, read_marked
from producers import raw_event

UNSAMPLED = f"{EXAMPLE[:-2]}00"
MADE = "2026-11-27T00:00:00.000000+00:00"


def line(position: str | None = "100-7", traceparent: str = "", event_id: str = "id-1", text: str = "") -> bytes:
    made = Attempt(event_id, MADE, traceparent=traceparent)
    (_, line), *_ = compose(raw_event("code", "build.done", {"text": text}), made=made).lines
    return splice(line, position, "99-1")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (line(), False),
        (line("100-1000"), True),
        (line("100-7000"), True),
        (line("100-700"), False),
        (line("1000-1"), False),
        (line(traceparent=EXAMPLE), True),
        (line(traceparent=UNSAMPLED), False),
        (line("100-1000", traceparent=UNSAMPLED), True),
        (line(None), False),
        (line(None, traceparent=EXAMPLE), True),
        (b'{"event":"note","data":{}}', False),
        (line(text=f'"traceparent":"{EXAMPLE}"'), False),
        (b"", False),
    ],
)
def test_line_is_kept_by_its_front(given: bytes, kept: bool) -> None:
    """The flag of its trace, or the last digits of its position; what stands in the data counts nothing."""
    assert is_kept(given) is kept


def test_one_in_a_thousand_is_drawn() -> None:
    """Over a run of positions exactly one in a thousand, whatever the millisecond."""
    rest = line().partition(b'"100-7"')[2]
    drawn = [it for it in range(1000, 21_000) if is_kept(b'{"position":"1795730000000-%d"%b' % (it, rest))]
    assert len(drawn) == 20


def test_line_says_what_it_is() -> None:
    """Id, name, time, position and trace, from both ends of the line, however long its data."""
    for text in ("", "x" * 5_000, '","timestamp":"1999-01-01T00:00:00+00:00","room":"other"'):
        assert read_marked(line(traceparent=EXAMPLE, text=text)) == Marked("id-1", "build.done", MADE, "100-7", EXAMPLE)
    assert read_marked(line(None)) == Marked("id-1", "build.done", MADE, None, None)


@pytest.mark.parametrize("event_id", ['a"b', "a b", "a\\b", "", "x" * 129, "ä", "a\nb"])
def test_id_that_is_no_key_is_passed_over(event_id: str) -> None:
    """A hash is named by the id; what a person cannot type is not written."""
    assert read_marked(line(event_id=event_id)) is None


def test_typed_line_is_no_traced_line() -> None:
    """A front that a person typed is of another form."""
    assert read_marked(b'{"position":"1-1000","previous":"0-0","event":"note","data":{}}') is None
    assert read_marked(b"") is None

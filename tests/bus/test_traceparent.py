"""The trace context of W3C as the bus carries it."""

from typing import Any

import pytest

from bus.errors import EventError
from bus.traceparent import EXAMPLE, check_traceparent, is_sampled, new_traceparent, sampled

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_sound_one_is_kept() -> None:
    """The very text of version 00 is carried, whatever its flags."""
    for flags in ("00", "01", "03", "ff"):
        text = f"00-{TRACE}-{SPAN}-{flags}"
        assert check_traceparent(text) == text


@pytest.mark.parametrize("rest", ["", "-", "-what the future has"])
def test_later_version_is_read_as_the_specification_says(rest: str) -> None:
    """Of a later version the four parts are known, and what follows is left out."""
    assert check_traceparent(f"cc-{TRACE}-{SPAN}-01{rest}") == f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        EXAMPLE.upper(),
        EXAMPLE + "-more",
        EXAMPLE + "\n",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"cc-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f'00-{TRACE[:-1]}"-{SPAN}-01',
        f"00-{TRACE}-{SPAN}-1",
        b"00",
        5,
        ["x" * 1_000_000],
    ],
)
def test_any_other_value_is_refused_with_an_example(text: Any) -> None:
    """What is none is refused in a sentence of bounded length, with one that is."""
    with pytest.raises(EventError, match=EXAMPLE) as refused:
        check_traceparent(text)
    assert len(str(refused.value)) < 300


def test_flag_is_read_and_set() -> None:
    """The last bit says whether stages are kept; the other flags stay."""
    assert [is_sampled(f"00-{TRACE}-{SPAN}-{it}") for it in ("00", "01", "02", "03")] == [False, True, False, True]
    assert sampled(f"00-{TRACE}-{SPAN}-02") == f"00-{TRACE}-{SPAN}-03"


def test_new_one_is_named_like_its_event() -> None:
    """Who has the event's id has the trace's; an id of another form gets a trace of its own."""
    event_id = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"
    made = new_traceparent(event_id)
    assert check_traceparent(made) == made
    assert (made.split("-")[1], is_sampled(made)) == (TRACE, True)
    for other in ("", "mine", "0" * 32, "x" * 32):
        assert check_traceparent(new_traceparent(other)) != made

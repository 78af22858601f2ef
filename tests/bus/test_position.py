import pytest

from bus.position import BEGINNING, Step, is_position, no_log, step

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

import pytest

from bus.suggestion import did_you_mean

KNOWN = ("max_rooms", "max_replays", "port", "workflow.started")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("max_room", " (did you mean max_rooms?)"),
        ("workflow.startd", " (did you mean workflow.started?)"),
        ("prot", " (did you mean port?)"),
        ("nope", ""),
        ("", ""),
        ("max_rooms" * 10, ""),
    ],
)
def test_close_word_is_suggested(word: str, expected: str) -> None:
    """A slip of a finger leads to the word that is known; anything else to none."""
    assert did_you_mean(word, KNOWN) == expected

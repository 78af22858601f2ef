import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebus.terminal import escape


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain", "plain"),
        ("größer €", "größer €"),
        ("\x1b[2J", "\\u001b[2J"),
        ("a\rb", "a\\u000db"),
        ("c1 \x9b", "c1 \\u009b"),
        ("\u202eright to left", "\\u202eright to left"),
        ("\u2028", "\\u2028"),
        ("\U000e0001", "\\udb40\\udc01"),
    ],
)
def test_escape_shows_what_could_steer_a_terminal(text: str, escaped: str) -> None:
    """Control, format and separator characters are shown as JSON escapes, letters of any script as they are."""
    assert escape(text) == escaped


@given(st.text())
def test_escape_leaves_nothing_that_moves_a_cursor(text: str) -> None:
    """Whatever the text is, what is printed has no control character in it."""
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in escape(text))


def test_output_into_a_pipe_has_no_colour() -> None:
    """Colour and live output are for terminals only."""
    done = subprocess.run([sys.executable, "-m", "edgebus", "services"], capture_output=True, check=True)
    assert b"\x1b" not in done.stdout

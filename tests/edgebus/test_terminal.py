import subprocess
import sys

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import AddressError, BrokerError, BusTimeout, BusUnavailable, ServiceNotFound
from edgebus.terminal import Exit, escape, exits
from edges import SettingsError


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


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AddressError("x"), Exit.USAGE),
        (ServiceNotFound("x"), Exit.USAGE),
        (SettingsError("x"), Exit.USAGE),
        (BrokerError("x"), Exit.FAILED),
        (BusUnavailable("x"), Exit.UNREACHABLE),
        (BusTimeout("x"), Exit.TIMED_OUT),
    ],
    ids=lambda it: type(it).__name__,
)
def test_error_of_the_bus_ends_a_command_with_its_code(error: Exception, code: Exit) -> None:
    """What was typed wrong is 2, whichever part of the house says so; what failed is another number."""
    with pytest.raises(typer.Exit) as ended, exits():
        raise error
    assert ended.value.exit_code == code


def test_bug_keeps_its_traceback() -> None:
    """A ValueError that is neither of the bus nor about an event is no user's fault, and is not made one."""
    bug = ValueError("bug")
    with pytest.raises(ValueError, match="bug") as raised, exits():
        raise bug
    assert raised.value is bug

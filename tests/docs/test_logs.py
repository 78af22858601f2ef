"""The page of the log has every line that an operator may meet at warning and above, and no other."""

import logging
import re
import subprocess
import sys

import pytest

from tests.docs.log_lines import ROOT, lines_of_code
from tests.docs.pages import blocks

PAGE = (ROOT / "docs" / "logs.md").read_text("utf-8")
ROW = re.compile(r"^\| `([^`]+)` \| ([a-z, ]+) \|([^|]*)\| ([^|]+) \|$", re.MULTILINE)
ROWS = {found[1]: found.groups()[1:] for found in ROW.finditer(PAGE) if found[1] != "event"}
DEFAULT = "the edge cannot do a part of what it does by itself"
"""A default of an argument, which no call names."""


def test_every_line_stands_on_the_page() -> None:
    """Whoever adds a warning says what an operator does about it; a line that is gone leaves the page."""
    assert set(ROWS) - {DEFAULT} == set(lines_of_code())
    assert DEFAULT in ROWS


@pytest.mark.parametrize("event", ROWS)
def test_row_has_levels_and_a_remedy(event: str) -> None:
    """Levels are Python's, and each line has a word on what to do."""
    levels, _, remedy = ROWS[event]
    assert all(level.upper() in logging.getLevelNamesMapping() for level in levels.split(", "))
    assert remedy.strip()


def test_program_of_ones_own_shows_the_edge() -> None:
    """The page's lines show the fields of an edge in any logging of Python."""
    (block,) = [it for it in blocks("docs/logs.md") if it.language == "python"]
    shown = """
from bus.log_fields import speaking
with speaking(lambda: {"edge": "mahavishnu-1"}):
    logging.getLogger("edgebus.edges").warning("closed a slow client")
logging.getLogger("edgebus.bus").warning("there is no link to Redis")
"""
    done = subprocess.run(
        [sys.executable, "-c", block.text + shown], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stderr.splitlines() == [
        "WARNING mahavishnu-1 closed a slow client",
        "WARNING - there is no link to Redis",
    ]

"""The table of limits says what the settings say."""

import re
from pathlib import Path

import pytest

from edges import EdgeSettings
from edges.limits.rates import LIMITS
from tests.docs.pages import ROOT

PAGE = Path(ROOT, "docs", "limits.md").read_text("utf-8")
ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
ROWS = {found[1]: found.groups()[1:] for found in ROW.finditer(PAGE)}


def test_every_limit_has_a_row() -> None:
    """What is counted as a limit stands in the table, and nothing else does."""
    assert set(ROWS) == set(LIMITS)


@pytest.mark.parametrize("name", LIMITS)
def test_row_names_default_and_counter(name: str) -> None:
    """The default is the setting's, and the counter has the setting's name."""
    _, default, _, counter = ROWS[name]
    assert default == str(EdgeSettings.model_fields[name].default)
    assert counter.startswith(f"`{name}`")

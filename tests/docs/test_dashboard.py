"""docs/dashboard.md: its lines run, and its pictures are there and small."""

import os
import re
import subprocess

from edgebus.dashboard.dashboard import PORT
from tests.docs.pages import ROOT, blocks
from tests.edges.signing import SECRET
from tests.journeys.processes import DEADLINE_S, EDGEBUS

PAGE = "docs/dashboard.md"
PICTURE_BYTES = 150_000


def test_lines_run() -> None:
    """The token's line prints a token, and the dashboard's is a command, at the port of the page."""
    lines = [line for block in blocks(PAGE) for line in block.text.splitlines()]
    assert "edgebus dashboard" in lines
    assert f":{PORT}>" in (ROOT / PAGE).read_text("utf-8")
    (make,) = (line for line in lines if "token make" in line)
    ran = subprocess.run(
        [*EDGEBUS, *make.split()[1:]],
        env={**os.environ, "EDGEBUS_AUTH_SECRET": SECRET},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    assert ran.stdout.count(".") == 2


def test_pictures_are_small() -> None:
    """Every picture of the page is in the repository, and below 150 KB."""
    found = re.findall(r"\]\((images/[^)]+)\)", (ROOT / PAGE).read_text("utf-8"))
    assert found
    for picture in found:
        assert 0 < (ROOT / "docs" / picture).stat().st_size < PICTURE_BYTES, picture

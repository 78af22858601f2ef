"""docs/doctor.md: its commands print what it says, and its table is the table of checks."""

import os
import re
import shlex
import subprocess
import sys

from bus.broker.embedded import EmbeddedBroker
from tests.docs.pages import ROOT, blocks
from tests.edgebus.doctor.test_checks import ROWS
from tests.journeys.processes import DEADLINE_S, program

PAGE = "docs/doctor.md"
WAY = re.compile(r"(ok|warn|fail) latency an answer takes FIGURE(: the network, .*? INFO commandstats)?")
"""How long an answer takes is this machine's affair."""
FIGURE = re.compile(r"\b\d[\d.]*( (B|KiB|MiB|GiB|ms|s|min|h)\b)?")


def normalised(text: str, port: int = 0) -> str:
    """Return ``text`` without the figures, and however its lines are broken."""
    words = text.replace(str(port), "6390") if port else text
    return WAY.sub("WAY", FIGURE.sub("FIGURE", " ".join(words.replace("ahead of", "behind").split())))


def run(command: str, port: int) -> str:
    name, *words = shlex.split(command.replace("6390", str(port)))
    argv = [sys.executable, "-m", "edgebus"] if name == "edgebus" else [program("redis-cli", "redis-tools")]
    env = {**os.environ, "EDGEBUS_REDIS_URL": f"redis://127.0.0.1:{port}", "COLUMNS": "80"}
    ran = subprocess.run([*argv, *words], env=env, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    return ran.stdout


def test_page_prints_what_it_says() -> None:
    """The look at a fresh broker is the page's, and the line below a warning takes the warning away."""
    shown = [block for block in blocks(PAGE) if block.language == "console"]
    assert len(shown) == 2
    with EmbeddedBroker(port=0) as broker:
        for block in shown:
            command, _, expected = block.text.partition("\n")
            printed = run(command.removeprefix("$ "), broker.port)
            assert normalised(printed, broker.port) == normalised(expected), printed
        again = run("edgebus doctor", broker.port)
    assert "ok    memory" in again
    assert "warn  memory" not in again


def test_page_lists_every_check_with_its_levels() -> None:
    """The table has a row for each check, and says when a check warns and fails where the check ever does."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) ?\| (.*?) ?\|$", (ROOT / PAGE).read_text("utf-8"), re.MULTILINE)
    said = {name: {level for level, text in (("warn", warns), ("fail", fails)) if text} for name, warns, fails in rows}
    assert said == {name: {it.level for it in ROWS if it.check == name} - {"ok"} for name in {it.check for it in ROWS}}

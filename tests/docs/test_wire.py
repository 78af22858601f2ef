"""docs/wire.md says what the table of the wire's words says, and the other pages use no word of their own."""

import re

from bus.words import PASSING, CloseCode, Code, NoticeName, Verb
from tests.docs.pages import ROOT

TRIED = re.compile(r"^\| .* \| (?:close \d{4}|dropped).*$", re.MULTILINE)
"""Rows of bad input, with made-up names and the codes of a library; ``tests/edges`` sees each of them happen."""
PAGES = {
    path.name: TRIED.sub("", path.read_text("utf-8")) for path in (*(ROOT / "docs").glob("*.md"), ROOT / "README.md")
}
PAGE = PAGES["wire.md"]
NOTICE = re.compile(r"`((?:room|bus|edge|auth)\.(?!env\b|pem\b)[a-z_]+)`")
"""Not the names of files."""
CLOSED = re.compile(r"\bclosed with (\d{4})\b")


def rows(title: str) -> dict[str, str]:
    """Return the second column of a section's table by the first."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    cells = [re.split(r" ?\| ?", line) for line in section.splitlines() if line.startswith("| ")][1:]
    return {cell[1].strip("`"): cell[2] for cell in cells}


def test_verbs() -> None:
    """Each verb has its row, and nothing else has."""
    assert list(rows("Verbs")) == list(Verb)


def test_notices_with_their_keys() -> None:
    """Each notice has its row, with its keys in order."""
    assert rows("Notices") == {str(name): ", ".join(f"`{key}`" for key in name.keys) for name in NoticeName}


def test_errors_with_their_advice() -> None:
    """Each error code has its row, and says whether the same may go well later."""
    assert rows("Errors") == {str(code): "yes" if code in PASSING else "no" for code in Code}


def test_close_codes_with_their_advice() -> None:
    """Each close code has its row, and says whether to come back."""
    assert rows("Close codes") == {str(int(code)): "yes" if code.come_back else "no" for code in CloseCode}


def test_pages_name_no_other_notice() -> None:
    """Whatever page names a notice names one of the table."""
    named = {name for page in PAGES.values() for name in NOTICE.findall(page)}
    assert named == {str(name) for name in NoticeName if NOTICE.fullmatch(f"`{name}`")}


def test_pages_name_no_other_close_code() -> None:
    """Whatever page says that a connection is closed with a code names one of the table."""
    named = {int(code) for page in PAGES.values() for code in CLOSED.findall(page)}
    assert named >= {1008, 1012, 3008}
    assert named <= set(CloseCode)

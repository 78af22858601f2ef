"""The page of metrics says what the code serves; ``python -m tests.docs.test_metrics`` writes its tables anew."""

import re
from pathlib import Path

from edges.lifecycle.metrics.rows import ROWS, Row
from tests.docs.pages import ROOT

PAGE = Path(ROOT, "docs", "metrics.md")
HEAD = "| name | type | labels | tells |\n|---|---|---|---|\n"
TABLE = re.compile(re.escape(HEAD) + r"(?:\|.*\n)*|EDGE_TABLE\n")


def line(row: Row) -> str:
    labels = ", ".join(f"`{label}`" for label in row.labels)
    return f"| `{row.name}` | {row.kind} | {labels} | {row.text} |\n"


def table() -> str:
    return HEAD + "".join(map(line, ROWS))


def test_page_has_the_table_of_the_code() -> None:
    """Each metric with its type, its labels and its sentence, as the code has them, and no other."""
    assert TABLE.findall(PAGE.read_text("utf-8")) == [table()]


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: table(), PAGE.read_text("utf-8")), "utf-8")

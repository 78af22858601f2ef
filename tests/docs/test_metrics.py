"""The page of metrics says what the code serves; ``python -m tests.docs.test_metrics`` writes its tables anew."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from edges.lifecycle.metrics.ecosystem import ECOSYSTEM_ROWS, SKILL_ROWS
from edges.lifecycle.metrics.rows import ROWS, Row
from producers.metrics import COUNTERS, DROPPED, DURATION, GAUGES
from tests.docs.pages import ROOT

PAGE = Path(ROOT, "docs", "metrics.md")
HEAD = "| name | type | labels | tells |\n|---|---|---|---|\n"
TABLE = re.compile(re.escape(HEAD) + r"(?:\|.*\n)*|[A-Z]+_TABLE\n")


def line(name: str, kind: str, labels: tuple[str, ...], text: str) -> str:
    return f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {text} |\n"


def tables() -> list[str]:
    return [of(ROWS), HEAD + "".join(of_producers()), of(ECOSYSTEM_ROWS), of(SKILL_ROWS)]


def of(rows: Sequence[Row]) -> str:
    return HEAD + "".join(line(row.name, row.kind, row.labels, row.text) for row in rows)


def of_producers() -> Iterator[str]:
    yield line(DURATION[0], "histogram", (), DURATION[1])
    yield from (line(name, "counter", (), text) for name, text in COUNTERS.values())
    yield line(DROPPED[0], "counter", ("reason",), DROPPED[1])
    yield from (line(name, "gauge", (), text) for name, text in GAUGES.values())


def test_page_has_the_tables_of_the_code() -> None:
    """Each metric with its type, its labels and its sentence, as the code has them, and no other."""
    assert TABLE.findall(PAGE.read_text("utf-8")) == tables()


if __name__ == "__main__":
    new = iter(tables())
    PAGE.write_text(TABLE.sub(lambda _: next(new), PAGE.read_text("utf-8")), "utf-8")

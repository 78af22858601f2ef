"""The table of metrics: names and labels as Prometheus and an operator want them."""

import re

import pytest

from edges.lifecycle.metrics.rows import ROWS, Row

SUFFIX = {"counter": "_total", "histogram": "_seconds"}
LABELS = {"service", "version", "catalogue", "family", "verb", "outcome", "limit", "policy", "reason"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(row: Row) -> None:
    """A small name of ours with the suffix of its type, a sentence, and labels of the closed sets only."""
    assert re.fullmatch(r"edgebus_[a-z]+(_[a-z]+)*", row.name)
    assert row.name.endswith(SUFFIX.get(row.kind, ""))
    assert row.kind == "counter" or not row.name.endswith("_total")
    assert row.text.endswith(".")
    assert set(row.labels) <= LABELS


def test_names_are_different() -> None:
    """No metric is told twice."""
    assert len({row.name for row in ROWS}) == len(ROWS)

"""The page of metrics says what the code serves; ``python -m tests.docs.test_metrics`` writes its tables anew."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from edges.lifecycle.metrics.ecosystem import ECOSYSTEM_ROWS, SKILL_ROWS
from edges.lifecycle.metrics.rows import ROWS, Row
from producers.metrics import COUNTERS, DROPPED, DURATION, GAUGES
from tests.docs.pages import ROOT, blocks
from tests.edges.peers import get, http
from tests.ports import free_port

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


def block(language: str) -> str:
    (found,) = [it.text for it in blocks("docs/metrics.md") if it.language == language]
    return found


async def test_page_serves_the_metrics_that_it_shows() -> None:
    """The edge starts by the line of the page, and is asked at the path of the page."""
    serve, ask = (shlex.split(line) for line in block("sh").splitlines())
    path = ask[1].partition(":8690")[2]
    argv = [sys.executable, "-m", *serve, "--port", "0", "--redis", "redis://127.0.0.1:1"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as edge:
        try:
            assert edge.stdout is not None
            url = re.search(rb"ws://127\.0\.0\.1:(\d+)", edge.stdout.readline())
            assert url is not None
            status, _, body = await http(int(url[1]), get(path))
        finally:
            edge.kill()
    assert status == 200
    assert b'edgebus_edge_info{catalogue="' in body


def test_page_has_a_program_that_publishes() -> None:
    """The program serves what the producer counts, on another port than the page's, which may be taken."""
    port = free_port()
    read = f"""
import urllib.request
text = urllib.request.urlopen("http://127.0.0.1:{port}/metrics").read().decode()
assert "edgebus_published_total 0.0" in text, text
"""
    program = block("python").replace("9100", str(port)) + read
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=20, check=False)
    assert ran.returncode == 0, ran.stderr


if __name__ == "__main__":
    new = iter(tables())
    PAGE.write_text(TABLE.sub(lambda _: next(new), PAGE.read_text("utf-8")), "utf-8")

import io
import logging
import sys
from collections.abc import Iterator

import pytest

from edgebus.logs import configure

PIECES = ["header", "payload", "x"]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(params=[io.StringIO, Terminal], ids=["pipe", "terminal"])
def stderr(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Lend a standard error of either kind, and put the logger back afterwards."""
    root = logging.getLogger("edgebus")
    handlers, level, propagate = root.handlers, root.level, root.propagate
    stream: io.StringIO = request.param()
    monkeypatch.setattr(sys, "stderr", stream)
    yield stream
    root.handlers, root.propagate = handlers, propagate
    root.setLevel(level)


def test_traceback_shows_no_values(stderr: io.StringIO) -> None:
    """A bug is logged with its traceback, and without the variables in it: they may hold tokens and payloads."""
    configure("debug")

    def fails(token: str) -> None:
        raise RuntimeError(f"a bug of {len(token)} letters")

    try:
        fails(".".join(PIECES))
    except RuntimeError:
        logging.getLogger("edgebus.edges").exception("a command failed")
    text = stderr.getvalue()
    assert "a bug of 16 letters" in text
    assert "fails(" in text
    assert ".".join(PIECES) not in text

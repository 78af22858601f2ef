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


@pytest.fixture
def root() -> Iterator[None]:
    """Put the logger back after the test."""
    root = logging.getLogger("edgebus")
    handlers, level, propagate = root.handlers, root.level, root.propagate
    yield
    root.handlers, root.propagate = handlers, propagate
    root.setLevel(level)


def fails(token: str) -> None:
    raise RuntimeError(f"a bug of {len(token)} letters")


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["pipe", "terminal"])
def test_traceback_shows_no_values(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug is logged with its traceback, and without the variables in it: they may hold tokens and payloads."""
    monkeypatch.setattr(sys, "stderr", stream)
    configure("debug")
    try:
        fails(".".join(PIECES))
    except RuntimeError:
        logging.getLogger("edgebus.edges").exception("a command failed")
    text = stream.getvalue()
    assert "a bug of 16 letters" in text
    assert "in fails" in text
    assert ".".join(PIECES) not in text


def fails_at_length() -> None:
    raise RuntimeError("v" * 168_000)


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["pipe", "terminal"])
def test_long_texts_are_cut(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a stranger, a producer or Redis wrote, a line of the log can still be read, its end included."""
    monkeypatch.setattr(sys, "stderr", stream)
    configure("debug")
    logger = logging.getLogger("edgebus.edges")
    logger.warning("dropped a line", extra={"reason": "k" * 168_000, "channel": "workflow:x"})
    try:
        fails_at_length()
    except RuntimeError:
        logger.exception("a command failed")
    text = stream.getvalue()
    assert len(text) < 12_000
    assert "workflow:x" in text
    assert "a command failed" in text
    assert text.count("characters in all)") == 3, "the reason, the error, and the traceback"
    assert "in fails_at_length" in text

"""How lines of the log look: JSON on a pipe, colour on a terminal, and nothing of a stranger's that misleads."""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest
from typer.testing import CliRunner

from bus.log_fields import speaking
from edgebus.cli import app
from edgebus.logs import configure

PIECES = ["header", "payload", "x"]
LOGGERS = ("edgebus", "asyncio", "py.warnings")
LOGGER = logging.getLogger("edgebus.edges")
Line: TypeAlias = Callable[[], dict[str, Any]]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def root() -> Iterator[None]:
    """Put the loggers back after the test."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(it.handlers, it.level, it.propagate) for it in loggers]
    yield
    logging.captureWarnings(capture=False)
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture
def pipe(root: None, monkeypatch: pytest.MonkeyPatch) -> Line:
    """Configure for a pipe; return a function that returns the one line written so far."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure("info")

    def line() -> dict[str, Any]:
        (text,) = stream.getvalue().splitlines()
        parsed: dict[str, Any] = json.loads(text)
        return parsed

    return line


@pytest.fixture
def terminal(root: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Terminal]:
    """Return a function that configures for a terminal with colours, and returns the terminal."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")

    def configured(form: str = "auto") -> Terminal:
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)  # here, since pytest puts its own there before each phase
        configure("info", form)
        return stream

    return configured


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


def test_pipe_is_one_object_a_line_in_one_order(pipe: Line) -> None:
    """Keys stand in one order: when, how bad, what, which edge and incident, whom; the rest as the line has it."""
    with speaking(lambda: {"edge": "e-1", "generation": 3, "incident": "link-3"}):
        fields = {"waiting_s": 2.5, "rooms": ["a", "b"], "user": "u", "connection": "c"}
        LOGGER.warning("closed a slow client", extra=fields)
    first = ["timestamp", "level", "event", "logger", "edge", "generation", "incident", "connection", "user"]
    line = pipe()
    assert list(line) == [*first, "waiting_s", "rooms"]
    assert (line["level"], line["logger"], line["rooms"]) == ("warning", "edgebus.edges", ["a", "b"])
    assert line["timestamp"].endswith("Z")


FORGED = 'alice\n{"level": "info", "event": "all is well"}\x1b[2K\x9b1A\u202emoc.live\r\x00\udc80'


def test_stranger_forges_no_line(pipe: Line) -> None:
    """A user's name or an Origin with line breaks, escapes and signs that turn the text is one line, and shows them."""
    LOGGER.info("refused", extra={"user": FORGED, "example": {FORGED: [FORGED]}})
    line = pipe()
    assert line["user"].isprintable()
    assert "\\u001b[2K" in line["user"]
    ((key, (value,)),) = line["example"].items()
    assert (key, value) == (line["user"], line["user"])


def test_stranger_writes_nothing_on_a_terminal(
    terminal: Callable[..., Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same on a terminal, in the text of an error, too."""
    monkeypatch.setenv("NO_COLOR", "1")
    stream = terminal()
    LOGGER.error("failed", extra={"user": FORGED}, exc_info=ValueError(FORGED))
    text = stream.getvalue()
    assert "all is well" in text
    assert all(line.isprintable() for line in text.splitlines())
    assert not any(line.startswith("{") for line in text.splitlines())


def test_terminal_has_colours_unless_told_not_to(
    terminal: Callable[..., Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Colours on a terminal; none with NO_COLOR, or where the terminal has none; an empty NO_COLOR says nothing."""
    shown = []
    for name, value in (("NO_COLOR", ""), ("NO_COLOR", "1"), ("TERM", "dumb")):
        monkeypatch.setenv(name, value)
        stream = terminal()
        LOGGER.info("edge listens")
        monkeypatch.delenv("NO_COLOR", raising=False)
        shown.append("\x1b[" in stream.getvalue())
    assert shown == [True, False, False]


@pytest.mark.parametrize(("form", "is_json"), [("json", True), ("console", False), ("auto", False)])
def test_form_may_be_chosen(form: str, is_json: bool, terminal: Callable[..., Terminal]) -> None:
    """JSON on a terminal for whoever asks; by itself a terminal is for people."""
    stream = terminal(form)
    LOGGER.info("edge listens", extra={"port": 1})
    assert "edge listens" in stream.getvalue()
    assert stream.getvalue().startswith("{") is is_json


@pytest.mark.usefixtures("root")
def test_console_on_a_pipe_has_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """`docker logs` of a container for people: no escapes."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure("info", "console")
    LOGGER.info("edge listens")
    assert "edge listens" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize(
    "secret",
    [
        "no Redis at redis://user:hunter2@host:6390",
        "GET /?access_token=hunter2&x=1 HTTP/1.1",
        "Authorization: Bearer hunter2",
        "rediss://host?sentinel_password=hunter2",
    ],
)
def test_no_secret_is_written(secret: str, pipe: Line) -> None:
    """Passwords of URLs, query strings and tokens are left out, wherever a text has them; and fields called so."""
    LOGGER.error("failed", extra={"reason": secret, "token": "hunter2"}, exc_info=ValueError(secret))
    assert "hunter2" not in json.dumps(pipe())


def test_jwt_is_never_written(pipe: Line) -> None:
    """A JWT is known by its beginning."""
    LOGGER.warning("failed", extra={"reason": f"a token: {'ey' + 'J'}hbGciOiJub25lIn0.e30.c2ln, and more"})
    assert pipe()["reason"] == "a token: ***, and more"


@pytest.mark.parametrize(("level", "has_traceback"), [(logging.WARNING, False), (logging.ERROR, True)])
def test_traceback_is_for_errors(level: int, has_traceback: bool, pipe: Line) -> None:
    """Kind and text of an error are fields; the traceback is one, at level error alone."""
    try:
        fails("x")
    except RuntimeError as error:
        LOGGER.log(level, "failed", exc_info=error)
    line = pipe()
    assert (line["error_type"], line["error"]) == ("RuntimeError", "a bug of 1 letters")
    assert ("exception" in line) is has_traceback


def test_level_changes_while_running(pipe: Line) -> None:
    """`edgebus log-level` sets the level of the loggers; the handler lets everything pass."""
    LOGGER.debug("not yet")
    logging.getLogger("edgebus").setLevel(logging.DEBUG)
    LOGGER.debug("now")
    assert pipe()["event"] == "now"


def test_words_of_the_event_loop_are_lines_too(pipe: Line) -> None:
    """What asyncio has to say does not break a reader of JSON."""
    logging.getLogger("asyncio").error("Task exception was never retrieved")
    assert (pipe()["logger"], pipe()["level"]) == ("asyncio", "error")


@pytest.mark.parametrize(("name", "good"), [("EDGEBUS_LOG_FORMAT", "console"), ("EDGEBUS_LOG_LEVEL", "warning")])
@pytest.mark.usefixtures("root")
def test_environment_chooses_and_is_checked(name: str, good: str) -> None:
    """The variables are options of `edgebus edge`, not unknown settings; a wrong value ends the start."""
    words = ["edge", "mahavishnu", "--set", "enabled=false"]
    refused = CliRunner().invoke(app, words, env={name: "loud"})
    assert (refused.exit_code, "'loud' is not one of" in refused.output) == (2, True)
    assert CliRunner().invoke(app, words, env={name: good}).exit_code == 0

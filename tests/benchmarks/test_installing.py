import sys
from pathlib import Path

import pytest

from benchmarks.peer import NotInstallable
from benchmarks.peers.installing import installed, once, tool


def test_a_failed_installation_is_its_last_line(tmp_path: Path) -> None:
    """The table has one line for a peer that cannot be had, and the installer's last line says why."""
    program = "import sys; print('resolving', file=sys.stderr); sys.exit('no such version')"
    with pytest.raises(NotInstallable, match=r"^python\S* -c: no such version$"):
        installed(sys.executable, "-c", program, folder=tmp_path)


def test_a_missing_tool_is_named_with_what_helps() -> None:
    """Whoever lacks a tool reads what to install."""
    with pytest.raises(NotInstallable, match="there is no no-such-tool: install it"):
        tool("no-such-tool", "install it")


def test_a_folder_is_filled_once_for_the_same_sources(tmp_path: Path) -> None:
    """A second run installs nothing; another version, or a failure before, does."""
    source, needed = tmp_path / "versions", []
    source.write_text("1")
    with pytest.raises(NotInstallable), once(tmp_path / "it", source):
        raise NotInstallable("no network")
    for version in ("1", "1", "2", "2"):
        source.write_text(version)
        with once(tmp_path / "it", source) as is_needed:
            needed.append(is_needed)
    assert needed == [True, False, True, False]

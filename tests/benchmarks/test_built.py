"""The programs of the benchmarks are compiled when needed, also by several runs at once."""

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks import built


def test_several_runs_may_compile_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each puts a whole program in place, whichever is first; nothing else is left."""
    source, program, together = tmp_path / "it.c", tmp_path / "build" / "it", threading.Barrier(2)
    source.write_text("")

    def compiler(command: list[Any], **_: object) -> None:
        Path(command[command.index("-o") + 1]).write_text("whole")
        together.wait()

    monkeypatch.setattr(subprocess, "run", compiler)
    monkeypatch.setattr(built, "_compiler", lambda: "cc")
    with ThreadPoolExecutor(2) as runs:
        list(runs.map(lambda _: built.compiled(program, [source]), range(2)))
    assert [(it.name, it.read_text()) for it in program.parent.iterdir()] == [("it", "whole")]

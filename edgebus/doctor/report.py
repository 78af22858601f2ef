"""The report on a terminal, and as JSON lines."""

import re
import shutil
import textwrap
from typing import Final

from edgebus.doctor.finding import Finding, Level, Report
from edgebus.terminal import Exit, show, show_json

__all__ = ["exit_code", "show_report"]

_STYLES: Final = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}
_LEVEL: Final = 6
_CHECK: Final = 13
"""Widths of the columns before the sentence."""
_NARROW: Final = 40


def show_report(report: Report, *, as_json: bool) -> None:
    """Print a finding per line, with lines to type below; as JSON, an object per finding."""
    for finding in report.findings:
        if as_json:
            show_json({**{name: getattr(finding, name) for name in ("level", "check", "where", "text", "fix")}})
        else:
            _show(finding)
    if not as_json:
        show(", ".join(f"{report.count(level)} {level}" for level in reversed(Level)))


def _show(finding: Finding) -> None:
    indent = " " * (_LEVEL + _CHECK)
    said = f"{finding.where}: {finding.text}" if finding.where else finding.text
    first, *rest = _wrapped(said) or [""]
    show(f"{finding.level:<{_LEVEL}}", style=_STYLES[finding.level], end="")
    show(f"{finding.check:<{_CHECK}}{first}")
    for line in rest:
        show(f"{indent}{line}")
    for line in finding.fix:  # never broken: a line to type is copied whole
        show(f"{' ' * _LEVEL}{line}", style="cyan")


def _wrapped(text: str) -> list[str]:
    # A number stays with its unit: "0.25" at the end of a line reads as seconds.
    bound = re.sub(r"(\d) (?=[A-Za-z%]{1,3}\b)", "\\1\u00a0", text)
    width = max(_NARROW, shutil.get_terminal_size().columns - _LEVEL - _CHECK)
    lines = textwrap.wrap(bound, width, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\u00a0", " ") for line in lines]


def exit_code(report: Report) -> Exit:
    """Return how the command ends."""
    if not report.is_reached:
        return Exit.UNREACHABLE
    return Exit.FAILED if report.level is Level.FAIL else Exit.OK

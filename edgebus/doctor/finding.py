"""A finding of the doctor, and the report."""

from collections.abc import Sequence
from dataclasses import field
from enum import StrEnum

from bus.values import frozen

__all__ = ["Finding", "Level", "Report", "fail", "ok", "warn"]


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@frozen
class Finding:
    """A line of the report.

    Attributes:
        level: ok; warn: a loss is possible; fail: clients lose events or are refused, now or at the next incident.
        check: the name of the check, a word.
        text: a sentence with the figures.
        fix: shell lines to type, in this order; none for ok.
        where: a server or an edge; empty for the whole.

    """

    level: Level
    check: str
    text: str
    fix: tuple[str, ...] = ()
    where: str = ""


@frozen
class Report:
    """All findings, in the order of the checks.

    Attributes:
        is_reached: whether Redis answered; without, there is a single finding.

    """

    findings: Sequence[Finding] = field(default_factory=tuple)
    is_reached: bool = True

    def count(self, level: Level) -> int:
        """Return how many findings have a level."""
        return sum(finding.level == level for finding in self.findings)

    @property
    def level(self) -> Level:
        """The worst level of all findings."""
        return next((level for level in (Level.FAIL, Level.WARN) if self.count(level)), Level.OK)


def ok(check: str, text: str, *, where: str = "") -> Finding:
    """Return a finding without a fault."""
    return Finding(Level.OK, check, text, where=where)


def warn(check: str, text: str, *fix: str, where: str = "") -> Finding:
    """Return a finding of a possible loss, with the lines to mend the fault."""
    return Finding(Level.WARN, check, text, fix, where)


def fail(check: str, text: str, *fix: str, where: str = "") -> Finding:
    """Return a finding of a loss, with the lines to mend the fault."""
    return Finding(Level.FAIL, check, text, fix, where)

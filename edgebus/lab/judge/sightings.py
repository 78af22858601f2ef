"""Which events came by an edge that lived to compare its rooms after the next takeover. Part of the checker.

Events that an edge alone heard of a dead primary are found by its comparison. An edge that was killed before that, or
had gone before the takeover, can tell nobody: its own clients know, and are told where they come back (decisions/0087).
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from edgebus.lab.judge.records import Attempt, ClientLog, EdgeEnd, Evidence

__all__ = ["Sightings"]

_NOTICE_S: Final = 1.4
"""An edge may be ready at the old primary for so long: two probe intervals, and what a loaded machine takes."""


@dataclass(frozen=True, slots=True)
class _Visits:
    """Which edge a client was at, and since when."""

    begins_s: list[float]
    edges: list[str]

    def edge_at(self, at_s: float) -> str | None:
        index = bisect_right(self.begins_s, at_s) - 1
        return self.edges[index] if index >= 0 else None


class Sightings:
    """Judges by when edges ended, and by when they said that they were ready."""

    def __init__(self, evidence: Evidence) -> None:
        self._takeovers = sorted(evidence.takeovers)
        self._visits: Mapping[str, _Visits] = {log.name: _visits(log) for log in evidence.clients}
        self._ends: dict[str, list[EdgeEnd]] = {}
        for end in sorted(evidence.ends, key=lambda it: it.at_s):
            self._ends.setdefault(end.edge, []).append(end)
        ready = [it for it in evidence.samples if it.path == "/readyz" and it.status == 200]
        self._ready_s = {edge: sorted(it.at_s for it in ready if it.edge == edge) for edge in self._ends}

    def counts(self, attempt: Attempt, client: str, at_s: float) -> bool:
        """Tell whether an edge by which an event came at some time could know after a takeover that it is lost."""
        edge = self._visits[client].edge_at(at_s)
        end = next((it for it in self._ends.get(edge or "", ()) if it.at_s >= at_s), None)
        takeover_s = next((it for it in self._takeovers if it >= attempt.began_s), None)
        if edge is None or end is None or takeover_s is None:
            return True
        # An edge that leaves in order compares its rooms first, and marks what it alone had (decisions/0018, 0087).
        if end.at_s <= takeover_s or not end.is_killed:
            return end.at_s > takeover_s
        # Ready again means compared: before that it was ready for the old primary's sake at most.
        return _is_any_between(self._ready_s[edge], takeover_s + _NOTICE_S, end.at_s)


def _visits(log: ClientLog) -> _Visits:
    opened = [mark for mark in log.marks if mark.kind == "opened"]
    return _Visits([mark.at_s for mark in opened], [mark.text.decode() for mark in opened])


def _is_any_between(times_s: Iterable[float], from_s: float, until_s: float) -> bool:
    return any(from_s < at_s <= until_s for at_s in times_s)
